"""Apply the compiler's writes to its own intent, as the API server and the watch would."""

from __future__ import annotations

from typing import Final, cast

import msgspec

from skytrail.compiler.emit import Create, Delete, Update, Write, all_keys, plan
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.model.objects import decode_object

ROUNDS_COUNT_MAX: Final = 10


def settle(engine: Engine) -> list[list[Write]]:
    """Write until nothing is left to write; return the writes of each round.

    Raises AssertionError when the state does not come to rest.
    """
    rounds: list[list[Write]] = []
    while writes := plan(engine, all_keys(engine)):
        rounds.append(writes)
        assert len(rounds) <= ROUNDS_COUNT_MAX, writes
        for write in writes:
            carry_out(engine, write)
    return rounds


def carry_out(engine: Engine, write: Write) -> None:
    """Do to the intent what the API server does to the store."""
    kind = write.key.type_name
    match write:
        case Create(key, uuid, wire):
            made = dict(wire)
            if kind == "instance-ip":
                made["instance_ip_address"] = _address(uuid, str(wire.get("instance_ip_family")))
            if "parent_type" in made:
                parent = engine.intent.find(str(made["parent_type"]), key.fq_name[:-1])
                assert parent is not None, key
                made["parent_uuid"] = parent.uuid
            engine.apply([Put(decode_object(kind, made))])
        case Update(_, uuid, wire):
            stored = msgspec.to_builtins(engine.intent.item(kind, uuid))
            kept = cast("dict[str, object]", stored)
            changed = {name: each for name, each in {**kept, **wire}.items() if each is not None}
            engine.apply([Put(decode_object(kind, changed))])
        case Delete(_, uuid):
            engine.apply([Remove(kind, uuid)])


def _address(uuid: str, family: str) -> str:
    """Return an address that follows from the object, so that no order of events shows."""
    number = int(uuid[:4], 16)
    if family == "v6":
        return f"fd00::{number:x}"
    return f"198.18.{number >> 8}.{number & 255}"
