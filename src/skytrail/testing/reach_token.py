"""What a packet of a chaos run carries to be known again: the run, its stream, its number. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_FORM = struct.Struct("!8sHIB")
_REQUEST, _ANSWER = 1, 2
MARK_BYTES = 8
TOKEN_BYTES = _FORM.size


@dataclass(frozen=True, slots=True)
class Token:
    stream: int
    number: int
    is_answer: bool = False

    def encode(self, mark: bytes) -> bytes:
        return _FORM.pack(mark, self.stream, self.number, _ANSWER if self.is_answer else _REQUEST)


def answer_to(payload: bytes, mark: bytes) -> bytes | None:
    """Return what answers a datagram, None where it is no request of this run."""
    if payload[:MARK_BYTES] != mark or payload[-1] != _REQUEST:
        return None
    return payload[:-1] + bytes((_ANSWER,))


def tokens(payload: bytes, mark: bytes) -> Iterator[Token]:
    """Yield the whole tokens of this run, in order; a segment of TCP may have several."""
    place = payload.find(mark)
    while place >= 0 and len(payload) >= place + TOKEN_BYTES:
        _, stream, number, kind = _FORM.unpack_from(payload, place)
        yield Token(stream, number, is_answer=kind == _ANSWER)
        place = payload.find(mark, place + TOKEN_BYTES)
