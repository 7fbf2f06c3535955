"""Source address translation in a namespace by the kernel's nf_tables, spoken to over netlink.

What ``nft`` would do with ``chain c { type nat hook postrouting priority srcnat; oifname "eth0"
masquerade; }`` in an ip and an ip6 table; the tool itself is not among what a lab needs installed.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterable

from skytrail.lab.io import netns

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE = _SUBSYSTEM | 0, _SUBSYSTEM | 3, _SUBSYSTEM | 6
_REQUEST, _ACKNOWLEDGE, _CREATE, _APPEND = 1, 4, 0x400, 0x800
_ERROR = 2
_NESTED = 0x8000
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_HOOK_POSTROUTING, _PRIORITY_SOURCE_NAT = 4, 100
_META_OUT_NAME = 7
_REGISTER = 1
_COMPARE_EQUAL = 0
_NAME_BYTES = 16
_TABLE, _CHAIN = "hide", "out"


def hide_behind(namespace: str, ifname: str) -> None:
    """Let everything leave by the interface with the interface's own address."""
    numbers = itertools.count(1)
    with netns.open_socket(namespace, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as to:
        for family in _FAMILIES:
            parts = [
                (_NEW_TABLE, _CREATE, _text(1, _TABLE)),
                (_NEW_CHAIN, _CREATE, _chain()),
                (_NEW_RULE, _CREATE | _APPEND, _rule(ifname)),
            ]
            batch = _message(next(numbers), _BATCH_BEGIN, _REQUEST, (0, 10), b"")
            for kind, flags, body in parts:
                flags |= _REQUEST | _ACKNOWLEDGE
                batch += _message(next(numbers), kind, flags, (family, 0), body)
            batch += _message(next(numbers), _BATCH_END, _REQUEST, (0, 10), b"")
            to.send(batch)
            for _ in parts:
                _check(to.recv(4096))


def _check(answer: bytes) -> None:
    _, kind, _, _, _, code = struct.unpack_from("=IHHIIi", answer)
    if kind != _ERROR or code:
        raise netns.NetworkError(f"nf_tables refused a rule: {kind} {code}")


def _chain() -> bytes:
    hook = _number(1, _HOOK_POSTROUTING) + _number(2, _PRIORITY_SOURCE_NAT)
    return _text(1, _TABLE) + _text(3, _CHAIN) + _nest(4, hook) + _text(7, "nat")


def _rule(ifname: str) -> bytes:
    name = ifname.encode().ljust(_NAME_BYTES, b"\0")
    # The attributes of "meta" are destination register, then key.
    meta = _number(1, _REGISTER) + _number(2, _META_OUT_NAME)
    compare = _number(1, _REGISTER) + _number(2, _COMPARE_EQUAL) + _nest(3, _attribute(1, name))
    expressions = [("meta", meta), ("cmp", compare), ("masq", b"")]
    listed = _joined(_nest(1, _text(1, kind) + _nest(2, body)) for kind, body in expressions)
    return _text(1, _TABLE) + _text(2, _CHAIN) + _nest(4, listed)


def _message(number: int, kind: int, flags: int, header: tuple[int, int], body: bytes) -> bytes:
    family, resource = header
    payload = struct.pack("!BBH", family, 0, resource) + body
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, number, 0) + payload


def _attribute(kind: int, body: bytes) -> bytes:
    padding = bytes(-len(body) % 4)
    return struct.pack("=HH", 4 + len(body), kind) + body + padding


def _nest(kind: int, body: bytes) -> bytes:
    return _attribute(kind | _NESTED, body)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value))


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts)
