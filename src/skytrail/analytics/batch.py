"""Rows that wait for the store: bounded, shed by severity, counted. Pure.

Rows are taken from the front in batches and given back when the store did not take them. Over the bound, the least severe
rows go first; of equal ones the oldest.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, Protocol

from skytrail.analytics.native import FORMAT, Block
from skytrail.analytics.pieces import ROWS, Part, rows_part

ROWS_COUNT_MAX: Final = 100_000
BATCH_COUNT: Final = 20_000
BLOCK_ROWS_COUNT_MAX: Final = 500_000
"""Of rows that come as blocks: each holds its place in some 150 bytes."""
BLOCK_ROWS_COUNT: Final = 100_000
BLOCKS_LEVEL: Final = 3
"""As which shed rows without a severity of their own are counted."""
_SEVERITIES: Final = 9
"""Levels 0 to 7 of syslog, and one for everything beyond."""

Row = dict[str, object]


class Waiting(Protocol):
    """Rows of one table that wait, however they are held."""

    shed: Counter[int]
    full_count: int
    """So many are worth writing at once."""

    def __len__(self) -> int: ...

    def take_parts(self) -> tuple[str, list[Part]]:
        """Remove and return some rows, and which format they have."""
        ...


class Batch:
    """The rows of one table. ``level`` of a row without one is that of an error: it is kept long."""

    def __init__(self, rows_count_max: int = ROWS_COUNT_MAX, full_count: int = BATCH_COUNT) -> None:
        self.full_count = full_count
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

    def take_parts(self) -> tuple[str, list[Part]]:
        """Remove and return some rows; every row has every column."""
        rows = self.take(self.full_count)
        return ROWS, [rows_part({name: [row[name] for row in rows] for name in rows[0]}, len(rows))]


class BlockBatch:
    """Rows that come as blocks, and stay so: nothing is done for each of them."""

    full_count = BLOCK_ROWS_COUNT

    def __init__(self, rows_count_max: int = BLOCK_ROWS_COUNT_MAX) -> None:
        self._blocks: deque[Block] = deque()
        self._rows_count_max = rows_count_max
        self._count = 0
        self.shed: Counter[int] = Counter()
        """Rows that found no room; all of one level."""

    def __len__(self) -> int:
        return self._count

    def add(self, block: Block) -> None:
        """Add rows; the oldest go where there is no room."""
        self._blocks.append(block)
        self._count += block.count
        while self._count > self._rows_count_max and len(self._blocks) > 1:
            gone = self._blocks.popleft().count
            self._count -= gone
            self.shed[BLOCKS_LEVEL] += gone

    def take_parts(self) -> tuple[str, list[Part]]:
        """Remove and return the oldest rows."""
        taken: list[Part] = []
        count = 0
        while self._blocks and count < self.full_count:
            block = self._blocks.popleft()
            taken.append(Part(block.count, block.encode()))
            count += block.count
        self._count -= count
        return FORMAT, taken
