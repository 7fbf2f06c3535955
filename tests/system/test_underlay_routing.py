"""A network that the underlay routes: a switch learns workloads by BGP, packets have no tunnel."""

import asyncio
import contextlib
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from skytrail.lab import check, vrouter
from skytrail.lab.io import frr, netns
from skytrail.lab.io.capture import Capture
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.switch import UNDERLAY
from skytrail.lab.trace import NATIVE, Packet
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.runtime.introspection import read_table
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import ETHERTYPE_IPV4, decode_ethernet, decode_ip

EXAMPLE = Path(__file__).parents[2] / "examples" / "underlay-routing"
SERVER = "192.0.2.10"

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def routed(lab_of):
    if not frr.is_installed():
        pytest.fail("FRR is missing: packaging/setup.sh packages")
    with lab_of(EXAMPLE, "stu") as created:
        yield created


def underlay_routes(lab):
    return netns.run(lab.command_in("underlay", ["ip", "route", "show", "proto", "bgp"]))


def address_of(lab, name):
    return check.members(lab)[name].address(version=4)


def ways_out(lab, host):
    """Whether a host shares its load over what both control nodes heard from the switch."""
    where = {"vrf": "default-domain:plain:routed:routed", "prefix": "192.0.2.0/24"}
    rows = read_table(lab.paths.introspect_socket(host), "routes", where=where)
    return any(str(row["nexthop"]).startswith("ecmp:") for row in rows)


def eventually(condition, what, *, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)


def test_packets_show_what_the_example_expects(routed):
    cells = asyncio.run(check.check(routed))

    wrong = [(cell.expectation, cell.seen) for cell in cells if not cell.ok]
    assert not wrong
    assert len(cells) == len(routed.topology.expect)


def test_the_switch_routes_each_workload_to_its_host_and_no_other_network(routed):
    for name, host in (("web1", "compute1"), ("web2", "compute2")):
        via, address = f"via {routed.plan.node(host).address} ", str(address_of(routed, name))
        eventually(
            lambda via=via, address=address: any(
                address in line and via in line for line in underlay_routes(routed).splitlines()
            ),
            f"{address} is routed {via}",
        )
    assert "10.60.0" not in underlay_routes(routed)


def plain_packet(frame, destination):
    """The IP packet of a frame that has no tunnel and is for this address, None for others."""
    with contextlib.suppress(DecodeError):
        ethernet = decode_ethernet(frame)
        if ethernet.ether_type == ETHERTYPE_IPV4 and decode_tunnel(frame) is None:
            packet = decode_ip(ethernet.payload)
            return packet if str(packet.destination) == destination else None
    return None


@pytest.mark.parametrize(
    ("source", "destination", "host"),
    [("web1", "web2", "compute2"), ("server", "web1", "compute1")],
)
def test_packets_on_the_underlay_are_the_workloads_own(routed, source, destination, host):
    address = str(address_of(routed, destination))
    node = routed.plan.node(host)
    traffic = PingTraffic(routed.plan.namespace_of(source), ip_address(address))

    with traffic, Capture(routed.plan.router_namespace, node.router_ifname) as capture:
        found = capture.wait_for(lambda frame: plain_packet(frame, address) is not None, 10)
        assert traffic.wait_replies(20, timeout_s=30)

    assert found, "no packet without tunnel"
    packet = plain_packet(found.frame, address)
    assert packet.source == address_of(routed, source)


def test_large_packets_and_bulk_tcp_go_through(routed):
    address = str(address_of(routed, "web2"))
    ping = ["ping", "-c", "2", "-i", "0.2", "-W", "5", "-s", "8000", address]
    assert " 0% packet loss" in netns.run(routed.command_in("web1", ping))

    # Its port is web's, which the security group lets in.
    server = subprocess.Popen(
        routed.command_in("web2", ["iperf3", "-s", "-1", "-p", "80"]), stdout=subprocess.DEVNULL
    )
    listeners = routed.command_in("web2", ["ss", "-Hltn", "sport = :80"])
    with server:
        eventually(lambda: netns.run(listeners), "iperf3 listens")
        client = ["iperf3", "-c", address, "-p", "80", "-n", "50M"]
        done = subprocess.run(
            routed.command_in("server", client), capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr


def test_trace_follows_a_packet_without_tunnel_to_its_end(routed):
    across = vrouter.trace(routed, "web1", "web2", Packet())
    outside = vrouter.trace(routed, "web1", "server", Packet("tcp", 443))

    assert across.delivered
    assert across.legs[0].explanation.encapsulation == NATIVE
    assert outside.delivered
    assert "leaves by underlay, without tunnel" in outside.summary()


def test_a_workload_that_is_gone_is_gone_from_the_switch(routed):
    address = str(address_of(routed, "web2"))
    endpoint = routed.topology.endpoint("web2")

    routed.unplug(endpoint)
    eventually(lambda: address not in underlay_routes(routed), "the route is withdrawn")
    routed.attach([endpoint])
    eventually(lambda: address in underlay_routes(routed), "the route is back")

    traffic = PingTraffic(routed.plan.namespace_of("server"), ip_address(address))
    with traffic:
        assert traffic.wait_replies(5, timeout_s=30)


def test_what_the_switch_announces_no_more_has_no_route(routed):
    traffic = PingTraffic(routed.plan.namespace_of("web1"), ip_address(SERVER))
    with traffic:
        assert traffic.wait_replies(5, timeout_s=30)

        routed.kill("underlay-bgpd")
        eventually(lambda: not traffic.wait_replies(3, timeout_s=0.3), "the routes are gone")
        routed.restart("underlay-bgpd")

        assert traffic.wait_replies(5, timeout_s=40)


def test_a_control_node_killed_loses_nothing(routed):
    out = PingTraffic(routed.plan.namespace_of("web1"), ip_address(SERVER))
    back = PingTraffic(routed.plan.namespace_of("server"), address_of(routed, "web2"))
    with out, back:
        assert out.wait_replies(5, timeout_s=30)
        assert back.wait_replies(5, timeout_s=30)
        for host in ("compute1", "compute2"):
            eventually(lambda host=host: ways_out(routed, host), f"{host} has both ways out")

        routed.kill("control2")
        assert out.wait_replies(200, timeout_s=30)
        routed.restart("control2")
        assert out.wait_replies(300, timeout_s=30)

        assert out.stop().lost == back.stop().lost == 0


def test_a_network_changes_to_tunnels_and_back_under_traffic(routed):
    network = ["default-domain", "plain", "routed"]
    underlay = {"ref_type": "virtual-network", "ref_fq_name": UNDERLAY}
    address = address_of(routed, "web2")

    def leaves_by():
        traced = vrouter.trace(routed, "web1", "web2", Packet())
        return traced.legs[0].explanation.encapsulation

    with routed.api() as api, PingTraffic(routed.plan.namespace_of("web1"), address) as traffic:
        uuid = api.name_to_id("virtual-network", network)
        assert traffic.wait_replies(5, timeout_s=30)

        api.ref_update("virtual-network", uuid, operation="DELETE", **underlay)
        eventually(lambda: "10.50.0" not in underlay_routes(routed), "the switch forgets")
        assert traffic.wait_replies(20, timeout_s=30)
        eventually(lambda: leaves_by() == "MPLS_UDP", "the host has tunnels alone")

        api.ref_update("virtual-network", uuid, operation="ADD", **underlay)
        eventually(lambda: str(address) in underlay_routes(routed), "the switch learns again")
        assert traffic.wait_replies(20, timeout_s=30)
        eventually(lambda: leaves_by() == NATIVE, "the host sends without tunnel again")
