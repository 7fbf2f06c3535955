"""Messages of single flows as agents that speak Sandesh sent them before sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from skytrail.wire.sandesh import Field, SandeshHeader, SandeshMessage, SandeshType, Struct, Value

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("direction_ing", "protocol", "tcp_flags"), "byte"),
        **dict.fromkeys(("sourceip", "destip"), "i32"),
        **dict.fromkeys(("sport", "dport"), "i16"),
    }
)
"""Of fields that are neither plain text nor ``i64``."""


def flow(**members: Value) -> Struct:
    """Return one flow, with members of the types that agents give them; an address may be text as well."""
    return Struct("FlowLogData", {name: _field(name, value) for name, value in members.items()})


def _field(name: str, value: Value) -> Field:
    if isinstance(value, str):
        return Field("string", value)
    return Field("bool" if isinstance(value, bool) else _TYPES.get(name, "i64"), value)


def flow_message(header: SandeshHeader, flows: Struct | Sequence[Struct]) -> SandeshMessage:
    """Return the message; ``header`` is of type ``FLOW``. One flow is told by itself, several as a list."""
    assert header.type == SandeshType.FLOW
    if isinstance(flows, Struct):
        return SandeshMessage(header, "FlowLogDataObject", {"flowdata": Field("struct", flows)})
    data = Field("list", list(flows), "struct")
    return SandeshMessage(header, "FlowLogDataObject", {"flowdata": data})
