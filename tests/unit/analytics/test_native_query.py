"""Logs, flows and numbers by readable parameters: what is asked of the store, what is refused, what is described."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.native_query import PATHS, is_ndjson, openapi, request_of
from skytrail.analytics.query import statement_of
from skytrail.analytics.query_request import QueryUnusable

NOW_US = 1_795_838_400_000_000
STATISTICS = "StatTable.UveVMInterfaceAgent.if_stats"


def sql(path, **query):
    query = {name.rstrip("_"): value for name, value in query.items()}
    return statement_of(request_of(path, query), NOW_US)


def test_logs_are_asked_for_by_module_level_and_entity():
    asked = request_of(
        "logs", {"module": "m", "level": "warning", "object": "vrouter:h1", "last": "1h"}
    )

    assert asked.table == "ObjectVRouter"
    assert [(each.name, each.value, each.op) for each in asked.where[0]] == [
        ("ModuleId", "m", 1), ("Level", 4, 5), ("ObjectId", "h1", 1),
    ]  # fmt: skip
    assert (asked.start_time, asked.end_time) == ("now-1h", "now")


def test_flows_are_single_ones_or_sums_of_one_side():
    single = request_of("flows", {"network": "a:b:c", "protocol": "tcp", "port": "443"})
    sums = request_of("flows", {"by": "vn,remote_vn", "step": "60"})

    assert single.table == "SessionRecordTable"
    assert [each.value for each in single.where[0]] == ["a:b:c", 443, 6]
    assert (sums.table, sums.session_type) == ("SessionSeriesTable", "client")
    assert sums.select_fields[:3] == ["T=60", "vn", "remote_vn"]


def test_numbers_are_raw_or_by_step():
    raw = request_of("metrics", {"table": STATISTICS, "select": "if_stats.in_bytes"})
    course = request_of(
        "metrics", {"table": STATISTICS, "select": "SUM(if_stats.in_bytes)", "step": "60", "by": "name"}
    )  # fmt: skip
    total = request_of("metrics", {"table": STATISTICS, "select": "SUM(if_stats.in_bytes)"})

    assert raw.select_fields == ["T", "name", "Source", "if_stats.in_bytes"]
    assert course.select_fields == ["T=60", "name", "SUM(if_stats.in_bytes)"]
    assert total.select_fields == ["SUM(if_stats.in_bytes)"]


def test_times_are_of_a_zone_or_utc():
    asked = request_of("logs", {"from": "2026-11-28T05:00:00+01:00", "to": "2026-11-28T04:30"})

    assert (asked.start_time, asked.end_time) == (NOW_US, NOW_US + 1_800_000_000)


@pytest.mark.parametrize(
    ("path", "query", "word"),
    [
        ("logs", {"colour": "red"}, "colour"),
        ("logs", {"level": "loud"}, "level"),
        ("logs", {"object": "h1"}, "object"),
        ("logs", {"last": "1w"}, "last"),
        ("logs", {"last": "1h", "from": "2026-11-28"}, "last"),
        ("logs", {"from": "yesterday"}, "from"),
        ("logs", {"limit": "0"}, "limit"),
        ("logs", {"limit": "100001"}, "limit"),
        ("logs", {"order": "up"}, "order"),
        ("flows", {"port": "65536"}, "port"),
        ("flows", {"protocol": "tcpp"}, "protocol"),
        ("flows", {"tag": "web"}, "TYPE=VALUE"),
        ("flows", {"step": "0"}, "step"),
        ("metrics", {"table": "MessageTable", "select": "T"}, "table"),
        ("metrics", {"table": STATISTICS}, "select"),
    ],
)
def test_parameter_that_cannot_be_used_is_named(path, query, word):
    with pytest.raises(QueryUnusable, match=word):
        request_of(path, query)


def test_tag_is_found_in_full_and_of_any_project():
    assert "(^|[:;])tier=web($|;)" in sql("flows", tag="tier=web").parameters.values()
    assert "(^|;)a:b:tier=web($|;)" in sql("flows", remote_tag="a:b:tier=web").parameters.values()


@given(
    st.sampled_from(sorted(PATHS)),
    st.dictionaries(
        st.sampled_from(sorted({p.name for _, each in PATHS.values() for p in each})),
        st.text(max_size=20) | st.sampled_from(["10m", "60", STATISTICS, "tier=web", "vn,`x`"]),
        max_size=5,
    ),
)
def test_any_query_is_sql_of_our_names_or_refused(path, query):
    with contextlib.suppress(QueryUnusable):
        statement = statement_of(request_of(path, query), NOW_US)
        for value in query.values():
            if set(value) & set("'\\;\"") and len(value) > 3:
                assert value not in statement.sql


def test_format_is_chosen_by_parameter_or_header():
    assert is_ndjson({"format": "ndjson"}, "")
    assert not is_ndjson({"format": "json"}, "application/x-ndjson")
    assert is_ndjson({}, "application/x-ndjson")
    with pytest.raises(QueryUnusable, match="format"):
        is_ndjson({"format": "xml"}, "")


def test_every_parameter_is_described():
    paths = openapi()["paths"]

    for path, (_, parameters) in PATHS.items():
        described = paths[f"/api/v1/{path}"]["get"]["parameters"]
        assert [each["name"] for each in described] == [each.name for each in parameters]
        assert all(each["description"] for each in described)
