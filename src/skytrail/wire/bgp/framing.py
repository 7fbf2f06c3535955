"""The header of every message, and the byte stream cut into messages (RFC 4271 section 4.1)."""

from __future__ import annotations

from skytrail.wire.bgp.errors import BgpError, ErrorCode, HeaderError
from skytrail.wire.bgp.messages import (
    EXTENDED_MESSAGE_BYTES_MAX,
    HEADER_BYTES,
    MESSAGE_BYTES_MAX,
    MessageType,
)

MARKER = b"\xff" * 16
_TYPES = {kind.value: kind for kind in MessageType}
_BYTES_MIN = {
    MessageType.OPEN: 29,
    MessageType.UPDATE: 23,
    MessageType.NOTIFICATION: 21,
    MessageType.KEEPALIVE: 19,
    # Anything shorter than 23 is the business of RFC 7313 section 5, not of the header.
    MessageType.ROUTE_REFRESH: 19,
}


def framed(kind: MessageType, body: bytes) -> bytes:
    """Return the complete message; ``ValueError`` when no header can tell its length."""
    size = HEADER_BYTES + len(body)
    if size > EXTENDED_MESSAGE_BYTES_MAX:
        raise ValueError(f"a message of {size} bytes")
    return b"%b%b%c%b" % (MARKER, size.to_bytes(2), kind, body)


class MessageFramer:
    """Collects the stream of one connection and yields whole messages."""

    def __init__(self) -> None:
        self.bytes_max = MESSAGE_BYTES_MAX
        """Raised by the owner once extended messages are negotiated; OPEN and KEEPALIVE keep
        4,096 whatever it says (RFC 8654 section 4)."""
        self._buffer = bytearray()
        self._position = 0

    def feed(self, chunk: bytes) -> None:
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += chunk

    def next_message(self) -> tuple[MessageType, bytes] | None:
        """Return the next (type, body), or None until more bytes come; :class:`BgpError`."""
        start = self._position
        buffer = self._buffer
        if len(buffer) - start < HEADER_BYTES:
            return None
        size = buffer[start + 16] << 8 | buffer[start + 17]
        kind = _TYPES.get(buffer[start + 18])
        self._check(start, size, kind, buffer[start + 18])
        end = start + size
        if end > len(buffer) or kind is None:
            return None
        self._position = end
        return kind, bytes(buffer[start + HEADER_BYTES : end])

    def _check(self, start: int, size: int, kind: MessageType | None, number: int) -> None:
        code = ErrorCode.HEADER
        if self._buffer[start : start + 16] != MARKER:
            raise BgpError(code, HeaderError.NOT_SYNCHRONIZED, b"", "marker is not all ones")
        if kind is None:
            data = bytes((number,))
            raise BgpError(code, HeaderError.BAD_TYPE, data, f"unknown message type {number}")
        limit = self.bytes_max
        if kind in {MessageType.OPEN, MessageType.KEEPALIVE}:
            limit = HEADER_BYTES if kind is MessageType.KEEPALIVE else MESSAGE_BYTES_MAX
        if not _BYTES_MIN[kind] <= size <= limit:
            data = size.to_bytes(2)
            text = f"{kind.name} of {size} bytes"
            raise BgpError(code, HeaderError.BAD_LENGTH, data, text)
