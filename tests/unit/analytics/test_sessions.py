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
from skytrail.analytics.tags import TagNames
from skytrail.wire.errors import DecodeError


def test_rows_have_every_column_and_say_who_told_them():
    columns = checked_columns(
        {"T": [5, 6], "vn": ["a:b:red", None], "vrouter": ["somebody", "else"]}, "h1", TagNames()
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
        checked_columns(columns, "h1", TagNames())


VALUES = st.lists(st.none() | st.integers() | st.floats() | st.text(max_size=4), max_size=3)


@given(
    st.dictionaries(st.sampled_from([*SESSION.columns, "tags", "remote_tags"]), VALUES, max_size=4)
)
def test_any_columns_are_rows_or_a_decode_error(columns):
    with contextlib.suppress(DecodeError):
        checked = checked_columns(columns, "h1", TagNames())
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


def named(**tags):
    names = TagNames()
    for uuid, (number, fq_name) in tags.items():
        names.put(uuid, {"tag_id": number, "fq_name": fq_name})
    return names


def test_tags_are_stored_by_name_in_the_column_of_their_type():
    names = named(
        app=("0x00010005", ["application=hr"]),
        tier=("0x00020007", ["default-domain", "red", "tier=web"]),
        b=("0x00000002", ["label=b"]),
        a=("0x00000001", ["label=a"]),
        own=("0x01000001", ["colour=blue"]),
    )
    told = {
        "T": [1, 2, 3],
        "tags": ["0x00010005 0x00000002 0x00000001 0x01000001", "0x00010005", None],
        "remote_tags": ["0x00020007", "", "0x00030009"],
    }

    columns = checked_columns(told, "h1", names)

    assert columns["application"] == ["application=hr", "application=hr", ""]
    assert columns["labels"] == ["label=a;label=b", "", ""]
    assert columns["custom_tags"] == ["colour=blue", "", ""]
    assert columns["remote_tier"] == ["default-domain:red:tier=web", "", ""]
    assert columns["remote_deployment"] == ["", "", "0x00030009"]
    assert set(columns) == set(SESSION.columns)


def test_number_of_a_deleted_tag_keeps_its_name_until_another_has_it():
    names = named(old=("0x00010005", ["application=hr"]))

    names.delete("old")
    assert names.name(0x10005) == "application=hr"
    names.put("new", {"tag_id": "0x00010005", "fq_name": ["application=crm"]})
    names.delete("old")
    assert names.name(0x10005) == "application=crm"
    assert names.uuids == {"new"}


@pytest.mark.parametrize("tags", ["what", "0x100000000", "-1", 5, "1 " * 65])
def test_tags_that_are_no_numbers_are_refused(tags):
    with pytest.raises(DecodeError):
        checked_columns({"T": [1], "tags": [tags]}, "h1", TagNames())
