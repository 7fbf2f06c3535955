"""Limits of rate: how much goes before packets are dropped by name."""

from __future__ import annotations

import struct
from dataclasses import replace

import frames
import pytest
from conftest import (
    MAC,
    OWN,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_VIF,
    REMOTE,
    REMOTE_MAC,
    VIF,
    Box,
    Outcome,
    as_frame,
    interface_row,
)

from skytrail.agent import abi
from skytrail.agent.tables import RateRow, VifId

FRAME = 14 + 20 + 8 + 58
SLOW = 1
"""Bytes a second: nothing becomes due while a test runs."""


def limit(vif: VifId, frames_count: int, *, received: bool = False) -> RateRow:
    """A burst of so many frames; one more fits, as the last one may overdraw."""
    return RateRow(vif, received, SLOW, FRAME * (frames_count - 1))


def send(box: Box, count: int, to: str, family: int = 4) -> list[Outcome]:
    payload = frames.udp(1, 2, b"x" * (58 if family == 4 else 38))
    return [box.send(payload, frames.UDP, to=to, family=family) for _ in range(count)]


def passed(outcomes: list[Outcome]) -> int:
    return sum(outcome.forwarded for outcome in outcomes)


def reasons(outcomes: list[Outcome]) -> set[str]:
    return {reason for outcome in outcomes for reason in outcome.drops}


@pytest.mark.parametrize(("family", "to"), [(4, REMOTE), (6, REMOTE), (4, PEER)])
def test_a_workload_sends_its_burst_and_no_more(box: Box, family: int, to: dict[int, str]) -> None:
    box.apply(replace(interface_row(), rated_sent=True), limit(VIF, 5))

    outcomes = send(box, 12, to[family], family)

    assert passed(outcomes) == 5
    assert reasons(outcomes) == {"RATE_SENT"}


def test_what_a_neighbour_sends_counts_for_the_receiver(box: Box) -> None:
    peer = replace(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2), rated_received=True)
    box.apply(peer, limit(PEER_VIF, 5, received=True))

    outcomes = send(box, 12, PEER[4])

    assert passed(outcomes) == 5
    assert reasons(outcomes) == {"RATE_RECEIVED"}
    assert passed(send(box, 12, REMOTE[4])) == 12


def test_what_comes_by_tunnel_counts_without_its_tunnel(box: Box) -> None:
    box.apply(replace(interface_row(), rated_received=True), limit(VIF, 5, received=True))
    packet = frames.ip(REMOTE[4], OWN[4], frames.UDP, frames.udp(1, 2, b"x" * 58))

    outcomes = [box.receive(packet) for _ in range(12)]

    assert passed(outcomes) == 5
    assert reasons(outcomes) == {"RATE_RECEIVED"}


def test_frames_that_are_not_ip_count_as_well(box: Box) -> None:
    box.apply(replace(interface_row(), rated_sent=True), limit(VIF, 5))
    frame = frames.ethernet(PEER_MAC.packed, MAC.packed, 0x88B5, b"x" * (FRAME - 14))
    remote = frames.ethernet(REMOTE_MAC.packed, MAC.packed, 0x88B5, b"x" * (FRAME - 14))

    outcomes = [box.workload(remote) for _ in range(12)]

    assert outcomes[-1].drops == {"RATE_SENT": 1}
    assert box.workload(frame).verdict  # A neighbour is another matter.


def due_ns(box: Box) -> int:
    raw = box.datapath._maps["rates"].lookup(struct.pack("=I", VIF * 2))
    assert raw is not None
    return abi.Rate.unpack(raw).due_ns


def test_segments_count_with_the_headers_they_will_have(box: Box) -> None:
    """One handed over as 4 segments: 4 Ethernet, IP and TCP headers."""
    box.apply(replace(interface_row(), rated_sent=True), RateRow(VIF, False, 1000, 1_000_000))
    segment = frames.tcp(1, 2) + b"x" * 3000
    frame = as_frame(frames.ip(OWN[4], PEER[4], frames.TCP, segment))

    outcome = box.workload(frame, gso_size=1000)

    assert outcome.forwarded
    before = due_ns(box)
    box.workload(frame, gso_size=1000)
    after = due_ns(box)
    assert (after - before) // 1_000_000 == 3000 + 4 * 54


def test_a_lifted_limit_lets_live_flows_go_on(box: Box) -> None:
    box.apply(replace(interface_row(), rated_sent=True), limit(VIF, 2))
    before = passed(send(box, 6, REMOTE[4]))

    box.apply(interface_row(), deletes=(limit(VIF, 2),))

    assert before == 2
    assert passed(send(box, 6, REMOTE[4])) == 6


def test_without_a_row_nothing_is_limited(box: Box) -> None:
    box.apply(replace(interface_row(), rated_sent=True))

    assert passed(send(box, 6, REMOTE[4])) == 6
