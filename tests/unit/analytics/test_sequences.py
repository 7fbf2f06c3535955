"""Numbers of generators' messages: what is missing, what is late, what is repeated."""

from __future__ import annotations

import pytest

from skytrail.analytics import sequences
from skytrail.analytics.collector import Collector
from skytrail.analytics.sequences import LATE_COUNT_MAX, NAMES_COUNT_MAX, Sequences
from skytrail.wire.sandesh import (
    ClientHello,
    Field,
    Hint,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
)

GENERATOR = "h1:Compute:agent:0"
LAST_NUMBER = (1 << 32) - 1


def message(number, name="Event", kind=SandeshType.SYSTEM, hints=Hint.NONE):
    header = SandeshHeader("h1", "agent", "Compute", "0", 1, number, kind, hints)
    if kind in {SandeshType.UVE, SandeshType.ALARM}:
        key = Field("string", "a:b:port", "", {"key": "ObjectVMITable"})
        data = Field("struct", Struct(name, {"name": key, "number": Field("u32", number)}))
        return SandeshMessage(header, f"{name}Trace", {"data": data})
    return SandeshMessage(header, name, {})


class Heard:
    """One generator, whose messages come a thousandth of a second apart."""

    def __init__(self):
        self.sequences, self.now_us = Sequences(), 0
        self.up()

    def up(self, pid=5, **newest):
        return self.sequences.session_up(GENERATOR, pid, newest)

    def hear(self, *numbers, **said):
        for number in numbers:
            self.now_us += 1000
            self.sequences.note(GENERATOR, message(number, **said), self.now_us)

    def missing(self):
        """Return what is missing once nothing can be late any more: kind, count, since and until."""
        found = [lost for _ in range(3) for _, lost in self.sequences.tick()]
        return [(each.kind, each.count, each.since_us, each.until_us) for each in found]


@pytest.fixture
def heard():
    return Heard()


def test_jump_is_missing_messages_between_two_times(heard):
    heard.hear(4, 5, 6, 9)

    assert heard.missing() == [("log", 2, 3000, 4000)]
    assert heard.missing() == []
    assert dict(heard.sequences.missing) == {"log": 2}


@pytest.mark.parametrize(
    ("numbers", "count"),
    [
        ((1, 2, 3), 0),
        ((1, 2, 2, 2, 3), 0),
        ((0, 0, 5, 0, 6), 0),
        ((1, 2, 4, 3, 5), 0),
        ((1, 4, 3, 6), 2),
        ((1, 4, 2, 3, 6, 5), 0),
        ((7, 2, 3, 8), 0),
        ((5000, 1, 2, 4), 1),
        ((5000, 5000 - LATE_COUNT_MAX, 5001), 0),
        ((LAST_NUMBER - 1, LAST_NUMBER, 1, 2), 1),
        ((-3, -2, -1), 0),
        (((1 << 31) - 1, -(1 << 31), -(1 << 31) + 1), 0),
    ],
)
def test_only_what_did_not_come_at_all_is_missing(heard, numbers, count):
    heard.hear(*numbers)

    assert sum(lost[1] for lost in heard.missing()) == count


def test_message_that_comes_after_it_was_told_missing_changes_nothing(heard):
    heard.hear(1, 3)
    assert len(heard.missing()) == 1

    heard.hear(2, 4)

    assert heard.missing() == []


def test_gap_is_told_once_it_cannot_be_filled_any_more(heard):
    list(heard.sequences.tick())
    heard.hear(1, 3)

    assert list(heard.sequences.tick()) == []
    assert [lost.count for _, lost in heard.sequences.tick()] == [1]


def test_kinds_of_messages_are_numbered_by_themselves(heard):
    heard.hear(1, 2)
    heard.hear(7, 9, name="Other", kind=SandeshType.OBJECT)
    heard.hear(70, 72, name="FlowLogDataObject", kind=SandeshType.FLOW)
    heard.hear(3)

    assert [lost[:2] for lost in heard.missing()] == [("log", 1), ("session", 1)]


@pytest.mark.parametrize(
    "kind",
    [SandeshType.TRACE, SandeshType.TRACE_OBJECT, SandeshType.REQUEST, SandeshType.RESPONSE],
)
def test_traces_and_answers_are_left_out(heard, kind):
    heard.hear(1, 9, kind=kind)

    assert heard.missing() == []
    assert len(heard.sequences) == 0


def test_logs_of_the_time_without_a_connection_are_missing(heard):
    heard.hear(1, 2)
    heard.up()
    heard.hear(12)

    assert heard.missing() == [("log", 9, 2000, 3000)]


@pytest.mark.parametrize("pid", [6, 0])
def test_another_process_begins_anew(heard, pid):
    heard.hear(1, 2)
    heard.up(pid=pid)
    heard.hear(12, 13)

    assert heard.missing() == []


UVE = {"name": "Port", "kind": SandeshType.UVE}
SYNC = {**UVE, "hints": Hint.SYNC}


def test_uves_that_are_repeated_are_not_missing(heard):
    heard.hear(1, 2, **UVE)
    assert heard.up(Port=2) == {"Port": 2}
    heard.hear(9, 4, 7, **SYNC)
    heard.hear(10, **UVE)

    assert heard.missing() == []


def test_uves_are_repeated_from_before_what_is_missing(heard):
    heard.hear(1, 2, 5, 6, **UVE)

    # At once, and when it was told as missing.
    assert heard.up(Port=6, Other=3) == {"Port": 2, "Other": 3}
    assert heard.missing() == [("uve", 2, 2000, 3000)]
    assert heard.up(Port=6) == {"Port": 2}

    # A connection that ends amid the repetition has it done again.
    heard.hear(5, 6, **SYNC)
    assert heard.up(Port=6) == {"Port": 2}
    heard.hear(4, 5, 6, **SYNC)
    heard.hear(7, **UVE)
    assert heard.up(Port=7) == {"Port": 7}
    assert heard.missing() == []


def test_uves_that_were_repeated_before_they_were_told_missing_are_not_again(heard):
    heard.hear(1, 4, **UVE)
    heard.up(Port=4)
    heard.hear(3, 4, **SYNC)
    heard.hear(5, **UVE)

    assert [lost[:2] for lost in heard.missing()] == [("uve", 2)]
    assert heard.up(Port=5) == {"Port": 5}


def test_node_that_forgot_a_generator_is_told_everything(heard):
    heard.hear(1, 4, **UVE)
    heard.missing()

    assert heard.up() == {}


def test_late_uve_is_not_repeated(heard):
    heard.hear(1, 3, 2, **UVE)

    assert heard.up(Port=3) == {"Port": 3}


def test_names_of_a_generator_are_bounded(heard):
    for number in range(NAMES_COUNT_MAX + 10):
        heard.hear(1, 3, name=f"Event{number}")
    heard.hear(1, 3, name="x" * 129)

    assert len(heard.sequences) == NAMES_COUNT_MAX
    assert len(heard.missing()) == NAMES_COUNT_MAX


def test_names_of_all_generators_are_bounded(monkeypatch):
    monkeypatch.setattr(sequences, "NAMES_OF_ALL_COUNT_MAX", 10)
    heard = Sequences()
    for host in range(40):
        generator = f"h{host}:Compute:agent:0"
        heard.session_up(generator, 1, {})
        for name in "abc":
            heard.note(generator, message(1, name=name), 0)
            heard.note(generator, message(3, name=name), 0)

    assert len(heard) <= 10
    # What is forgotten is told before.
    assert sum(lost.count for _ in range(3) for _, lost in heard.tick()) == 120


def test_stranger_has_no_numbers(heard):
    heard.sequences.note("h2:Compute:agent:0", message(1), 0)

    assert len(heard.sequences) == 0


def test_what_is_missing_is_a_gap_of_the_generator():
    collector = Collector()
    hello = ClientHello("h1", "agent", "Compute", "0", pid=1)
    collector.session_up(hello, 0.0, address="192.0.2.1", protocol="sandesh")
    for number, at_us in ((1, 1_000_000), (5, 3_000_000)):
        collector.receive(GENERATOR, message(number), 1, 0.0, wall_us=at_us)
    for now in range(3):
        collector.tick(float(now), 4_000_000)

    assert collector.gaps.take() == [
        {
            "T": 1_000_000, "Until": 3_000_000, "Source": "h1", "ModuleId": "agent",
            "Kind": "log", "Reason": "sequence_gap", "Count": 3,
        }
    ]  # fmt: skip
