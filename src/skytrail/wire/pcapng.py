"""Files of pcapng (draft-ietf-opsawg-pcapng): sections, interfaces, packets with comments.

Little-endian, Ethernet, nanoseconds. Pure: bytes out a block at a time, and bytes in as they come.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from skytrail.wire.errors import DecodeError

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
_BLOCK_BYTES_MIN = 12


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


@dataclass(frozen=True, slots=True)
class ReadPacket:
    """A packet as :class:`Reader` finds it."""

    interface: str
    description: str
    time_ns: int
    frame: bytes
    comment: str


class Reader:
    """Takes the files of this module apart, in whatever pieces they come."""

    def __init__(self) -> None:
        self._rest = b""
        self._interfaces: list[tuple[str, str]] = []

    def feed(self, part: bytes) -> list[ReadPacket]:
        """Return the packets that are whole now. Raises ``DecodeError``."""
        self._rest += part
        found: list[ReadPacket] = []
        while len(self._rest) >= _BLOCK_BYTES_MIN:
            kind, length = struct.unpack_from("<II", self._rest)
            if length < _BLOCK_BYTES_MIN or length % 4:
                raise DecodeError(f"block of {length} bytes", 4)
            if len(self._rest) < length:
                break
            body, self._rest = self._rest[8 : length - 4], self._rest[length:]
            try:
                if kind == _INTERFACE:
                    options = _read_options(body[8:])
                    names = (options.get(_IF_NAME, b""), options.get(_IF_DESCRIPTION, b""))
                    self._interfaces.append((names[0].decode(), names[1].decode()))
                elif kind == _PACKET:
                    found.append(self._packet(body))
            except (struct.error, IndexError, UnicodeDecodeError) as error:
                raise DecodeError(f"block of type {kind}: {error}", 8) from error
        return found

    def _packet(self, body: bytes) -> ReadPacket:
        number, high, low, kept, _ = struct.unpack_from("<IIIII", body)
        name, description = self._interfaces[number]
        options = _read_options(body[20 + (kept + 3) // 4 * 4 :])
        return ReadPacket(
            interface=name,
            description=description,
            time_ns=high << 32 | low,
            frame=body[20 : 20 + kept],
            comment=options.get(_COMMENT, b"").decode(),
        )


def _read_options(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(raw) >= 4:
        code, length = struct.unpack_from("<HH", raw)
        if code == _END:
            break
        found[code] = raw[4 : 4 + length]
        raw = raw[4 + (length + 3) // 4 * 4 :]
    return found
