"""Alarms that come and go: raised late, gone late, and kept while they went up too often."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.alarm_rule import AlarmRule, Condition
from skytrail.analytics.alarms import AlarmBoard

HOST = ("ObjectVRouter", "h1")
BAD, GOOD = {"S": {"bad": True}}, {"S": {"bad": False}}


def rule(active_s=0.0, idle_s=0.0, times=0, seconds=0.0):
    conditions = ((Condition("S.bad", "==", True),),)
    return AlarmRule(
        "r", 1, ("vrouter",), conditions, active_s=active_s, idle_s=idle_s,
        frequency_times=times, frequency_s=seconds,
    )  # fmt: skip


def flap(board, *moments):
    """Let the rule hold at each moment and no more half a second later; return the raisings and ends."""
    found = []
    for moment in moments:
        found += board.look(HOST, BAD, moment, 1)
        found += board.look(HOST, GOOD, moment + 0.5, 1)
    return [each.is_raised for each in found]


def test_alarm_that_went_up_too_often_stays_until_it_is_seldom_enough():
    board = AlarmBoard("n", [rule(times=2, seconds=10.0)])

    assert flap(board, 0.0, 1.0, 2.0) == [True, False, True, False, True]
    assert board.due(HOST) == 10.0
    assert board.look(HOST, GOOD, 9.9, 1) == []
    assert [each.is_raised for each in board.look(HOST, GOOD, 10.0, 1)] == [False]


def test_holding_again_while_it_stays_counts_and_raises_nothing_anew():
    board = AlarmBoard("n", [rule(times=1, seconds=10.0)])
    flap(board, 0.0, 1.0)

    assert flap(board, 9.0) == []
    # Of 1.0 and 9.0, not of 0.0 and 1.0 any more.
    assert board.due(HOST) == 11.0
    assert board.look(HOST, GOOD, 10.5, 1) == []
    assert len(board.look(HOST, GOOD, 11.0, 1)) == 1


def test_what_soaked_in_vain_did_not_go_up():
    board = AlarmBoard("n", [rule(active_s=5.0, times=1, seconds=60.0)])

    assert flap(board, *map(float, range(20))) == []
    assert board.waiting() == []


def test_how_often_is_forgotten_with_the_entity():
    board = AlarmBoard("n", [rule(times=1, seconds=100.0)])
    flap(board, 0.0, 1.0)

    assert len(board.look(HOST, {}, 2.0, 1)) == 1
    assert flap(board, 3.0) == [True, False]


def test_rule_that_changes_meanwhile_ends_by_its_new_times():
    board = AlarmBoard("n", [rule(idle_s=1000.0)])
    flap(board, 0.0)
    board.set_rules([rule(idle_s=5.0)])

    assert board.look(HOST, GOOD, 1.0, 1) == []
    assert board.due(HOST) == 5.5
    assert len(board.look(HOST, GOOD, 5.5, 1)) == 1


def expected(tried, looks):
    """Return whether the alarm stands after each look, by everything that ever was."""
    stands, held_since, ended_since, ups, told = False, None, None, [], []
    for now, is_bad in looks:
        if is_bad:
            held_since = now if held_since is None else held_since
            if stands and ended_since is not None:
                ups.append(now)
            elif not stands and now - held_since >= tried.active_s:
                stands = True
                ups.append(now)
            ended_since = None
        else:
            held_since = None
            if stands:
                ended_since = now if ended_since is None else ended_since
                lately = [each for each in ups if now - each < tried.frequency_s]
                allowed = tried.frequency_times or math.inf
                if now - ended_since >= tried.idle_s and len(lately) <= allowed:
                    stands, ended_since = False, None
        told.append(stands)
    return told


@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 4),
    st.integers(1, 30),
)
def test_alarm_stands_as_all_its_past_says(moves, active_s, idle_s, times, seconds):
    tried = rule(active_s, idle_s, times, seconds)
    board, looks, now = AlarmBoard("n", [tried]), [], 0
    for wait, is_bad in moves:
        now += wait
        looks.append((now, is_bad))

    found = []
    for moment, is_bad in looks:
        board.look(HOST, BAD if is_bad else GOOD, moment, moment + 1)
        found.append(bool(board.raised(HOST)))

    assert found == expected(tried, looks)
