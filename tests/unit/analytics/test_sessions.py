"""Sessions of hosts as rows of the stored table."""

from __future__ import annotations

import contextlib
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.history_tables import SESSION
from skytrail.analytics.query import statement_of
from skytrail.analytics.query_request import QueryRequest
from skytrail.analytics.sessions import block_of
from skytrail.analytics.tags import TOLD, TagNames
from skytrail.wire.errors import DecodeError
from skytrail.wire.telemetry import Sessions, Texts
from skytrail.wire.telemetry.sessions import NUMBERS, TEXTS, pack, unpack


def columns_of_block(content):
    """Read a block of ClickHouse's format; the store reads them in tests/interop."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            at += 1
            value |= (content[at - 1] & 0x7F) << shift
            shift += 7
            if content[at - 1] < 0x80:
                return value

    def text():
        nonlocal at
        length = number()
        at += length
        return content[at - length : at].decode()

    def array_of(code, count):
        nonlocal at
        values = array(code)
        at += count * values.itemsize
        values.frombytes(content[at - count * values.itemsize : at])
        return values.tolist()

    columns_count, count = number(), number()
    found = {}
    for _ in range(columns_count):
        name, kind = text(), text()
        if kind != "LowCardinality(String)":
            found[name] = array_of(NUMBERS[name], count)
            continue
        _, _, words_count = struct.unpack_from("<QQQ", content, at)
        at += 24
        words = [text() for _ in range(words_count)]
        at += 8
        found[name] = [words[place] for place in array_of("H", count)]
    assert at == len(content)
    return found


def stored(message, source="h1", tags=None):
    """Return the rows that ClickHouse's format says, by column."""
    return columns_of_block(block_of(message, source, tags or TagNames()).encode())


def test_rows_say_who_told_them():
    columns = stored(pack([{"T": 5, "vn": "a:b:red", "vrouter": "else"}, {"T": 6}]))

    assert columns["T"] == [5, 6]
    assert columns["vn"] == ["a:b:red", ""]
    assert columns["vrouter"] == ["h1", "h1"]


def test_what_hosts_tell_is_what_the_table_has():
    told = {*TEXTS, *NUMBERS} - set(TOLD)

    assert told < set(SESSION.columns)
    for name, code in NUMBERS.items():
        wide = {"Float64": "d", "Int64": "q"}.get(SESSION.columns[name], code)
        assert (array(code).itemsize, code) == (array(wide).itemsize, wide)
        if code in "BHQ":
            assert SESSION.columns[name] == f"UInt{8 * array(code).itemsize}"


def packed(count=1, **columns):
    """Return a message with columns as they are given, right or wrong."""
    texts = {name: told for name, told in columns.items() if isinstance(told, Texts)}
    return Sessions(
        count=count,
        texts=texts,
        numbers={"T": bytes(8 * count)} | {k: v for k, v in columns.items() if k not in texts},
    )


@pytest.mark.parametrize(
    "message",
    [
        Sessions(count=0, texts={}, numbers={}),
        Sessions(count=-1, texts={}, numbers={}),
        Sessions(count=1, texts={"vn": Texts(["a"], bytes(2))}, numbers={}),
        packed(what=bytes(8)),
        packed(what=Texts(["a"], bytes(2))),
        packed(vrouter=Texts(["another"], bytes(2))),
        packed(vn=Texts([], bytes(2))),
        packed(vn=Texts(["a"], b"\1\0")),
        packed(vn=Texts(["a"], bytes(4))),
        packed(vn=Texts(["a"], b"")),
        packed(vn=Texts(["x" * 1025], bytes(2))),
        packed(vn=bytes(2)),
        packed(T=bytes(7)),
        packed(T=array("q", [-1]).tobytes()),
        packed(T=array("q", [1 << 62]).tobytes()),
        packed(2, T=array("q", [0, 32 * 86_400_000_000]).tobytes()),
        packed(server_port=bytes(3)),
        packed(20_001),
        *(
            packed(sample_weight=array("d", [weight]).tobytes())
            for weight in (float("inf"), float("nan"), -1.0, 2e9)
        ),
    ],
)
def test_columns_that_the_table_cannot_hold_are_refused(message):
    with pytest.raises(DecodeError):
        stored(message)


NAMES = st.sampled_from([*TEXTS, *NUMBERS, "what"])


@given(
    st.integers(-1, 4),
    st.dictionaries(
        NAMES, st.builds(Texts, st.lists(st.text(max_size=4), max_size=3), st.binary(max_size=8))
    ),
    st.dictionaries(NAMES, st.binary(max_size=32)),
)
def test_any_columns_are_rows_or_a_decode_error(count, texts, numbers):
    message = Sessions(count=count, texts=texts, numbers=numbers)
    with contextlib.suppress(DecodeError):
        assert {len(values) for values in stored(message).values()} == {count}


ROWS = st.lists(
    st.fixed_dictionaries(
        {"T": st.integers(0, 1 << 50)},
        optional={
            "vn": st.text(),
            "server_port": st.integers(0, 65_535),
            "sample_weight": st.floats(0, 1e9),
            "forward_sampled_bytes": st.integers(0, (1 << 64) - 1),
        },
    ),
    min_size=1,
)


@given(ROWS)
def test_what_is_packed_is_unpacked_as_it_was(rows):
    columns = unpack(pack(rows))

    for index, row in enumerate(rows):
        assert {name: columns[name][index] for name in row} == row


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
    told = pack(
        [
            {
                "T": 1,
                "tags": "0x00010005 0x00000002 0x00000001 0x01000001",
                "remote_tags": "0x00020007",
            },
            {"T": 2, "tags": "0x00010005"},
            {"T": 3, "remote_tags": "0x00030009"},
        ]
    )

    columns = stored(told, tags=names)

    assert columns["application"] == ["application=hr", "application=hr", ""]
    assert columns["labels"] == ["label=a;label=b", "", ""]
    assert columns["custom_tags"] == ["colour=blue", "", ""]
    assert columns["remote_tier"] == ["default-domain:red:tier=web", "", ""]
    assert columns["remote_deployment"] == ["", "", "0x00030009"]


def test_number_of_a_deleted_tag_keeps_its_name_until_another_has_it():
    names = named(old=("0x00010005", ["application=hr"]))

    names.delete("old")
    assert names.name(0x10005) == "application=hr"
    names.put("new", {"tag_id": "0x00010005", "fq_name": ["application=crm"]})
    names.delete("old")
    assert names.name(0x10005) == "application=crm"


@pytest.mark.parametrize("tags", ["what", "0x100000000", "-1", "1 " * 65])
def test_tags_that_are_no_numbers_are_refused(tags):
    with pytest.raises(DecodeError):
        stored(pack([{"T": 1, "tags": tags}]))
