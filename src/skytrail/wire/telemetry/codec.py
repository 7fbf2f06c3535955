"""Frames and messages from and to bytes."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from skytrail.wire.errors import DecodeError
from skytrail.wire.telemetry.messages import Message

FRAME_BYTES_MAX: Final = 4 << 20
HELLO_BYTES_MAX: Final = 4096
"""Of a connection's first frame, whose sender is nobody yet."""
_LENGTH: Final = struct.Struct("!I")
_decoder: Final = msgspec.msgpack.Decoder(Message)
_encoder: Final = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return the frame of a message; ``ValueError`` for one beyond :data:`FRAME_BYTES_MAX`."""
    content = _encoder.encode(message)
    if len(content) > FRAME_BYTES_MAX:
        text = f"a message of {len(content)} bytes is over {FRAME_BYTES_MAX}"
        raise ValueError(text)
    return _LENGTH.pack(len(content)) + content


class _Kind(msgspec.Struct):
    type: str


_kind_decoder: Final = msgspec.msgpack.Decoder(_Kind)


def kind_of(content: bytes) -> str:
    """Return which message a frame holds, and make nothing of the rest; ``DecodeError`` for none."""
    try:
        return _kind_decoder.decode(content).type
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise DecodeError(f"not a message: {error}") from error


def decode(content: bytes) -> Message:
    """Read what a frame holds; ``DecodeError`` for anything that is not one message."""
    try:
        return _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise DecodeError(f"not a message: {error}") from error


class TelemetryFramer:
    """Incremental framer of one direction of a connection."""

    __slots__ = ("_buffer", "_consumed", "_position", "frame_bytes_max")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.frame_bytes_max = frame_bytes_max
        """Of the next frames; may be changed between two."""
        self._buffer = bytearray()
        self._position = 0
        self._consumed = 0

    def feed(self, chunk: bytes) -> None:
        """Append received bytes; call :meth:`next_frame` until None before feeding more."""
        if self._position:
            del self._buffer[: self._position]
            self._consumed += self._position
            self._position = 0
        self._buffer += chunk

    def next_frame(self) -> bytes | None:
        """Return the content of the next whole frame; ``DecodeError`` ends the connection."""
        if len(self._buffer) - self._position < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, self._position)
        if length > self.frame_bytes_max:
            raise DecodeError(f"a frame of {length} bytes", self._consumed + self._position)
        start = self._position + _LENGTH.size
        if len(self._buffer) < start + length:
            return None
        self._position = start + length
        return bytes(self._buffer[start : self._position])
