"""Rows that wait for the store: bounded, shed by severity, counted. Pure.

Rows are taken from the front in batches and given back when the store did not take them. Over the bound, the least severe
rows go first; of equal ones the oldest.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

ROWS_COUNT_MAX: Final = 100_000
BATCH_COUNT: Final = 20_000
_SEVERITIES: Final = 9
"""Levels 0 to 7 of syslog, and one for everything beyond."""

Row = dict[str, object]


class Batch:
    """The rows of one table. ``level`` of a row without one is that of an error: it is kept long."""

    def __init__(self, rows_count_max: int = ROWS_COUNT_MAX) -> None:
        self._by_level: list[deque[Row]] = [deque() for _ in range(_SEVERITIES)]
        self._rows_count_max = rows_count_max
        self._count = 0
        self.shed: Counter[int] = Counter()
        """Rows that found no room, by level."""

    def __len__(self) -> int:
        return self._count

    def add(self, row: Row, level: int = 3) -> None:
        """Add a row; one that is less severe may have to go for it, or it itself."""
        place = min(max(level, 0), _SEVERITIES - 1)
        self._by_level[place].append(row)
        self._count += 1
        if self._count > self._rows_count_max:
            least = next(each for each in reversed(range(_SEVERITIES)) if self._by_level[each])
            self._by_level[least].popleft()
            self._count -= 1
            self.shed[least] += 1

    def take(self, count: int = BATCH_COUNT) -> list[Row]:
        """Remove and return some rows, the most severe first."""
        taken: list[Row] = []
        for rows in self._by_level:
            while rows and len(taken) < count:
                taken.append(rows.popleft())
        self._count -= len(taken)
        return taken


def columns_of(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[object]]:
    """Turn rows into columns; every row has every column."""
    return {name: [row[name] for row in rows] for name in names}
