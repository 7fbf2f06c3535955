"""Where a daemon says that it is ready: the socket that ``NOTIFY_SOCKET`` names (sd_notify)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

MESSAGE_BYTES_MAX = 4096
_READY = b"READY=1"


class ReadySocket:
    """Open from construction to :meth:`close`; ``ready`` is called each time that it is said.

    The path that others see leads through an open folder of this process, because paths of Unix
    sockets may have 107 bytes, and folders are where their owners want them.
    """

    def __init__(self, folder: Path, name: str, ready: Callable[[], object]) -> None:
        self._ready = ready
        self._file = folder / name
        self._file.unlink(missing_ok=True)
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.path = f"/proc/{os.getpid()}/fd/{self._folder}/{name}"
        try:
            self._socket.bind(self.path)
        except OSError:
            self._socket.close()
            os.close(self._folder)
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        os.close(self._folder)
        self._file.unlink(missing_ok=True)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                said = self._socket.recv(MESSAGE_BYTES_MAX)
                if _READY in said.splitlines():
                    self._ready()
