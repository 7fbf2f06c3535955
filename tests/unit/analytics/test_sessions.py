"""Sessions of hosts as rows of the stored table."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.history_tables import SESSION
from skytrail.analytics.query import statement_of
from skytrail.analytics.query_request import QueryRequest
from skytrail.analytics.sessions import rows_of
from skytrail.wire.errors import DecodeError


def test_rows_have_every_column_and_say_who_told_them():
    (row,) = rows_of({"T": [5], "vn": ["a:b:red"], "vrouter": ["somebody else"]}, "h1")

    assert set(row) == set(SESSION.columns)
    assert (row["T"], row["vn"], row["vrouter"], row["protocol"]) == (5, "a:b:red", "h1", 0)


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"vn": ["a"]},
        {"T": [1], "vn": []},
        {"T": [1], "what": [1]},
        {"T": ["now"]},
        {"T": [-1]},
        {"T": [1 << 62]},
        {"T": [1], "protocol": [256]},
        {"T": [1], "protocol": [True]},
        {"T": [1], "vn": [7]},
        {"T": [1], "sample_weight": [float("inf")]},
        {"T": [1] * 20_001},
    ],
)
def test_columns_that_the_table_cannot_hold_are_refused(columns):
    with pytest.raises(DecodeError):
        rows_of(columns, "h1")


VALUES = st.lists(st.none() | st.integers() | st.floats() | st.text(max_size=4), max_size=3)


@given(st.dictionaries(st.sampled_from(list(SESSION.columns)), VALUES, max_size=4))
def test_any_columns_are_rows_or_a_decode_error(columns):
    with contextlib.suppress(DecodeError):
        assert all(set(row) == set(SESSION.columns) for row in rows_of(columns, "h1"))


def selected(table, field):
    request = QueryRequest(
        table=table, start_time="now-1m", end_time="now", select_fields=[f"SUM({field})"]
    )
    return statement_of(request, 1_790_000_000_000_000).sql


def test_sampled_sums_of_a_series_count_what_was_not_kept():
    assert "sample_weight" in selected("SessionSeriesTable", "forward_sampled_bytes")
    assert "sample_weight" not in selected("SessionSeriesTable", "forward_logged_bytes")
    assert "sample_weight" not in selected("SessionRecordTable", "forward_sampled_bytes")
