"""Writing pcapng files (draft-ietf-opsawg-pcapng): sections, interfaces, packets with comments.

Little-endian, Ethernet, nanoseconds. Pure: bytes out, a block at a time.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_LINK_ETHERNET = 1
_END, _COMMENT = 0, 1
_APPLICATION = 4
_IF_NAME, _IF_DESCRIPTION, _IF_TIME_RESOLUTION = 2, 3, 9
_PACKET_FLAGS = 2
_RECEIVED, _DROPPED = 4, 5
_NANOSECONDS = bytes((9,))
_TEXT_BYTES_MAX = 4096


class Direction(enum.IntEnum):
    """Seen from the interface: inbound is what it receives."""

    UNKNOWN = 0
    INBOUND = 1
    OUTBOUND = 2


@dataclass(frozen=True, slots=True)
class Packet:
    """One frame as captured; ``time_ns`` since 1970."""

    interface: int
    time_ns: int
    frame: bytes
    original_bytes: int
    direction: Direction = Direction.UNKNOWN
    comment: str = ""


def section(application: str) -> bytes:
    """Return the start of a file."""
    body = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
    return _block(_SECTION, body + _options([(_APPLICATION, application.encode())]))


def interface(name: str, description: str, snap_bytes: int) -> bytes:
    """Describe the next interface; they are numbered from 0 in the order of the file."""
    options = [
        (_IF_NAME, name.encode()),
        (_IF_DESCRIPTION, description.encode()),
        (_IF_TIME_RESOLUTION, _NANOSECONDS),
    ]
    body = struct.pack("<HHI", _LINK_ETHERNET, 0, snap_bytes)
    return _block(_INTERFACE, body + _options(options))


def packet(captured: Packet) -> bytes:
    """Return one packet with its direction and comment."""
    options: list[tuple[int, bytes]] = []
    if captured.comment:
        options.append((_COMMENT, captured.comment.encode()))
    if captured.direction:
        options.append((_PACKET_FLAGS, struct.pack("<I", captured.direction)))
    head = struct.pack(
        "<IIIII",
        captured.interface,
        captured.time_ns >> 32,
        captured.time_ns & 0xFFFFFFFF,
        len(captured.frame),
        captured.original_bytes,
    )
    return _block(_PACKET, head + _padded(captured.frame) + _options(options))


def statistics(interface_number: int, time_ns: int, *, received: int, dropped: int) -> bytes:
    """Say at the end how many frames matched, and how many of them are not in the file."""
    head = struct.pack("<III", interface_number, time_ns >> 32, time_ns & 0xFFFFFFFF)
    counts = [(_RECEIVED, struct.pack("<Q", received)), (_DROPPED, struct.pack("<Q", dropped))]
    return _block(_STATISTICS, head + _options(counts))


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    listed = [(code, value[:_TEXT_BYTES_MAX]) for code, value in options if value]
    if not listed:
        return b""
    parts = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in listed]
    return b"".join(parts) + struct.pack("<HH", _END, 0)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
