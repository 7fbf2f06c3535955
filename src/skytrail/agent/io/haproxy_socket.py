"""Asks HAProxy's master: its command line on a Unix socket, which stays through reloads."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from skytrail.agent.balancing.standing import STATISTICS_BYTES_MAX

ANSWER_TIMEOUT_S = 2.0


class HaproxySocket:
    """Where HAProxy is to listen (``path``), open from construction to :meth:`close`.

    The path leads through an open folder of this process: those of Unix sockets may have 107 bytes.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / name
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.path = f"/proc/{os.getpid()}/fd/{self._folder}/{name}"

    def close(self) -> None:
        os.close(self._folder)
        self._file.unlink(missing_ok=True)

    async def ask(self, command: str) -> str:
        """Return the answer to one command. ``OSError`` when there is none in time, or no end of it."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self.path)
                try:
                    writer.write(f"{command}\n".encode())
                    # Else the master waits for another one.
                    writer.write_eof()
                    return (await _until_end(reader)).decode(errors="replace")
                finally:
                    writer.close()
        except TimeoutError as error:
            raise OSError("HAProxy does not answer in time") from error


async def _until_end(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    length = 0
    while part := await reader.read(65_536):
        parts.append(part)
        length += len(part)
        if length > STATISTICS_BYTES_MAX:
            raise OSError("HAProxy's answer has no end")
    return b"".join(parts)
