"""UVEs over time: what is kept of their changes, how often, and that a moment is found again in it."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics import uve_json
from skytrail.analytics.collector import Collector
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.uve_past import entities_of, moment_statement, span_statement
from skytrail.analytics.uve_recorder import (
    AGAIN_S,
    BACKLOG_COUNT_MAX,
    BURST_COUNT,
    EVERY_S,
    LOOKBACK_S,
    ROWS_COUNT_MAX,
    VALUE_BYTES_MAX,
    UveRecorder,
)
from skytrail.wire.telemetry import Uve

NODE = "node1"
US = 1_000_000


class Kept:
    """A collector with its recorder, and all rows that were kept."""

    def __init__(self):
        self.collector = Collector()
        self.recorder = UveRecorder(self.collector, NODE, 0)
        self.rows = []
        self.now = 0

    def say(self, key, struct="S", is_deleted=False, generator="h:Compute:a:0", **fields):
        uve = Uve(
            table="ObjectVNTable", key=key, struct=struct, fields=fields, is_deleted=is_deleted
        )
        self.collector.apply(change_of(generator, uve), float(self.now))

    def wait(self, seconds=1):
        """Tick that often; returns the rows of it."""
        count = len(self.rows)
        for _ in range(seconds):
            self.now += 1
            self.recorder.tick(float(self.now), self.now * US)
            self.rows += self.collector.snapshots.take(100_000)
        return [(each["name"], each["kind"], each["value"]) for each in self.rows[count:]]


@pytest.fixture
def kept():
    made = Kept()
    made.wait()
    assert [row["kind"] for row in made.rows] == ["start"]
    return made


def test_change_is_kept_at_once_and_told_anew_is_none(kept):
    kept.say("a", bytes=1)
    assert kept.wait() == [("a", "new", '{"bytes":1}')]
    kept.say("a", bytes=1)
    assert kept.wait(70) == []
    kept.say("a", bytes=2)
    assert kept.wait() == [("a", "change", '{"bytes":2}')]


def test_generators_of_a_struct_are_kept_as_one(kept):
    kept.say("a", text="x")
    kept.say("a", text="x", generator="i:Compute:a:0")

    assert kept.wait() == [("a", "new", '{"text":"x"}')]


def test_what_changes_all_the_time_is_kept_once_a_minute(kept):
    for number in range(600):
        kept.say("a", bytes=number)
        kept.wait()

    times = [row["T"] // US for row in kept.rows[1:]]
    assert len(times) <= BURST_COUNT + 600 / EVERY_S
    assert times[:BURST_COUNT] == [2, 3, 4, 5]
    assert all(later - former >= EVERY_S - 1 for former, later in pairwise(times[4:]))
    kept.wait(61)
    assert kept.rows[-1]["value"] == '{"bytes":599}', "the last value is kept in the end"


def test_what_goes_and_comes_all_the_time_is_no_more_often_kept(kept):
    for number in range(600):
        kept.say("a", is_deleted=bool(number % 2), bytes=number)
        kept.wait()

    assert len(kept.rows) <= 1 + BURST_COUNT + 600 / EVERY_S


def test_what_is_gone_is_kept_as_gone_once(kept):
    kept.say("a", bytes=1)
    kept.wait()
    kept.say("a", is_deleted=True)

    assert kept.wait(5000) == [("a", "gone", "{}")]


def test_struct_that_stays_is_marked_every_hour_also_when_it_changes(kept):
    kept.say("quiet", bytes=1)
    for minute in range(3 * 60):
        kept.say("busy", bytes=minute)
        kept.wait(60)

    for name in ("quiet", "busy"):
        marks = [
            row["T"] // US for row in kept.rows if row["name"] == name and row["kind"] != "change"
        ]
        assert len(marks) >= 3
        assert all(later - former <= AGAIN_S + EVERY_S for former, later in pairwise(marks))


def test_many_at_once_are_spread_over_seconds(kept):
    for number in range(3 * ROWS_COUNT_MAX):
        kept.say(f"n{number}", bytes=1)

    assert 0 < len(kept.wait()) <= ROWS_COUNT_MAX
    kept.wait(4)
    assert len(kept.rows) == 1 + 3 * ROWS_COUNT_MAX


def test_value_that_is_too_long_is_said_to_be_cut(kept):
    kept.say("a", text="x" * VALUE_BYTES_MAX)

    assert kept.wait() == [("a", "cut", "{}")]
    assert kept.collector.dropped["snapshot_too_long"] == 1


def test_nothing_is_kept_while_too_much_waits_and_that_is_a_gap(kept):
    for _ in range(BACKLOG_COUNT_MAX):
        kept.collector.snapshots.add({"T": 0})
    kept.say("a", bytes=1)
    assert kept.recorder.tick(10.0, 10 * US) is None
    assert len(kept.collector.snapshots) == BACKLOG_COUNT_MAX
    kept.collector.snapshots.take(100_000)

    assert kept.recorder.tick(15.0, 15 * US) == (10 * US, 15 * US)
    assert [row["value"] for row in kept.collector.snapshots.take()] == ['{"bytes":1}']
    assert kept.recorder.tick(16.0, 16 * US) is None


def test_names_are_bound_never_written():
    hostile = "a') OR 1=1 --"
    chosen = UveFilter(keys=(hostile, f"{hostile}*"), parts=((hostile, ""),))

    for made in (
        moment_statement(hostile, chosen, [hostile], 5, 0),
        span_statement(hostile, chosen, [hostile], (0, 5), 10),
    ):
        assert "OR 1=1" not in made.sql
        assert hostile in made.parameters.values()


MOVES = st.lists(
    st.tuples(
        st.integers(1, 4000),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["S", "R"]),
        st.none() | st.integers(0, 2),
    ),
    max_size=12,
)


@given(MOVES, st.integers(0, 50_000))
def test_moment_is_found_again_in_rows_of_the_time_before_it(moves, at):
    """What is true at a moment was kept within the time that is looked back."""
    kept, truth = Kept(), {}
    for wait, key, struct, value in moves:
        # Slower than changes are thinned out: every one is kept.
        for _ in range(wait // 200 + 1):
            if kept.now < at:
                kept.now += 200
                kept.recorder.tick(float(kept.now), kept.now * US)
                kept.rows += kept.collector.snapshots.take(100_000)
        if kept.now >= at:
            break
        kept.say(key, struct, is_deleted=value is None, **({} if value is None else {"v": value}))
    kept.recorder.tick(float(kept.now), kept.now * US)
    kept.rows += kept.collector.snapshots.take(100_000)
    for key, entity in kept.collector.uves.entities("ObjectVNTable"):
        truth["ObjectVNTable", key] = uve_json.flat(UveFilter().part_of(entity))

    latest = {}
    for row in kept.rows:
        if row["kind"] != "start" and row["T"] > (kept.now - LOOKBACK_S) * US:
            latest[row["Table"], row["name"], row["struct"]] = row
    rows = [(*place, row["value"]) for place, row in latest.items() if row["kind"] != "gone"]

    assert entities_of(rows, UveFilter()) == truth
    assert all(msgspec.json.decode(row["value"] or "{}") is not None for row in kept.rows)
