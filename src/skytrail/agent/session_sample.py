"""Some of the items of each second, weighted so that sums over any of them stay true. Pure.

Priority sampling (Duffield, Lund, Thorup): an item of size s draws u, uniform over (0, 1], and has the priority s / u. The
``room`` highest priorities stay. With t the highest priority that went, what stays counts for max(1, t / s): a Horvitz and
Thompson estimate, unbiased for the sum of any quantity over any subset, whatever comes in the second, and however fast.
While none went, each counts for one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from skytrail.agent.session_batch import Array

SECOND_S: Final = 1.0
FORCED_COUNT_MAX: Final = 10_000
"""Of a second, that stay although their priority does not let them; the oldest go, and are counted."""


@dataclass(slots=True)
class Sample:
    """Items are rows of an array with the fields ``size``, ``priority`` and ``is_forced``."""

    rng: np.random.Generator
    per_second: int
    """From the next second on."""
    lost_count: int = 0
    """Forced items that had no room."""
    _end: float = -math.inf
    _budget: int = 0
    _room: int = 0
    """What is left of the budget: some items are taken before the second's end."""
    _highest_gone: float = 0.0
    _parts: list[Array] = field(default_factory=list[Array])

    def offer(self, sizes: Array, is_forced: Array) -> tuple[Array, Array]:
        """Return the places of items that may stay, and their priorities. A second must have begun."""
        priorities = sizes / (1.0 - self.rng.random(len(sizes)))
        places = np.flatnonzero((priorities > self._highest_gone) | is_forced)
        return places, priorities[places]

    def add(self, items: Array) -> None:
        """Keep items that were offered; those of the lowest priority may go at once."""
        if len(items):
            self._parts.append(items)
            if sum(map(len, self._parts)) > self._room:
                self._thin()

    def is_over(self, now: float) -> bool:
        """Tell whether the second is over, or none has begun."""
        return now >= self._end

    def begin(self, now: float) -> None:
        """Begin a second; what is kept of the last must have been taken."""
        self._end = now + SECOND_S
        self._room = self._budget = self.per_second
        self._highest_gone = 0.0 if self._room else math.inf

    def take(self, now: float) -> tuple[Array, Array] | None:
        """Return items and their weights, 0 for forced ones; None while it is open what stays.

        All of a second's, when it is over. As long as none went and half of the room is free, what there is: the other
        half is for what may come.
        """
        kept = sum(map(len, self._parts))
        is_full = self._highest_gone > 0 or self._room - kept < self._budget - self._budget // 2
        if not kept or (now < self._end and is_full):
            return None
        self._thin()
        items = self._parts.pop()
        is_sampled = items["priority"] > self._highest_gone
        weights = np.where(is_sampled, np.maximum(1.0, self._highest_gone / items["size"]), 0.0)
        self._room -= kept
        return items, weights

    def _thin(self) -> None:
        """Let go what has no room."""
        items = np.concatenate(self._parts, dtype=self._parts[0].dtype)
        priorities = items["priority"]
        is_sampled = priorities > self._highest_gone
        over = int(np.count_nonzero(is_sampled)) - self._room
        if over > 0 and self._room:
            self._highest_gone = float(np.partition(priorities[is_sampled], over - 1)[over - 1])
            is_sampled = priorities > self._highest_gone
        forced = np.flatnonzero(items["is_forced"] & ~is_sampled)
        gone = max(0, len(forced) - FORCED_COUNT_MAX)
        self.lost_count += gone
        is_sampled[forced[gone:]] = True
        self._parts = [items[is_sampled]]
