"""Floating addresses: a packet for one, by one, back, and everything whose sums it changes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import frames
import pytest
from conftest import (
    GATEWAY,
    LOOPBACK_IFINDEX,
    MAC,
    OWN,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_NEXTHOP,
    PEER_VIF,
    REMOTE,
    TUNNEL_NEXTHOP,
    VIF,
    VRF,
    Box,
    interface_row,
)
from translated import (
    CLIENT_LABEL,
    DENY,
    PUBLIC,
    delivered,
    deny_all,
    floating_row,
    packet,
    public_route,
    quote,
    send,
    sum_of,
    transport,
    tunnelled,
)

from skytrail.agent.tables import (
    FloatingPortRow,
    FloatingRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    SourceRow,
    VniRow,
    VrfId,
)
from skytrail.net import GATEWAY_MAC

pytestmark = pytest.mark.root
FLOATING, PEER_FLOATING, CLIENT = "198.18.0.5", "198.18.0.6", "198.18.0.9"
ECHO_REQUEST, ECHO_REPLY, UNREACHABLE, TIME_EXCEEDED = 8, 0, 3, 11


@pytest.fixture
def floating(box: Box) -> Box:
    box.apply(
        floating_row(FLOATING),
        replace(interface_row(), has_floating=True),
        public_route(f"{FLOATING}/32", 11),
        public_route(f"{CLIENT}/32", TUNNEL_NEXTHOP, CLIENT_LABEL),
    )
    return box


@pytest.mark.parametrize(
    ("protocol", "there", "back"),
    [
        (frames.TCP, frames.tcp(4000, 80, flags=frames.SYN), frames.tcp(80, 4000)),
        (frames.UDP, frames.udp(4000, 53, b"odd"), frames.udp(53, 4000, b"even")),
    ],
)
def test_a_packet_for_the_address_reaches_the_workload_and_its_answer_comes_from_it(
    floating: Box, protocol: int, there: bytes, back: bytes
) -> None:
    first = delivered(floating.receive(packet(protocol, CLIENT, FLOATING, there)))
    label, answer = tunnelled(send(floating, packet(protocol, OWN[4], CLIENT, back)))
    again = delivered(floating.receive(packet(protocol, CLIENT, FLOATING, there)))

    assert (first.source, first.destination) == (CLIENT, OWN[4])
    assert again == first
    assert (label, answer.source, answer.destination) == (CLIENT_LABEL, FLOATING, CLIENT)
    assert answer.ports == (first.ports[1], first.ports[0])


def test_what_the_workload_opens_leaves_by_the_address_and_is_answered(floating: Box) -> None:
    out = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(5000, 443, flags=frames.SYN))

    label, first = tunnelled(send(floating, out))
    answer = floating.receive(packet(frames.TCP, CLIENT, FLOATING, frames.tcp(443, 5000)))

    assert (label, first.source, first.ports) == (CLIENT_LABEL, FLOATING, (5000, 443))
    assert delivered(answer).destination == OWN[4]
    assert len(list(floating.datapath.flows())) == 2


def test_ping_works_both_ways(floating: Box) -> None:
    asked = packet(frames.ICMP, CLIENT, FLOATING, frames.icmp(ECHO_REQUEST, payload=b"x"))
    replied = packet(frames.ICMP, OWN[4], CLIENT, frames.icmp(ECHO_REPLY, payload=b"x"))
    asks = packet(frames.ICMP, OWN[4], CLIENT, frames.icmp(ECHO_REQUEST, identifier=9))

    assert delivered(floating.receive(asked)).destination == OWN[4]
    assert tunnelled(send(floating, replied))[1].source == FLOATING
    assert tunnelled(send(floating, asks))[1].source == FLOATING


def test_udp_without_a_sum_stays_without_and_none_becomes_so(floating: Box) -> None:
    without = frames.ipv4(CLIENT, FLOATING, frames.UDP, frames.udp(1, 2, b"ab"))
    outcome = floating.receive(without)

    assert outcome.forwarded
    assert outcome.frame[14 + 26 : 14 + 28] == bytes(2)
    # A payload for which the right sum after translation is zero, sent as all ones (RFC 768).
    blank = frames.udp(7, 8, b"\0\0")
    rest = sum_of(frames.UDP, CLIENT, OWN[4], blank)
    zero = frames.udp(7, 8, rest.to_bytes(2, "big"))
    outcome = floating.receive(packet(frames.UDP, CLIENT, FLOATING, zero))
    assert outcome.frame[14 + 26 : 14 + 28] == b"\xff\xff"


def test_own_network_is_reached_without_translation(floating: Box) -> None:
    floating.apply(public_route("0.0.0.0/0", TUNNEL_NEXTHOP, CLIENT_LABEL))
    own = packet(frames.TCP, OWN[4], REMOTE[4], frames.tcp(1, 2, flags=frames.SYN))
    elsewhere = packet(frames.TCP, OWN[4], "8.8.8.8", frames.tcp(1, 2, flags=frames.SYN))

    assert tunnelled(send(floating, own))[1].source == OWN[4]
    assert tunnelled(send(floating, elsewhere))[1].source == FLOATING


def test_of_two_routes_of_equal_length_the_own_network_s_is_taken(floating: Box) -> None:
    floating.apply(replace(public_route("0.0.0.0/0", TUNNEL_NEXTHOP, CLIENT_LABEL), vrf_id=VRF))
    floating.apply(public_route("0.0.0.0/0", TUNNEL_NEXTHOP, CLIENT_LABEL + 1))
    elsewhere = packet(frames.TCP, OWN[4], "8.8.8.8", frames.tcp(1, 2, flags=frames.SYN))

    assert tunnelled(send(floating, elsewhere))[1].source == OWN[4]


def test_of_several_addresses_the_one_whose_network_knows_best_is_used(floating: Box) -> None:
    other = VrfId(7)
    better = replace(public_route(f"{CLIENT}/32", TUNNEL_NEXTHOP, 99), vrf_id=other)
    floating.apply(
        public_route("198.18.0.0/24", TUNNEL_NEXTHOP, CLIENT_LABEL),
        floating_row("198.51.100.3", place=1, vrf_id=other),
        better,
        deletes=(public_route(f"{CLIENT}/32", TUNNEL_NEXTHOP, CLIENT_LABEL),),
    )
    out = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(1, 2, flags=frames.SYN))

    label, first = tunnelled(send(floating, out))

    assert (label, first.source) == (99, "198.51.100.3")


def test_direction_says_who_may_open_a_connection(floating: Box) -> None:
    there = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(1, 2, flags=frames.SYN))
    out = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(3, 4, flags=frames.SYN))
    back = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(4, 3))

    floating.apply(floating_row(FLOATING, is_inward=False))
    assert floating.receive(there).drops == {"POLICY": 1}
    assert tunnelled(send(floating, out))[1].source == FLOATING
    assert delivered(floating.receive(back)).destination == OWN[4]

    floating.apply(floating_row(FLOATING, is_outward=False))
    assert delivered(floating.receive(there)).destination == OWN[4]
    other = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(5, 6, flags=frames.SYN))
    assert send(floating, other).drops == {"NO_ROUTE": 1}


def test_mapped_ports_change_and_others_are_refused_by_name(floating: Box) -> None:
    address = IPv4Address(FLOATING)
    floating.apply(
        floating_row(FLOATING, has_ports=True),
        FloatingPortRow(VIF, address, frames.TCP, 80, is_inside=False, to_port=8080),
        FloatingPortRow(VIF, address, frames.TCP, 8080, is_inside=True, to_port=80),
    )
    syn = frames.tcp(4000, 80, flags=frames.SYN)

    first = delivered(floating.receive(packet(frames.TCP, CLIENT, FLOATING, syn)))
    back = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(8080, 4000))
    _, answer = tunnelled(send(floating, back))
    other = floating.receive(packet(frames.TCP, CLIENT, FLOATING, frames.tcp(4000, 81)))
    opened = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(9000, 1, flags=frames.SYN))

    assert (first.destination, first.ports) == (OWN[4], (4000, 8080))
    assert (answer.source, answer.ports) == (FLOATING, (80, 4000))
    assert other.drops == {"FLOATING_PORT": 1}
    assert send(floating, opened).drops == {"NO_ROUTE": 1}


def test_policy_of_the_address_decides_not_the_interface_s(floating: Box) -> None:
    there = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(1, 2, flags=frames.SYN))
    out = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(3, 4, flags=frames.SYN))

    floating.apply(deny_all(), replace(interface_row(ingress=DENY, egress=DENY), has_floating=True))
    assert floating.receive(there).forwarded
    assert send(floating, out).forwarded

    floating.apply(floating_row(FLOATING, policy_ingress=DENY, policy_egress=DENY))
    assert floating.receive(there).drops == {"POLICY": 1}
    assert send(floating, out).drops == {"POLICY": 1}


@pytest.mark.parametrize("keep", [8, 40], ids=["eight bytes", "whole"])
@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP])
def test_an_error_about_a_translated_packet_reaches_its_sender_quoting_what_it_sent(
    floating: Box, protocol: int, keep: int
) -> None:
    segment = frames.tcp(5000, 443) if protocol == frames.TCP else frames.udp(5000, 443, b"hello")
    sent = packet(protocol, OWN[4], CLIENT, segment)
    left = frames.decode_tunnel(send(floating, sent).frame).inner
    router = "203.0.113.77"

    got = delivered(floating.receive(quote(TIME_EXCEEDED, router, FLOATING, left, keep)))

    assert (got.source, got.destination) == (router, OWN[4])
    # But for the TTL and what depends on it.
    assert got.payload[12:20] == sent[12:20]
    assert got.payload[20:] == sent[20 : 20 + keep]
    assert frames.checksum(got.payload[:20]) == 0


def test_an_error_of_the_workload_leaves_by_the_address_quoting_what_came(floating: Box) -> None:
    came = packet(frames.UDP, CLIENT, FLOATING, frames.udp(4000, 53, b"question"))
    inside = floating.receive(came).frame[14:]

    _, left = tunnelled(send(floating, quote(UNREACHABLE, OWN[4], CLIENT, inside, 16)))

    assert (left.source, left.destination) == (FLOATING, CLIENT)
    assert left.payload[12:20] == came[12:20]
    assert left.payload[20:] == came[20:36]


def test_an_error_about_somebody_else_s_flow_is_no_passport(floating: Box) -> None:
    floating.apply(floating_row(FLOATING, policy_ingress=DENY), deny_all())
    strange = packet(frames.TCP, FLOATING, CLIENT, frames.tcp(1, 2))

    outcome = floating.receive(quote(TIME_EXCEEDED, "203.0.113.77", FLOATING, strange, 8))

    assert outcome.drops == {"POLICY": 1}


def test_fragments_follow_their_first_one(floating: Box) -> None:
    whole = transport(frames.UDP, CLIENT, FLOATING, frames.udp(1, 2, b"a" * 24))
    first = frames.ipv4(CLIENT, FLOATING, frames.UDP, whole[:16], fragment=0x2000)
    later = frames.ipv4(CLIENT, FLOATING, frames.UDP, whole[16:], fragment=2)

    lost = floating.receive(
        frames.ipv4(CLIENT, FLOATING, 17, whole[16:], fragment=2, identification=9)
    )
    one = delivered(floating.receive(first), sums=False)
    outcome = floating.receive(later)

    assert lost.drops == {"FRAGMENT_UNKNOWN": 1}
    assert (one.destination, outcome.forwarded) == (OWN[4], True)
    assert outcome.frame[14 + 16 : 14 + 20] == IPv4Address(OWN[4]).packed
    assert outcome.frame[34:] == whole[16:]
    pieces = floating.receive(first).frame[34:] + outcome.frame[34:]
    assert sum_of(frames.UDP, CLIENT, OWN[4], pieces) == 0


def test_too_big_and_expired_packets_are_told_of_as_the_workload_sent_them(floating: Box) -> None:
    big = packet(frames.UDP, OWN[4], CLIENT, frames.udp(1, 2, bytes(1500)))
    old = packet(frames.UDP, OWN[4], CLIENT, frames.udp(3, 4), ttl=1)

    assert send(floating, big).drops == {"TOO_BIG": 1}
    assert send(floating, old).drops == {"TTL": 1}
    assert {punt.frame[26:30] for punt in floating.punts} == {IPv4Address(OWN[4]).packed}


def swap_interfaces(box: Box) -> None:
    """Frames that are run are the peer's from now on."""
    box.apply(
        replace(interface_row(VIF, PEER_IFINDEX), has_floating=True),
        interface_row(PEER_VIF, LOOPBACK_IFINDEX, PEER_MAC, identity=2),
    )


def test_a_local_workload_reaches_the_address_and_is_answered_by_it(floating: Box) -> None:
    """The peer's network knows the floating address, as after an import, and is known there."""
    floating.apply(
        replace(public_route(f"{FLOATING}/32", 11), vrf_id=VRF),
        public_route(f"{PEER[4]}/32", PEER_NEXTHOP),
    )
    swap_interfaces(floating)
    out = packet(frames.TCP, PEER[4], FLOATING, frames.tcp(3, 4, flags=frames.SYN))
    frame = frames.ethernet(GATEWAY_MAC.packed, PEER_MAC.packed, 0x0800, out)
    asked = delivered(floating.workload(frame))
    floating.apply(
        interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2),
        replace(interface_row(), has_floating=True),
    )
    back = delivered(send(floating, packet(frames.TCP, OWN[4], PEER[4], frames.tcp(4, 3))))

    assert (asked.source, asked.destination) == (PEER[4], OWN[4])
    assert (back.source, back.destination) == (FLOATING, PEER[4])


def test_an_alias_address_is_the_workload_s_own_in_another_network(floating: Box) -> None:
    """Nothing is translated; what has to do with the address goes by its network."""
    alias = IPv4Address(FLOATING)
    floating.apply(
        floating_row(FLOATING, inside=alias),
        SourceRow(VIF, IPv4Network(f"{FLOATING}/32"), MAC),
        replace(public_route(f"{CLIENT}/32", TUNNEL_NEXTHOP, 1234), vrf_id=VRF),
    )
    there = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(1, 2, flags=frames.SYN))
    back = packet(frames.TCP, FLOATING, CLIENT, frames.tcp(2, 1))
    opened = packet(frames.TCP, FLOATING, CLIENT, frames.tcp(3, 4, flags=frames.SYN))
    own = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(3, 4, flags=frames.SYN))

    assert delivered(floating.receive(there)).destination == FLOATING
    assert tunnelled(send(floating, back))[0] == CLIENT_LABEL
    assert tunnelled(send(floating, opened))[0] == CLIENT_LABEL
    assert tunnelled(send(floating, own))[0] == 1234


def test_both_ends_may_have_a_floating_address(floating: Box) -> None:
    floating.apply(
        floating_row(PEER_FLOATING, PEER_VIF),
        replace(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2), has_floating=True),
        public_route(f"{PEER_FLOATING}/32", PEER_NEXTHOP),
    )
    out = packet(frames.UDP, OWN[4], PEER_FLOATING, frames.udp(3, 4, b"hi"))

    got = delivered(send(floating, out))

    assert (got.source, got.destination) == (FLOATING, PEER[4])
    flows = {f.vif_id: f for f in floating.datapath.flows()}
    there, back = flows[VIF].leaves_as, flows[PEER_VIF].leaves_as
    assert there is not None and back is not None
    assert (str(there.source), str(there.destination)) == (FLOATING, PEER[4])
    assert (str(back.source), str(back.destination)) == (PEER_FLOATING, OWN[4])
    assert str(flows[PEER_VIF].destination) == FLOATING


@pytest.mark.parametrize(
    ("protocol", "there", "back"),
    [
        (frames.TCP, frames.tcp(4000, 80, flags=frames.SYN), frames.tcp(80, 4000)),
        (frames.UDP, frames.udp(4000, 53, b"odd"), frames.udp(53, 4000, b"even")),
    ],
)
def test_a_workload_reaches_itself_by_its_floating_address(
    floating: Box, protocol: int, there: bytes, back: bytes
) -> None:
    first = delivered(send(floating, packet(protocol, OWN[4], FLOATING, there)))
    answer = delivered(send(floating, packet(protocol, OWN[4], FLOATING, back)))
    again = delivered(send(floating, packet(protocol, OWN[4], FLOATING, there)))
    floating.datapath.invalidate_flows()
    renewed = delivered(send(floating, packet(protocol, OWN[4], FLOATING, back)))

    assert (first.source, first.destination, first.ports[0]) == (FLOATING, OWN[4], 4000)
    assert (answer.source, answer.destination, answer.ports[1]) == (FLOATING, OWN[4], 4000)
    assert (again, renewed) == (first, answer)
    assert len(list(floating.datapath.flows())) == 2
    floating.datapath._scan(purge_vif=VIF)
    assert not list(floating.datapath.flows())


def test_a_workload_pings_itself_by_its_floating_address(floating: Box) -> None:
    ping = frames.icmp(ECHO_REQUEST, payload=b"x")
    pong = frames.icmp(ECHO_REPLY, payload=b"x")

    asked = delivered(send(floating, packet(frames.ICMP, OWN[4], FLOATING, ping)))
    answered = delivered(send(floating, packet(frames.ICMP, OWN[4], FLOATING, pong)))

    for each in (asked, answered):
        assert (each.source, each.destination) == (FLOATING, OWN[4])
    assert len(list(floating.datapath.flows())) == 2


def test_what_cannot_be_told_from_its_answer_does_not_come_back(floating: Box) -> None:
    mirror = packet(frames.UDP, OWN[4], FLOATING, frames.udp(53, 53))
    untranslated = packet(frames.UDP, OWN[4], OWN[4], frames.udp(1, 2))

    for raw in (mirror, untranslated):
        assert send(floating, raw).drops == {"SAME_INTERFACE": 1}
    assert not list(floating.datapath.flows())


def test_a_mapped_port_of_its_own_address_is_reached_but_not_by_its_mirror(floating: Box) -> None:
    floating.apply(
        floating_row(FLOATING, has_ports=True),
        *(
            FloatingPortRow(VIF, IPv4Address(FLOATING), frames.UDP, port, is_inside, to)
            for port, is_inside, to in ((80, True, 8080), (8080, False, 80), (5, True, 5000))
        ),
    )

    good = delivered(send(floating, packet(frames.UDP, OWN[4], FLOATING, frames.udp(5, 8080))))
    mirror = send(floating, packet(frames.UDP, OWN[4], FLOATING, frames.udp(80, 8080)))

    assert (good.source, good.destination, good.ports) == (FLOATING, OWN[4], (5000, 80))
    assert mirror.drops == {"SAME_INTERFACE": 1}


def test_policy_of_the_address_decides_of_what_a_workload_sends_itself(floating: Box) -> None:
    floating.apply(floating_row(FLOATING, policy_ingress=DENY), deny_all())

    refused = send(floating, packet(frames.UDP, OWN[4], FLOATING, frames.udp(5, 6)))

    assert refused.drops == {"POLICY": 1}


def test_taking_the_address_away_ends_its_connections(floating: Box) -> None:
    there = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(1, 2, flags=frames.SYN))
    back = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(2, 1))
    assert floating.receive(there).forwarded
    assert send(floating, back).forwarded

    floating.apply(interface_row(), deletes=(floating_row(FLOATING),))

    assert send(floating, back).drops == {"NO_ROUTE": 1}


def test_another_address_in_its_place_ends_them_too(floating: Box) -> None:
    there = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(1, 2, flags=frames.SYN))
    back = packet(frames.TCP, OWN[4], CLIENT, frames.tcp(2, 1))
    assert floating.receive(there).forwarded

    floating.apply(floating_row("198.18.0.7"))

    assert tunnelled(send(floating, back))[1].source == "198.18.0.7"


def test_ageing_takes_both_entries(floating: Box) -> None:
    floating.receive(packet(frames.TCP, CLIENT, FLOATING, frames.tcp(1, 2, flags=frames.SYN)))
    floating.datapath.age_flows(1_000_000.0)

    assert floating.datapath.age_flows(2_000_000.0) == 1
    assert list(floating.datapath.flows()) == []


def test_rows_come_back_as_they_went(floating: Box) -> None:
    rows = [
        floating_row(FLOATING),
        floating_row("198.18.0.7", place=1, is_outward=False, has_ports=True),
    ]
    port = FloatingPortRow(VIF, IPv4Address(FLOATING), 17, 5000, is_inside=True, to_port=53)
    floating.apply(*rows, port)

    assert sorted(floating.datapath.dump(FloatingRow), key=lambda r: r.place) == rows
    assert floating.datapath.dump(FloatingPortRow) == [port]


def test_the_gateway_is_still_the_network_s(floating: Box) -> None:
    floating.apply(public_route(f"{GATEWAY[4]}/32", TUNNEL_NEXTHOP, CLIENT_LABEL))
    asked = packet(frames.ICMP, OWN[4], GATEWAY[4], frames.icmp(ECHO_REQUEST))

    assert send(floating, asked).verdict == 2
    assert len(floating.punts) == 1


def test_an_address_shared_with_another_host_is_delivered_here_when_it_comes_as_a_frame(
    floating: Box,
) -> None:
    """A gateway's VXLAN has no label that says for whom: the route does, but for its far half."""
    bridge, shared = NextHopId(30), NextHopId(31)
    members = ((TUNNEL_NEXTHOP, 77), (NextHopId(11), 0))
    floating.apply(
        NextHopRow(bridge, NextHopKind.BRIDGE, vrf_id=PUBLIC),
        NextHopRow(shared, NextHopKind.ECMP, members=members),
        VniRow(6006, bridge),
        public_route(f"{FLOATING}/32", shared),
    )
    there = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(1, 2, flags=frames.SYN))
    frame = frames.ethernet(GATEWAY_MAC.packed, MAC.packed, 0x0800, there)

    assert delivered(floating.receive(frame, kind="vxlan", label=6006)).destination == OWN[4]
