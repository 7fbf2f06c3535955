"""Sessions of hosts as rows of the stored table."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.history_tables import SESSION
from skytrail.analytics.query import statement_of
from skytrail.analytics.query_request import QueryRequest
from skytrail.analytics.sessions import checked_columns
from skytrail.wire.errors import DecodeError


def test_rows_have_every_column_and_say_who_told_them():
    columns = checked_columns(
        {"T": [5, 6], "vn": ["a:b:red", None], "vrouter": ["somebody", "else"]}, "h1"
    )

    assert set(columns) == set(SESSION.columns)
    assert columns["T"] == [5, 6]
    assert columns["vn"] == ["a:b:red", ""]
    assert columns["vrouter"] == ["h1", "h1"]
    assert columns["protocol"] == [0, 0]


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
        {"T": [1], "vn": ["x" * 1025]},
        {"T": [1], "sample_weight": ["1"]},
    ],
)
def test_columns_that_the_table_cannot_hold_are_refused(columns):
    with pytest.raises(DecodeError):
        checked_columns(columns, "h1")


VALUES = st.lists(st.none() | st.integers() | st.floats() | st.text(max_size=4), max_size=3)


@given(st.dictionaries(st.sampled_from(list(SESSION.columns)), VALUES, max_size=4))
def test_any_columns_are_rows_or_a_decode_error(columns):
    with contextlib.suppress(DecodeError):
        checked = checked_columns(columns, "h1")
        assert {len(values) for values in checked.values()} == {len(columns["T"])}


def selected(table, field):
    request = QueryRequest(
        table=table, start_time="now-1m", end_time="now", select_fields=[f"SUM({field})"]
    )
    return statement_of(request, 1_790_000_000_000_000).sql


def test_sampled_sums_of_a_series_count_what_was_not_kept():
    assert "sample_weight" in selected("SessionSeriesTable", "forward_sampled_bytes")
    assert "sample_weight" not in selected("SessionSeriesTable", "forward_logged_bytes")
    assert "sample_weight" not in selected("SessionRecordTable", "forward_sampled_bytes")
