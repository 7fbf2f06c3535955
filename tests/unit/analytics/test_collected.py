"""What is kept of nodes when an alarm is raised: which pages, how much, how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.alarm_rule import AlarmRule, Condition
from skytrail.analytics.alarms import Alarm, Transition
from skytrail.analytics.collected import (
    A_MINUTE_COUNT_MAX,
    AGAIN_S,
    KEPT_COUNT_MAX,
    PAGE_BYTES_MAX,
    ROWS_COUNT_MAX,
    Collected,
    Limits,
    Shelf,
    cut,
)
from skytrail.analytics.collector import Collector
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.watchman import Watchman
from skytrail.model.alarm_pages import PagesUnusable, pages_of
from skytrail.wire.telemetry import Uve

RULE = AlarmRule(
    "g:mine", 1, ("virtual-machine-interface",), ((Condition("S.bad", "==", True),),),
    collect=("agent/drops",),
)  # fmt: skip


def annotated(value):
    return {"annotations": {"key_value_pair": [{"key": "collect", "value": value}]}}


def test_pages_are_read_from_a_rules_annotation():
    assert pages_of(annotated("agent/drops  control/peers agent/drops")) == (
        "agent/drops", "control/peers",
    )  # fmt: skip
    assert pages_of({}) == ()
    assert pages_of(annotated("")) == ()


@pytest.mark.parametrize(
    "value", ["drops", "agent/", "/drops", "agent/../x", "a/b?c=1", " ".join(f"a/{n}" for n in range(9))]
)  # fmt: skip
def test_pages_that_are_none_are_refused(value):
    with pytest.raises(PagesUnusable):
        pages_of(annotated(value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(["annotations", "x"]), JSON))
def test_any_document_has_pages_or_none(document):
    assert pages_of(document) == ()


def test_rows_are_cut_by_count_and_size():
    assert len(cut([{"a": 1}] * 1000)) == ROWS_COUNT_MAX
    assert len(cut([{"a": "x" * (PAGE_BYTES_MAX // 4)}] * 10)) == 3


def raised(key):
    return Transition(("ObjectVRouter", key), Alarm(RULE, 0.0, 5), is_raised=True)


def test_the_same_alarm_and_too_many_are_not_collected_for():
    limits = Limits()

    assert limits.admits(raised("h1"), 0.0)
    assert not limits.admits(raised("h1"), AGAIN_S - 1)
    assert limits.admits(raised("h1"), AGAIN_S)
    admitted = [limits.admits(raised(f"n{each}"), AGAIN_S) for each in range(100)]
    assert sum(admitted) == A_MINUTE_COUNT_MAX - 1
    assert limits.refused_count == 100 - A_MINUTE_COUNT_MAX + 2


def test_newest_alarms_are_kept():
    shelf = Shelf()
    for each in range(KEPT_COUNT_MAX + 5):
        shelf.put(
            Collected(type="vrouter", name="h1", rule="r", raised_us=each, nodes=(), pages=())
        )

    assert len(shelf) == KEPT_COUNT_MAX
    assert [each.raised_us for each in shelf.of("vrouter", "h1")][:2] == [204, 203]
    assert shelf.of("vrouter", "h2") == []


def test_nodes_are_those_an_entity_needs_and_those_that_speak_of_it():
    collector = Collector()
    watchman = Watchman(collector, "node1")
    wanted = []
    watchman.collect = wanted.append
    watchman.set_rules([RULE], is_enabled=True)
    said = Uve(
        table="ObjectVMITable", key="a:b:port", struct="S", fields={"bad": True, "vrouter": "h1"}
    )
    collector.apply(change_of("h2:Compute:agent:0", said), 0.0)

    watchman.tick(0.0, 5)

    (one,) = wanted
    assert one.nodes == ("h1", "h2")
    assert one.transition.alarm.rule.collect == ("agent/drops",)
