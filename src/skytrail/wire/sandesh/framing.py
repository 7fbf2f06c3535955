"""Cuts a byte stream into frames: ``<sandesh length="0000000123">...</sandesh>``.

The length has ten digits and counts the whole frame, its own tags included.
"""

from __future__ import annotations

import re
from typing import Final

from skytrail.wire.errors import DecodeError

FRAME_BYTES_MAX: Final = 8 << 20
_OPEN: Final = b'<sandesh length="'
_OPEN_TAG = re.compile(rb'<sandesh length="([0-9]{10})">')
_OPEN_BYTES: Final = len(_OPEN) + 12
_CLOSE: Final = b"</sandesh>"


def frame_of(content: bytes) -> bytes:
    """Put the frame around a message; ``ValueError`` for one beyond :data:`FRAME_BYTES_MAX`."""
    length = _OPEN_BYTES + len(content) + len(_CLOSE)
    if length > FRAME_BYTES_MAX:
        message = f"a message of {length} bytes is over {FRAME_BYTES_MAX}"
        raise ValueError(message)
    return b'%s%010d">%s%s' % (_OPEN, length, content, _CLOSE)


class SandeshFramer:
    """Incremental framer of one connection; holds at most one frame and what came with it."""

    __slots__ = ("_buffer", "_consumed", "_position")

    def __init__(self) -> None:
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
        waiting = len(self._buffer) - self._position
        if waiting < _OPEN_BYTES:
            head = bytes(self._buffer[self._position : self._position + len(_OPEN)])
            if not _OPEN.startswith(head):
                raise self._error("no frame begins here")
            return None
        match = _OPEN_TAG.match(self._buffer, self._position)
        if match is None:
            raise self._error("no frame begins here")
        length = int(match[1])
        if not _OPEN_BYTES + len(_CLOSE) <= length <= FRAME_BYTES_MAX:
            raise self._error(f"a frame of {length} bytes")
        if waiting < length:
            return None
        end = self._position + length
        if not self._buffer.endswith(_CLOSE, match.end(), end):
            raise self._error("the frame does not end where its length says")
        content = bytes(self._buffer[match.end() : end - len(_CLOSE)])
        self._position = end
        return content

    def _error(self, reason: str) -> DecodeError:
        return DecodeError(reason, self._consumed + self._position)
