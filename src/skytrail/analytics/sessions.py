"""Sessions that hosts tell, checked, as blocks that the store takes as they are. Pure.

What a host packed is what ClickHouse's ``Native`` format wants: columns as arrays, texts as words and places. Nothing is
done for each session; a message of 20,000 costs little more than one of 2,000.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from skytrail.analytics.history_tables import SESSION
from skytrail.analytics.native import Block, numbers_column, texts_column
from skytrail.analytics.tags import COLUMNS, TOLD, TagNames
from skytrail.wire.errors import DecodeError
from skytrail.wire.telemetry import Sessions, Texts
from skytrail.wire.telemetry.sessions import NUMBERS, array_of, check

TEXT_CHARACTERS_MAX: Final = 1024
SPAN_US_MAX: Final = 31 * 86_400_000_000
"""Between the first and the last session of a message: the store has a part for each day."""
LATEST_US: Final = 4_102_444_800_000_000
"""The year 2100: the column of time holds no more."""
WEIGHT_MAX: Final = 1_000_000_000
"""No host sees so many sessions for one that it tells."""
NO_NAMES: Final[Mapping[str, Texts]] = MappingProxyType({})
_TIME: Final = "T"
_WEIGHT: Final = "sample_weight"


def block_of(
    message: Sessions,
    source: str,
    tags: TagNames,
    latest_us: int = LATEST_US,
    *,
    named: Mapping[str, Texts] = NO_NAMES,
) -> Block:
    """Return sessions as rows of the table; ``DecodeError`` for what it cannot hold.

    ``source`` is who tells, ``latest_us`` how late sessions can be: a host speaks of its own sessions. It knows tags by number; ``tags`` names them.
    ``named`` are stored columns of tags that came by name, checked already.
    """
    check(message)
    _check_numbers(message, latest_us)
    for name, texts in message.texts.items():
        if max(map(len, texts.words), default=0) > TEXT_CHARACTERS_MAX:
            raise DecodeError(f"column {name}: a text of over {TEXT_CHARACTERS_MAX} characters")
    columns = [
        *_columns(message, source, tags),
        *(texts_column(name, texts.words, texts.places) for name, texts in named.items()),
    ]
    return Block(message.count, columns)


def _columns(message: Sessions, source: str, tags: TagNames) -> Iterator[bytes]:
    for name, content in message.numbers.items():
        yield numbers_column(name, SESSION.columns[name], content)
    yield texts_column("vrouter", [source], bytes(2 * message.count))
    for name, texts in message.texts.items():
        if name not in TOLD:
            yield texts_column(name, texts.words, texts.places)
            continue
        for column, words in zip(COLUMNS, tags.columns(texts.words), strict=True):
            yield texts_column(f"{TOLD[name]}{column}", words, texts.places)


def _check_numbers(message: Sessions, latest_us: int) -> None:
    """Look at what not every pattern of bits stands for: times, and weights."""
    if _TIME not in message.numbers:
        raise DecodeError("sessions lack T")
    times = array_of(NUMBERS[_TIME], message.numbers[_TIME])
    first, last = min(times), max(times)
    if first < 0 or last > latest_us:
        raise DecodeError("column T: a number out of its range")
    if last - first > SPAN_US_MAX:
        raise DecodeError("column T: sessions of more than 31 days in one message")
    weights = array_of(NUMBERS[_WEIGHT], message.numbers.get(_WEIGHT, b""))
    # What is no number is neither less nor more than anything: it is looked for by itself.
    is_usable = all(map(math.isfinite, weights)) and min(weights, default=0) >= 0
    if not is_usable or max(weights, default=0) > WEIGHT_MAX:
        raise DecodeError(f"column {_WEIGHT}: not from 0 to {WEIGHT_MAX}")
