"""One that tells too much loses of its own; others' state and rows go on."""

from __future__ import annotations

import pytest

from skytrail.analytics.batch import Batch, BlockBatch
from skytrail.analytics.native import Block
from skytrail.analytics.statistics import ROWS_COUNT_MAX, rows_of_change
from skytrail.analytics.telemetry import VALUES_COUNT_MAX, change_of, speaks_for_another
from skytrail.analytics.uve import NAME_CHARACTERS_MAX, STRUCTS_COUNT_MAX, UveTables
from skytrail.analytics.uve_room import Room
from skytrail.wire.errors import DecodeError
from skytrail.wire.telemetry import (
    HELLO_BYTES_MAX,
    Hello,
    Statistic,
    TelemetryFramer,
    Uve,
    encode,
    kind_of,
)

EVIL, HONEST = "evil:Compute:agent:0", "h1:Compute:agent:0"


def uve(key="k", struct="S", table="T", **said):
    return Uve(table=table, key=key, struct=struct, sequence=1, **said)


def test_machine_may_hold_as_much_as_is_free():
    room = Room(12)
    room.add("evil", 6)
    room.add("worse", 3)

    assert not room.has("evil", 1)
    assert not room.has("worse", 1)
    assert room.has("honest", 3)


def test_entities_of_one_machine_leave_room_for_others():
    held = UveTables(keys_count_max=4000)
    taken = [
        held.apply(change_of(f"evil:Compute:agent:{number % 7}", uve(f"k{number}")), 0.0)
        for number in range(4000)
    ]

    assert sum(taken) == 2000
    assert held.refused_count == 2000
    assert all(held.apply(change_of(HONEST, uve(f"h{number}")), 0.0) for number in range(1000))


def test_bytes_of_one_machine_leave_room_for_others_and_come_back():
    held = UveTables(bytes_max=1 << 20)
    big = {"text": "x" * 100_000}
    taken = [
        held.apply(change_of(EVIL, uve(f"k{number}", fields=big)), 0.0) for number in range(10)
    ]

    assert sum(taken) == 5
    assert held.apply(change_of(HONEST, uve("h", fields=big)), 0.0)
    assert held.apply(change_of(EVIL, uve("k0", fields={"text": ""})), 0.0)
    held.forget(EVIL)
    assert all(
        held.apply(change_of(EVIL, uve(f"k{number}", fields=big)), 0.0) for number in range(4)
    )


def test_kinds_of_struct_of_one_generator_are_bounded():
    held = UveTables()
    taken = [
        held.apply(change_of(EVIL, uve(struct=f"S{number}", is_deleted=True)), 0.0)
        for number in range(STRUCTS_COUNT_MAX + 10)
    ]

    assert sum(taken) == STRUCTS_COUNT_MAX


@pytest.mark.parametrize(
    "told",
    [
        uve(table="T" * (NAME_CHARACTERS_MAX + 1)),
        uve(struct="S" * (NAME_CHARACTERS_MAX + 1)),
        uve(fields={"many": [{}] * VALUES_COUNT_MAX}),
        Uve(table="T", key="k", struct="S", sequence=1 << 63),
    ],
    ids=["table", "struct", "values", "sequence"],
)
def test_uve_that_is_too_much_is_an_error(told):
    with pytest.raises(DecodeError):
        change_of(EVIL, told)


def test_list_in_lists_deeper_than_the_bound_is_an_error():
    nested = []
    for _ in range(20):
        nested = [nested]

    with pytest.raises(DecodeError, match="nested"):
        change_of(EVIL, uve(fields={"deep": nested}))


def test_statistics_of_one_uve_are_bounded():
    change = change_of(EVIL, uve(fields={"map": {f"e{n}": {"n": n} for n in range(5000)}}))
    told = [Statistic(name="map", gauges=["map"] * 500)] * 500

    assert sum(1 for _ in rows_of_change(change, None, told, 1)) == ROWS_COUNT_MAX


def test_machine_speaks_for_no_other_and_raises_no_alarms():
    assert speaks_for_another("evil", uve("h1", table="ObjectVRouter"))
    assert speaks_for_another("evil", uve("d:red:net", "UVEAlarms", "ObjectVNTable"))
    assert not speaks_for_another("evil", uve("evil", table="ObjectVRouter"))
    assert not speaks_for_another("evil", uve("d:red:net", table="ObjectVNTable"))


def test_rows_of_who_tells_the_most_go_however_severe_they_are():
    batch = Batch(bytes_max=1_000_000)
    batch.add({"name": "honest"}, 7, "h1")
    for number in range(100):
        batch.add({"name": number, "text": "x" * 100_000}, 0, "evil")

    kept = [row["name"] for row in batch.take()]
    assert "honest" in kept
    assert batch.bytes_count == 0
    assert batch.shed == {0: 100 - len(kept) + 1}


def test_rows_are_taken_no_more_than_fit_a_piece():
    batch = Batch()
    for number in range(4):
        batch.add({"name": number, "text": "x" * 1000})

    assert [row["name"] for row in batch.take(size_max=2000)] == [0, 1]
    assert len(batch) == 2


def test_blocks_of_who_tells_the_most_go():
    batch = BlockBatch(bytes_max=1000)
    batch.add(Block(1, [b"honest"]), "h1")
    for _ in range(10):
        batch.add(Block(1, [bytes(300)]), "evil")

    _, parts = batch.take_parts()
    assert b"honest" in parts[0].content
    assert (len(parts), batch.shed.total(), batch.bytes_count) == (4, 7, 0)


def test_first_frame_of_a_connection_is_short():
    hello = Hello(
        source="h" * HELLO_BYTES_MAX, node_type="", module="", instance_id="", pid=1, started_us=1
    )
    framer = TelemetryFramer(HELLO_BYTES_MAX)
    framer.feed(encode(hello)[:8])

    with pytest.raises(DecodeError, match="a frame of"):
        framer.next_frame()


def test_kind_of_a_message_is_told_without_its_values():
    told = uve(fields={"many": [{}] * 1000})

    assert kind_of(encode(told)[4:]) == "uve"
    for wrong in (b"\x91" * 100, b"\x80", b""):
        with pytest.raises(DecodeError):
            kind_of(wrong)
