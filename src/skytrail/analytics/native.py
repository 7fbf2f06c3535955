"""ClickHouse's ``Native`` format, as far as packed columns need it: blocks of columns of one length. Pure.

A block is the numbers of columns and rows, then each column: name, type, values. Integers of the format are LEB128, texts
have their length before them; a ``LowCardinality`` column is its words, and for each row a place among them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FORMAT: Final = "Native"
_WORDS: Final = "LowCardinality(String)"
_VERSION: Final = 1
"""Of the column's layout: words that are its own, beside shared ones."""
_OWN_WORDS: Final = 1 << 9
_PLACES_OF_16_BITS: Final = 1
_HEAD: Final = struct.Struct("<QQQ")
_COUNT: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a table: ``columns`` each encoded, those it lacks are the table's defaults."""

    count: int
    columns: Sequence[bytes]

    @property
    def size(self) -> int:
        """Bytes of all columns."""
        return sum(map(len, self.columns))

    def encode(self) -> bytes:
        return b"".join((_number(len(self.columns)), _number(self.count), *self.columns))


def numbers_column(name: str, kind: str, content: bytes) -> bytes:
    """Return a column of numbers; ``content`` is their array, little-endian, of the width of ``kind``."""
    return _text(name) + _text(kind) + content


def texts_column(name: str, words: Sequence[str], places: bytes) -> bytes:
    """Return a column of texts; ``places`` are 16 bits each, little-endian, below the count of words.

    The store makes of it what the table's column is.
    """
    head = _HEAD.pack(_VERSION, _OWN_WORDS | _PLACES_OF_16_BITS, len(words))
    count = _COUNT.pack(len(places) // 2)
    return b"".join((_text(name), _text(_WORDS), head, *map(_text, words), count, places))


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _text(text: str) -> bytes:
    content = text.encode()
    if len(content) < 0x80:
        return b"%c%b" % (len(content), content)
    return _number(len(content)) + content
