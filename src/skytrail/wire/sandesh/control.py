"""The opening of a generator's connection, and the collector's answer.

generator --SandeshCtrlClientToServer: who I am, my types of UVE----------> collector
generator <-SandeshCtrlServerToClient: per type the newest number I have--- collector
generator --UVEs that are newer, with the hint SYNC, then everything new--> collector
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh.codec import encode_message
from skytrail.wire.sandesh.message import (
    Field,
    Hint,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    Value,
)

CLIENT_HELLO = "SandeshCtrlClientToServer"
SERVER_HELLO = "SandeshCtrlServerToClient"
_CONNECTIONS = "sucessful_connections"
"""Misspelt on the wire."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a generator says of itself."""

    source: str
    module: str
    node_type: str
    instance_id: str
    uve_types: tuple[str, ...] = ()
    connections_count: int = 0
    pid: int = 0
    http_port: int = 0

    @property
    def generator(self) -> str:
        return f"{self.source}:{self.node_type}:{self.module}:{self.instance_id}"


def decode_client_hello(message: SandeshMessage) -> ClientHello:
    """Read a connection's first message; ``DecodeError`` when it is anything else."""
    if message.name != CLIENT_HELLO or not message.header.hints & Hint.CONTROL:
        raise DecodeError(f"the connection begins with {message.name[:64]}, not {CLIENT_HELLO}")
    said = message.fields
    hello = ClientHello(
        source=_text(said, "source"),
        module=_text(said, "module_name"),
        node_type=_text(said, "node_type_name"),
        instance_id=_text(said, "instance_id_name"),
        uve_types=_texts(said, "uve_types"),
        connections_count=_number(said, _CONNECTIONS),
        pid=_number(said, "pid"),
        http_port=_number(said, "http_port"),
    )
    if not hello.source or not hello.module:
        raise DecodeError(f"{CLIENT_HELLO} does not say source and module_name")
    return hello


def encode_client_hello(hello: ClientHello, header: SandeshHeader) -> bytes:
    """Return the frame content of a generator's first message."""
    fields = {
        "source": Field("string", hello.source),
        "module_name": Field("string", hello.module),
        _CONNECTIONS: Field("u32", hello.connections_count),
        "uve_types": Field("list", list(hello.uve_types), "string"),
        "pid": Field("u32", hello.pid),
        "http_port": Field("u32", hello.http_port),
        "node_type_name": Field("string", hello.node_type),
        "instance_id_name": Field("string", hello.instance_id),
    }
    return encode_message(SandeshMessage(header, CLIENT_HELLO, fields))


def encode_server_hello(newest: Mapping[str, int], header: SandeshHeader) -> bytes:
    """Return the answer: per type of UVE the newest sequence number the collector has."""
    known = _type_list(newest.items())
    fields = {"type_info": Field("list", known, "struct"), "success": Field("bool", True)}
    return encode_message(SandeshMessage(header, SERVER_HELLO, fields))


def decode_server_hello(message: SandeshMessage) -> Mapping[str, int]:
    """Read the collector's answer; ``DecodeError`` when it is none, or a refusal."""
    success = message.fields.get("success")
    if message.name != SERVER_HELLO or success is None or success.value is not True:
        raise DecodeError(f"{message.name[:64]} does not admit the generator")
    listed = message.fields.get("type_info")
    newest: dict[str, int] = {}
    for each in listed.value if listed and isinstance(listed.value, list) else ():
        if isinstance(each, Struct):
            newest[_text(each.fields, "type_name")] = _number(each.fields, "seq_num")
    return newest


def control_header(source: str, module: str, node_type: str, instance_id: str) -> SandeshHeader:
    """Return the header of control messages."""
    return SandeshHeader(
        source, module, node_type, instance_id, type=SandeshType.REQUEST, hints=Hint.CONTROL
    )


def _type_list(pairs: Iterable[tuple[str, int]]) -> list[Value]:
    return [
        Struct("UVETypeInfo", {"type_name": Field("string", name), "seq_num": Field("u32", number)})
        for name, number in pairs
    ]


def _text(fields: Mapping[str, Field], name: str) -> str:
    value = fields[name].value if name in fields else ""
    if not isinstance(value, str):
        raise DecodeError(f"field {name} is not text")
    return value


def _texts(fields: Mapping[str, Field], name: str) -> tuple[str, ...]:
    value = fields[name].value if name in fields else []
    if not isinstance(value, list):
        raise DecodeError(f"field {name} is not a list")
    return tuple(each for each in value if isinstance(each, str))


def _number(fields: Mapping[str, Field], name: str) -> int:
    value = fields[name].value if name in fields else 0
    if not isinstance(value, int):
        raise DecodeError(f"field {name} is not a number")
    return value
