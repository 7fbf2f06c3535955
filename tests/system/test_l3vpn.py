"""Our vRouter as the gateway of a physical L3VPN: what lies behind routers is part of a network."""

import asyncio
import contextlib
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from skytrail.lab import check, vrouter
from skytrail.lab.io import frr
from skytrail.lab.io.capture import Capture
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.trace import Packet
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.runtime.introspection import read_table
from skytrail.wire.errors import DecodeError

EXAMPLE = Path(__file__).parents[2] / "examples" / "l3vpn"
HQ, BRANCH = "192.168.50.10", "192.168.60.10"

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def l3vpn(lab_of):
    if not frr.is_installed():
        pytest.fail("FRR is missing: packaging/setup.sh packages")
    with lab_of(EXAMPLE, "stl") as created:
        yield created


@pytest.fixture
def encapsulation(l3vpn):
    """Choose the first encapsulation; the default order is restored afterwards."""
    name = ["default-global-system-config", "default-global-vrouter-config"]

    def choose(*order):
        with l3vpn.api() as api:
            uuid = api.name_to_id("global-vrouter-config", name)
            priorities = {"encapsulation_priorities": {"encapsulation": list(order)}}
            api.update("global-vrouter-config", uuid, priorities)

    yield choose
    choose("MPLSoUDP", "MPLSoGRE", "VXLAN")


def test_packets_show_what_the_example_expects(l3vpn):
    cells = asyncio.run(check.check(l3vpn))

    wrong = [(cell.expectation, cell.seen) for cell in cells if not cell.ok]
    assert not wrong
    assert len(cells) == len(l3vpn.topology.expect)


def test_trace_ends_at_the_routers_port(l3vpn):
    traced = vrouter.trace(l3vpn, "app1", "hq", Packet())

    assert traced.last.vmi_uuid == l3vpn.attached("pe1").uuid
    assert traced.delivered


def vpn_routes(lab, prefix):
    rows = read_table(lab.paths.introspect_socket("control1"), "vpn")
    return [row for row in rows if str(row["prefix"]) == prefix]


@pytest.mark.parametrize(
    ("prefix", "router"), [("192.168.50.0/24", "pe1"), ("192.168.60.0/24", "pe2")]
)
def test_prefixes_behind_routers_are_vpn_routes_of_the_gateways_address(l3vpn, prefix, router):
    assert vpn_routes(l3vpn, prefix)
    where = {"instance": "default-domain:corp:apps:apps", "prefix": prefix}
    rows = read_table(l3vpn.paths.introspect_socket("control1"), "routes", where=where)

    labels = vrouter.labels(l3vpn, "gateway1")
    hops = [hop for row in rows for hop in row["next_hops"]]
    assert hops
    for hop in hops:
        assert hop["address"] == str(l3vpn.plan.node("gateway1").address)
        assert {"udp", "gre"} <= set(hop["encapsulations"])
        assert l3vpn.attached(router).uuid in labels[hop["label"]]


@pytest.mark.parametrize("kind", ["MPLSoGRE", "MPLSoUDP"])
@pytest.mark.parametrize(("address", "router"), [(HQ, "pe1"), (BRANCH, "pe2")])
def test_packets_to_a_site_carry_the_label_of_its_routers_port(
    l3vpn, encapsulation, address, router, kind
):
    encapsulation(kind, *({"MPLSoUDP", "MPLSoGRE"} - {kind}))
    gateway = l3vpn.plan.node("gateway1")
    traffic = PingTraffic(l3vpn.plan.namespace_of("app2"), ip_address(address))

    def is_ours(frame):
        with contextlib.suppress(DecodeError):
            packet = decode_tunnel(frame)
            return (
                packet is not None
                and packet.encapsulation == kind
                and packet.inner_ip is not None
                and str(packet.inner_ip.destination) == address
            )
        return False

    with traffic, Capture(l3vpn.plan.router_namespace, gateway.router_ifname) as capture:
        found = capture.wait_for(is_ours, 15)
        assert found, f"no {kind} packet to {address}"
        assert traffic.wait_replies(20, timeout_s=30)

    packet = decode_tunnel(found.frame)
    assert packet.outer_destination == gateway.address
    assert packet.bottom_of_stack
    assert l3vpn.attached(router).uuid in vrouter.labels(l3vpn, "gateway1")[packet.label]


def test_a_site_is_gone_with_its_bgp_session_and_the_other_stays(l3vpn):
    branch = PingTraffic(l3vpn.plan.namespace_of("app1"), ip_address(BRANCH))
    hq = PingTraffic(l3vpn.plan.namespace_of("app1"), ip_address(HQ))
    with branch, hq:
        assert branch.wait_replies(5, timeout_s=30)
        assert hq.wait_replies(5, timeout_s=30)

        l3vpn.kill("pe2-bgpd")
        deadline = time.monotonic() + 20
        while branch.wait_replies(3, timeout_s=0.3):
            assert time.monotonic() < deadline, "the route is still there"
        assert not vpn_routes(l3vpn, "192.168.60.0/24")
        l3vpn.restart("pe2-bgpd")

        assert branch.wait_replies(5, timeout_s=30)
        assert hq.stop().lost == 0
