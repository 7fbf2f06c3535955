"""Queries to SQL: what users may ask, and that nothing of theirs becomes SQL."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.query import statement_of, statements_of
from skytrail.analytics.query_request import (
    QueryRequest,
    QueryUnusable,
    UnknownField,
    UnknownTable,
    moment_us,
)
from skytrail.analytics.query_views import view_of, views

NOW_US = 1_790_000_000_000_000
LOGS = {
    "table": "MessageTable",
    "start_time": "now-10m",
    "end_time": "now",
    "select_fields": ["MessageTS", "Source"],
}


def statement(**members):
    return statement_of(msgspec.convert({**LOGS, **members}, QueryRequest), NOW_US)


def spans(**members):
    """Return the parts in which an answer is looked for, in microseconds."""
    request = msgspec.convert({**LOGS, "start_time": "now-1d", **members}, QueryRequest)
    return [
        tuple(value for value in each.parameters.values() if value > NOW_US / 2)[:2]
        for each in statements_of(request, NOW_US)
    ]


def minutes(parts):
    return [round((last - first) / 60e6) for first, last in parts]


def test_first_rows_in_the_order_of_time_are_looked_for_in_one_part_of_it_after_the_other():
    by_time = {"sort_fields": ["MessageTS"], "sort": 2}

    assert minutes(spans(**by_time)) == [22, 337, 360, 720]
    assert minutes(spans(**{**by_time, "sort": 1})) == [22, 337, 360, 720]
    assert minutes(spans(sort_fields=["Source", "MessageTS"])) == minutes(spans()) == [1440]
    assert minutes(spans(**by_time, start_time="now-9m")) == [9]


@given(
    start_us=st.integers(NOW_US - 90_000_000_000, NOW_US),
    length_us=st.integers(0, 90_000_000_000),
    fields=st.sampled_from([["MessageTS"], ["T=60", "COUNT(Source)"], ["T=3600", "COUNT(Source)"]]),
    sort=st.sampled_from([1, 2]),
)
def test_parts_are_all_of_the_time_and_no_bin_is_in_two(start_us, length_us, fields, sort):
    end_us = min(start_us + length_us, NOW_US)
    parts = spans(
        start_time=start_us,
        end_time=end_us,
        select_fields=fields,
        sort_fields=fields[:1],
        sort=sort,
    )
    width = {"T=60": 60_000_000, "T=3600": 3_600_000_000}.get(fields[0], 1)

    in_time = sorted(parts)
    assert parts == (in_time if sort == 1 else in_time[::-1])
    assert (in_time[0][0], in_time[-1][1]) == (start_us, end_us)
    for (_, last), (first, _) in itertools.pairwise(in_time):
        assert last + 1 == first
        assert first % width == 0


def match(name, value, op=1, **more):
    return {"name": name, "value": value, "op": op, **more}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("now", NOW_US),
        ("now-15m", NOW_US - 900_000_000),
        ("now-2h", NOW_US - 7_200_000_000),
        ("1790000000000000", NOW_US),
        (5, 5),
    ],
)
def test_moments_are_understood(given, expected):
    assert moment_us("start_time", given, NOW_US) == expected


@pytest.mark.parametrize("given", ["yesterday", "now+1h", "now-1w", "", -1, 10**18, "9" * 30])
def test_moment_that_is_none_is_refused_by_name(given):
    with pytest.raises(QueryUnusable, match="start_time"):
        moment_us("start_time", given, NOW_US)


def test_values_are_bound_and_never_part_of_the_statement():
    hostile = "x' OR 1=1; DROP TABLE message --"

    made = statement(where=[[match("Source", hostile)], [match("Xmlmessage", hostile, 8)]])

    assert hostile not in made.sql
    assert list(made.parameters.values()).count(hostile) == 2


def test_alternatives_are_ored_and_what_stands_together_is_anded():
    made = statement(where=[[match("Source", "a"), match("Level", 4, 5)], [match("Source", "b")]])

    assert (
        "((t.`Source` = {p2:String} AND t.`Level` <= {p3:Int64}) OR (t.`Source` = {p4:String}))"
        in made.sql
    )


def test_bins_group_by_what_is_no_aggregate():
    made = statement(select_fields=["T=60", "Source", "COUNT(Source)"])

    assert made.columns == ["T=", "Source", "COUNT(Source)"]
    assert made.sql.endswith(
        " GROUP BY intDiv(toUnixTimestamp64Micro(t.`MessageTS`), 60000000) * 60000000, t.`Source`"
        " ORDER BY `T=` ASC LIMIT 10000"
    )


def test_a_course_over_time_is_in_its_order_unless_another_is_wanted():
    binned = {"select_fields": ["T=60", "Source", "COUNT(Source)"]}

    orders = [
        statement(**binned, **wanted).sql.partition(" ORDER BY ")[2]
        for wanted in ({}, {"sort": 2}, {"sort_fields": ["COUNT(Source)"], "sort": 2})
    ]

    assert orders == [
        "`T=` ASC LIMIT 10000",
        "`T=` DESC LIMIT 10000",
        "`COUNT(Source)` DESC LIMIT 10000",
    ]


def test_attributes_of_statistics_are_shown_as_what_they_are():
    """A number as a number, and what is compared with text as text."""
    made = statement(
        table="StatTable.VrouterStats.drops",
        select_fields=["drops.count"],
        where=[[match("drops.count", "3", 1)]],
    )

    shown, _, where = made.sql.partition(" WHERE ")
    number, text = "t.`numbers`[{p0:String}]", "t.`texts`[{p0:String}]"
    assert f"if(mapContains(t.`numbers`, {{p0:String}}), {number}, {text})" in shown
    assert "toString(" not in shown
    assert "toString(" in where


def test_rows_of_an_object_are_restricted_to_its_table():
    made = statement(table="ObjectVNTable", select_fields=["ObjectId", "ObjectLog"])

    assert "has(t.`ObjectTables`, 'ObjectVNTable')" in made.sql


def test_attributes_of_statistics_are_bound_names():
    made = statement(
        table="StatTable.VrouterStats.drops",
        select_fields=["T=60", "SUM(drops.count)"],
        where=[[match("drops.count", 3, 6)]],
    )

    assert "drops.count" not in made.sql.replace("`SUM(drops.count)`", "")
    assert list(made.parameters.values()).count("drops.count") == 2
    assert "sumIf(t.`numbers`[{p0:String}], mapContains(t.`numbers`, {p0:String}))" in made.sql


def test_sessions_are_asked_as_flows_of_one_direction():
    made = statement(
        table="FlowSeriesTable", dir=1, select_fields=["sourcevn", "destip", "sum(bytes)"]
    )

    assert made.columns == ["sourcevn", "destip", "sum(bytes)"]
    assert "FROM skytrail.session AS t ARRAY JOIN [false, true] AS is_reverse WHERE" in made.sql
    assert "toUInt8((t.`session_type` = 'client') != is_reverse) = {p2:Int64}" in made.sql


@pytest.mark.parametrize(
    ("members", "error", "word"),
    [
        ({"table": "Message"}, UnknownTable, "tables"),
        ({"table": "StatTable.x` y"}, UnknownTable, "tables"),
        ({"select_fields": ["Nope"]}, UnknownField, "Nope"),
        ({"select_fields": ["Source` FROM system.users --"]}, UnknownField, "Source"),
        ({"select_fields": ["COUNT(x`), (SELECT 1)"]}, UnknownField, "COUNT"),
        ({"select_fields": ["SUM(Source)"]}, QueryUnusable, "not a number"),
        ({"select_fields": []}, QueryUnusable, "select_fields"),
        ({"select_fields": ["T=0"]}, QueryUnusable, "T=0"),
        ({"select_fields": ["T=60", "T=300"]}, QueryUnusable, "T=60 and T=300"),
        ({"where": [[match("Level", "high")]]}, QueryUnusable, "high"),
        ({"where": [[match("Level", 1, 4)]]}, QueryUnusable, "op=4"),
        ({"where": [[match("Level", 1, 7)]]}, QueryUnusable, "prefix"),
        ({"where": [[match("Level", 1, 3)]]}, QueryUnusable, "value2"),
        ({"where": [[match("Level", 1 << 70)]]}, QueryUnusable, "out of range"),
        ({"where": [[match("Source", "a")] * 65]}, QueryUnusable, "matches"),
        ({"filter": ["x"]}, QueryUnusable, "filter"),
        ({"sort_fields": ["Level"]}, UnknownField, "Level"),
        ({"limit": 0}, QueryUnusable, "limit"),
        ({"start_time": "now", "end_time": "now-1m"}, QueryUnusable, "end_time"),
    ],
)
def test_query_that_makes_no_sense_is_refused_by_name(members, error, word):
    with pytest.raises(error, match=word):
        statement(**members)


def test_filters_are_matches_or_lists_of_them():
    flat, nested = (
        statement(filter=given).sql for given in ([match("Level", 4)], [[match("Level", 4)]])
    )

    assert flat == nested


def test_every_column_of_every_table_can_be_selected():
    for name, view in views().items():
        for column in view.columns:
            made = statement(table=name, select_fields=[column])
            assert made.columns == [column]
    assert view_of("StatTable.A.b").is_open


TEXT = st.text(max_size=12)


@given(TEXT, st.lists(TEXT, max_size=3), TEXT, TEXT, st.integers(-1, 9), st.lists(TEXT, max_size=2))
def test_no_character_of_a_query_that_could_end_a_name_gets_into_the_statement(
    table, fields, name, value, operation, sort
):
    members = {
        "select_fields": [*fields, "Source"],
        "where": [[match(name, value, operation)], [match("Source", value)]],
        "sort_fields": sort,
    }
    for chosen in (table, f"StatTable.{table}", "MessageTable", "ObjectVNTable"):
        try:
            made = statement(table=chosen, **members)
        except QueryUnusable:
            continue
        assert not set("'\";\\\n") & set(made.sql.replace("'ObjectVNTable'", ""))
        assert made.sql.count("`") % 2 == 0
