"""Spans of what the compiler derives."""

import pytest

from skytrail.client.watch_events import RevisionEnd
from skytrail.compiler.derive_traces import CHANGES_COUNT_MAX, DeriveTraces
from skytrail.wire.spans import root_of, trace_of


@pytest.fixture
def told():
    return []


@pytest.fixture
def traces(told):
    return DeriveTraces(lambda _: True, told.append)


def test_changes_derived_together_have_a_span_each(traces, told):
    traces.arrived(RevisionEnd(5, "a"), 1.0)
    traces.arrived(RevisionEnd(6, "b"), 1.5)
    traces.arrived(RevisionEnd(7, "c"), 1.7)
    traces.done(6, 8, 3, 2.0)

    first, second = told
    assert first.context.trace_id == trace_of(5, "a")
    assert first.parent_id == root_of(trace_of(5, "a"))
    assert (first.start, first.end) == (1.0, 2.0)
    assert dict(first.attributes) == {
        "skytrail.revision": 5,
        "skytrail.writes": 3,
        "skytrail.derived_with_revision": 6,
        "skytrail.derived_revision": 8,
    }
    assert "skytrail.derived_with_revision" not in second.attributes


def test_what_the_compiler_wrote_is_no_change(traces, told):
    traces.arrived(RevisionEnd(6, "b", 5), 1.0)
    traces.arrived(RevisionEnd(7, "c", 5, is_mixed=True), 1.0)
    traces.done(7, None, 0, 2.0)

    assert [span.attributes["skytrail.revision"] for span in told] == [7]


def test_compiler_that_does_not_write_tells_of_nothing_later(traces, told):
    traces.arrived(RevisionEnd(5, "a"), 1.0)
    traces.forget()
    traces.done(5, 6, 1, 2.0)

    assert told == []


def test_changes_that_wait_are_bounded(traces, told):
    for revision in range(2 * CHANGES_COUNT_MAX):
        traces.arrived(RevisionEnd(revision, ""), 1.0)
    traces.done(10_000, None, 0, 2.0)

    assert len(told) == CHANGES_COUNT_MAX
