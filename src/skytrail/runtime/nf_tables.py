"""The kernel's nf_tables over netlink: batches that hold as a whole or not at all.

What ``nft`` would say; the tool itself is not among what a host needs installed. Numbers are those
of ``linux/netfilter/nf_tables.h``.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NETLINK_NETFILTER = 12
_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 16, 17
NEW_TABLE, DELETE_TABLE, NEW_CHAIN, NEW_RULE, NEW_SET, NEW_ELEMENTS = 0, 2, 3, 6, 9, 12
_REQUEST, _ACKNOWLEDGE, _CREATE, _APPEND = 1, 4, 0x400, 0x800
_ERROR = 2
_NESTED = 0x8000
_ANSWER_BYTES_MAX = 65_536
HOOK_OUTPUT, HOOK_POSTROUTING = 3, 4
_META_OUT_NAME = 7
_COMPARE_EQUAL = 0
_NAME_BYTES = 16
REGISTER = 1
"""The one that rules here compute in."""


@dataclass(frozen=True, slots=True)
class Change:
    family: int
    """``AF_INET`` or ``AF_INET6``."""
    kind: int
    body: bytes

    @property
    def flags(self) -> int:
        if self.kind == DELETE_TABLE:
            return _REQUEST
        return _REQUEST | _CREATE | (_APPEND if self.kind == NEW_RULE else 0)


def commit(to: socket.socket, changes: Sequence[Change]) -> None:
    """Have the kernel carry out all changes at once; ``OSError`` with its code when it refuses."""
    numbers = itertools.count(1)
    batch = _message(next(numbers), _BATCH_BEGIN, _REQUEST, (0, _SUBSYSTEM), b"")
    for each in changes:
        # What fails is told in any case, and before the last one's acknowledgement.
        flags = each.flags | (_ACKNOWLEDGE if each is changes[-1] else 0)
        kind = _SUBSYSTEM << 8 | each.kind
        batch += _message(next(numbers), kind, flags, (each.family, 0), each.body)
    to.send(batch + _message(next(numbers), _BATCH_END, _REQUEST, (0, _SUBSYSTEM), b""))
    _, kind, _, number, _, code = struct.unpack_from("=IHHIIi", to.recv(_ANSWER_BYTES_MAX))
    if kind != _ERROR or code:
        raise OSError(-code, f"nf_tables refused change {number - 1}: {os.strerror(-code)}")


def base_chain(table: str, name: str, kind: str, hook: tuple[int, int]) -> bytes:
    """``hook``: which, and the priority there."""
    at = number(1, hook[0]) + number(2, hook[1])
    return text(1, table) + text(3, name) + nest(4, at) + text(7, kind)


def rule(table: str, chain: str, expressions: Iterable[tuple[str, bytes]]) -> bytes:
    listed = b"".join(nest(1, text(1, kind) + nest(2, body)) for kind, body in expressions)
    return text(1, table) + text(2, chain) + nest(4, listed)


def leaves_by(ifname: str) -> list[tuple[str, bytes]]:
    """Return expressions that hold for packets that leave by the interface."""
    name = ifname.encode().ljust(_NAME_BYTES, b"\0")
    return [
        ("meta", number(1, REGISTER) + number(2, _META_OUT_NAME)),
        ("cmp", number(1, REGISTER) + number(2, _COMPARE_EQUAL) + value(3, name)),
    ]


def attribute(kind: int, body: bytes) -> bytes:
    padding = bytes(-len(body) % 4)
    return struct.pack("=HH", 4 + len(body), kind) + body + padding


def nest(kind: int, body: bytes) -> bytes:
    return attribute(kind | _NESTED, body)


def text(kind: int, content: str) -> bytes:
    return attribute(kind, content.encode() + b"\0")


def number(kind: int, content: int) -> bytes:
    """Negative ones are those of 32 bits."""
    return attribute(kind, struct.pack("!I", content & 0xFFFFFFFF))


def value(kind: int, content: bytes) -> bytes:
    """Data as rules compare and load it."""
    return nest(kind, attribute(1, content))


def _message(number: int, kind: int, flags: int, header: tuple[int, int], body: bytes) -> bytes:
    family, resource = header
    payload = struct.pack("!BBH", family, 0, resource) + body
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, number, 0) + payload
