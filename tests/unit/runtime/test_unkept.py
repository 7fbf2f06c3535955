"""What was told and is not kept yet: repeated, bounded, its losses told."""

from __future__ import annotations

from skytrail.runtime.unkept import OVERFLOW, Losses, Unkept
from skytrail.wire.telemetry import Log, Lost, decode
from skytrail.wire.telemetry.sessions import pack


def log(text):
    return Log(timestamp_us=1, level=6, event=text)


def told(unkept):
    return [decode(frame[4:]).number for frame in unkept.frames()]


def test_messages_are_numbered_and_held_until_they_are_kept():
    unkept = Unkept()
    frames = [unkept.add(each) for each in (log("a"), pack([{"T": 1}]), log("c"))]

    assert unkept.frames() == frames
    assert told(unkept) == [1, 2, 3]
    unkept.keep(2)
    assert told(unkept) == [3]
    unkept.keep(3)
    assert (len(unkept), unkept.bytes_count) == (0, 0)


def test_over_the_bound_the_oldest_goes_and_is_counted():
    size = len(Unkept().add(pack([{"T": 1}] * 3)))
    unkept = Unkept(bytes_max=2 * size)
    for _ in range(3):
        unkept.add(pack([{"T": 1}] * 3))

    assert told(unkept) == [2, 3]
    assert unkept.lost == {("session", OVERFLOW): 3}


def test_loss_is_told_once_from_the_last_look_on():
    losses = Losses(10)
    totals = {("log", "tap_overflow"): 3, ("session", OVERFLOW): 0}

    assert list(losses.news(totals, 20)) == [
        Lost(kind="log", count=3, reason="tap_overflow", since_us=10, until_us=20)
    ]
    assert not losses.news(totals, 30)
    assert list(losses.news({**totals, ("log", "tap_overflow"): 5}, 40)) == [
        Lost(kind="log", count=2, reason="tap_overflow", since_us=30, until_us=40)
    ]


def test_clock_that_is_set_back_makes_no_gap_of_negative_length():
    (gap,) = Losses(100).news({("log", "tap_overflow"): 1}, 40)

    assert gap.since_us <= gap.until_us
