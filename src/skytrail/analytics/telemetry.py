"""What our own processes say, as UVEs with typed fields like everybody's. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, cast

from skytrail.analytics.uve import KEY_CHARACTERS_MAX, NAME_CHARACTERS_MAX, UveChange
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import ClientHello, Field, Struct, Value
from skytrail.wire.telemetry import Hello, Uve

VALUES_COUNT_MAX: Final = 65_536
"""Of one message: what is a byte on the wire may be hundreds in memory."""
_DEPTH_MAX: Final = 16
_RULES: Final = frozenset({"sum", "counter", "union", "append", "listkey"})
_U64: Final = 1 << 64
_I64: Final = 1 << 63


NODE_TABLES: Final = frozenset(
    {
        *("ObjectVRouter", "ObjectBgpRouter", "ObjectConfigNode", "ObjectCollectorInfo"),
        *("ObjectDatabaseInfo", "ObjectConfigDatabaseInfo", "ObjectAnalyticsAlarmInfo"),
        *("ObjectAnalyticsSnmpInfo", "ObjectDns", "ObjectKubernetesManagerNode"),
    }
)
"""Entities that are machines, named as they are."""
OWN_STRUCTS: Final = frozenset({"UVEAlarms", "ContrailConfig"})
"""What this node finds out by itself, of configuration and by rules."""


def speaks_for_another(source: str, uve: Uve) -> bool:
    """Tell whether a machine says what is not its to say: of other machines, or of alarms."""
    return uve.struct in OWN_STRUCTS or (uve.table in NODE_TABLES and uve.key != source)


def client_hello(hello: Hello) -> ClientHello:
    """Return the words of a process about itself, as every generator's."""
    # A process that starts anew has another start, if perhaps the same number.
    run = hello.started_us or hello.pid
    return ClientHello(hello.source, hello.module, hello.node_type, hello.instance_id, pid=run)


def change_of(generator: str, uve: Uve) -> UveChange:
    """Return the change; ``DecodeError`` for names or values that no UVE can have."""
    if not 0 < len(uve.key) <= KEY_CHARACTERS_MAX or not uve.table or not uve.struct:
        raise DecodeError("a UVE without table, struct or a key of a fair length")
    if max(len(uve.table), len(uve.struct)) > NAME_CHARACTERS_MAX:
        raise DecodeError(f"a name of a table or struct of over {NAME_CHARACTERS_MAX} characters")
    unknown = sorted(set(uve.rules.values()) - _RULES)
    if unknown:
        raise DecodeError(f"unknown aggregation {unknown[0][:32]!r}")
    if not 0 <= uve.sequence < _I64:
        raise DecodeError(f"a sequence number of {uve.sequence}")
    walk = _Walk()
    return UveChange(
        table=uve.table,
        key=uve.key,
        struct=uve.struct,
        generator=generator,
        fields={
            name: walk.field(name, value, uve.rules.get(name, ""), 0)
            for name, value in uve.fields.items()
        },
        is_deleted=uve.is_deleted,
        sequence=uve.sequence,
    )


def typed_fields(values: Mapping[str, object]) -> dict[str, Field]:
    """Return values with their types; ``DecodeError`` for what no field can hold."""
    walk = _Walk()
    return {name: walk.field(name, value, "", 0) for name, value in values.items()}


class _Walk:
    """Reads the values of one message, of which there may be only so many."""

    def __init__(self) -> None:
        self._left = VALUES_COUNT_MAX

    def field(self, name: str, value: object, rule: str, depth: int) -> Field:
        if depth > _DEPTH_MAX:
            raise DecodeError(f"field {name[:64]} is nested deeper than {_DEPTH_MAX}")
        notes = {"aggtype": rule} if rule else {}
        kind, element_type, shown = self._typed(name, value, depth)
        return Field(kind, shown, element_type, notes)

    def _typed(self, name: str, value: object, depth: int) -> tuple[str, str, Value]:
        """Return the wire's type names of a value, and the value."""
        self._left -= 1
        if self._left < 0:
            raise DecodeError(f"field {name[:64]}: over {VALUES_COUNT_MAX} values in one message")
        match value:
            case bool():
                return "bool", "", value
            case int() if 0 <= value < _U64:
                return "u64", "", value
            case int() if -_I64 <= value < 0:
                return "i64", "", value
            case float() if math.isfinite(value):
                return "double", "", value
            case str():
                return "string", "", value
            case list():
                return self._list(name, cast("list[object]", value), depth)
            case dict():
                return (
                    "struct",
                    "",
                    self._struct(name, cast("Mapping[object, object]", value), depth),
                )
            case _:
                raise DecodeError(f"field {name[:64]} holds {type(value).__name__}")

    def _list(self, name: str, values: list[object], depth: int) -> tuple[str, str, Value]:
        if depth > _DEPTH_MAX:
            raise DecodeError(f"field {name[:64]} is nested deeper than {_DEPTH_MAX}")
        typed = [self._typed(name, each, depth + 1) for each in values]
        kinds = {kind for kind, _, _ in typed} or {"string"}
        if len(kinds) > 1:
            if kinds <= {"u64", "i64"}:
                kinds = {"i64"}
            else:
                raise DecodeError(f"list {name[:64]} mixes {', '.join(sorted(kinds))}")
        return "list", kinds.pop(), [shown for _, _, shown in typed]

    def _struct(self, name: str, members: Mapping[object, object], depth: int) -> Struct:
        fields: dict[str, Field] = {}
        for key, each in members.items():
            if not isinstance(key, str):
                raise DecodeError(f"field {name[:64]} has a key that is not text")
            fields[key] = self.field(key, each, "", depth + 1)
        return Struct(name, fields)
