"""Sessions that hosts tell, checked against the stored table's columns. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from skytrail.analytics.history_tables import SESSION
from skytrail.wire.errors import DecodeError

ROWS_COUNT_MAX: Final = 20_000
"""Of one message."""
TEXT_CHARACTERS_MAX: Final = 1024
_INTEGER: Final = re.compile(r"(U?)Int(\d+)")
_LATEST_US: Final = 4_102_444_800_000_000
"""The year 2100: the column of time holds no more."""

Row = dict[str, object]


def rows_of(columns: Mapping[str, Sequence[object]], source: str) -> list[Row]:
    """Return rows with every column of the table; ``DecodeError`` for what the table cannot hold.

    ``source`` is who tells: a host speaks of its own sessions.
    """
    unknown = sorted(columns.keys() - SESSION.columns.keys())
    if unknown:
        raise DecodeError(f"sessions have no column {unknown[0][:64]!r}")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or "T" not in columns:
        raise DecodeError("columns of sessions differ in length, or lack T")
    count = lengths.pop()
    if count > ROWS_COUNT_MAX:
        raise DecodeError(f"{count} sessions in one message")
    checked = {
        name: [_checked(name, kind, value) for value in columns.get(name, (None,) * count)]
        for name, kind in SESSION.columns.items()
    }
    checked["vrouter"] = [source] * count
    return [
        dict(zip(checked, values, strict=True)) for values in zip(*checked.values(), strict=True)
    ]


def _checked(name: str, kind: str, value: object) -> object:
    if "String" in kind:
        text = "" if value is None else value
        if not isinstance(text, str):
            raise DecodeError(f"column {name} holds {type(value).__name__}")
        return text[:TEXT_CHARACTERS_MAX]
    number = 0 if value is None else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise DecodeError(f"column {name} holds {type(value).__name__}")
    if kind.startswith("Float"):
        if not math.isfinite(number):
            raise DecodeError(f"column {name} holds {number}")
        return float(number)
    low, high = _bounds(kind)
    if not isinstance(number, int) or not low <= number <= high:
        raise DecodeError(f"column {name}: {number} is out of range")
    return number


def _bounds(kind: str) -> tuple[int, int]:
    match = _INTEGER.fullmatch(kind)
    if match is None:
        return 0, _LATEST_US
    bits = int(match[2])
    return (0, (1 << bits) - 1) if match[1] else (-(1 << bits - 1), (1 << bits - 1) - 1)
