"""Where a query's rows come from: single rows, or a rollup that gives the same."""

from __future__ import annotations

import msgspec
import pytest

from skytrail.analytics.query import statement_of
from skytrail.analytics.query_request import QueryRequest

NOW_US = 1_790_000_000_000_000
MIXED = "session_1h+1m"
TOTALS = ["vn", "SUM(forward_sampled_bytes)", "COUNT(vn)"]


def source(fields=TOTALS, start="now-1h", end="now", keep_hours=None, **members):
    """Return the stored table that answers; where hours answer for the whole ones, ``session_1h+1m``."""
    members = {"table": "SessionSeriesTable", **members}
    request = {"start_time": start, "end_time": end, "select_fields": fields, **members}
    made = statement_of(msgspec.convert(request, QueryRequest), NOW_US, keep_hours or {})
    names = [part.split()[0] for part in made.sql.split(" FROM skytrail.")[1:]]
    return names[0] if len(names) == 1 else {("session_1h", *["session_1m"] * 2): MIXED}[*names]


def match(name, value):
    return [[{"name": name, "value": value, "op": 1}]]


@pytest.mark.parametrize(
    ("start", "end", "table"),
    [
        ("now-1h", "now", "session"),
        ("now-2h", "now", "session_1m"),
        ("now-179m", "now", "session_1m"),
        ("now-3h", "now", MIXED),
        ("now-4d", "now", MIXED),
        ("now-5d", "now", "session_1h"),
        # Single rows are kept a day, minutes a week.
        ("now-30h", "now-29h", "session_1m"),
        ("now-9d", "now-8d", "session_1h"),
    ],
)
def test_long_or_old_spans_are_answered_by_rollups(start, end, table):
    assert source(start=start, end=end) == table


def test_how_long_rows_are_kept_decides_what_is_old():
    assert source(start="now-30h", end="now-29h", keep_hours={"session": 48}) == "session"


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


def test_first_bin_of_a_rollup_counts_whole():
    request = {
        "table": "SessionSeriesTable", "start_time": NOW_US - 86_400_000_000 + 1,
        "end_time": NOW_US, "select_fields": ["T=60", *TOTALS],
    }  # fmt: skip

    made = statement_of(msgspec.convert(request, QueryRequest), NOW_US)

    starts = [value for value in made.parameters.values() if isinstance(value, int)]
    assert starts[0] % 60 == 0
    assert starts[0] * 1_000_000 <= request["start_time"] < (starts[0] + 60) * 1_000_000
