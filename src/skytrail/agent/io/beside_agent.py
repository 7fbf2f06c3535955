"""What the processes beside an agent have in common: they serve its socket, and go on without it.

An agent says, a JSON line each time, all that there is to do; the answer is a line with how all of it is, sent again when
that changes. A request of another protocol, or for nothing, ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec
import structlog

REQUEST_BYTES_MAX: Final = 16 * 1024 * 1024
Request = TypeVar("Request")


class BesideAgent(ABC, Generic[Request]):
    """Serves agents at a Unix socket, one after the other or several. One event loop."""

    def __init__(self, name: str, request_type: type[Request]) -> None:
        self._request_type = request_type
        self._log = structlog.get_logger(f"skytrail.{name}")
        self._changed = asyncio.Event()
        self._is_over = asyncio.Event()

    @abstractmethod
    def take(self, request: Request) -> bool:
        """Have exactly what is asked for; False where that is nothing, or not to be understood."""

    @abstractmethod
    def report(self) -> msgspec.Struct:
        """Return how all of it is."""

    @abstractmethod
    def chores(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what runs beside, until the end."""

    @abstractmethod
    def close(self) -> None:
        """End all that runs."""

    async def serve(self, path: Path) -> None:
        """Do what agents say at a socket, until there is nothing to do."""
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._talk, path, limit=REQUEST_BYTES_MAX)
        finally:
            os.umask(before)
        tasks = [asyncio.create_task(each) for each in self.chores()]
        try:
            async with server:
                await self._is_over.wait()
        finally:
            for task in tasks:
                task.cancel()
            self.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one agent; what it leaves goes on."""
        telling = asyncio.create_task(self._tell(writer))
        try:
            while line := await reader.readline():
                if not self.take(msgspec.json.decode(line, type=self._request_type)):
                    self._is_over.set()
                    return
        except (OSError, ValueError) as error:
            # A ValueError's text may quote what was said: keys are not for the log.
            self._log.warning("request_refused", error=type(error).__name__)
        finally:
            telling.cancel()
            writer.close()

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            writer.write(msgspec.json.encode(self.report()) + b"\n")
            with contextlib.suppress(OSError):
                await writer.drain()
