"""BFD packets and sessions (RFC 5880), two ends joined without sockets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skytrail.wire.bfd import (
    BfdChange,
    BfdError,
    BfdPacket,
    BfdSession,
    BfdSettings,
    BfdState,
    Diagnostic,
    decode_bfd,
    encode_bfd,
)

PACKET = BfdPacket(BfdState.UP, 7, 9, 3, 300_000, 200_000, poll=True, is_independent=True)


class Pair:
    """Two ends; packets arrive at once unless the path is cut."""

    def __init__(self, *settings: BfdSettings) -> None:
        self.ends = [BfdSession(each) for each in settings]
        self.now = 0.0
        self.is_cut = False
        self.changes: list[tuple[float, int, BfdChange]] = []
        self.sent: list[tuple[float, int, BfdPacket]] = []

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := min(end.next_deadline() for end in self.ends)) <= until:
            self.now = max(self.now, due)
            for index, end in enumerate(self.ends):
                if self.now >= end.next_deadline():
                    packet, change = end.tick(self.now, 0.9)
                    self._after(index, packet, change)
        self.now = until

    def _after(self, index: int, packet: BfdPacket | None, change: BfdChange | None) -> None:
        if change is not None:
            self.changes.append((self.now, index, change))
        if packet is None:
            return
        self.sent.append((self.now, index, packet))
        if not self.is_cut:
            other = 1 - index
            again = decode_bfd(encode_bfd(packet))
            self._after(other, *self.ends[other].receive(again, self.now))


@pytest.fixture
def pair() -> Pair:
    return Pair(BfdSettings(1, 100_000, 3), BfdSettings(2, 200_000, 5))


def states(pair: Pair) -> list[BfdState]:
    return [end.state for end in pair.ends]


def test_packets_read_as_written() -> None:
    assert decode_bfd(encode_bfd(PACKET)) == PACKET
    assert encode_bfd(PACKET).hex() == "20e803180000000700000009000493e000030d4000000000"


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 0x40), (1, 0xC4), (1, 0xC1), (2, 0), (3, 23), (3, 25), (7, 0), (11, 0)],
    ids=[
        "version", "authenticated", "multipoint", "no multiplier", "too short", "too long",
        "no discriminator", "up without a session",
    ],
)  # fmt: skip
def test_packets_the_rfc_wants_discarded_are(place: int, value: int) -> None:
    chunk = bytearray(encode_bfd(PACKET))
    chunk[place] = value

    with pytest.raises(BfdError):
        decode_bfd(bytes(chunk))


@pytest.mark.parametrize("size", range(24))
def test_packets_that_end_early_are_discarded(size: int) -> None:
    with pytest.raises(BfdError):
        decode_bfd(encode_bfd(PACKET)[:size])


def test_two_ends_come_up_and_agree_on_the_slower_pace(pair: Pair) -> None:
    pair.advance(5)

    assert states(pair) == [BfdState.UP, BfdState.UP]
    assert [end.transmit_interval_s for end in pair.ends] == [0.2, 0.2]
    assert [end.detection_time_s for end in pair.ends] == [1.0, pytest.approx(0.6)]
    assert [change.is_up for _, _, change in pair.changes] == [True, True]


def test_until_it_is_up_a_session_sends_once_a_second() -> None:
    pair = Pair(BfdSettings(1, 50_000, 3), BfdSettings(2, 50_000, 3))
    pair.is_cut = True
    pair.advance(10)

    assert len([1 for _, index, _ in pair.sent if index == 0]) in range(10, 14)


def test_silence_is_noticed_within_the_detection_time_by_both(pair: Pair) -> None:
    pair.advance(5)
    pair.changes.clear()
    pair.is_cut = True
    cut_at = pair.now
    pair.advance(3)

    assert states(pair) == [BfdState.DOWN, BfdState.DOWN]
    for when, index, change in pair.changes:
        assert change == BfdChange(is_up=False, diagnostic=Diagnostic.DETECTION_TIME_EXPIRED)
        assert when - cut_at <= (1.0 if index == 0 else 0.6)
    pair.is_cut = False
    pair.advance(5)
    assert states(pair) == [BfdState.UP, BfdState.UP]


def test_an_end_that_hears_down_goes_down_at_once(pair: Pair) -> None:
    pair.advance(5)
    packet = replace(PACKET, state=BfdState.DOWN, your_discriminator=1)

    _, change = pair.ends[0].receive(packet, pair.now)

    assert change == BfdChange(
        is_up=False, diagnostic=Diagnostic.NEIGHBOR_SIGNALED_DOWN, is_independent=True
    )


def test_an_operators_goodbye_is_told_apart(pair: Pair) -> None:
    pair.advance(5)

    _, change = pair.ends[0].receive(pair.ends[1].close(), pair.now)

    assert change is not None
    assert change.is_administrative
    assert pair.ends[0].receive(pair.ends[1].close(), pair.now)[1] is None


def test_a_poll_is_answered_at_once_and_ends_with_the_answer(pair: Pair) -> None:
    pair.advance(5)
    answer, _ = pair.ends[0].receive(replace(PACKET, your_discriminator=1), pair.now)

    assert answer is not None
    assert (answer.final, answer.poll) == (True, False)
    polls = [when for when, index, packet in pair.sent if packet.poll and index == 0]
    assert polls
    assert max(polls) < 3.0


def test_a_peer_that_wants_nothing_is_sent_nothing(pair: Pair) -> None:
    pair.advance(5)
    pair.ends[0].receive(replace(PACKET, required_min_rx_us=0, poll=False), pair.now)

    assert pair.ends[0].transmit_interval_s == float("inf")


@pytest.mark.parametrize(("is_guarded", "survives"), [(True, True), (False, False)])
def test_nobody_who_does_not_know_our_number_ends_a_guarded_session(
    *, is_guarded: bool, survives: bool
) -> None:
    """RFC 5883 section 5: from far away anybody may send in the peer's name."""
    pair = Pair(BfdSettings(1, is_guarded=is_guarded), BfdSettings(2))
    pair.advance(5)
    forged = BfdPacket(BfdState.DOWN, 99, 0, 3, 300_000, 300_000)

    answer, change = pair.ends[0].receive(forged, pair.now)

    assert (answer is None and change is None) == survives
    assert (pair.ends[0].state is BfdState.UP) == survives


def test_a_guarded_session_comes_up_again_with_a_peer_that_restarted() -> None:
    pair = Pair(BfdSettings(1, is_guarded=True), BfdSettings(2))
    pair.advance(5)

    pair.ends[1] = BfdSession(BfdSettings(3))
    pair.advance(5)

    assert [change.is_up for _, end, change in pair.changes if end == 0] == [True, False, True]
