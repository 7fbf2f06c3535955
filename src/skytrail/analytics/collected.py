"""What is kept of the nodes an alarm is about, as they were when it was raised. Pure.

A rule says which pages (``agent/drops``: process and table); the nodes are those the alarm's entity needs, and those that
speak of it. Bounded: the newest alarms' pages are kept, each cut to so many rows; how often is limited.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from skytrail.analytics.alarms import Entity, Transition
from skytrail.net.latest import Latest

NODES_COUNT_MAX: Final = 8
"""Asked for one alarm."""
ROWS_COUNT_MAX: Final = 200
"""Of one page, of all nodes together."""
PAGE_BYTES_MAX: Final = 128 << 10
KEPT_COUNT_MAX: Final = 200
AGAIN_S: Final = 60.0
"""An alarm that is raised again earlier is not collected for again."""
A_MINUTE_COUNT_MAX: Final = 30


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One table of all nodes that were asked; ``total`` is how many rows there were."""

    process: str
    table: str
    rows: Sequence[Mapping[str, object]]
    total: int
    failures: Sequence[Mapping[str, str]]


def cut(rows: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
    """Return as many rows as may be kept, the first ones."""
    kept: list[Mapping[str, object]] = []
    size = 0
    for row in rows[:ROWS_COUNT_MAX]:
        size += len(msgspec.json.encode(row))
        if size > PAGE_BYTES_MAX:
            break
        kept.append(row)
    return kept


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept with one raising of an alarm."""

    type: str
    name: str
    rule: str
    raised_us: int
    nodes: Sequence[str]
    pages: Sequence[Page]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Pages of nodes, for an alarm."""

    transition: Transition
    nodes: tuple[str, ...]


class Limits:
    """How often pages are collected: seldom for the same alarm, and seldom at all."""

    def __init__(self) -> None:
        self._latest: OrderedDict[tuple[Entity, str], float] = OrderedDict()
        self.refused_count = 0

    def admits(self, transition: Transition, now: float) -> bool:
        """Count a collection, or refuse it."""
        while self._latest and now - next(iter(self._latest.values())) >= AGAIN_S:
            self._latest.popitem(last=False)
        alarm = transition.entity, transition.alarm.rule.name
        if alarm in self._latest or len(self._latest) >= A_MINUTE_COUNT_MAX:
            self.refused_count += 1
            return False
        self._latest[alarm] = now
        return True


class Shelf:
    """What was collected, the newest alarms'."""

    def __init__(self) -> None:
        self._kept: Latest[tuple[str, str, str, int], Collected] = Latest(KEPT_COUNT_MAX)

    def put(self, collected: Collected) -> None:
        key = collected.type, collected.name, collected.rule, collected.raised_us
        self._kept.put(key, collected)

    def of(self, kind: str, name: str) -> list[Collected]:
        """Return what is kept of an entity's alarms, the newest first."""
        return [
            each for each in reversed(self._kept.values()) if (each.type, each.name) == (kind, name)
        ]

    def __len__(self) -> int:
        return len(self._kept)
