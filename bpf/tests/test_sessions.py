"""Beginnings and ends of flows, as the datapath tells them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_address

import frames
import pytest
from conftest import OWN, PEER, PEER_MAC, PEER_VIF, REMOTE, VIF, Box, interface_row

from skytrail.agent.session_batch import SessionEvent, SessionKind

BEGIN, END = SessionKind.BEGIN, SessionKind.END


class Sessions:
    def __init__(self, box: Box) -> None:
        self._box = box
        self._source = box.datapath.sessions()

    def take(self) -> list[SessionEvent]:
        """What was told since the last time."""
        return list(self._source.drain(1 << 20).events())

    def end_all(self) -> list[SessionEvent]:
        for vif in (VIF, PEER_VIF):
            self._box.datapath._scan(purge_vif=vif)
        return self.take()

    def lost(self) -> int:
        return self._source.counts()[1]


@pytest.fixture
def sessions(box: Box) -> Iterator[Sessions]:
    box.datapath.sessions().want(wanted=True)
    made = Sessions(box)
    made.take()
    yield made
    made.take()
    box.datapath.sessions().want(wanted=False)


@pytest.mark.parametrize("family", [4, 6])
def test_session_begins_once_and_ends_with_what_both_directions_had(
    box: Box, sessions: Sessions, family: int
) -> None:
    for _ in range(3):
        box.send(frames.udp(1000, 80, b"out"), frames.UDP, family=family)
    answer = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(80, 1000))
    assert box.receive(answer).forwarded

    (begun,) = sessions.take()
    (ended,) = sessions.end_all()
    assert (begun.kind, ended.kind, begun.id) == (BEGIN, END, ended.id)
    assert (begun.source, begun.destination) == (
        ip_address(OWN[family]),
        ip_address(REMOTE[family]),
    )
    assert (begun.source_port, begun.destination_port, begun.protocol) == (1000, 80, 17)
    assert (begun.vif_id, begun.identity, begun.is_opened_here) == (VIF, 3, True)
    assert ended.packets == (3, 1)
    assert begun.packets == (0, 0)
    assert abs(begun.time_ns / 1e9 - time.time()) < 60


def test_session_opened_from_afar_says_so(box: Box, sessions: Sessions) -> None:
    box.receive(frames.ipv4(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9)))

    (begun,) = sessions.take()
    assert (begun.is_opened_here, begun.identity, begun.vif_id) == (False, 3, VIF)


def test_session_within_the_host_is_one_and_names_both_ends(box: Box, sessions: Sessions) -> None:
    box.send(frames.udp(1, 2), frames.UDP, to=PEER[4], destination_mac=PEER_MAC)

    (begun,) = sessions.take()
    assert (begun.vif_id, begun.peer_vif_id) == (VIF, PEER_VIF)


def test_denied_session_is_told_with_its_reason(box: Box, sessions: Sessions) -> None:
    box.apply(interface_row(egress=3))

    box.send(frames.udp(1, 2), frames.UDP)

    assert [(each.kind, each.drop_reason) for each in sessions.take()] == [(BEGIN, "POLICY")]
    assert [(each.kind, each.drop_reason) for each in sessions.end_all()] == [(END, "POLICY")]


def test_nothing_is_told_while_nobody_wants_it(box: Box, sessions: Sessions) -> None:
    box.datapath.sessions().want(wanted=False)

    box.send(frames.udp(1, 2), frames.UDP)

    assert sessions.end_all() == []


def test_events_nobody_reads_are_lost_counted_and_harm_no_flow(
    box: Box, sessions: Sessions
) -> None:
    before = sessions.lost()
    rounds = 0
    while sessions.lost() == before and rounds < 20:
        rounds += 1
        for port in range(1000, 2000):
            assert box.send(frames.udp(port, 80), frames.UDP).forwarded
        for vif in (VIF, PEER_VIF):
            box.datapath._scan(purge_vif=vif)

    assert sessions.lost() > before
    assert len(sessions.take()) + sessions.lost() - before == rounds * 2000
