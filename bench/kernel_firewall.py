"""The kernel's own stateful policy on a bridge: nf_tables with conntrack, spoken to over netlink.

What ``nft`` would do with ``chain f { type filter hook forward priority filter; policy drop; ct state
established,related accept; udp dport >= 1 accept; }`` in an ip table, for bridged packets by the bridge's calls
of netfilter; this kernel has no conntrack of bridges themselves.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from rig import inside, run

_NETFILTER = 12
_SUBSYSTEM = 10 << 8
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE = _SUBSYSTEM | 0, _SUBSYSTEM | 3, _SUBSYSTEM | 6
_CONNTRACK_DELETE = 1 << 8 | 2
_BATCH_BEGIN, _BATCH_END = 16, 17
_REQUEST, _ACKNOWLEDGE, _CREATE, _APPEND = 1, 4, 0x400, 0x800
_NESTED = 0x8000
_FORWARD, _DROP, _ACCEPT = 2, 0, 1
_ESTABLISHED_OR_RELATED = 6
_EQUAL, _UNEQUAL, _AT_LEAST = 0, 1, 5
_L4_PROTOCOL, _TRANSPORT = 16, 2
Expression = tuple[str, bytes]


def guard_bridge(namespace: str) -> None:
    """Let established connections and new UDP ones through bridges of a namespace."""
    run(f"nsenter --net=/run/netns/{namespace} sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    hook = _number(1, _FORWARD) + _number(2, 0)
    chain = _text(1, "t") + _text(3, "f") + _nest(4, hook) + _number(5, _DROP) + _text(7, "filter")
    parts = [
        (_NEW_TABLE, _CREATE, _text(1, "t")),
        (_NEW_CHAIN, _CREATE, chain),
        (_NEW_RULE, _CREATE | _APPEND, _rule([*_ct_state(), _accept()])),
        (_NEW_RULE, _CREATE | _APPEND, _rule([*_new_udp(), _accept()])),
    ]
    batch = _message(1, _BATCH_BEGIN, _REQUEST, (0, 10), b"")
    for number, (kind, flags, body) in enumerate(parts, start=2):
        flags |= _REQUEST | _ACKNOWLEDGE
        batch += _message(number, kind, flags, (socket.AF_INET, 0), body)
    batch += _message(len(parts) + 2, _BATCH_END, _REQUEST, (0, 10), b"")
    with inside(namespace), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as to:
        to.send(batch)
        for _ in parts:
            (code,) = struct.unpack_from("=i", to.recv(4096), 16)
            if code:
                raise OSError(-code, "nf_tables refused a rule")


def forget_connections(namespace: str) -> None:
    """Empty a namespace's connection table."""
    flags = _REQUEST | _ACKNOWLEDGE
    with inside(namespace), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as to:
        to.send(_message(1, _CONNTRACK_DELETE, flags, (socket.AF_UNSPEC, 0), b""))
        (code,) = struct.unpack_from("=i", to.recv(4096), 16)
    if code:
        raise OSError(-code, "conntrack refused to forget connections")


def _ct_state() -> list[Expression]:
    mask = struct.pack("=I", _ESTABLISHED_OR_RELATED)
    bits = _number(1, 1) + _number(2, 1) + _number(3, 4)
    bits += _nest(4, _attribute(1, mask)) + _nest(5, _attribute(1, bytes(4)))
    return [
        ("ct", _number(1, 1) + _number(2, 0)),
        ("bitwise", bits),
        _compare(_UNEQUAL, bytes(4)),
    ]


def _new_udp() -> list[Expression]:
    port = _number(1, 1) + _number(2, _TRANSPORT) + _number(3, 2) + _number(4, 2)
    return [
        ("meta", _number(1, 1) + _number(2, _L4_PROTOCOL)),
        _compare(_EQUAL, bytes((socket.IPPROTO_UDP,))),
        ("payload", port),
        _compare(_AT_LEAST, (1).to_bytes(2, "big")),
    ]


def _compare(how: int, value: bytes) -> Expression:
    return "cmp", _number(1, 1) + _number(2, how) + _nest(3, _attribute(1, value))


def _accept() -> Expression:
    verdict = _nest(2, _number(1, _ACCEPT))
    return "immediate", _number(1, 0) + _nest(2, verdict)


def _rule(expressions: Sequence[Expression]) -> bytes:
    listed = b"".join(_nest(1, _text(1, kind) + _nest(2, body)) for kind, body in expressions)
    return _text(1, "t") + _text(2, "f") + _nest(4, listed)


def _message(number: int, kind: int, flags: int, header: tuple[int, int], body: bytes) -> bytes:
    payload = struct.pack("!BBH", header[0], 0, header[1]) + body
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, number, 0) + payload


def _attribute(kind: int, body: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(body), kind) + body + bytes(-len(body) % 4)


def _nest(kind: int, body: bytes) -> bytes:
    return _attribute(kind | _NESTED, body)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value))
