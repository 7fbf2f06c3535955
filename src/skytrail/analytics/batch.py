"""Rows that wait for the store: bounded, shed by severity, counted. Pure.

Rows are taken from the front in batches and given back when the store did not take them. Over the bound, the least severe
rows go first; of equal ones the oldest.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, Protocol

ROWS_COUNT_MAX: Final = 100_000
BATCH_COUNT: Final = 20_000
COLUMNS_LEVEL: Final = 3
"""As which shed rows without a severity of their own are counted."""
_SEVERITIES: Final = 9
"""Levels 0 to 7 of syslog, and one for everything beyond."""

Row = dict[str, object]
Columns = dict[str, list[object]]


class Waiting(Protocol):
    """Rows of one table that wait, however they are held."""

    shed: Counter[int]

    def __len__(self) -> int: ...

    def take_columns(self, names: Sequence[str]) -> Columns:
        """Remove and return some rows, as columns of equal length."""
        ...


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

    def take_columns(self, names: Sequence[str]) -> Columns:
        """Remove and return some rows, as columns; every row has every column."""
        rows = self.take()
        return {name: [row[name] for row in rows] for name in names}


class ColumnBatch:
    """Rows that come as columns, and stay so: nothing is done for each of them."""

    def __init__(self, rows_count_max: int = ROWS_COUNT_MAX) -> None:
        self._parts: deque[Columns] = deque()
        self._rows_count_max = rows_count_max
        self._count = 0
        self.shed: Counter[int] = Counter()
        """Rows that found no room; all of one level."""

    def __len__(self) -> int:
        return self._count

    def add(self, columns: Columns) -> None:
        """Add rows; the oldest go where there is no room."""
        self._parts.append(columns)
        self._count += _length(columns)
        while self._count > self._rows_count_max and len(self._parts) > 1:
            gone = _length(self._parts.popleft())
            self._count -= gone
            self.shed[COLUMNS_LEVEL] += gone

    def take_columns(self, names: Sequence[str]) -> Columns:
        """Remove and return the oldest rows."""
        parts: list[Columns] = []
        count = 0
        while self._parts and count < BATCH_COUNT:
            parts.append(self._parts.popleft())
            count += _length(parts[-1])
        self._count -= count
        return {name: [value for part in parts for value in part[name]] for name in names}


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))
