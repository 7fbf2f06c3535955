"""Which MACs are behind an interface: shown to the agent once, kept in time, refused where there is no place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import frames
import pytest
from conftest import (
    LAYER2_NEXTHOP,
    MAC,
    OWN,
    PEER_MAC,
    REMOTE,
    TC_REDIRECT,
    VIF,
    VRF,
    Box,
    as_frame,
    base_rows,
    interface_row,
)

from skytrail.agent.plugin import PuntReason
from skytrail.agent.tables import BridgeRow, IdentityId, SeenMacRow
from skytrail.net import GATEWAY_MAC, Mac

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
    for number in range(sent):
        outcome = learning.workload(frame(Mac(b"\x06\0\0\0" + number.to_bytes(2))))
        assert outcome.verdict == TC_REDIRECT

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
