"""Something of the host's that is kept as wanted, by a task that tries again what fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

RETRY_S = 30.0
T = TypeVar("T")


class Followed(Generic[T]):
    """Has ``carry_out`` make it so in a thread, whenever something else is wanted.

    ``name``: of what, in the log; ``carry_out`` raises ``OSError`` when it cannot be.
    """

    def __init__(self, name: str, carry_out: Callable[[T], None]) -> None:
        self._name = name
        self._carry_out = carry_out
        self._wanted: T | None = None
        self._wake = asyncio.Event()
        self._log = structlog.get_logger().bind(component="agent")
        self.problem = ""
        """Why it is not as wanted; empty when it is."""

    def follow(self, wanted: T) -> None:
        """Have it so from soon on."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    async def run(self) -> None:
        """Carry out what is wanted, until cancelled; what fails is tried again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._wanted is None:
                continue
            try:
                await asyncio.to_thread(self._carry_out, self._wanted)
            except OSError as error:
                if self.problem != str(error):
                    self._log.warning(f"{self._name}_failed", error=str(error))
                self.problem = str(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._wake.wait()
                self._wake.set()
            else:
                self.problem = ""
                self._log.info(f"{self._name}_installed")
