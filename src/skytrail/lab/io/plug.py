"""Client of an agent's plug socket: tell it that a port's interface exists on its host."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec

_TIMEOUT_S = 10.0
_READ_BYTES = 65536


class PlugError(Exception):
    """The agent refused, or is not there; the text says which."""


class PluggedPort(msgspec.Struct, frozen=True, kw_only=True):
    """One interface the agent serves; further fields of the reply are ignored."""

    vmi_uuid: str
    vm_uuid: str
    ifname: str
    kind: str


class _Reply(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool
    error: str = ""
    ports: Sequence[PluggedPort] = ()


def plug(path: Path, port: PluggedPort) -> None:
    """Hand an interface to the agent; repeating it is harmless. :class:`PlugError`."""
    _ask(path, {"op": "plug", **msgspec.to_builtins(port)})


def unplug(path: Path, vmi_uuid: str) -> None:
    _ask(path, {"op": "unplug", "vmi_uuid": vmi_uuid})


def plugged(path: Path) -> tuple[PluggedPort, ...]:
    """Return what the agent serves now."""
    return tuple(_ask(path, {"op": "list"}).ports)


def _ask(path: Path, request: dict[str, str]) -> _Reply:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            reply = _decode(_read_line(connection))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlugError(f"agent socket {path}: {error}") from error
    if not reply.ok:
        raise PlugError(f"agent socket {path} refused {request['op']}: {reply.error}")
    return reply


def _decode(line: bytes) -> _Reply:
    return msgspec.json.decode(line, type=_Reply)


def _read_line(connection: socket.socket) -> bytes:
    received = bytearray()
    while b"\n" not in received:
        part = connection.recv(_READ_BYTES)
        if not part:
            break
        received += part
    return bytes(received)
