"""A process beside the agent that outlives it: started when it is needed, told what to do.

It listens on a Unix socket and gets all there is to do as one line, again whenever that changes; what
it answers, line by line, is how that goes. It has a session of its own, so that it goes on when the
agent ends, and ends itself when it is told that nothing is left to do.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

START_TIMEOUT_S = 10.0
START_POLL_S = 0.02
REPORT_BYTES_MAX = 16 * 1024 * 1024


class Companion:
    """The agent's side. ``heard`` gets each line of the process, and None when it is gone."""

    def __init__(
        self,
        module: str,
        path: Path,
        options: tuple[str, ...],
        heard: Callable[[bytes | None], None],
    ) -> None:
        self._module = module
        self._path = path
        self._options = options
        self._heard = heard
        self._wanted: bytes | None = None
        """None: not known yet, and whatever a former agent said holds."""
        self._has_work = False
        self._wake = asyncio.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._log = structlog.get_logger("skytrail.agent.companion").bind(module=module)

    def tell(self, line: bytes, *, has_work: bool) -> None:
        """Have the process told, and started if it does not run and has work."""
        if line != self._wanted:
            self._wanted, self._has_work = line, has_work
            self._wake.set()

    async def run(self) -> None:
        """Keep the process running while it has work, until cancelled."""
        while True:
            await self._wake.wait()
            if self._has_work or (self._wanted is not None and await self._is_running()):
                await self._converse()
            else:
                self._wake.clear()

    async def _is_running(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            return False
        writer.close()
        return True

    async def _converse(self) -> None:
        """Talk to the process until it ends; ``OSError`` when it cannot be started."""
        reader, writer = await self._connection()
        telling = asyncio.create_task(self._tell(writer))
        try:
            while line := await reader.readline():
                self._heard(line)
        finally:
            telling.cancel()
            writer.close()
            self._heard(None)
            self._wake.set()
            if self._child is not None:
                self._child.poll()
        if self._has_work:
            raise OSError(f"{self._module} ended; it is started again")
        self._wake.clear()

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            writer.write((self._wanted or b"") + b"\n")
            await writer.drain()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(self._path, limit=REPORT_BYTES_MAX)
        except OSError:
            self._start()
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                await asyncio.sleep(START_POLL_S)
                try:
                    return await asyncio.open_unix_connection(self._path, limit=REPORT_BYTES_MAX)
                except OSError:
                    if self._child is not None and self._child.poll() is not None:
                        raise

    def _start(self) -> None:
        command = [sys.executable, "-m", self._module, "--socket", str(self._path), *self._options]
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self._log.info("companion_started", pid=self._child.pid)
