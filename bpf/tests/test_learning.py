"""Which MACs are behind an interface: shown to the agent once, kept in time, refused where there is no place."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address

import frames
import pytest
from conftest import (
    GATEWAY,
    LAYER2_NEXTHOP,
    LOOPBACK_IFINDEX,
    MAC,
    OWN,
    OWN_NEXTHOP,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_VIF,
    REMOTE,
    TC_REDIRECT,
    VIF,
    VRF,
    Box,
    as_frame,
    base_rows,
    interface_row,
    route_row,
)

from skytrail.agent.plugin import PuntReason
from skytrail.agent.tables import BridgeRow, IdentityId, InetRouteRow, SeenMacRow
from skytrail.net import BROADCAST_MAC, GATEWAY_MAC, Mac

pytestmark = pytest.mark.root
NESTED = Mac.parse("02:00:00:00:00:77")
LEARNING = replace(interface_row(antispoof=False), learns=True)
KNOWN = (SeenMacRow(VIF, NESTED), BridgeRow(VRF, NESTED, LAYER2_NEXTHOP, 0, IdentityId(1)))


@pytest.fixture
def learning(box: Box) -> Iterator[Box]:
    box.punts.clear()
    box.apply(LEARNING)
    yield box
    box.apply(interface_row(), deletes=KNOWN)
    box.punts.clear()


def frame(source: Mac, *, to: Mac = PEER_MAC) -> bytes:
    return frames.ethernet(to.packed, source.packed, 0x88B5, b"not IP".ljust(46, b"\0"))


def shown(box: Box) -> list[bytes]:
    box.datapath.poll_punts()
    taken = [each.frame[6:12] for each in box.punts if each.reason is PuntReason.MAC]
    box.punts.clear()
    return taken


def test_a_mac_that_is_not_known_is_shown_and_its_frames_go_on(learning: Box) -> None:
    assert learning.workload(frame(NESTED)).forwarded

    assert shown(learning) == [NESTED.packed]


def test_packets_teach_as_other_frames_do(learning: Box) -> None:
    packet = frames.ipv4(OWN[4], REMOTE[4], 17, frames.udp(1, 2, b"x"))

    assert learning.workload(as_frame(packet, source=NESTED)).forwarded
    assert shown(learning) == [NESTED.packed]


def test_a_known_mac_is_not_shown_but_its_time_is_kept(learning: Box) -> None:
    learning.apply(*KNOWN)
    before = time.monotonic()

    assert learning.workload(frame(NESTED)).forwarded
    assert shown(learning) == []
    seen = learning.datapath.macs_seen()[VIF, NESTED]
    assert before <= seen <= time.monotonic()
    learning.workload(frame(NESTED))
    assert learning.datapath.macs_seen()[VIF, NESTED] == seen, "one write a second will do"


def test_the_ports_own_mac_is_nothing_to_learn(learning: Box) -> None:
    assert learning.workload(frame(MAC)).forwarded

    assert shown(learning) == []


@pytest.mark.parametrize("source", [GATEWAY_MAC, Mac.parse("03:00:00:00:00:01")])
def test_the_gateway_and_groups_are_nobodys_source(learning: Box, source: Mac) -> None:
    assert learning.workload(frame(source)).drops == {"SPOOFED_MAC": 1}
    assert shown(learning) == []


def test_where_there_is_no_place_unknown_macs_are_dropped_by_name(learning: Box) -> None:
    learning.apply(replace(LEARNING, macs_full=True), *KNOWN)

    assert learning.workload(frame(Mac.parse("02:00:00:00:00:78"))).drops == {"MAC_LIMIT": 1}
    assert learning.workload(frame(NESTED)).forwarded
    assert learning.workload(frame(MAC)).forwarded
    assert shown(learning) == []


def test_who_does_not_learn_shows_nothing(box: Box) -> None:
    box.apply(interface_row(antispoof=False))
    box.punts.clear()

    assert box.workload(frame(NESTED)).forwarded
    assert shown(box) == []
    box.apply(interface_row())


def test_a_flood_of_macs_is_shown_as_far_as_an_interface_may_and_the_rest_counted(
    learning: Box,
) -> None:
    sent = 600
    # In one run: an interface is shown 125 a second beside, whatever the machine is busy with.
    assert learning.workload(frame(NESTED), repeat=sent).verdict == TC_REDIRECT

    told = len(shown(learning))
    untold = learning.datapath.punt_counts()["MAC_UNTOLD"]
    assert told + untold == sent
    assert 0 < told < sent


def test_frames_reach_a_learnt_mac_as_they_are(learning: Box) -> None:
    learning.apply(*KNOWN, replace(base_rows()[2], antispoof=False))
    packet = frames.ipv4(REMOTE[4], "10.1.1.77", 17, frames.udp(1, 2, b"x"))
    whole = as_frame(packet, NESTED, Mac.parse("02:00:00:00:00:0c"))

    for inner, kind, label in ((whole, "udp", 1012), (whole, "vxlan", 5005)):
        outcome = learning.receive(inner, kind=kind, label=label)

        assert outcome.verdict == TC_REDIRECT, outcome.drops
        assert outcome.frame[:12] == whole[:12]


BEHIND = {4: "10.1.1.77", 6: "fd00:1::77"}
"""An address of NESTED."""
LEARNS_ADDRESSES = replace(LEARNING, learns_addresses=True)


def route_behind(family: int) -> InetRouteRow:
    bits = 32 if family == 4 else 128
    return route_row(f"{BEHIND[family]}/{bits}", OWN_NEXTHOP, identity=1, mac=NESTED)


@pytest.fixture
def behind(learning: Box) -> Iterator[Box]:
    learning.apply(LEARNS_ADDRESSES, *KNOWN)
    yield learning
    learning.apply(LEARNING, deletes=(route_behind(4), route_behind(6)))


def announced(box: Box) -> list[int]:
    box.datapath.poll_punts()
    taken = [each.argument for each in box.punts if each.reason is PuntReason.ANNOUNCEMENT]
    box.punts.clear()
    return taken


def arp_frame(operation: int, target: str, *, to: Mac = BROADCAST_MAC) -> bytes:
    asked = frames.arp(operation, NESTED.packed, BEHIND[4], target)
    return frames.ethernet(to.packed, NESTED.packed, 0x0806, asked)


def test_an_address_that_is_not_known_is_shown_and_answered_all_the_same(behind: Box) -> None:
    answered = behind.workload(arp_frame(1, GATEWAY[4]))

    assert answered.frame[6:12] == GATEWAY_MAC.packed
    assert announced(behind) == [1]
    behind.apply(route_behind(4))
    assert behind.workload(arp_frame(1, GATEWAY[4])).frame[6:12] == GATEWAY_MAC.packed
    assert announced(behind) == []


def test_answers_to_the_gateway_are_shown_as_often_as_they_come(behind: Box) -> None:
    behind.apply(route_behind(4))

    assert behind.workload(arp_frame(2, GATEWAY[4], to=GATEWAY_MAC)).drops == {"ARP_IGNORED": 1}
    assert announced(behind) == [1]
    assert behind.workload(arp_frame(2, PEER[4], to=PEER_MAC)).drops == {"ARP_IGNORED": 1}
    assert announced(behind) == []


def test_neighbours_of_ipv6_are_shown_likewise(behind: Box) -> None:
    message = struct.pack("!BBHI", 135, 0, 0, 0) + IPv6Address(GATEWAY[6]).packed
    message = frames.icmp6_checked(BEHIND[6], "ff02::1:ff00:1", message)
    asked = frames.ipv6(BEHIND[6], "ff02::1:ff00:1", frames.ICMP6, message, hop_limit=255)
    frame = as_frame(asked, Mac(b"\x33\x33\xff\0\0\1"), NESTED)

    assert behind.workload(frame).frame[6:12] == GATEWAY_MAC.packed
    assert announced(behind) == [1]
    behind.apply(route_behind(6))
    behind.workload(frame)
    assert announced(behind) == []


@pytest.mark.parametrize("family", [4, 6])
def test_routed_packets_reach_who_is_behind_the_interface(behind: Box, family: int) -> None:
    packet = frames.ip(REMOTE[family], BEHIND[family], frames.UDP, frames.udp(1, 2, b"x"))
    assert behind.receive(packet).frame[:6] == MAC.packed, "nobody is known to have it"

    behind.apply(route_behind(family))
    assert behind.receive(packet).frame[:12] == NESTED.packed + GATEWAY_MAC.packed
    own = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(1, 2, b"x"))
    assert behind.receive(own).frame[:6] == MAC.packed


@pytest.mark.parametrize("family", [4, 6])
def test_neighbours_on_the_host_reach_who_is_behind_the_interface(behind: Box, family: int) -> None:
    behind.apply(
        replace(LEARNS_ADDRESSES, ifindex=PEER_IFINDEX),
        interface_row(PEER_VIF, LOOPBACK_IFINDEX, PEER_MAC, antispoof=False),
        route_behind(family),
    )
    packet = frames.ip(PEER[family], BEHIND[family], frames.UDP, frames.udp(1, 2, b"x"))

    outcome = behind.workload(as_frame(packet, GATEWAY_MAC, PEER_MAC))
    behind.apply(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2), LEARNS_ADDRESSES)
    assert outcome.frame[:6] == NESTED.packed


def generation(box: Box) -> int:
    return box.datapath._settings().generation


def test_what_is_learnt_has_no_flow_decided_again(learning: Box) -> None:
    before = generation(learning)

    learning.apply(*KNOWN)
    learning.apply(replace(LEARNING, macs_full=True))
    learning.apply(LEARNING)
    learning.apply(deletes=KNOWN)
    assert generation(learning) == before
    learning.apply(replace(LEARNING, macs_full=True, identity=IdentityId(9)))
    assert generation(learning) != before
