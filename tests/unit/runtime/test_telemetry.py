"""What a process has said, and what of it a collector lacks."""

from __future__ import annotations

from skytrail.runtime.telemetry import Report
from skytrail.wire.telemetry import Uve


def row(key, **fields):
    return Uve(table="T", key=key, struct="S", fields=fields)


def numbers(changes):
    return [(each.key, each.sequence, each.is_deleted) for each in changes]


def test_only_what_changed_is_said_again():
    report = Report()

    assert numbers(report.update([row("a", x=1), row("b", x=1)])) == [
        ("a", 1, False),
        ("b", 2, False),
    ]
    assert numbers(report.update([row("a", x=1), row("b", x=2)])) == [("b", 3, False)]


def test_what_is_no_longer_told_is_taken_back_once():
    report = Report()
    report.update([row("a", x=1)])

    assert numbers(report.update([])) == [("a", 2, True)]
    assert report.update([]) == []
    assert numbers(report.update([row("a", x=1)])) == [("a", 3, False)]


def test_collector_is_told_what_it_lacks_deletions_included():
    report = Report()
    report.update([row("a", x=1), row("b", x=1), row("c", x=1)])
    report.update([row("a", x=1), row("c", x=9)])

    assert numbers(report.newer({"S": 2})) == [("c", 4, False), ("b", 5, True)]
    assert numbers(report.newer({})) == [("a", 1, False), ("c", 4, False), ("b", 5, True)]
