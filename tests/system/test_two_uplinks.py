"""Hosts with two links into the underlay: both carry flows, either may fail, and each is told of."""

import contextlib
import socket
from pathlib import Path

import pytest

from skytrail.lab import check, health, vrouter
from skytrail.lab.io import netns, underlay
from skytrail.lab.io.capture import Capture
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.plan import UPLINK_IFNAMES
from skytrail.lab.service import Lab
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.net import Mac
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_udp,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-uplinks"
FLOWS_COUNT = 4
COUNT = 10

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=[4, 6])
def lab(lab_of, request):
    """The underlay's IP version: everything is the same over either."""
    with lab_of(EXAMPLE, "stm", version=request.param) as created:
        assert {node.place.version for node in created.plan.nodes} == {request.param}
        yield created


@pytest.fixture(scope="module")
def members(lab):
    return check.members(lab)


def port_of(lab: Lab, name: str) -> str:
    return lab.attached(name).uuid


def carried(frame: bytes, source_port: int) -> bool:
    """Whether a frame of the underlay has a workload's UDP packet from this port in it."""
    with contextlib.suppress(DecodeError):
        packet = decode_tunnel(frame)
        inner = packet.inner_ip if packet is not None else None
        if inner is not None and inner.protocol == 17:
            return decode_udp(inner.payload).source_port == source_port
    return False


def links(lab, host, state):
    node = lab.plan.node(host)
    return lambda number: netns.configure(
        node.namespace, [f"link set dev {UPLINK_IFNAMES[number]} {state}"]
    )


def healthy(lab, name):
    return health.process_health(lab, name)


def test_trace_names_the_link_that_a_flow_takes_and_flows_take_both(lab, members):
    node, far = lab.plan.node("compute1"), members["web2"].address(version=4)
    taken = set()
    with contextlib.ExitStack() as stack:
        captures = {
            each.ifname: stack.enter_context(Capture(each.router_namespace, node.router_ifname))
            for each in node.uplinks
        }
        for port in range(40000, 40016):
            query = {"vmi": port_of(lab, "web1"), "dst": str(far), "proto": "udp"}
            query |= {"sport": str(port), "port": "9"}
            steps = vrouter.explain(lab, "compute1", query).steps
            told = next(step.answer for step in steps if step.stage == "uplink")
            with netns.open_socket(lab.plan.namespace_of("web1"), socket.AF_INET) as sender:
                sender.bind(("", port))
                sender.sendto(b"which way", (str(far), 9))

            found = captures[told].wait_for(lambda frame, port=port: carried(frame, port), 10)

            assert found is not None, f"flow from port {port} did not take {told}"
            taken.add(told)

    assert taken == set(UPLINK_IFNAMES)


@contextlib.contextmanager
def steady_flows(lab, members):
    """So many flows in both directions that either link carries some."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(PingTraffic(lab.plan.namespace_of(source), members[far].address(version=version)))
            for source, far in (("web1", "web2"), ("web2", "web1"))
            for version in (4, 6)
            for _ in range(FLOWS_COUNT // 4)
        ]  # fmt: skip


def all_go_on(flows):
    return all(flow.wait_replies(20, 20) for flow in flows)


def told(what, flows):
    outcomes = [flow.stop() for flow in flows]
    lost, sent = sum(each.lost for each in outcomes), sum(each.sent for each in outcomes)
    gap = max(each.longest_gap_s for each in outcomes)
    print(f"{what}: {lost} of {sent} packets of {len(flows)} flows lost, longest gap {gap:.3f} s")


def test_traffic_goes_on_while_either_link_is_down_and_after(lab, members, eventually):
    with steady_flows(lab, members) as flows:
        assert all_go_on(flows)
        for number, ifname in enumerate(UPLINK_IFNAMES):
            links(lab, "compute1", "down")(number)
            try:
                during = all_go_on(flows)
                state = eventually(
                    lambda: (found := healthy(lab, "compute1"))[0] != "healthy" and found,
                    "the agent tells of its link",
                    timeout_s=30,
                )
            finally:
                links(lab, "compute1", "up")(number)

            assert during
            assert f"uplink {ifname}: down" in state[1]
            assert all_go_on(flows)
            health.wait_healthy(lab, "compute1")
        told("either link of compute1 down and up", flows)


def test_traffic_goes_on_while_a_router_of_the_underlay_is_down(lab, members):
    router = lab.plan.second_router
    ends = [node.router_ifname for node in lab.plan.nodes]
    with steady_flows(lab, members) as flows:
        assert all_go_on(flows)

        netns.configure(router, [f"link set dev {end} down" for end in ends])
        try:
            during = all_go_on(flows)
        finally:
            netns.configure(router, [f"link set dev {end} up" for end in ends])
            underlay.route_by_either(lab.plan, router)

        assert during
        assert all_go_on(flows)
        told("second router down and up", flows)
    for node in lab.plan.hosts:
        health.wait_healthy(lab, node.name)


def test_links_fail_over_without_an_agent(lab, members):
    with steady_flows(lab, members) as flows:
        assert all_go_on(flows)
        lab.kill("compute1")
        try:
            links(lab, "compute1", "down")(0)
            during = all_go_on(flows)
        finally:
            links(lab, "compute1", "up")(0)
            lab.restart("compute1")

        assert during
        assert all_go_on(flows)
    health.wait_healthy(lab, "compute1")


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("forges_host", [False, True])
def test_labels_are_taken_from_known_hosts_alone_by_either_link(
    lab, eventually, number, forges_host
):
    """A stranger's packet with a label in use, and one that only a host with a forged address sends."""
    receiver = lab.plan.node("compute2")
    link = receiver.uplinks[number]
    source = lab.plan.node("compute1").place if forges_host else link.gateway
    label = 900_000 if forges_host else next(iter(vrouter.labels(lab, "compute2")))
    reason = "LABEL_UNKNOWN" if forges_host else "OUTER_SOURCE"
    payload = (label << 12 | 0x140).to_bytes(4) + bytes(40)
    datagram = UdpDatagram(50000, 6635, payload).encode(source, receiver.place)
    packet = IpPacket(
        source=source, destination=receiver.place, protocol=17, payload=datagram
    ).encode()
    before = vrouter.drops(lab, "compute2")

    with netns.open_socket(link.router_namespace, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((receiver.router_ifname, 0))
        frame = EthernetFrame(
            destination=netns.mac_of(receiver.namespace, link.ifname),
            source=Mac.parse("02:00:00:00:00:01"),
            ether_type=ETHERTYPE_IPV4 if source.version == 4 else ETHERTYPE_IPV6,
            payload=packet,
        ).encode()
        for _ in range(COUNT):
            sender.send(frame)

    def counted():
        grown = vrouter.growth(before, vrouter.drops(lab, "compute2"))
        return grown.get(reason, 0) >= COUNT

    eventually(counted, f"{COUNT} drops of {reason}", timeout_s=20)
