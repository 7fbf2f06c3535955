"""Messages as values: a header, and a tree of fields that say their type and annotations."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, cast

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

INTEGER_TYPES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "byte": (-128, 255),
        "i16": (-(1 << 15), (1 << 15) - 1),
        "i32": (-(1 << 31), (1 << 31) - 1),
        "i64": (-(1 << 63), (1 << 63) - 1),
        "u16": (0, (1 << 16) - 1),
        "u32": (0, (1 << 32) - 1),
        "u64": (0, (1 << 64) - 1),
        "ipv4": (0, (1 << 32) - 1),
    }
)
"""Type name to its smallest and largest value. ``ipv4`` is a number on the wire."""

TEXT_TYPES: Final = frozenset({"string", "ipaddr", "uuid_t", "xml"})


class SandeshType(enum.IntEnum):
    SYSTEM = 1
    REQUEST = 2
    RESPONSE = 3
    TRACE = 4
    BUFFER = 5
    UVE = 6
    OBJECT = 7
    FLOW = 8
    TRACE_OBJECT = 9
    SYSLOG = 10
    ALARM = 11
    SESSION = 12


class Hint(enum.IntFlag):
    """Bits of the header's ``Hints``."""

    NONE = 0
    KEY = 1
    CONTROL = 2
    SYNC = 4


@dataclass(frozen=True, slots=True)
class SandeshHeader:
    """Who says it, when and how urgently. ``timestamp_us`` is UTC since 1970."""

    source: str
    module: str
    node_type: str = ""
    instance_id: str = ""
    timestamp_us: int = 0
    sequence: int = 0
    type: SandeshType = SandeshType.SYSTEM
    hints: Hint = Hint.NONE
    level: int = 7
    """As of syslog, 0 (emergency) to 7 (debug)."""
    category: str = ""
    namespace: str = ""
    context: str = ""
    version: int = 0
    """Signature of the message's definition."""
    address: str = ""
    pid: int = 0

    @property
    def generator(self) -> str:
        """Return the identity that everything from this process bears."""
        return f"{self.source}:{self.node_type}:{self.module}:{self.instance_id}"


@dataclass(frozen=True, slots=True)
class Struct:
    name: str
    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class StructMap:
    """A map keyed by structs, such as (address, port): its entries, as they are told, no key twice."""

    entries: tuple[tuple[Struct, Value], ...]


Value = str | int | float | bool | Struct | list["Value"] | dict[str, "Value"] | StructMap
"""Of a field. Sets are lists; keys of maps are text, or structs in a :class:`StructMap`."""


@dataclass(frozen=True, slots=True)
class Field:
    """``type`` is the wire's name of it; ``element_type`` of a list's items or a map's values."""

    type: str
    value: Value
    element_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """What the definition says of the field, such as ``key`` or ``aggtype``."""


@dataclass(frozen=True, slots=True)
class SandeshMessage:
    header: SandeshHeader
    name: str
    fields: Mapping[str, Field]


def plain(value: Value) -> object:
    """Return a value without its types: structs and maps as dicts, maps keyed by structs as entries."""
    if isinstance(value, Struct):
        return {name: plain(each.value) for name, each in value.fields.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        members = cast("dict[str, Value]", value)
        return {name: plain(each) for name, each in members.items()}
    if isinstance(value, StructMap):
        return [{"key": plain(key), "value": plain(each)} for key, each in value.entries]
    return value
