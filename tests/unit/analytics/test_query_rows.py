"""Where a query's rows come from: single rows, or a rollup that gives the same."""

from __future__ import annotations

import re

import msgspec
import pytest

from skytrail.analytics.query import statement_of
from skytrail.analytics.query_request import QueryRequest

NOW_US = 1_790_000_000_000_000
MIXED = "session_1h+1m"
MIXED_AT_BOTH_ENDS = "session_1h+1m+1m"
TOTALS = ["vn", "SUM(forward_sampled_bytes)", "COUNT(vn)"]


def source(fields=TOTALS, start="now-1h", end="now", keep_hours=None, **members):
    """Return the stored table that answers; where hours answer for the whole ones, ``session_1h+1m``.

    ``+1m`` for each end that is left to minutes.
    """
    members = {"table": "SessionSeriesTable", **members}
    request = {"start_time": start, "end_time": end, "select_fields": fields, **members}
    made = statement_of(msgspec.convert(request, QueryRequest), NOW_US, keep_hours or {})
    names = [part.split()[0] for part in made.sql.split(" FROM skytrail.")[1:]]
    return names[0] + "".join(f"+{each.removeprefix('session_')}" for each in names[1:])


def match(name, value):
    return [[{"name": name, "value": value, "op": 1}]]


@pytest.mark.parametrize(
    ("start", "end", "table"),
    [
        ("now-59m", "now", "session"),
        ("now-1h", "now", "session_1m"),
        ("now-179m", "now", "session_1m"),
        ("now-3h", "now", MIXED),
        ("now-4h", "now-1h", MIXED_AT_BOTH_ENDS),
        ("now-4h", "now-1m", MIXED_AT_BOTH_ENDS),
        ("now-4h", "now-1s", MIXED),
        ("now-59h", "now", MIXED),
        ("now-60h", "now", "session_1h"),
        # Single rows are kept a day, minutes a week.
        ("now-30h", "now-29h", "session_1m"),
        ("now-9d", "now-8d", "session_1h"),
    ],
)
def test_long_or_old_spans_are_answered_by_rollups(start, end, table):
    assert source(start=start, end=end) == table


def test_how_long_rows_are_kept_decides_what_is_old():
    hour = {"start": "now-30h", "end": "now-1741m"}

    assert source(**hour) == "session_1m"
    assert source(**hour, keep_hours={"session": 48}) == "session"


@pytest.mark.parametrize(
    ("members", "table"),
    [
        ({"fields": ["T=60", *TOTALS]}, "session_1m"),
        ({"fields": ["T=3600", *TOTALS]}, "session_1h"),
        ({"fields": ["T=90", *TOTALS]}, "session"),
        ({"fields": ["vn", "T=300"]}, "session_1m"),
        ({"fields": ["vn", "remote_vn"]}, "session"),
        ({"fields": ["local_ip", "SUM(forward_sampled_bytes)"]}, "session"),
        ({"fields": ["vn", "MAX(forward_sampled_bytes)"]}, "session"),
        ({"fields": ["vn", "AVG(forward_sampled_bytes)"]}, "session_1h"),
        ({"fields": TOTALS, "where": match("server_port", 80)}, "session_1h"),
        ({"fields": TOTALS, "where": match("client_port", 80)}, "session"),
        ({"fields": TOTALS, "filter": match("local_ip", "10.0.0.1")}, "session"),
        ({"fields": TOTALS, "session_type": "client"}, "session_1h"),
        (
            {"fields": ["vn", "SUM(forward_sampled_bytes)"], "table": "SessionRecordTable"},
            "session",
        ),
        ({"fields": ["name", "SUM(a.b)"], "table": "StatTable.A.b"}, "stat_1h"),
        ({"fields": ["name", "MAX(a.b)"], "table": "StatTable.A.b"}, "stat_1h"),
        ({"fields": ["name", "PERCENTILES(a.b)"], "table": "StatTable.A.b"}, "stat"),
        ({"fields": ["a.key", "SUM(a.b)"], "table": "StatTable.A.b"}, "stat"),
    ],
)
def test_only_what_a_rollup_holds_is_asked_of_it(members, table):
    assert source(start="now-6d", **members) == table


@pytest.mark.parametrize(
    ("bin_s", "start", "table"),
    [
        (60, "now-9m", "session"),
        (60, "now-10m", "session_1m"),
        (90, "now-10m", "session"),
        (3600, "now-2h", "session_1m"),
        (3600, "now-10h", "session_1h"),
    ],
)
def test_few_bins_are_enough_for_a_rollup_that_has_them(bin_s, start, table):
    assert source([f"T={bin_s}", *TOTALS], start=start) == table


def test_hours_meet_the_minutes_at_the_ends_and_the_hour_that_is_not_over_is_whole():
    hour = 3600
    now_s = NOW_US // 1_000_000
    for end_s in (now_s, now_s - hour):
        request = {
            "table": "SessionSeriesTable", "start_time": (now_s - 5 * hour) * 1_000_000,
            "end_time": end_s * 1_000_000, "select_fields": TOTALS,
        }  # fmt: skip

        made = statement_of(msgspec.convert(request, QueryRequest), NOW_US)

        bounds = re.findall(
            r"(session_1.) WHERE `T` >= toDateTime\(\{(\w+):Int64\}[^<]*< ?(=?) "
            r"toDateTime\(\{(\w+):Int64\}",
            made.sql,
        )
        spans = sorted(
            (
                made.parameters[first],
                made.parameters[last] + (60 if equal else 0) - made.parameters[last] % 60,
                name,
            )
            for name, first, equal, last in bounds
        )
        assert spans[0][0] == (now_s - 5 * hour) // 60 * 60
        assert [last for _, last, _ in spans[:-1]] == [first for first, _, _ in spans[1:]]
        assert spans[-1][1] == (
            -(-now_s // hour) * hour if end_s == now_s else end_s // 60 * 60 + 60
        )
        assert [name for _, _, name in spans] == ["session_1m", "session_1h", "session_1m"][
            : 2 + (end_s != now_s)
        ]


def test_first_bin_of_a_rollup_counts_whole():
    request = {
        "table": "SessionSeriesTable", "start_time": NOW_US - 86_400_000_000 + 1,
        "end_time": NOW_US, "select_fields": ["T=60", *TOTALS],
    }  # fmt: skip

    made = statement_of(msgspec.convert(request, QueryRequest), NOW_US)

    starts = [value for value in made.parameters.values() if isinstance(value, int)]
    assert starts[0] % 60 == 0
    assert starts[0] * 1_000_000 <= request["start_time"] < (starts[0] + 60) * 1_000_000
