"""One UDP port as several sockets, among which the kernel spreads senders by address.

A socket's buffer is shared by all who send to it: one that floods takes the place of everybody's datagrams before anybody
can tell who sent them. Here it fills one buffer of many, and the loop reads the others in turn.
"""

from __future__ import annotations

import ctypes
import secrets
import socket
import struct
from typing import Final

SOCKETS_COUNT: Final = 16
_SHIFT: Final = 32 - 4
"""What leaves the number of one of sixteen."""
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
_NETWORK: Final = 0xFFF00000
"""Offset of the network header in classic BPF (linux/filter.h, ``SKF_NET_OFF``)."""
_LOAD_BYTE, _LOAD_WORD, _TO_X = 0x30, 0x20, 0x07
_XOR_X, _MULTIPLY, _SHIFT_RIGHT = 0xAC, 0x24, 0x74
_IF_EQUAL, _GO, _RETURN_A = 0x15, 0x05, 0x16
_INSTRUCTION: Final = struct.Struct("=HBBI")


def bound_sockets(address: str, port: int, buffer_bytes: int) -> list[socket.socket]:
    """Bind the sockets of a port; raises ``OSError``, also where another process has the port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound: list[socket.socket] = []
    try:
        for number in range(SOCKETS_COUNT):
            each = socket.socket(family, socket.SOCK_DGRAM)
            bound.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            each.setblocking(False)
            if number:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind((address, port))
            # The first is bound alone, so that a port that somebody has is refused rather than shared.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _spread(bound[0])
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def _spread(first: socket.socket) -> None:
    """Have the kernel choose the socket by a hash of the sender's address, that nobody can foresee."""
    program = [
        (_LOAD_BYTE, 0, 0, _NETWORK),
        (_SHIFT_RIGHT, 0, 0, 4),
        (_IF_EQUAL, 0, 2, 4),
        (_LOAD_WORD, 0, 0, _NETWORK + 12),
        (_GO, 0, 0, 10),
        (_LOAD_WORD, 0, 0, _NETWORK + 8),
        *(
            each
            for offset in (12, 16, 20)
            for each in (
                (_TO_X, 0, 0, 0),
                (_LOAD_WORD, 0, 0, _NETWORK + offset),
                (_XOR_X, 0, 0, 0),
            )
        ),
        (_MULTIPLY, 0, 0, secrets.randbits(32) | 1),
        (_SHIFT_RIGHT, 0, 0, _SHIFT),
        (_RETURN_A, 0, 0, 0),
    ]
    code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*each) for each in program))
    told = struct.pack("HL", len(program), ctypes.addressof(code))
    first.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, told)
