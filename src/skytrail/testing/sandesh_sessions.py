"""Messages of sessions as agents that speak Sandesh send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from skytrail.wire.sandesh import (
    Field,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    StructMap,
    Value,
)

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("local_ip", "ip", "vrouter_ip", "other_vrouter_ip"), "ipaddr"),
        **dict.fromkeys(("flow_uuid", "sg_rule_uuid", "nw_ace_uuid"), "uuid_t"),
        **dict.fromkeys(("service_port", "port", "protocol", "underlay_proto"), "u16"),
        "tcp_flags": "i16",
    }
)
"""Of fields that are neither plain text nor ``i64``."""


def struct(name: str, **members: Value) -> Struct:
    """Return a struct with members of the types that agents give them."""
    return Struct(name, {each: _field(each, value) for each, value in members.items()})


def _field(name: str, value: Value) -> Field:
    if isinstance(value, list):
        return Field("set", value, "string")
    if isinstance(value, StructMap):
        return Field("map", value, "struct")
    if isinstance(value, Struct):
        return Field("struct", value)
    if isinstance(value, bool):
        return Field("bool", value)
    return Field(_TYPES.get(name, "i64" if isinstance(value, int) else "string"), value)


def session(forward: Mapping[str, Value], reverse: Mapping[str, Value], **members: Value) -> Struct:
    """Return one session, with what was counted of its two flows."""
    return struct(
        "SessionInfo",
        forward_flow_info=struct("SessionFlowInfo", **forward),
        reverse_flow_info=struct("SessionFlowInfo", **reverse),
        **members,
    )


def aggregate(sessions: Mapping[tuple[str, int], Struct], **members: Value) -> Struct:
    """Return the sessions of one service, by far address and port."""
    by_far = tuple(
        (struct("SessionIpPort", ip=ip, port=port), each) for (ip, port), each in sessions.items()
    )
    return struct("SessionAggInfo", **members, sessionMap=StructMap(by_far))


def endpoint(aggregates: Mapping[tuple[str, int, int], Struct], **members: Value) -> Struct:
    """Return what a workload has with one network, by own address, service port and protocol."""
    by_service = tuple(
        (struct("SessionIpPortProtocol", local_ip=ip, service_port=port, protocol=protocol), each)
        for (ip, port, protocol), each in aggregates.items()
    )
    return struct("SessionEndpoint", **members, sess_agg_info=StructMap(by_service))


def session_message(header: SandeshHeader, endpoints: Sequence[Struct]) -> SandeshMessage:
    """Return the message; ``header`` is of type ``SESSION``."""
    assert header.type == SandeshType.SESSION
    data = Field("list", list(endpoints), "struct")
    return SandeshMessage(header, "SessionEndpointObject", {"session_data": data})
