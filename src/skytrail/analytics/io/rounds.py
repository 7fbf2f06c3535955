"""Rounds: followers of the UVEs are woken together, so that they ask for the same news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

ROUND_S: Final = 0.25
"""Changes of this long are told at once."""


class Rounds:
    """Lets followers wait for what has changed; one task looks for all, and only while somebody waits."""

    def __init__(self, position: Callable[[], int]) -> None:
        self._position = position
        self._waiting: dict[asyncio.Future[bool], tuple[int, float]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def changed(self, position: int, within_s: float) -> bool:
        """Wait for changes after a position; False: ``within_s`` went by without any."""
        loop = asyncio.get_running_loop()
        told = loop.create_future()
        self._waiting[told] = position, loop.time() + within_s
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            return await told
        finally:
            self._waiting.pop(told, None)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await asyncio.sleep(ROUND_S)
                now, reached = loop.time(), self._position()
                for told, (position, until) in list(self._waiting.items()):
                    if not told.done() and (reached > position or now >= until):
                        told.set_result(reached > position)
        finally:
            self._looking = None
