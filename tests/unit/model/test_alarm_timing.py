"""Times of alarm rules: what their annotations say, and what they may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.model.alarm_timing import AlarmTiming, TimingUnusable, check_names, timing_of


def alarm(*pairs):
    return {"annotations": {"key_value_pair": [{"key": key, "value": each} for key, each in pairs]}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, AlarmTiming(0, 15, 0, 0)),
        ({"annotations": None}, AlarmTiming(0, 15, 0, 0)),
        (alarm(("collect", "agent/drops")), AlarmTiming(0, 15, 0, 0)),
        (
            alarm(("active-timer-seconds", "30"), ("idle-timer-seconds", "0")),
            AlarmTiming(30, 0, 0, 0),
        ),
        (
            alarm(("frequency-check-times", "3"), ("frequency-check-seconds", "600")),
            AlarmTiming(0, 15, 3, 600),
        ),
    ],
)
def test_annotations_say_how_long_and_how_often(document, expected):
    assert timing_of(document) == expected


@pytest.mark.parametrize(
    ("pairs", "name"),
    [
        ([("active-timer-seconds", "-1")], "active-timer-seconds"),
        ([("active-timer-seconds", "1.5")], "active-timer-seconds"),
        ([("active-timer-seconds", "\u0661")], "active-timer-seconds"),
        ([("active-timer-seconds", "86401")], "0 to 86400"),
        ([("idle-timer-seconds", "")], "idle-timer-seconds"),
        ([("idle-timer-seconds", None)], "idle-timer-seconds"),
        ([("idle-timer-seconds", "9" * 5000)], "idle-timer-seconds"),
        ([("idle-timer-seconds", "1"), ("idle-timer-seconds", "2")], "given twice"),
        (
            [("frequency-check-times", "0"), ("frequency-check-seconds", "1")],
            "frequency-check-times",
        ),
        ([("frequency-check-times", "101"), ("frequency-check-seconds", "1")], "1 to 100"),
        (
            [("frequency-check-times", "1"), ("frequency-check-seconds", "0")],
            "frequency-check-seconds",
        ),
        ([("frequency-check-times", "1")], "frequency-check-seconds"),
        ([("frequency-check-seconds", "60")], "frequency-check-times"),
    ],
)
def test_what_is_no_time_is_refused_by_name(pairs, name):
    with pytest.raises(TimingUnusable, match=name) as refused:
        timing_of(alarm(*pairs))

    assert len(str(refused.value)) < 300


KEYS = st.sampled_from(
    ["active-timer-seconds", "idle-timer-seconds", "frequency-check-times", "key", "frequency-check-seconds"]
)  # fmt: skip
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.integers(0, 99).map(str)
    | st.lists(KEYS)
)
PAIRS = st.lists(
    VALUES | st.fixed_dictionaries({"key": KEYS | VALUES, "value": VALUES}), max_size=5
)


@given(VALUES | st.fixed_dictionaries({"key_value_pair": VALUES | PAIRS}))
def test_whatever_is_noted_is_a_timing_or_refused(annotations):
    try:
        timing = timing_of({"annotations": annotations})
    except TimingUnusable:
        return

    assert 0 <= timing.active_s <= 86_400
    assert 0 <= timing.idle_s <= 86_400
    assert (timing.frequency_times == 0) == (timing.frequency_s == 0)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("active-timer-second", "active-timer-seconds"),
        ("Active_Timer_Seconds", "active-timer-seconds"),
        ("idel-timer-seconds", "idle-timer-seconds"),
        ("frequency-check-time", "frequency-check-times"),
        ("idle-timer-hours-of-night", "idle-timer-seconds"),
    ],
)
def test_key_that_nearly_is_ours_is_refused_with_the_right_one(written, meant):
    with pytest.raises(TimingUnusable, match=meant):
        check_names(alarm((written, "60")))


@pytest.mark.parametrize("key", ["collect", "owner", "timer", "active-timer-seconds", "seconds"])
def test_other_keys_are_free(key):
    check_names(alarm((key, "60")))
