"""Sessions that hosts tell, checked against the stored table's columns. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from skytrail.analytics.batch import Columns
from skytrail.analytics.history_tables import SESSION
from skytrail.analytics.tags import COLUMNS, TOLD, TagNames
from skytrail.wire.errors import DecodeError

ROWS_COUNT_MAX: Final = 20_000
"""Of one message."""
TEXT_CHARACTERS_MAX: Final = 1024
_INTEGER: Final = re.compile(r"(U?)Int(\d+)")
_LATEST_US: Final = 4_102_444_800_000_000
"""The year 2100: the column of time holds no more."""


def checked_columns(
    columns: Mapping[str, Sequence[object]], source: str, tags: TagNames
) -> Columns:
    """Return every column of the table; ``DecodeError`` for what the table cannot hold.

    ``source`` is who tells: a host speaks of its own sessions. It knows tags by number; ``tags`` names them.
    """
    unknown = sorted(columns.keys() - SESSION.columns.keys() - TOLD.keys())
    if unknown:
        raise DecodeError(f"sessions have no column {unknown[0][:64]!r}")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or "T" not in columns:
        raise DecodeError("columns of sessions differ in length, or lack T")
    count = lengths.pop()
    if count > ROWS_COUNT_MAX:
        raise DecodeError(f"{count} sessions in one message")
    checked = {
        name: _checked(name, kind, columns[name]) if name in columns else [_ABSENT[name]] * count
        for name, kind in SESSION.columns.items()
    }
    checked["vrouter"] = [source] * count
    for told, prefix in TOLD.items():
        if told in columns:
            for name, values in zip(COLUMNS, tags.columns(columns[told]), strict=True):
                checked[f"{prefix}{name}"] = list(values)
    return checked


def _checked(name: str, kind: str, values: Sequence[object]) -> list[object]:
    """Check a whole column by the kinds of what it holds: each value is looked at in C alone."""
    kinds = set(map(type, values))
    absent = _ABSENT[name]
    if type(None) in kinds:
        values = [absent if value is None else value for value in values]
        kinds.discard(type(None))
    if "String" in kind:
        if kinds - {str}:
            raise DecodeError(f"column {name} holds {_unfit(kinds, {str})}")
        texts = cast("list[str]", values)
        if max(map(len, texts), default=0) > TEXT_CHARACTERS_MAX:
            raise DecodeError(f"column {name}: a text of over {TEXT_CHARACTERS_MAX} characters")
    elif kind.startswith("Float"):
        if kinds - {float, int}:
            raise DecodeError(f"column {name} holds {_unfit(kinds, {float, int})}")
        numbers = cast("list[float]", values)
        try:
            is_finite = all(map(math.isfinite, numbers))
        except OverflowError:
            is_finite = False
        if not is_finite:
            raise DecodeError(f"column {name} holds what is no finite number")
    else:
        if kinds - {int}:
            raise DecodeError(f"column {name} holds {_unfit(kinds, {int})}")
        integers = cast("list[int]", values)
        low, high = _bounds(kind)
        if integers and not (low <= min(integers) and max(integers) <= high):
            raise DecodeError(f"column {name}: a number out of its range")
    return list(values)


def _unfit(kinds: set[type], wanted: set[type]) -> str:
    return min(kind.__name__ for kind in kinds - wanted)


def _bounds(kind: str) -> tuple[int, int]:
    match = _INTEGER.fullmatch(kind)
    if match is None:
        return 0, _LATEST_US
    bits = int(match[2])
    return (0, (1 << bits) - 1) if match[1] else (-(1 << bits - 1), (1 << bits - 1) - 1)


_ABSENT: Final[Mapping[str, object]] = {
    name: "" if "String" in kind else 0 for name, kind in SESSION.columns.items()
}
