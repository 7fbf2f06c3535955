"""Networks that only bridge or only route: what is answered, what passes, and what has no place there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address, ip_network

import frames
import pytest
from conftest import (
    GATEWAY,
    LAYER2_LABEL,
    LAYER2_NEXTHOP,
    MAC,
    OWN,
    PEER,
    PEER_MAC,
    REMOTE,
    REMOTE_LABEL,
    REMOTE_MAC,
    TC_REDIRECT,
    TUNNEL_NEXTHOP,
    VIF,
    VRF,
    Box,
    Outcome,
    as_frame,
    base_rows,
    interface_row,
)

from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    BridgeRow,
    FloodRow,
    IdentityId,
    InetRouteRow,
    PolicyId,
    PolicyIdentityRow,
    RuleId,
    SourceRow,
    VerdictRow,
)
from skytrail.net import BROADCAST_MAC, GATEWAY_MAC, Mac

pytestmark = pytest.mark.root
NOBODY = Mac.parse("02:00:00:00:be:ef")
EVERYBODY = BROADCAST_MAC.packed
ALONE = FloodRow(VRF, ((LAYER2_NEXTHOP, 0),))
"""Nobody but the sender is a member: what is flooded is MULTICAST at last."""


def arp(target: str, to: bytes = EVERYBODY, *, operation: int = 1) -> bytes:
    asked = frames.arp(operation, MAC.packed, OWN[4], target)
    return frames.ethernet(to, MAC.packed, 0x0806, asked)


@pytest.fixture
def bridging(box: Box) -> Iterator[Box]:
    """The network has no routes, and its sources are known by MAC alone."""
    routes = [row for row in base_rows() if isinstance(row, InetRouteRow)]
    anybody = [SourceRow(VIF, ip_network(prefix), MAC) for prefix in ("0.0.0.0/0", "::/0")]
    row = replace(interface_row(), is_layer2=True, lets_dhcp_by=True)
    box.apply(row, ALONE, *anybody, deletes=tuple(routes))
    yield box
    box.apply(interface_row(), *routes, deletes=(ALONE, *anybody))


@pytest.fixture
def routing(box: Box) -> Iterator[Box]:
    """The network has no MACs and no members to flood to."""
    macs = [row for row in base_rows() if isinstance(row, BridgeRow)]
    box.apply(replace(interface_row(), is_layer3=True), deletes=tuple(macs))
    yield box
    box.apply(interface_row(), *macs)


def test_a_bridging_network_asks_its_members_for_an_address(bridging: Box) -> None:
    assert bridging.workload(arp(PEER[4])).drops == {"MULTICAST": 1}
    assert bridging.workload(arp(PEER[4], PEER_MAC.packed)).forwarded


def test_a_bridging_network_carries_answers_and_announcements(bridging: Box) -> None:
    assert bridging.workload(arp(PEER[4], PEER_MAC.packed, operation=2)).forwarded
    assert bridging.workload(arp(OWN[4])).drops == {"MULTICAST": 1}


def test_a_bridging_network_still_refuses_a_foreign_mac(bridging: Box) -> None:
    asked = frames.arp(1, PEER_MAC.packed, PEER[4], REMOTE[4])
    frame = frames.ethernet(EVERYBODY, MAC.packed, 0x0806, asked)

    assert bridging.workload(frame).drops == {"SPOOFED_MAC": 1}


def test_a_bridging_network_forwards_packets_by_mac_alone(bridging: Box) -> None:
    packet = frames.ipv4("172.16.9.9", "172.16.9.8", 17, frames.udp(1, 2, b"x"))

    assert bridging.workload(as_frame(packet, REMOTE_MAC)).forwarded
    assert bridging.workload(as_frame(packet, NOBODY)).drops == {"NO_ROUTE": 1}
    assert bridging.workload(as_frame(packet, GATEWAY_MAC)).drops == {"NO_ROUTE": 1}


def test_a_bridging_network_floods_a_broadcast_to_any_subnet(bridging: Box) -> None:
    packet = frames.ipv4("172.16.9.9", "172.16.9.255", 17, frames.udp(1, 2, b"x"))

    assert bridging.workload(as_frame(packet, BROADCAST_MAC)).drops == {"MULTICAST": 1}


def test_a_bridging_network_carries_link_local_packets(bridging: Box) -> None:
    packet = frames.ipv6("fe80::a", "fe80::c", 17, frames.udp(1, 2, b"x"))

    assert bridging.workload(as_frame(packet, REMOTE_MAC)).forwarded


def test_requests_for_addresses_are_for_members_where_nobody_here_answers(bridging: Box) -> None:
    request = frames.udp(68, 67, b"\x01\x01\x06\x00" + bytes(24) + MAC.packed + bytes(202))
    packet = frames.ipv4("0.0.0.0", "255.255.255.255", 17, request)

    assert bridging.workload(as_frame(packet, BROADCAST_MAC)).drops == {"MULTICAST": 1}
    assert bridging.punts == []


def test_a_routing_network_answers_for_everybody_with_the_gateways_mac(routing: Box) -> None:
    for target in (PEER[4], REMOTE[4]):
        outcome = routing.workload(arp(target))

        assert (TC_REDIRECT, GATEWAY_MAC.packed) == (outcome.verdict, outcome.frame[22:28])
    assert routing.workload(arp(OWN[4], operation=1)).drops == {"ARP_IGNORED": 1}


def test_a_routing_network_routes_between_neighbours(routing: Box) -> None:
    packet = frames.ipv4(OWN[4], REMOTE[4], 17, frames.udp(1, 2, b"x"))

    assert routing.workload(as_frame(packet, GATEWAY_MAC)).forwarded


def test_a_routing_network_has_no_place_for_what_is_not_ip(routing: Box) -> None:
    frame = frames.ethernet(PEER_MAC.packed, MAC.packed, 0x88B5, bytes(46))

    assert routing.workload(frame).drops == {"LAYER3_ONLY": 1}


def test_members_are_asked_for_whom_the_vrouter_does_not_know(box: Box) -> None:
    box.apply(replace(interface_row(), asks_members=True), ALONE)

    assert box.workload(arp("10.1.1.99")).drops == {"MULTICAST": 1}
    assert box.workload(arp("10.1.1.99", PEER_MAC.packed)).forwarded
    assert PEER_MAC.packed == box.workload(arp(PEER[4])).frame[22:28]
    box.apply(interface_row(), deletes=(ALONE,))


@pytest.mark.parametrize("claimed", [GATEWAY[4], PEER[4], REMOTE[4]])
@pytest.mark.parametrize("operation", [1, 2])
def test_members_hear_from_nobody_that_anothers_address_is_his(
    box: Box, claimed: str, operation: int
) -> None:
    box.apply(replace(interface_row(), asks_members=True, antispoof=False), ALONE)
    for mac in (MAC, PEER_MAC):
        for target in ("10.1.1.99", claimed):
            claim = frames.arp(operation, mac.packed, claimed, target)

            for to in (EVERYBODY, PEER_MAC.packed):
                outcome = box.workload(frames.ethernet(to, MAC.packed, 0x0806, claim))
                assert outcome.drops == {"SPOOFED_ADDRESS": 1}
    own = frames.arp(operation, MAC.packed, OWN[4], "10.1.1.99")
    assert box.workload(frames.ethernet(PEER_MAC.packed, MAC.packed, 0x0806, own)).forwarded
    box.apply(interface_row(), deletes=(ALONE,))


@pytest.mark.parametrize("claimed", [GATEWAY[6], PEER[6], REMOTE[6]])
def test_neither_do_they_by_neighbour_discovery(box: Box, claimed: str) -> None:
    box.apply(replace(interface_row(), asks_members=True, antispoof=False), ALONE)
    told = struct.pack("!BBHI", 136, 0, 0, 0x2000_0000) + IPv6Address(claimed).packed
    asked = struct.pack("!BBHI", 135, 0, 0, 0) + IPv6Address("fd10::99").packed
    for message, source in ((told, OWN[6]), (asked, claimed)):
        checked = frames.icmp6_checked(source, "ff02::1", message)
        packet = frames.ipv6(source, "ff02::1", frames.ICMP6, checked, hop_limit=255)

        for to in (bytes.fromhex("333300000001"), PEER_MAC.packed):
            outcome = box.workload(as_frame(packet, Mac(to)))
            assert outcome.drops == {"SPOOFED_ADDRESS": 1}
    box.apply(interface_row(), deletes=(ALONE,))


FRIEND, STRANGER, POLICY = IdentityId(3), IdentityId(9), PolicyId(61)
"""The policy allows friends alone."""
ALLOWS_FRIENDS = (
    PolicyIdentityRow(POLICY, FRIEND, 1),
    VerdictRow(POLICY, 1, 0, PROTOCOL_ANY, 0, 0, Action.ALLOW, RuleId(1)),
)


def known_as(identity: IdentityId) -> BridgeRow:
    return BridgeRow(VRF, REMOTE_MAC, TUNNEL_NEXTHOP, REMOTE_LABEL, identity)


def sent(port: int, to_port: int) -> bytes:
    packet = frames.ipv4("172.16.9.9", "172.16.9.8", 17, frames.udp(port, to_port, b"x"))
    return as_frame(packet, REMOTE_MAC)


def arrived(box: Box, port: int, to_port: int) -> Outcome:
    packet = frames.ipv4("172.16.9.8", "172.16.9.9", 17, frames.udp(port, to_port, b"x"))
    return box.receive(as_frame(packet, MAC, REMOTE_MAC), label=LAYER2_LABEL)


def test_who_a_mac_is_counts_at_every_packet_that_arrives(bridging: Box) -> None:
    row = replace(interface_row(ingress=POLICY), is_layer2=True, lets_dhcp_by=True)
    bridging.apply(row, *ALLOWS_FRIENDS, deletes=(known_as(FRIEND),))
    assert arrived(bridging, 1, 2).drops == {"POLICY": 1}, "nobody knows who it is"

    bridging.apply(known_as(FRIEND))
    assert arrived(bridging, 1, 2).forwarded
    assert bridging.workload(sent(2, 1)).forwarded, "the answer"
    bridging.apply(known_as(STRANGER))
    assert bridging.workload(sent(2, 1)).drops == {"POLICY": 1}, "nor is it answered any more"
    assert arrived(bridging, 1, 2).drops == {"POLICY": 1}


def test_answers_of_a_mac_are_admitted_as_long_as_it_may_be_asked(bridging: Box) -> None:
    row = replace(interface_row(egress=POLICY), is_layer2=True, lets_dhcp_by=True)
    bridging.apply(row, *ALLOWS_FRIENDS)
    assert bridging.workload(sent(1, 2)).forwarded
    assert arrived(bridging, 2, 1).forwarded

    bridging.apply(known_as(STRANGER))
    assert arrived(bridging, 2, 1).drops == {"POLICY": 1}
    bridging.apply(known_as(FRIEND))
    assert arrived(bridging, 2, 1).forwarded
