"""Keeps UVEs over time: a row for a struct that changed, not too often, and each one anew every hour. Pure.

```
 UveChanges --> has it changed since its row? may it have one now? --> row {T, Source, Table, name, struct, kind, value}
```
| kind | of the struct |
| --- | --- |
| ``start`` | none (no table, no name): the node began, nothing from before counts |
| ``new``, ``change`` | it appeared; it is another than before |
| ``again`` | how it is an hour after such a row: whoever looks at a moment reads an hour's rows, not all |
| ``gone`` | nobody says it any more |
| ``cut`` | it is too long to be kept |

Four changes of a struct are kept when they come, then one a minute, as it is then: what changes seldom is kept to the
second, counters to the minute.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

from skytrail.analytics import uve_json
from skytrail.analytics.collector import Collector
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.uve_stream import Place

EVERY_S: Final = 60.0
"""A struct that changes all the time is kept so often."""
BURST_COUNT: Final = 4
"""So many changes of a struct that was quiet are kept at once."""
AGAIN_S: Final = 3600.0
LOOKBACK_S: Final = AGAIN_S + 900.0
"""What is true at a moment was kept within so long before it; the rest is for a great many structs."""
ROWS_COUNT_MAX: Final = 1_000
"""Of one second."""
BYTES_MAX: Final = 4 << 20
"""Of one second, and of the last value a little more."""
VALUE_BYTES_MAX: Final = 256 << 10
BACKLOG_COUNT_MAX: Final = 10_000
"""Rows that wait: with more, nothing is kept until the store has taken some."""
HEARD_COUNT_MAX: Final = 20_000
NEW, CHANGE, AGAIN, GONE, CUT, START = "new", "change", "again", "gone", "cut", "start"

_EVERYTHING: Final = UveFilter()


@dataclass(slots=True)
class _Kept:
    """The latest row of a struct."""

    at: float
    digest: int
    tokens: float
    """Rows it may have at once, as of ``at``."""
    marked_at: float
    """When a row was kept that is no mere change."""

    def tokens_at(self, now: float) -> float:
        return min(self.tokens + (now - self.at) / EVERY_S, BURST_COUNT)


class UveRecorder:
    """What a collector knows of entities, as rows of history."""

    def __init__(self, collector: Collector, node: str, now_us: int) -> None:
        self._collector = collector
        self._node = node
        self._kept: OrderedDict[Place, _Kept] = OrderedDict()
        """By ``marked_at``, the longest ago first."""
        self._gone: OrderedDict[Place, _Kept] = OrderedDict()
        """What is gone and may come back, which is a change like others; the longest gone first."""
        self._due: list[tuple[float, Place]] = []
        self._waits: set[Place] = set()
        """Those that are in ``_due``."""
        self._position = 0
        self._behind_since_us: int | None = None
        self._written_bytes = 0
        self.rows_count = 0
        self._add(("", "", ""), START, "", now_us)

    def tick(self, now: float, now_us: int) -> tuple[int, int] | None:
        """Add the rows that are due; call about every second.

        Returns from when to when (microseconds) there was no room for any, once there is again.
        """
        self._hear(now)
        if len(self._collector.snapshots) >= BACKLOG_COUNT_MAX:
            if self._behind_since_us is None:
                self._behind_since_us = now_us
            return None
        since_us, self._behind_since_us = self._behind_since_us, None
        self._written_bytes = 0
        self._forget_gone(now)
        left = self._keep_again(now, now_us, ROWS_COUNT_MAX // 2)
        left += ROWS_COUNT_MAX // 2
        while self._due and self._due[0][0] <= now and left > 0 and self._written_bytes < BYTES_MAX:
            _, place = heapq.heappop(self._due)
            self._waits.discard(place)
            left -= self._keep(place, now, now_us)
        return None if since_us is None else (since_us, now_us)

    def _hear(self, now: float) -> None:
        """Note what changed, each with the time at which it may have a row."""
        news = self._collector.changes.after(self._position, HEARD_COUNT_MAX)
        if news is None:
            self._position = self._collector.changes.position
            places = [*self._every_place(), *self._kept]
        else:
            places, self._position = list(news[0]), news[1]
        for place in places:
            if place in self._waits:
                continue
            kept = self._kept.get(place) or self._gone.get(place)
            wait_s = 0.0 if kept is None else (1 - kept.tokens_at(now)) * EVERY_S
            self._waits.add(place)
            heapq.heappush(self._due, (now + max(wait_s, 0.0), place))

    def _every_place(self) -> list[Place]:
        uves = self._collector.uves
        return [
            (table, key, struct)
            for table in uves.tables()
            for key, entity in uves.entities(table)
            for struct in entity
        ]

    def _forget_gone(self, now: float) -> None:
        while self._gone:
            place, gone = next(iter(self._gone.items()))
            if now - gone.at < BURST_COUNT * EVERY_S:
                return
            del self._gone[place]

    def _keep_again(self, now: float, now_us: int, left: int) -> int:
        """Mark what was not marked for an hour; returns how many of ``left`` rows are left."""
        oldest = islice(self._kept.items(), left)
        for place in [place for place, kept in oldest if now - kept.marked_at >= AGAIN_S]:
            if self._written_bytes >= BYTES_MAX:
                break
            left -= self._keep(place, now, now_us, is_again=True)
        return left

    def _keep(self, place: Place, now: float, now_us: int, *, is_again: bool = False) -> bool:
        """Add a row if there is something to tell; returns whether there was."""
        kept, value = self._kept.get(place), self._value(place)
        if value is None:
            if kept is None:
                return False
            del self._kept[place]
            self._gone[place] = _Kept(now, 0, max(kept.tokens_at(now) - 1, 0.0), now)
            self._add(place, GONE, "{}", now_us)
            return True
        digest = hash(value)
        is_same = kept is not None and kept.digest == digest
        if is_same and not is_again:
            return False
        former = kept or self._gone.pop(place, None)
        tokens = float(BURST_COUNT) if former is None else former.tokens_at(now)
        if not is_same:
            tokens = max(tokens - 1, 0.0)
        if kept is None or now - kept.marked_at >= AGAIN_S:
            kind, marked_at = NEW if kept is None else AGAIN, now
        else:
            kind, marked_at = CHANGE, kept.marked_at
        self._kept[place] = _Kept(now, digest, tokens, marked_at)
        if kind != CHANGE:
            self._kept.move_to_end(place)
        if len(value) > VALUE_BYTES_MAX:
            self._collector.dropped["snapshot_too_long"] += 1
            kind, value = CUT, b"{}"
        self._add(place, kind, value.decode(), now_us)
        return True

    def _value(self, place: Place) -> bytes | None:
        table, key, struct = place
        entity = self._collector.uves.get(table, key)
        if entity is None or struct not in entity:
            return None
        shown = uve_json.flat(_EVERYTHING.part_of({struct: entity[struct]}))
        return msgspec.json.encode(shown[struct]) if struct in shown else None

    def _add(self, place: Place, kind: str, value: str, now_us: int) -> None:
        table, key, struct = place
        self.rows_count += 1
        self._written_bytes += len(value)
        self._collector.snapshots.add(
            {
                "T": now_us,
                "Source": self._node,
                "Table": table,
                "name": key,
                "struct": struct,
                "kind": kind,
                "value": value,
            }
        )
