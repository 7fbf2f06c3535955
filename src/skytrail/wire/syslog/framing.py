"""Messages out of a stream (RFC 6587): each begins with its length in octets, or ends with a line feed.

A sender may use either; its first octet tells which, since a message itself begins with ``<``.
"""

from __future__ import annotations

from typing import Final

from skytrail.wire.errors import DecodeError
from skytrail.wire.syslog.message import MESSAGE_BYTES_MAX

_RFC: Final = "RFC 6587 section 3.4"
_LENGTH_DIGITS_MAX: Final = len(str(MESSAGE_BYTES_MAX))


class SyslogFramer:
    """Cuts one connection's bytes into messages; holds at most one unfinished message beside what was fed."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they came."""
        self._held += chunk

    def next_message(self) -> bytes | None:
        """Return the next whole message, None until more comes; ``DecodeError`` ends the stream."""
        # Some senders close octet-counted messages with a line feed all the same.
        while self._held and self._held[0] in b"\n\r\x00":
            del self._held[:1]
        if not self._held:
            return None
        if self._held[0] == ord("<"):
            return self._line()
        return self._counted()

    def end(self) -> bytes | None:
        """Return what the last line is when the sender closed without ending it."""
        rest, self._held = bytes(self._held), bytearray()
        return rest.rstrip(b"\r") if rest.startswith(b"<") else None

    def _line(self) -> bytes | None:
        end = self._held.find(b"\n", 0, MESSAGE_BYTES_MAX + 1)
        if end < 0:
            if len(self._held) > MESSAGE_BYTES_MAX:
                raise DecodeError(f"a message of over {MESSAGE_BYTES_MAX} octets", 0, _RFC)
            return None
        return self._take(end, 1).rstrip(b"\r")

    def _counted(self) -> bytes | None:
        space = self._held.find(b" ", 0, _LENGTH_DIGITS_MAX + 1)
        digits = bytes(self._held[: space if space >= 0 else _LENGTH_DIGITS_MAX + 1])
        if not digits.isdigit() or digits.startswith(b"0") or len(digits) > _LENGTH_DIGITS_MAX:
            raise DecodeError("neither a message nor the length of one", 0, _RFC)
        if space < 0:
            return None
        length = int(digits)
        if length > MESSAGE_BYTES_MAX:
            raise DecodeError(f"a message of over {MESSAGE_BYTES_MAX} octets", 0, _RFC)
        if len(self._held) < space + 1 + length:
            return None
        del self._held[: space + 1]
        return self._take(length, 0)

    def _take(self, length: int, behind: int) -> bytes:
        message = bytes(self._held[:length])
        del self._held[: length + behind]
        return message
