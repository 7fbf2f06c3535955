"""IPv6 floating addresses: as test_floating, and what is IPv6's own: no header sum, ICMPv6's counts the
addresses, fragments have a header of their own.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

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
    HEADER_BYTES,
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
    SourceRow,
    VrfId,
)
from skytrail.net import GATEWAY_MAC

pytestmark = pytest.mark.root
FLOATING, PEER_FLOATING, CLIENT = "2001:db8:5::5", "2001:db8:5::6", "2001:db8:5::9"
ROUTER = "2001:db8:77::1"
ECHO_REQUEST, ECHO_REPLY = 128, 129
UNREACHABLE, TOO_BIG, TIME_EXCEEDED = 1, 2, 3
FRAGMENT = 44


@pytest.fixture
def floating(box: Box) -> Box:
    box.apply(
        floating_row(FLOATING),
        replace(interface_row(), has_floating=True),
        public_route(f"{FLOATING}/128", 11),
        public_route(f"{CLIENT}/128", TUNNEL_NEXTHOP, CLIENT_LABEL),
    )
    return box


def opening(source_port: int, port: int, source: str = OWN[6], to: str = CLIENT) -> bytes:
    return packet(frames.TCP, source, to, frames.tcp(source_port, port, flags=frames.SYN))


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
    label, answer = tunnelled(send(floating, packet(protocol, OWN[6], CLIENT, back)))
    again = delivered(floating.receive(packet(protocol, CLIENT, FLOATING, there)))

    assert (first.source, first.destination) == (CLIENT, OWN[6])
    assert again == first
    assert (label, answer.source, answer.destination) == (CLIENT_LABEL, FLOATING, CLIENT)
    assert answer.ports == (first.ports[1], first.ports[0])


def test_what_the_workload_opens_leaves_by_the_address_and_is_answered(floating: Box) -> None:
    label, first = tunnelled(send(floating, opening(5000, 443)))
    answer = floating.receive(packet(frames.TCP, CLIENT, FLOATING, frames.tcp(443, 5000)))

    assert (label, first.source, first.ports) == (CLIENT_LABEL, FLOATING, (5000, 443))
    assert delivered(answer).destination == OWN[6]
    flows = {flow.is_reverse: flow for flow in floating.datapath.flows()}
    there, back = flows[False].leaves_as, flows[True].leaves_as
    assert there is not None and back is not None
    assert (str(there.source), str(there.destination)) == (FLOATING, CLIENT)
    assert (str(back.source), str(back.destination)) == (CLIENT, OWN[6])


def test_ping_works_both_ways(floating: Box) -> None:
    asked = packet(frames.ICMP6, CLIENT, FLOATING, frames.icmp(ECHO_REQUEST, payload=b"x"))
    replied = packet(frames.ICMP6, OWN[6], CLIENT, frames.icmp(ECHO_REPLY, payload=b"x"))
    asks = packet(frames.ICMP6, OWN[6], CLIENT, frames.icmp(ECHO_REQUEST, identifier=9))

    assert delivered(floating.receive(asked)).destination == OWN[6]
    assert tunnelled(send(floating, replied))[1].source == FLOATING
    assert tunnelled(send(floating, asks))[1].source == FLOATING


def test_udp_without_a_sum_stays_without_and_none_becomes_so(floating: Box) -> None:
    """RFC 6935: tunnels may send zero. No translated sum may become zero."""
    without = frames.ipv6(CLIENT, FLOATING, frames.UDP, frames.udp(1, 2, b"ab"))
    outcome = floating.receive(without)
    assert outcome.forwarded
    assert outcome.frame[14 + 46 : 14 + 48] == bytes(2)
    blank = frames.udp(7, 8, b"\0\0")
    rest = sum_of(frames.UDP, CLIENT, OWN[6], blank)
    zero = frames.udp(7, 8, rest.to_bytes(2, "big"))
    outcome = floating.receive(packet(frames.UDP, CLIENT, FLOATING, zero))
    assert outcome.frame[14 + 46 : 14 + 48] == b"\xff\xff"


def test_own_network_is_reached_without_translation(floating: Box) -> None:
    floating.apply(public_route("::/0", TUNNEL_NEXTHOP, CLIENT_LABEL))

    assert tunnelled(send(floating, opening(1, 2, to=REMOTE[6])))[1].source == OWN[6]
    assert tunnelled(send(floating, opening(1, 2, to="2600::1")))[1].source == FLOATING


def test_of_several_addresses_the_one_whose_network_knows_best_is_used(floating: Box) -> None:
    other = VrfId(7)
    floating.apply(
        public_route("2001:db8:5::/64", TUNNEL_NEXTHOP, CLIENT_LABEL),
        floating_row("2001:db8:9::3", place=1, vrf_id=other),
        replace(public_route(f"{CLIENT}/128", TUNNEL_NEXTHOP, 99), vrf_id=other),
        deletes=(public_route(f"{CLIENT}/128", TUNNEL_NEXTHOP, CLIENT_LABEL),),
    )

    label, first = tunnelled(send(floating, opening(1, 2)))

    assert (label, first.source) == (99, "2001:db8:9::3")


def test_an_address_of_the_other_family_with_the_same_bits_is_another_one(floating: Box) -> None:
    """32.1.13.184 has the bits of 2001:db8::."""
    four = IPv4Address(IPv6Address("2001:db8::").packed[:4])
    floating.apply(
        floating_row(str(IPv6Address("2001:db8::"))),
        replace(floating_row(FLOATING), place=1, outside=four, inside=IPv4Address(OWN[4])),
        FloatingPortRow(VIF, four, frames.TCP, 80, is_inside=False, to_port=8080),
    )
    there = packet(frames.TCP, CLIENT, "2001:db8::", frames.tcp(1, 80, flags=frames.SYN))

    first = delivered(floating.receive(there))

    assert (first.destination, first.ports) == (OWN[6], (1, 80))


def test_direction_says_who_may_open_a_connection(floating: Box) -> None:
    there = opening(1, 2, CLIENT, FLOATING)
    back = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(4, 3))

    floating.apply(floating_row(FLOATING, is_inward=False))
    assert floating.receive(there).drops == {"POLICY": 1}
    assert tunnelled(send(floating, opening(3, 4)))[1].source == FLOATING
    assert delivered(floating.receive(back)).destination == OWN[6]

    floating.apply(floating_row(FLOATING, is_outward=False))
    assert delivered(floating.receive(there)).destination == OWN[6]
    assert send(floating, opening(5, 6)).drops == {"NO_ROUTE": 1}


def test_mapped_ports_change_and_others_are_refused_by_name(floating: Box) -> None:
    address = IPv6Address(FLOATING)
    floating.apply(
        floating_row(FLOATING, has_ports=True),
        FloatingPortRow(VIF, address, frames.TCP, 80, is_inside=False, to_port=8080),
        FloatingPortRow(VIF, address, frames.TCP, 8080, is_inside=True, to_port=80),
    )

    first = delivered(floating.receive(opening(4000, 80, CLIENT, FLOATING)))
    back = packet(frames.TCP, OWN[6], CLIENT, frames.tcp(8080, 4000))
    _, answer = tunnelled(send(floating, back))
    other = floating.receive(opening(4000, 81, CLIENT, FLOATING))

    assert (first.destination, first.ports) == (OWN[6], (4000, 8080))
    assert (answer.source, answer.ports) == (FLOATING, (80, 4000))
    assert other.drops == {"FLOATING_PORT": 1}
    assert send(floating, opening(9000, 1)).drops == {"NO_ROUTE": 1}


def test_policy_of_the_address_decides_not_the_interface_s(floating: Box) -> None:
    there = opening(1, 2, CLIENT, FLOATING)

    floating.apply(deny_all(), replace(interface_row(ingress=DENY, egress=DENY), has_floating=True))
    assert floating.receive(there).forwarded
    assert send(floating, opening(3, 4)).forwarded

    floating.apply(floating_row(FLOATING, policy_ingress=DENY, policy_egress=DENY))
    assert floating.receive(there).drops == {"POLICY": 1}
    assert send(floating, opening(3, 4)).drops == {"POLICY": 1}


@pytest.mark.parametrize("keep", [8, 60], ids=["eight bytes", "whole"])
@pytest.mark.parametrize("kind", [UNREACHABLE, TOO_BIG, TIME_EXCEEDED])
@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP, frames.ICMP6])
def test_an_error_about_a_translated_packet_reaches_its_sender_quoting_what_it_sent(
    floating: Box, protocol: int, kind: int, keep: int
) -> None:
    segment = {
        frames.TCP: frames.tcp(5000, 443),
        frames.UDP: frames.udp(5000, 443, b"hello"),
        frames.ICMP6: frames.icmp(ECHO_REQUEST, payload=b"hello"),
    }[protocol]
    sent = packet(protocol, OWN[6], CLIENT, segment)
    left = frames.decode_tunnel(send(floating, sent).frame).inner

    got = delivered(floating.receive(quote(kind, ROUTER, FLOATING, left, keep)))

    assert (got.source, got.destination) == (ROUTER, OWN[6])
    # But for the hop limit, and what was never quoted.
    assert got.payload[8:] == sent[8 : HEADER_BYTES[6] + keep]


def test_an_error_about_mapped_ports_quotes_the_workload_s_own(floating: Box) -> None:
    address = IPv6Address(FLOATING)
    floating.apply(
        floating_row(FLOATING, has_ports=True),
        FloatingPortRow(VIF, address, frames.UDP, 53, is_inside=False, to_port=5353),
        FloatingPortRow(VIF, address, frames.UDP, 5353, is_inside=True, to_port=53),
    )
    sent = packet(frames.UDP, OWN[6], CLIENT, frames.udp(5353, 9, b"odd"))
    left = frames.decode_tunnel(send(floating, sent).frame).inner

    got = delivered(floating.receive(quote(UNREACHABLE, CLIENT, FLOATING, left, 11)))

    assert struct.unpack("!H", left[40:42]) == (53,)
    assert got.payload[8:] == sent[8:51]


def test_an_error_about_a_first_fragment_quotes_the_workload_s_own_ports(floating: Box) -> None:
    address = IPv6Address(FLOATING)
    floating.apply(
        floating_row(FLOATING, has_ports=True),
        FloatingPortRow(VIF, address, frames.UDP, 53, is_inside=False, to_port=5353),
        FloatingPortRow(VIF, address, frames.UDP, 5353, is_inside=True, to_port=53),
    )
    segment = transport(frames.UDP, OWN[6], CLIENT, frames.udp(5353, 9, b"a" * 24))
    header = struct.pack("!BBHI", frames.UDP, 0, 1, 7)
    sent = frames.ipv6(OWN[6], CLIENT, FRAGMENT, header + segment[:16])
    left = frames.decode_tunnel(send(floating, sent).frame).inner

    got = delivered(floating.receive(quote(TIME_EXCEEDED, ROUTER, FLOATING, left, 24)))

    assert struct.unpack("!H", left[48:50]) == (53,)
    assert got.payload[8:] == sent[8 : HEADER_BYTES[6] + 24]


def test_an_error_of_the_workload_leaves_by_the_address_quoting_what_came(floating: Box) -> None:
    came = packet(frames.UDP, CLIENT, FLOATING, frames.udp(4000, 53, b"question"))
    inside = floating.receive(came).frame[14:]

    _, left = tunnelled(send(floating, quote(UNREACHABLE, OWN[6], CLIENT, inside, 16)))

    assert (left.source, left.destination) == (FLOATING, CLIENT)
    assert left.payload[8:] == came[8:56]


def test_an_error_about_somebody_else_s_flow_is_no_passport(floating: Box) -> None:
    floating.apply(floating_row(FLOATING, policy_ingress=DENY), deny_all())
    strange = packet(frames.TCP, FLOATING, CLIENT, frames.tcp(1, 2))

    outcome = floating.receive(quote(TIME_EXCEEDED, ROUTER, FLOATING, strange, 8))

    assert outcome.drops == {"POLICY": 1}


def fragment(piece: bytes, offset: int, *, more: bool, identification: int = 7) -> bytes:
    header = struct.pack("!BBHI", frames.UDP, 0, offset << 3 | more, identification)
    return frames.ipv6(CLIENT, FLOATING, FRAGMENT, header + piece)


def test_fragments_follow_their_first_one(floating: Box) -> None:
    whole = transport(frames.UDP, CLIENT, FLOATING, frames.udp(1, 2, b"a" * 24))

    lost = floating.receive(fragment(whole[16:], 2, more=False, identification=9))
    first = floating.receive(fragment(whole[:16], 0, more=True))
    later = floating.receive(fragment(whole[16:], 2, more=False))

    assert lost.drops == {"FRAGMENT_UNKNOWN": 1}
    assert first.forwarded and later.forwarded
    assert first.frame[14 + 24 : 14 + 40] == later.frame[14 + 24 : 14 + 40]
    assert first.frame[14 + 24 : 14 + 40] == IPv6Address(OWN[6]).packed
    pieces = first.frame[14 + 48 :] + later.frame[14 + 48 :]
    assert sum_of(frames.UDP, CLIENT, OWN[6], pieces) == 0


def test_too_big_and_expired_packets_are_told_of_as_the_workload_sent_them(floating: Box) -> None:
    big = packet(frames.UDP, OWN[6], CLIENT, frames.udp(1, 2, bytes(1500)))
    old = packet(frames.UDP, OWN[6], CLIENT, frames.udp(3, 4), ttl=1)

    assert send(floating, big).drops == {"TOO_BIG": 1}
    assert send(floating, old).drops == {"TTL": 1}
    assert {punt.frame[22:38] for punt in floating.punts} == {IPv6Address(OWN[6]).packed}


def test_a_workload_reaches_itself_by_its_floating_address(floating: Box) -> None:
    there = packet(frames.UDP, OWN[6], FLOATING, frames.udp(3, 4, b"hi"))
    back = packet(frames.UDP, OWN[6], FLOATING, frames.udp(4, 3, b"yes"))
    same = packet(frames.UDP, OWN[6], FLOATING, frames.udp(4, 4))

    got, answer = (delivered(send(floating, each)) for each in (there, back))

    assert (got.source, got.destination) == (FLOATING, OWN[6])
    assert (answer.source, answer.destination) == (FLOATING, OWN[6])
    assert send(floating, same).drops == {"SAME_INTERFACE": 1}
    assert len(list(floating.datapath.flows())) == 2


def test_both_ends_may_have_a_floating_address(floating: Box) -> None:
    floating.apply(
        floating_row(PEER_FLOATING, PEER_VIF),
        replace(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2), has_floating=True),
        public_route(f"{PEER_FLOATING}/128", PEER_NEXTHOP),
    )
    out = packet(frames.UDP, OWN[6], PEER_FLOATING, frames.udp(3, 4, b"hi"))

    got = delivered(send(floating, out))

    assert (got.source, got.destination) == (FLOATING, PEER[6])
    flows = {f.vif_id: f for f in floating.datapath.flows()}
    there, back = flows[VIF].leaves_as, flows[PEER_VIF].leaves_as
    assert there is not None and back is not None
    assert (str(there.source), str(there.destination)) == (FLOATING, PEER[6])
    assert (str(back.source), str(back.destination)) == (PEER_FLOATING, OWN[6])
    # The peer answers, by the interface that frames are run from.
    floating.apply(
        replace(interface_row(VIF, PEER_IFINDEX), has_floating=True),
        replace(interface_row(PEER_VIF, LOOPBACK_IFINDEX, PEER_MAC, identity=2), has_floating=True),
    )
    answer = packet(frames.UDP, PEER[6], FLOATING, frames.udp(4, 3, b"yes"))
    frame = frames.ethernet(GATEWAY_MAC.packed, PEER_MAC.packed, 0x86DD, answer)
    back_seen = delivered(floating.workload(frame))
    assert (back_seen.source, back_seen.destination) == (PEER_FLOATING, OWN[6])


def test_an_alias_address_is_the_workload_s_own_in_another_network(floating: Box) -> None:
    alias = IPv6Address(FLOATING)
    floating.apply(
        floating_row(FLOATING, inside=alias),
        SourceRow(VIF, IPv6Network(f"{FLOATING}/128"), MAC),
        replace(public_route(f"{CLIENT}/128", TUNNEL_NEXTHOP, 1234), vrf_id=VRF),
    )
    back = packet(frames.TCP, FLOATING, CLIENT, frames.tcp(2, 1))

    assert delivered(floating.receive(opening(1, 2, CLIENT, FLOATING))).destination == FLOATING
    assert tunnelled(send(floating, back))[0] == CLIENT_LABEL
    assert tunnelled(send(floating, opening(3, 4, FLOATING)))[0] == CLIENT_LABEL
    assert tunnelled(send(floating, opening(3, 4)))[0] == 1234


def test_a_change_of_tables_leaves_connections_as_they_are(floating: Box) -> None:
    there = packet(frames.TCP, CLIENT, FLOATING, frames.tcp(1, 2, flags=frames.SYN))
    back = packet(frames.TCP, OWN[6], CLIENT, frames.tcp(2, 1))
    assert floating.receive(there).forwarded

    for _ in range(2):
        floating.apply(public_route("2001:db8:aaaa::/48", TUNNEL_NEXTHOP))
        assert tunnelled(send(floating, back))[1].source == FLOATING
        assert delivered(floating.receive(there)).destination == OWN[6]
    assert len(list(floating.datapath.flows())) == 2


def test_taking_the_address_away_ends_its_connections(floating: Box) -> None:
    back = packet(frames.TCP, OWN[6], CLIENT, frames.tcp(2, 1))
    assert floating.receive(opening(1, 2, CLIENT, FLOATING)).forwarded
    assert send(floating, back).forwarded

    floating.apply(interface_row(), deletes=(floating_row(FLOATING),))

    assert send(floating, back).drops == {"NO_ROUTE": 1}


@pytest.mark.parametrize("other", ["2001:db8:5::7", "2001:db8:6::5"], ids=["last word", "second"])
def test_another_address_in_its_place_ends_them_too(floating: Box, other: str) -> None:
    back = packet(frames.TCP, OWN[6], CLIENT, frames.tcp(2, 1))
    assert floating.receive(opening(1, 2, CLIENT, FLOATING)).forwarded

    floating.apply(floating_row(other))

    assert tunnelled(send(floating, back))[1].source == other


def test_another_address_behind_it_takes_its_connections(floating: Box) -> None:
    """Words beyond the first alone differ: the entry is written anew with all of them."""
    there = opening(1, 2, CLIENT, FLOATING)
    inside = "fd00:1::aa"
    floating.apply(SourceRow(VIF, ip_network(f"{inside}/128"), MAC))
    assert delivered(floating.receive(there)).destination == OWN[6]

    floating.apply(floating_row(FLOATING, inside=IPv6Address(inside)))

    assert delivered(floating.receive(there)).destination == inside
    back = packet(frames.TCP, inside, CLIENT, frames.tcp(2, 1))
    assert tunnelled(send(floating, back))[1].source == FLOATING
    assert len(list(floating.datapath.flows())) == 2


def test_ageing_takes_both_entries(floating: Box) -> None:
    floating.receive(opening(1, 2, CLIENT, FLOATING))
    floating.datapath.age_flows(1_000_000.0)

    assert floating.datapath.age_flows(2_000_000.0) == 1
    assert list(floating.datapath.flows()) == []


def test_rows_come_back_as_they_went(floating: Box) -> None:
    rows = [
        floating_row(FLOATING),
        floating_row("2001:db8:5::7", place=1, is_outward=False, has_ports=True),
    ]
    port = FloatingPortRow(VIF, IPv6Address(FLOATING), 17, 5000, is_inside=True, to_port=53)
    floating.apply(*rows, port)

    assert sorted(floating.datapath.dump(FloatingRow), key=lambda r: r.place) == rows
    assert floating.datapath.dump(FloatingPortRow) == [port]


def test_the_gateway_is_still_the_network_s(floating: Box) -> None:
    floating.apply(public_route(f"{GATEWAY[6]}/128", TUNNEL_NEXTHOP, CLIENT_LABEL))
    asked = packet(frames.ICMP6, OWN[6], GATEWAY[6], frames.icmp(ECHO_REQUEST))

    assert send(floating, asked).verdict == 2
    assert len(floating.punts) == 1


def test_neighbours_of_its_network_are_told_who_answers_for_it(floating: Box) -> None:
    """As ARP: by the route there, which has the MAC of the port."""
    target = IPv6Address("2001:db8:5::77")
    floating.apply(
        replace(interface_row(), vrf_id=PUBLIC),
        replace(public_route(f"{target}/128", NextHopId(PEER_NEXTHOP)), mac=PEER_MAC),
    )
    group = IPv6Address("ff02::1:ff00:77")
    message = struct.pack("!BBHI", 135, 0, 0, 0) + target.packed + b"\x01\x01" + MAC.packed
    asked = frames.icmp6_checked(OWN[6], str(group), message)
    raw = frames.ipv6(OWN[6], str(group), frames.ICMP6, asked, hop_limit=255)
    to = b"\x33\x33" + group.packed[-4:]

    outcome = floating.workload(frames.ethernet(to, MAC.packed, 0x86DD, raw))

    assert outcome.forwarded, outcome.drops
    assert outcome.frame[54] == 136
    assert outcome.frame[-6:] == PEER_MAC.packed
