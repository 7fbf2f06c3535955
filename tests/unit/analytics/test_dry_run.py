"""A rule tried over what is kept finds what the live watchman raised."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.analytics.alarm_rule import AlarmRule, Condition
from skytrail.analytics.collector import Collector
from skytrail.analytics.dry_run import SPANS_COUNT_MAX, DryRun, Step
from skytrail.analytics.dry_run_request import (
    DryRunRequest,
    RuleUnknown,
    chosen_of,
    rule_of,
    span_of,
)
from skytrail.analytics.query_request import QueryUnusable
from skytrail.analytics.system_alarms import SYSTEM_ALARMS
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.uve_recorder import UveRecorder
from skytrail.analytics.watchman import Watchman
from skytrail.wire.telemetry import Uve

US = 1_000_000
TABLE = "ObjectVNTable"


def rule(active_s=0.0, idle_s=15.0, path="S.v", operation="==", constant=1, often=(0, 0.0)):
    condition = Condition(path, operation, constant)
    times, seconds = often
    return AlarmRule(
        "g:mine", 1, ("virtual-network",), ((condition,),), "", active_s, idle_s,
        frequency_times=times, frequency_s=seconds,
    )  # fmt: skip


def live(tried, changes, seconds):
    """Run the real watchman and recorder, a tick a second; return the log of alarms and the rows kept."""
    collector = Collector()
    recorder, watchman = UveRecorder(collector, "n", 0), Watchman(collector, "n")
    watchman.set_rules([tried], is_enabled=True)
    told, rows = [], []
    for second in range(1, seconds + 1):
        for key, struct, value in changes.get(second, ()):
            fields = {} if value is None else {"v": value}
            uve = Uve(table=TABLE, key=key, struct=struct, fields=fields, is_deleted=value is None)
            collector.apply(change_of("h:Compute:a:0", uve), float(second))
        watchman.tick(float(second), second * US)
        recorder.tick(float(second), second * US)
        rows += collector.snapshots.take(100_000)
        told += [
            (row["ObjectIds"][0], row["Messagetype"] == "AlarmRaised", row["MessageTS"] // US)
            for row in collector.messages.take()
        ]
    return told, rows


def steps_of(rows):
    names = ("T", "Table", "name", "struct", "kind", "value")
    return [
        msgspec.convert([row[name] for name in names], Step)
        for row in rows
        if row["struct"] != "UVEAlarms"
    ]


def tried(rows, rule_, start_s, end_s, pieces=1):
    run = DryRun(rule_, start_s * US, end_s * US)
    steps = steps_of(rows)
    cuts = [
        0,
        *(index for index in range(1, len(steps)) if steps[index].at_us != steps[index - 1].at_us),
    ]
    for start, end in (
        zip(cuts, [*cuts[1:], len(steps)], strict=True) if pieces > 1 else [(0, len(steps))]
    ):
        run.feed(steps[start:end])
    return run, run.finish()


def told_of(spans):
    """Return spans as the log has them."""
    raised = [(each.name, True, each.raised_us // US) for each in spans]
    cleared = [(each.name, False, each.cleared_us // US) for each in spans if each.cleared_us]
    return sorted(raised + cleared, key=lambda each: (each[2], each[0], each[1]))


MOVES = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2, 4, 5, 6, 14, 15, 16, 29, 30, 31]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["S", "S", "R"]),
        st.none() | st.integers(0, 1),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=300)
@given(
    MOVES,
    st.sampled_from([0.0, 1.0, 5.0, 30.0]),
    st.sampled_from([0.0, 1.0, 15.0]),
    st.sampled_from([("S.v", "==", 1), ("S.v", "!=", 1), ("R", "==", None), ("S.v", ">", 0)]),
    st.sampled_from([1, 2]),
    st.sampled_from([(0, 0.0), (1, 20.0), (2, 60.0)]),
)
def test_dry_run_raises_what_the_watchman_raised(moves, active_s, idle_s, condition, pieces, often):
    mine, changes, second, counts = rule(active_s, idle_s, *condition, often), {}, 1, {}
    for wait, key, struct, value in moves:
        second += wait
        # So many changes of a struct are kept to the second.
        counts[key, struct] = counts.get((key, struct), 0) + 1
        if counts[key, struct] <= 4:
            changes.setdefault(second, []).append((key, struct, value))
    end = second + 60

    told, rows = live(mine, changes, end)
    _, spans = tried(rows, mine, 0, end, pieces)

    assert told_of(spans) == sorted(told, key=lambda each: (each[2], each[0], each[1]))


def test_alarm_that_stood_before_is_told_as_such_and_what_was_over_is_not():
    changes = {5: [("a", "S", 1), ("b", "S", 1)], 20: [("b", "S", 0)]}
    _, rows = live(rule(), changes, 200)

    _, spans = tried(rows, rule(), 100, 200)

    (span,) = spans
    assert (span.name, span.is_from_before, span.raised_us, span.cleared_us) == (
        "a", True, 100 * US, None,
    )  # fmt: skip
    assert span.matched["or_list"][0]["and_list"][0]["match"][0]["json_operand1_value"] == "1"


def test_node_that_began_anew_knew_nothing_and_no_alarm_stood():
    _, rows = live(rule(), {5: [("a", "S", 1)]}, 20)
    again = [{**row, "T": row["T"] + 100 * US} for row in rows]

    run, spans = tried([*rows, *again], rule(), 0, 200)

    assert [(each.raised_us // US, each.is_restart) for each in spans] == [(5, True), (105, False)]
    assert spans[0].cleared_us == 100 * US
    assert run.entities_count == 1


def test_alarms_beyond_what_is_told_are_counted():
    rows = [
        {"T": US, "Table": TABLE, "name": f"n{number}", "struct": "S", "kind": "new", "value": '{"v":1}'}
        for number in range(SPANS_COUNT_MAX + 5)
    ]  # fmt: skip
    run, spans = tried(rows, rule(), 0, 5)

    assert (len(spans), run.spans_count) == (SPANS_COUNT_MAX, SPANS_COUNT_MAX + 5)


def condition(operand1="S.v", operation="==", **operand2):
    return {
        "operand1": operand1,
        "operation": operation,
        "operand2": operand2 or {"json_value": "1"},
    }


def alarm(*conditions, keys=("virtual-network",), severity=1):
    return {
        "uve_keys": {"uve_key": list(keys)},
        "alarm_severity": severity,
        "alarm_rules": {"or_list": [{"and_list": list(conditions or [condition()])}]},
    }


def annotated(name, value):
    return {"annotations": {"key_value_pair": [{"key": name, "value": value}]}}


def asked(**members):
    return msgspec.convert(members, DryRunRequest)


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({}, "rule or name"),
        ({"rule": alarm(), "name": "x"}, "rule or name"),
        ({"rule": {}}, "uve_keys"),
        ({"rule": alarm(keys=("no-such",))}, "uve_keys"),
        ({"rule": alarm(keys=())}, "uve_keys"),
        ({"rule": alarm(condition(operation="~"))}, "operation"),
        ({"rule": alarm(condition(operand1=""))}, "operand1"),
        ({"rule": alarm(condition(operand1="a." * 300))}, "operand1"),
        ({"rule": alarm(condition(json_value="{"))}, "json_value"),
        ({"rule": alarm(*[condition()] * 65)}, "alarm_rules"),
        ({"rule": {**alarm(), "alarm_rules": 7}}, "alarm_rules"),
        ({"rule": {**alarm(), "alarm_rules": {"or_list": [{"and_list": []}]}}}, "alarm_rules"),
        ({"rule": {**alarm(condition()), "alarm_severity": "x"}}, "alarm_severity"),
        (
            {"rule": {**alarm(), **annotated("active-timer-seconds", "soon")}},
            "active-timer-seconds",
        ),
        (
            {"rule": {**alarm(), **annotated("frequency-check-times", "3")}},
            "frequency-check-seconds",
        ),
        ({"rule": alarm(), "last": "soon"}, "last"),
        ({"rule": alarm(), "last": "1h", "from": "2026-11-28T00:00:00Z"}, "last"),
        ({"rule": alarm(), "from": "x"}, "from"),
        ({"rule": alarm(), "to": "2999-11-28T00:00:00Z"}, "to"),
        ({"rule": alarm(), "last": "0s"}, "from"),
        ({"rule": alarm(), "entity": "x" * 2000}, "entity"),
    ],
)
def test_what_cannot_be_tried_is_refused_by_its_field(members, word):
    request = asked(**members)

    def read():
        span_of(request, 1_790_000_000 * US)
        return chosen_of(request, rule_of(request, SYSTEM_ALARMS))

    with pytest.raises(QueryUnusable, match=word):
        read()


def test_rule_in_force_is_found_by_name():
    name = SYSTEM_ALARMS[0].name

    assert rule_of(asked(name=name), SYSTEM_ALARMS) is SYSTEM_ALARMS[0]
    with pytest.raises(RuleUnknown, match="no rule"):
        rule_of(asked(name="nope"), SYSTEM_ALARMS)


def test_rule_reads_the_structs_it_names_and_all_by_a_star():
    mine = rule_of(asked(rule=alarm(condition("S.v", uve_attribute="R.w"))), ())

    assert chosen_of(asked(entity="d:p:*"), mine).parts == (("R", ""), ("S", ""))
    assert chosen_of(asked(entity="d:p:*"), mine).keys == ("d:p:*",)
    assert chosen_of(asked(), rule_of(asked(rule=alarm(condition("*.v"))), ())).parts == ()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "or_list",
                        "and_list",
                        "operand1",
                        "operation",
                        "operand2",
                        "uve_key",
                        "json_value",
                    ]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_rules_of_any_form_are_refused_as_what_they_are(value):
    request = asked(
        rule={"uve_keys": value, "alarm_severity": 1, "alarm_rules": value, "fq_name": value}
    )

    with pytest.raises(QueryUnusable, match=r"^rule: "):
        rule_of(request, ())
