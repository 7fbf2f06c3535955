"""By an address of an external network and its ports: out, answers, errors, and who gets nothing."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import frames
import pytest
from conftest import (
    LOOPBACK_IFINDEX,
    MAC,
    OWN,
    OWN_NEXTHOP,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_NEXTHOP,
    PEER_VIF,
    RECEIVE_NEXTHOP,
    TUNNEL_NEXTHOP,
    VIF,
    VRF,
    Box,
    Outcome,
    interface_row,
    route_row,
)
from test_fabric import segment
from test_floating import CLIENT, FLOATING
from translated import (
    CLIENT_LABEL,
    DENY,
    PUBLIC,
    Seen,
    delivered,
    deny_all,
    floating_row,
    packet,
    public_route,
    quote,
    seen,
    send,
    tunnelled,
)

from skytrail.agent.tables import (
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PortPoolRow,
    SourceRow,
    VifId,
    VniRow,
)
from skytrail.net import GATEWAY_MAC, Mac

pytestmark = pytest.mark.root
SNAT_VIF, SNAT_IFINDEX = VifId(14), 7014
OUT_NEXTHOP, SNAT_NEXTHOP, PUBLIC_BRIDGE = NextHopId(42), NextHopId(43), NextHopId(44)
SNAT_LABEL, PUBLIC_VNI = 1400, 6006
OUTSIDE, NEAR = "198.18.0.50", "198.18.0.20"
FIRST, LAST = 61000, 61999
ECHO_REQUEST, ECHO_REPLY, UNREACHABLE, TIME_EXCEEDED = 8, 0, 3, 11
PROTOCOLS = (frames.TCP, frames.UDP)


def snat_row() -> InterfaceRow:
    return InterfaceRow(
        ifindex=SNAT_IFINDEX,
        vif_id=SNAT_VIF,
        kind=InterfaceKind.SNAT,
        vrf_id=PUBLIC,
        mac=Mac.parse("02:00:00:00:00:50"),
        mtu_bytes=1500,
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
        identity=IdentityId(4),
        antispoof=False,
        tunnel_address=IPv4Address(OUTSIDE),
    )


@pytest.fixture
def snat(box: Box) -> Box:
    """The workload's network is led out by the address; the client is behind a tunnel."""
    box.apply(
        snat_row(),
        NextHopRow(OUT_NEXTHOP, NextHopKind.FABRIC, vif_id=SNAT_VIF),
        NextHopRow(SNAT_NEXTHOP, NextHopKind.INTERFACE, vif_id=SNAT_VIF),
        NextHopRow(PUBLIC_BRIDGE, NextHopKind.BRIDGE, vrf_id=PUBLIC),
        LabelRow(SNAT_LABEL, SNAT_NEXTHOP),
        VniRow(PUBLIC_VNI, PUBLIC_BRIDGE),
        route_row("0.0.0.0/0", OUT_NEXTHOP),
        public_route(f"{OUTSIDE}/32", SNAT_NEXTHOP),
        public_route(f"{CLIENT}/32", TUNNEL_NEXTHOP, CLIENT_LABEL),
        *(PortPoolRow(each, ((FIRST, LAST),)) for each in (*PROTOCOLS, frames.ICMP)),
    )
    return box


@pytest.fixture
def near(snat: Box) -> Box:
    """The peer is a member of the external network, on this host."""
    snat.apply(
        replace(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC), vrf_id=PUBLIC),
        SourceRow(PEER_VIF, IPv4Network(NEAR), PEER_MAC),
        public_route(f"{NEAR}/32", PEER_NEXTHOP),
    )
    return snat


def from_peer(box: Box, raw: bytes) -> Outcome:
    """A packet that the peer sends; frames of tests come in by one interface index."""
    peer = replace(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC), vrf_id=PUBLIC)
    box.apply(interface_row(ifindex=PEER_IFINDEX), replace(peer, ifindex=LOOPBACK_IFINDEX))
    sent = box.workload(frames.ethernet(GATEWAY_MAC.packed, PEER_MAC.packed, 0x0800, raw))
    box.apply(replace(peer, ifindex=PEER_IFINDEX), interface_row())
    return sent


def opened(box: Box, protocol: int = frames.TCP, port: int = 40000) -> Seen:
    """What a connection of the workload to the client leaves as."""
    raw = packet(protocol, OWN[4], CLIENT, segment(protocol, port, 443))
    label, found = tunnelled(send(box, raw))
    assert label == CLIENT_LABEL
    return found


def answered(box: Box, raw: bytes) -> Outcome:
    return box.receive(raw, label=SNAT_LABEL)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_connection_leaves_by_the_address_and_its_answers_come_back(
    snat: Box, protocol: int
) -> None:
    out = opened(snat, protocol)
    answer = packet(protocol, CLIENT, OUTSIDE, segment(protocol, 443, out.ports[0]))

    back = answered(snat, answer)

    assert (out.source, out.destination, out.ports[1]) == (OUTSIDE, CLIENT, 443)
    assert FIRST <= out.ports[0] <= LAST
    got = delivered(back)
    assert (got.source, got.destination, got.ports) == (CLIENT, OWN[4], (443, 40000))
    assert (back.frame[:6], back.frame[6:12]) == (MAC.packed, GATEWAY_MAC.packed)
    assert delivered(answered(snat, answer)) == got
    assert opened(snat, protocol) == out


def test_answers_come_by_the_network_s_vni_as_well(snat: Box) -> None:
    """To the vRouter as a router: the address has no MAC that others know."""
    out = opened(snat)
    raw = packet(frames.TCP, CLIENT, OUTSIDE, frames.tcp(443, out.ports[0]))
    frame = frames.ethernet(GATEWAY_MAC.packed, bytes.fromhex("020000000209"), 0x0800, raw)

    got = snat.receive(frame, kind="vxlan", label=PUBLIC_VNI)

    assert delivered(got).destination == OWN[4]
    assert got.frame[:6] == MAC.packed


def test_pings_are_told_apart_by_their_identifier(snat: Box) -> None:
    asked = packet(frames.ICMP, OWN[4], CLIENT, frames.icmp(ECHO_REQUEST, identifier=7))
    inner = frames.decode_tunnel(send(snat, asked).frame).inner
    (identifier,) = struct.unpack("!H", inner[24:26])
    reply = packet(frames.ICMP, CLIENT, OUTSIDE, frames.icmp(ECHO_REPLY, identifier=identifier))

    back = answered(snat, reply)

    assert FIRST <= identifier <= LAST
    assert delivered(back).destination == OWN[4]
    assert struct.unpack("!H", back.frame[38:40]) == (7,)


def test_two_workloads_with_one_address_and_port_have_two_of_the_pool(snat: Box) -> None:
    mine = opened(snat)
    snat.apply(
        interface_row(PEER_VIF, LOOPBACK_IFINDEX, MAC),
        replace(interface_row(), ifindex=PEER_IFINDEX),
        SourceRow(PEER_VIF, IPv4Network(OWN[4]), MAC),
    )

    assert opened(snat).ports != mine.ports


def test_exhaustion_is_counted_and_ageing_gives_ports_back(snat: Box) -> None:
    snat.apply(PortPoolRow(frames.UDP, ((FIRST, FIRST + 1),)))
    taken = {opened(snat, frames.UDP, port).ports[0] for port in (1, 2)}
    third = packet(frames.UDP, OWN[4], CLIENT, frames.udp(3, 443, b"hi"))
    before = snat.datapath.interface_drop_counts().get(VIF, {}).get("PORTS_EXHAUSTED", 0)

    assert taken == {FIRST, FIRST + 1}
    assert send(snat, third).drops == {"PORTS_EXHAUSTED": 1}
    assert snat.datapath.interface_drop_counts()[VIF]["PORTS_EXHAUSTED"] == before + 1
    snat.datapath.age_flows(1_000_000.0)
    assert snat.datapath.age_flows(2_000_000.0) == 2
    assert tunnelled(send(snat, third))[1].ports[0] in taken


@pytest.mark.parametrize(
    ("source", "ports"),
    [("198.18.0.8", (443, None)), (CLIENT, (444, None)), (CLIENT, (443, 5))],
    ids=["another far end", "another port of it", "a port nobody has"],
)
def test_what_is_no_answer_reaches_nobody(
    snat: Box, source: str, ports: tuple[int, int | None]
) -> None:
    out = opened(snat)
    forged = frames.tcp(ports[0], ports[1] or out.ports[0], flags=frames.SYN)

    dropped = answered(snat, packet(frames.TCP, source, OUTSIDE, forged))

    assert dropped.drops == {"FABRIC_UNKNOWN": 1}
    assert len(list(snat.datapath.flows())) == 2


def test_an_answer_by_the_workload_s_own_label_is_none(snat: Box) -> None:
    """Who may send into its network may not send as who was asked outside of it."""
    out = opened(snat)
    forged = packet(frames.TCP, CLIENT, OUTSIDE, frames.tcp(443, out.ports[0]))

    got = snat.receive(forged)

    assert not got.forwarded or seen(got.frame[14:]).destination == OUTSIDE


def test_ipv6_and_other_frames_to_the_address_reach_nobody(snat: Box) -> None:
    six = frames.ip("fd00:9::1", "fd00:9::2", frames.UDP, frames.udp(1, 2))

    assert answered(snat, six).drops == {"FABRIC_UNKNOWN": 1}


def test_what_another_member_of_this_host_sends_there_reaches_nobody(near: Box) -> None:
    opened(near)
    asked = packet(frames.TCP, NEAR, OUTSIDE, frames.tcp(1, 22, flags=frames.SYN))

    assert from_peer(near, asked).drops == {"FABRIC_UNKNOWN": 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_of_this_host_is_asked_and_answers(near: Box, protocol: int) -> None:
    """Its answer begins at its own interface: the entry that finds who asked is there."""
    asked = send(near, packet(protocol, OWN[4], NEAR, segment(protocol, 40000, 443)))
    there = delivered(asked)
    answer = packet(protocol, NEAR, OUTSIDE, segment(protocol, 443, there.ports[0]))

    back = from_peer(near, answer)

    assert (there.source, there.destination, there.ports[1]) == (OUTSIDE, NEAR, 443)
    assert asked.frame[:6] == PEER_MAC.packed
    got = delivered(back)
    assert (got.source, got.destination, got.ports) == (NEAR, OWN[4], (443, 40000))
    assert (back.frame[:6], back.frame[6:12]) == (MAC.packed, GATEWAY_MAC.packed)
    again = packet(protocol, NEAR, OUTSIDE, segment(protocol, 443, there.ports[0] ^ 1))
    assert from_peer(near, again).drops == {"FABRIC_UNKNOWN": 1}


def test_policy_of_a_member_of_this_host_is_asked_about_the_address(near: Box) -> None:
    peer = interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, ingress=DENY)
    near.apply(replace(peer, vrf_id=PUBLIC), deny_all())

    asked = send(near, packet(frames.TCP, OWN[4], NEAR, segment(frames.TCP, 1, 443)))

    assert asked.drops == {"POLICY": 1}


def test_a_floating_address_of_this_host_is_asked_and_answers(near: Box) -> None:
    """Two translations of one packet: its source's and its destination's."""
    near.apply(
        replace(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC), has_floating=True),
        floating_row("198.18.0.6", vif=PEER_VIF),
        public_route("198.18.0.6/32", PEER_NEXTHOP),
    )
    asked = send(near, packet(frames.TCP, OWN[4], "198.18.0.6", segment(frames.TCP, 40000, 443)))

    got = delivered(asked)

    assert (got.source, got.destination, got.ports[1]) == (OUTSIDE, PEER[4], 443)


def test_an_error_of_a_member_of_this_host_reaches_who_asked(near: Box) -> None:
    there = delivered(send(near, packet(frames.UDP, OWN[4], NEAR, segment(frames.UDP, 40000, 53))))
    sent = packet(frames.UDP, OUTSIDE, NEAR, frames.udp(*there.ports, b"hi"))

    got = delivered(from_peer(near, quote(UNREACHABLE, NEAR, OUTSIDE, sent, 8)))

    assert got.destination == OWN[4]
    assert IPv4Address(got.payload[12:16]) == IPv4Address(OWN[4])
    assert struct.unpack("!HH", got.payload[20:24]) == (40000, 53)


def test_an_error_on_the_way_reaches_the_workload_as_about_its_own_packet(snat: Box) -> None:
    out = opened(snat, frames.UDP)
    sent = packet(frames.UDP, OUTSIDE, CLIENT, frames.udp(*out.ports, b"hi"))

    got = delivered(answered(snat, quote(TIME_EXCEEDED, "203.0.113.77", OUTSIDE, sent, 8)))

    assert (got.source, got.destination) == ("203.0.113.77", OWN[4])
    assert IPv4Address(got.payload[12:16]) == IPv4Address(OWN[4])
    assert struct.unpack("!HH", got.payload[20:24]) == (40000, 443)
    assert frames.checksum(got.payload[:20]) == 0


def test_an_error_about_nothing_of_a_workload_reaches_nobody(snat: Box) -> None:
    opened(snat, frames.UDP)
    sent = packet(frames.UDP, OUTSIDE, CLIENT, frames.udp(5, 443, b"hi"))

    dropped = answered(snat, quote(TIME_EXCEEDED, "203.0.113.77", OUTSIDE, sent, 8))

    assert dropped.drops == {"FABRIC_UNKNOWN": 1}


def test_a_workload_s_own_error_goes_out_as_the_address_s(snat: Box) -> None:
    out = opened(snat, frames.UDP)
    reply = packet(frames.UDP, CLIENT, OUTSIDE, frames.udp(443, out.ports[0], b"hi"))
    came = answered(snat, reply).frame[14:]

    label, left = tunnelled(send(snat, quote(UNREACHABLE, OWN[4], CLIENT, came, 8)))

    assert (label, left.source, left.destination) == (CLIENT_LABEL, OUTSIDE, CLIENT)
    assert IPv4Address(left.payload[16:20]) == IPv4Address(OUTSIDE)
    assert struct.unpack("!HH", left.payload[20:24]) == (443, out.ports[0])


def test_fragments_follow_their_first_one(snat: Box) -> None:
    whole = packet(frames.UDP, OWN[4], CLIENT, frames.udp(40000, 443, bytes(64)))[20:]
    pieces = {"identification": 9}
    first = frames.ipv4(OWN[4], CLIENT, frames.UDP, whole[:32], fragment=0x2000, **pieces)
    later = frames.ipv4(OWN[4], CLIENT, frames.UDP, whole[32:], fragment=4, **pieces)
    port = struct.unpack("!H", frames.decode_tunnel(send(snat, first).frame).inner[20:22])[0]
    rest = frames.decode_tunnel(send(snat, later).frame).inner
    back = packet(frames.UDP, CLIENT, OUTSIDE, frames.udp(443, port, bytes(64)))[20:]
    one = frames.ipv4(CLIENT, OUTSIDE, frames.UDP, back[:32], fragment=0x2000, **pieces)
    two = frames.ipv4(CLIENT, OUTSIDE, frames.UDP, back[32:], fragment=4, **pieces)

    assert IPv4Address(rest[12:16]) == IPv4Address(OUTSIDE)
    assert answered(snat, two).drops == {"FRAGMENT_UNKNOWN": 1}
    assert answered(snat, one).forwarded
    assert IPv4Address(answered(snat, two).frame[30:34]) == IPv4Address(OWN[4])


def test_networks_of_the_router_are_reached_untranslated(snat: Box) -> None:
    beyond = "10.2.2.9"
    snat.apply(route_row(f"{beyond}/32", TUNNEL_NEXTHOP, label=99))
    asked = packet(frames.TCP, OWN[4], beyond, segment(frames.TCP, 1, 80))

    label, left = tunnelled(send(snat, asked))

    assert (label, left.source, left.ports) == (99, OWN[4], (1, 80))


def test_a_floating_address_wins(snat: Box) -> None:
    by_address = opened(snat, port=1)
    snat.apply(
        floating_row(FLOATING),
        replace(interface_row(), has_floating=True),
        public_route(f"{FLOATING}/32", OWN_NEXTHOP),
    )
    snat.datapath.invalidate_flows()

    assert by_address.source == OUTSIDE
    assert opened(snat, port=2).source == FLOATING
    late = packet(frames.TCP, CLIENT, OUTSIDE, frames.tcp(443, by_address.ports[0]))
    opened(snat, port=1)
    assert answered(snat, late).drops == {"FABRIC_UNKNOWN": 1}


def test_a_flow_keeps_its_port_when_it_is_decided_again(snat: Box) -> None:
    before = opened(snat)
    for _ in range(5):
        snat.datapath.invalidate_flows()
        assert opened(snat) == before
        snat.datapath.invalidate_flows()
        back = answered(snat, packet(frames.TCP, CLIENT, OUTSIDE, frames.tcp(443, before.ports[0])))
        assert delivered(back).ports == (443, 40000)
    assert len(list(snat.datapath.flows())) == 2


def test_without_the_way_out_answers_end_as_well(snat: Box) -> None:
    out = opened(snat)
    snat.apply(deletes=(route_row("0.0.0.0/0", OUT_NEXTHOP),))
    snat.datapath.invalidate_flows()
    answer = packet(frames.TCP, CLIENT, OUTSIDE, frames.tcp(443, out.ports[0]))

    assert answered(snat, answer).drops == {"NO_ROUTE": 1}
    asked = packet(frames.TCP, OWN[4], CLIENT, segment(frames.TCP, 40000, 443))
    assert send(snat, asked).drops == {"NO_ROUTE": 1}


@pytest.mark.parametrize(
    ("to", "protocol", "body", "reason"),
    [
        (CLIENT, frames.ICMP, frames.icmp(13), "FABRIC_PROTOCOL"),
        (CLIENT, 132, frames.udp(1, 2, bytes(8)), "FABRIC_PROTOCOL"),
        (CLIENT, 47, bytes(8), "FABRIC_PROTOCOL"),
        ("127.0.0.1", frames.UDP, frames.udp(1, 2), "FABRIC_ADDRESS"),
        ("169.254.1.1", frames.UDP, frames.udp(1, 2), "LINK_SERVICE"),
        ("198.18.0.99", frames.UDP, frames.udp(1, 2), "NO_ROUTE"),
        (OUTSIDE, frames.UDP, frames.udp(1, 2), "FABRIC_UNKNOWN"),
        ("198.18.0.1", frames.UDP, frames.udp(1, 53), "NO_ROUTE"),
    ],
    ids=["timestamp", "SCTP", "GRE", "nobody", "link-local", "unknown", "itself", "vRouter"],
)
def test_what_does_not_leave(snat: Box, to: str, protocol: int, body: bytes, reason: str) -> None:
    snat.apply(public_route("198.18.0.1/32", RECEIVE_NEXTHOP))

    assert send(snat, frames.ipv4(OWN[4], to, protocol, body)).drops == {reason: 1}


def test_nothing_is_translated_twice(snat: Box) -> None:
    snat.apply(public_route("0.0.0.0/0", OUT_NEXTHOP))
    raw = packet(frames.UDP, OWN[4], "8.8.8.8", frames.udp(1, 2))

    assert send(snat, raw).drops == {"FABRIC_ROUTE": 1}


def test_the_workload_s_policy_is_asked_about_the_far_end(snat: Box) -> None:
    snat.apply(deny_all(), interface_row(egress=DENY))

    asked = send(snat, packet(frames.TCP, OWN[4], CLIENT, segment(frames.TCP, 1, 443)))

    assert asked.drops == {"POLICY": 1}


def test_the_interface_comes_back_as_it_went(snat: Box) -> None:
    rows = {row.vif_id: row for row in snat.datapath.dump(InterfaceRow)}

    assert rows[SNAT_VIF] == snat_row()
    assert InetRouteRow(VRF, IPv4Network("0.0.0.0/0"), OUT_NEXTHOP, 0, IdentityId(0)) in (
        snat.datapath.dump(InetRouteRow)
    )
