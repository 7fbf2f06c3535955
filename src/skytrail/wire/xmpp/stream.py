"""Cuts a byte stream into the stream header, stanzas and the stream's end.

```
 bytes in any chunks --> feed() --> next_frame() --> StreamOpen, Stanza*, StreamClose
```
A stanza ends at the first close tag of its own name: no stanza of this protocol nests itself,
``<`` cannot stand in text or attributes, and comments and CDATA are refused, so a plain byte
search finds the end. That makes framing independent of how the bytes were split. White space and
U+0200, which peers send as keep-alives, are legal between stanzas and vanish here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp.xml import XMPP_RFC, StanzaParser

STANZA_BYTES_MAX = 1 << 20
START_TAG_BYTES_MAX = 4096
_CLOSE_TAG_SPACE_MAX = 32
_FILLER = re.compile(rb"[ \t\r\n\xc8\x80]*")
_DECLARATION = re.compile(rb"<\?xml[^<>]*\?>")
_START_TAG = re.compile(rb"<([A-Za-z_][\w.:-]*+)(?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+')*+>")
_CLOSE_TAG = re.compile(rb"</[^<>]*+>")


@dataclass(frozen=True, slots=True)
class StreamOpen:
    """The peer opened its stream; ``sender`` and ``receiver`` are its ``from`` and ``to``."""

    sender: str
    receiver: str


@dataclass(frozen=True, slots=True)
class Stanza:
    """One complete top-level element as it stood in the stream."""

    content: bytes


@dataclass(frozen=True, slots=True)
class StreamClose:
    """The peer ended its stream; nothing after it is read."""


Frame = StreamOpen | Stanza | StreamClose


@lru_cache(maxsize=32)
def _end_of(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"</" + re.escape(name) + rb"[ \t\r\n]{0,%d}>" % _CLOSE_TAG_SPACE_MAX)


class StreamFramer:
    """Incremental framer of one direction of one connection; memory is bounded by one stanza."""

    __slots__ = (
        "_buffer", "_closed", "_consumed", "_name", "_opened", "_parser", "_position", "_scan",
        "_stanza_bytes_max",
    )  # fmt: skip

    def __init__(self, stanza_bytes_max: int = STANZA_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._consumed = 0
        self._scan = 0
        self._name: bytes | None = None
        self._opened = False
        self._closed = False
        self._stanza_bytes_max = stanza_bytes_max
        self._parser = StanzaParser()

    @property
    def has_bytes(self) -> bool:
        """Whether more was fed than the frames taken so far."""
        return self._position < len(self._buffer)

    def feed(self, chunk: bytes) -> None:
        """Append received bytes; call :meth:`next_frame` until None before feeding more."""
        if self._position:
            del self._buffer[: self._position]
            self._consumed += self._position
            self._scan -= self._position
            self._position = 0
        self._buffer += chunk

    def next_frame(self) -> Frame | None:
        """Return the next complete frame or None; ``DecodeError`` ends the connection."""
        if self._closed:
            return None
        if self._name is None:
            self._skip_filler()
            if self._position == len(self._buffer):
                return None
        return self._stanza() if self._opened else self._header()

    def _error(self, reason: str) -> DecodeError:
        return DecodeError(reason, self._consumed + self._position, XMPP_RFC)

    def _skip_filler(self) -> None:
        match = _FILLER.match(self._buffer, self._position)
        self._position = match.end() if match else self._position

    def _header(self) -> StreamOpen | None:
        declaration = _DECLARATION.match(self._buffer, self._position)
        if declaration:
            self._position = declaration.end()
            self._skip_filler()
            if self._position == len(self._buffer):
                return None
        elif self._buffer.startswith(b"<?", self._position):
            return self._incomplete_tag()
        tag = self._start_tag()
        if tag is None:
            return None
        if tag[1].rpartition(b":")[2] != b"stream" or tag[0].endswith(b"/>"):
            raise self._error("expected an open stream tag")
        self._position += len(tag[0])
        element = self._parser.parse(tag[0][:-1] + b"/>")
        self._opened = True
        return StreamOpen(element.get("from", ""), element.get("to", ""))

    def _start_tag(self) -> tuple[bytes, bytes] | None:
        """Return (whole tag, name) of the start tag at the position, None when incomplete."""
        match = _START_TAG.match(self._buffer, self._position)
        if match and match.end() - match.start() <= START_TAG_BYTES_MAX:
            return match.group(0), match.group(1)
        return self._incomplete_tag()

    def _incomplete_tag(self) -> None:
        # Only ``<`` opens anything, and a tag that has not ended within its bound never will.
        if self._buffer[self._position] != ord("<"):
            raise self._error("text between stanzas")
        if len(self._buffer) - self._position > START_TAG_BYTES_MAX:
            raise self._error(f"a tag is longer than {START_TAG_BYTES_MAX} bytes or malformed")

    def _stanza(self) -> Frame | None:
        if self._name is None:
            if self._buffer.startswith(b"</", self._position):
                return self._stream_close()
            if self._buffer.startswith((b"<!", b"<?"), self._position):
                raise self._error("declarations, comments and instructions are not allowed")
            tag = self._start_tag()
            if tag is None:
                return None
            if tag[0].endswith(b"/>"):
                return self._take(self._position + len(tag[0]))
            self._name = tag[1]
            self._scan = self._position + len(tag[0])
        end = _end_of(self._name).search(self._buffer, self._scan)
        if end:
            self._name = None
            return self._take(end.end())
        if len(self._buffer) - self._position > self._stanza_bytes_max:
            raise self._error(f"stanza is longer than {self._stanza_bytes_max} bytes")
        tail = len(self._name) + _CLOSE_TAG_SPACE_MAX + len(b"</>")
        self._scan = max(self._scan, len(self._buffer) - tail)
        return None

    def _take(self, end: int) -> Stanza:
        content = bytes(self._buffer[self._position : end])
        if len(content) > self._stanza_bytes_max:
            raise self._error(f"stanza is longer than {self._stanza_bytes_max} bytes")
        if b"<!" in content or b"<?" in content:
            raise self._error("declarations, comments and instructions are not allowed")
        self._position = end
        return Stanza(content)

    def _stream_close(self) -> StreamClose | None:
        if _CLOSE_TAG.match(self._buffer, self._position):
            self._closed = True
            return StreamClose()
        return self._incomplete_tag()
