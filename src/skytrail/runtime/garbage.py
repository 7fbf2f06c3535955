"""Collections of cyclic garbage that stay short however many objects a process holds.

The interpreter looks for cycles by walking objects. A daemon with a million routes has ten million
that live long and are in no cycle: one walk over them holds up everything for more than a second.
So only young objects are looked at, at most ``YOUNG_COUNT`` of them in one go; those that
outlive that are set aside (``gc.freeze``, which costs nothing) and freed by their reference counts
as ever. While there are few they are looked at now and then as well, for what cycles there are.
"""

from __future__ import annotations

import asyncio
import gc

YOUNG_COUNT = 50_000
"""Allocations between two collections of young objects: some ten milliseconds for each."""
FEW_COUNT = 200_000
"""Up to so many old objects are walked, at most once in ``WALKS_TICKS`` calls of ``tidy``."""
WALKS_TICKS = 240
TIDY_EVERY_S = 0.25
_NEVER = 1 << 30


class ShortCollections:
    """Takes the collector over when made; :meth:`tidy` is to be called a few times a second."""

    def __init__(self) -> None:
        gc.set_threshold(YOUNG_COUNT, _NEVER, _NEVER)
        self._ticks = 0

    def tidy(self) -> None:
        """Set aside what has become old since the last call."""
        self._ticks += 1
        if self._ticks >= WALKS_TICKS and gc.get_freeze_count() <= FEW_COUNT:
            self._ticks = 0
            gc.unfreeze()
            gc.collect()
        if gc.get_count()[1]:
            gc.freeze()


async def keep_short() -> None:
    """Take the collector over and keep its work short, for ever."""
    collections = ShortCollections()
    while True:
        await asyncio.sleep(TIDY_EVERY_S)
        collections.tidy()
