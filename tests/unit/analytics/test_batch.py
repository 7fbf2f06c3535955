"""Rows that wait: bounded, the least severe go first; messages as rows."""

from __future__ import annotations

import json

import pytest

from skytrail.analytics.batch import Batch, BlockBatch
from skytrail.analytics.history_rows import message_of, message_row
from skytrail.analytics.history_tables import MESSAGE
from skytrail.analytics.native import Block
from skytrail.analytics.pieces import Part
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import SandeshType, decode_message, encode_message
from skytrail.wire.telemetry import Hello, Log

HELLO = Hello(
    source="h1", node_type="Compute", module="agent", instance_id="0", pid=7, started_us=1
)


def row(name):
    return {"name": name}


def names(rows):
    return [each["name"] for each in rows]


def test_least_severe_rows_go_first_and_of_equal_ones_the_oldest():
    batch = Batch(rows_count_max=3)
    for name, level in (("error", 3), ("debug1", 7), ("debug2", 7), ("notice", 5), ("alert", 1)):
        batch.add(row(name), level)

    assert names(batch.take()) == ["alert", "error", "notice"]
    assert batch.shed == {7: 2}


def test_row_that_is_itself_the_least_severe_finds_no_room():
    batch = Batch(rows_count_max=1)
    batch.add(row("error"), 3)
    batch.add(row("debug"), 7)

    assert names(batch.take()) == ["error"]


def test_rows_are_taken_in_batches():
    batch = Batch()
    for number in range(5):
        batch.add(row(number))

    assert [names(batch.take(3)), names(batch.take(3)), len(batch)] == [[0, 1, 2], [3, 4], 0]


def test_rows_become_columns():
    batch = Batch()
    for row_ in ({"a": 1, "b": 2}, {"a": 3, "b": 4}):
        batch.add(row_)

    form, (part,) = batch.take_parts()

    assert (form, part.count) == ("JSONColumns", 2)
    assert json.loads(part.content) == {"a": [1, 3], "b": [2, 4]}


def test_blocks_stay_blocks_and_are_taken_in_order():
    batch = BlockBatch()
    batch.add(Block(2, [b"one"]))
    batch.add(Block(1, [b"other"]))

    assert len(batch) == 3
    assert batch.take_parts() == ("Native", [Part(2, b"\x01\x02one"), Part(1, b"\x01\x01other")])
    assert len(batch) == 0


def test_oldest_blocks_go_where_there_is_no_room():
    batch = BlockBatch(rows_count_max=3)
    for number in range(3):
        batch.add(Block(2, [str(number).encode()]))

    assert batch.take_parts()[1] == [Part(2, b"\x01\x022")]
    assert batch.shed.total() == 4


def test_log_of_a_process_is_a_message_like_a_generators():
    log = Log(
        timestamp_us=5, level=4, event="route_lost", fields={"prefix": "a<b", "count": 2},
        objects={"ObjectVNTable": "a:b:red"},
    )  # fmt: skip

    message = message_of(HELLO, log, 9)
    made = message_row(message)

    assert decode_message(encode_message(message)).fields == message.fields
    assert message.header.type is SandeshType.OBJECT
    assert set(made) == set(MESSAGE.columns)
    assert (made["Messagetype"], made["Level"], made["Pid"]) == ("route_lost", 4, 7)
    assert (made["ObjectTables"], made["ObjectIds"]) == (["ObjectVNTable"], ["a:b:red"])
    assert "a&lt;b" in made["Xmlmessage"]


@pytest.mark.parametrize(
    "log",
    [
        Log(timestamp_us=0, level=6, event="a b"),
        Log(timestamp_us=0, level=6, event="x", fields={"<": 1}),
        Log(timestamp_us=0, level=6, event="x", fields={"y": None}),
    ],
)
def test_log_that_no_message_can_hold_is_an_error(log):
    with pytest.raises(DecodeError):
        message_of(HELLO, log, 1)
