"""Rows that wait for the store: bounded in count and bytes, shed by source and severity, counted. Pure.

```
 add(row, level, source) --> by source, by level: deque of (row, size)
        | over a bound: of the source that holds the most, the least severe, of equal ones the oldest
```
Rows are taken from the front in batches and given back when the store did not take them. So who tells too much loses of
what is its own, and others' rows go on.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from skytrail.analytics.native import FORMAT, Block
from skytrail.analytics.pieces import ROWS, Part, Told, rows_part

ROWS_COUNT_MAX: Final = 100_000
BATCH_COUNT: Final = 20_000
BLOCK_ROWS_COUNT_MAX: Final = 500_000
"""Of rows that come as blocks: each holds its place in some 150 bytes."""
BLOCK_ROWS_COUNT: Final = 100_000
BYTES_MAX: Final = 128 << 20
"""Of the rows of one table that wait, roughly."""
BATCH_BYTES: Final = 16 << 20
"""So many are worth writing at once, and are not much exceeded by what is taken at once."""
BLOCKS_LEVEL: Final = 3
"""As which shed rows without a severity of their own are counted."""
_SEVERITIES: Final = 9
"""Levels 0 to 7 of syslog, and one for everything beyond."""
_ROW_BYTES: Final = 512
"""What a row takes beside its texts."""

_OURS: Final = Told("", 0, [0])
"""Of rows that no other node can have."""

Row = dict[str, object]


class Waiting(Protocol):
    """Rows of one table that wait, however they are held."""

    shed: Counter[int]

    def __len__(self) -> int: ...

    @property
    def is_full(self) -> bool:
        """Whether there is enough to be worth writing before its time."""
        ...

    def take_parts(self) -> tuple[str, list[Part]]:
        """Remove and return some rows, and which format they have."""
        ...


@dataclass(slots=True)
class _Held:
    """What waits of one source."""

    count: int = 0
    size: int = 0
    rows: list[deque[tuple[Row, int, Told | None]]] = field(
        default_factory=lambda: [deque() for _ in range(_SEVERITIES)]
    )
    """By level."""

    def shed(self) -> tuple[int, int]:
        """Drop the oldest of the least severe rows; returns its level and size."""
        level = next(each for each in reversed(range(_SEVERITIES)) if self.rows[each])
        _, size, _ = self.rows[level].popleft()
        self.count -= 1
        self.size -= size
        return level, size


class Batch:
    """The rows of one table. ``level`` of a row without one is that of an error: it is kept long."""

    def __init__(
        self,
        rows_count_max: int = ROWS_COUNT_MAX,
        full_count: int = BATCH_COUNT,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self._full_count = full_count
        self._by_source: dict[str, _Held] = {}
        self._most: _Held | None = None
        """Who holds the most, as far as those are concerned that told anything since."""
        self._rows_count_max = rows_count_max
        self._bytes_max = bytes_max
        self._count = 0
        self.bytes_count = 0
        self.shed: Counter[int] = Counter()
        """Rows that found no room, by level."""

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        return self._count >= self._full_count or self.bytes_count >= BATCH_BYTES

    def add(self, row: Row, level: int = 3, source: str = "", told: Told | None = None) -> None:
        """Add a row; one that is less severe may have to go for it, or it itself.

        ``told`` is the message it comes from, where another node may have it as well.
        """
        size = _size_of(row)
        held = self._by_source.get(source)
        if held is None:
            held = self._by_source[source] = _Held()
        held.rows[min(max(level, 0), _SEVERITIES - 1)].append((row, size, told))
        held.count += 1
        held.size += size
        self._count += 1
        self.bytes_count += size
        most = self._most
        if most is None or held.size > most.size:
            most = self._most = held
        while self._count > self._rows_count_max or self.bytes_count > self._bytes_max:
            if not most.count:
                most = self._most = max(self._by_source.values(), key=lambda each: each.size)
            shed_level, shed_size = most.shed()
            self._count -= 1
            self.bytes_count -= shed_size
            self.shed[shed_level] += 1

    def take(self, count: int = BATCH_COUNT, size_max: int = BATCH_BYTES) -> list[Row]:
        """Remove and return some rows, the most severe first; one at least if there is any."""
        return [row for row, _ in self._take(count, size_max)]

    def _take(self, count: int, size_max: int) -> list[tuple[Row, Told | None]]:
        taken: list[tuple[Row, Told | None]] = []
        left = size_max
        for level in range(_SEVERITIES):
            for held in self._by_source.values():
                rows = held.rows[level]
                while rows and len(taken) < count and left > 0:
                    row, size, told = rows.popleft()
                    taken.append((row, told))
                    left -= size
                    held.count -= 1
                    held.size -= size
        self._count -= len(taken)
        self.bytes_count -= size_max - left
        self._by_source = {name: held for name, held in self._by_source.items() if held.count}
        self._most = max(self._by_source.values(), key=lambda each: each.size, default=None)
        return taken

    def take_parts(self) -> tuple[str, list[Part]]:
        """Remove and return some rows; every row has every column."""
        taken = self._take(self._full_count, BATCH_BYTES)
        rows = [row for row, _ in taken]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return ROWS, [rows_part(columns, len(rows), _told_of([told for _, told in taken]))]


def _told_of(each: Sequence[Told | None]) -> list[Told]:
    """Return the messages that rows come from, those of one run of a generator together; none where all are ours alone."""
    found: list[Told] = []
    for told in each:
        whose = _OURS if told is None else told
        if not found or (found[-1].generator, found[-1].run) != (whose.generator, whose.run):
            found.append(Told(whose.generator, whose.run, []))
        found[-1].numbers.extend(whose.numbers)
    return found if any(told.generator for told in found) else []


def _size_of(row: Row) -> int:
    """Return about how many bytes a row takes."""
    size = _ROW_BYTES
    for value in row.values():
        if isinstance(value, str | bytes | list):
            size += len(value)
        elif isinstance(value, dict):
            texts = cast("Mapping[str, object]", value)
            size += sum(
                64 + len(name) + (len(each) if isinstance(each, str) else 0)
                for name, each in texts.items()
            )
    return size


class BlockBatch:
    """Rows that come as blocks, and stay so: nothing is done for each of them."""

    def __init__(
        self, rows_count_max: int = BLOCK_ROWS_COUNT_MAX, bytes_max: int = BYTES_MAX
    ) -> None:
        self._blocks: dict[int, tuple[str, Block, Told | None]] = {}
        """By number, in order of coming, with who told, and by which message."""
        self._by_source: dict[str, deque[int]] = {}
        self._sizes: Counter[str] = Counter()
        self._number = 0
        self._rows_count_max = rows_count_max
        self._bytes_max = bytes_max
        self._count = 0
        self.bytes_count = 0
        self.shed: Counter[int] = Counter()
        """Rows that found no room; all of one level."""

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        return self._count >= BLOCK_ROWS_COUNT or self.bytes_count >= BATCH_BYTES

    def add(self, block: Block, source: str = "", told: Told | None = None) -> None:
        """Add rows; the oldest of who has the most go where there is no room. ``told`` as of :meth:`Batch.add`."""
        self._number += 1
        self._blocks[self._number] = source, block, told
        self._by_source.setdefault(source, deque()).append(self._number)
        self._sizes[source] += block.size
        self._count += block.count
        self.bytes_count += block.size
        while len(self._blocks) > 1 and (
            self._count > self._rows_count_max or self.bytes_count > self._bytes_max
        ):
            most = max(self._sizes, key=self._sizes.__getitem__)
            self.shed[BLOCKS_LEVEL] += self._remove(self._by_source[most][0])[0].count

    def _remove(self, number: int) -> tuple[Block, Told | None]:
        """Remove a block, the oldest of its source."""
        source, block, told = self._blocks.pop(number)
        self._by_source[source].popleft()
        self._sizes[source] -= block.size
        self._count -= block.count
        self.bytes_count -= block.size
        if not self._by_source[source]:
            del self._by_source[source], self._sizes[source]
        return block, told

    def take_parts(self) -> tuple[str, list[Part]]:
        """Remove and return the oldest rows."""
        taken: list[Part] = []
        count = size = 0
        while self._blocks and count < BLOCK_ROWS_COUNT and size < BATCH_BYTES:
            block, told = self._remove(next(iter(self._blocks)))
            taken.append(Part(block.count, block.encode(), [] if told is None else [told]))
            count += block.count
            size += block.size
        return FORMAT, taken
