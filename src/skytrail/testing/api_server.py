"""A real API server as a child process on a free port of loopback, for tests with foreign clients."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_PORT = re.compile(r"port=(\d+)")


class ApiServer:
    """One server process; can be killed and started again on its data, on another port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return when it serves; RuntimeError with its log when it does not."""
        arguments = [
            sys.executable, "-m", "skytrail.daemons.api",
            "--data", str(self.folder), "--port", "0", "--socket", str(self.folder / "api.sock"),
        ]  # fmt: skip
        with (self.folder / "stderr").open("a") as log:
            self._process = subprocess.Popen(
                arguments, stdout=subprocess.PIPE, stderr=log, text=True
            )
        line = "" if self._process.stdout is None else self._process.stdout.readline()
        match = _PORT.search(line)
        if match is None:
            raise RuntimeError(f"no API server:\n{(self.folder / 'stderr').read_text()}")
        self.port = int(match[1])

    def kill(self) -> None:
        """End the process as kill -9 does; nothing happens when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_api_server(folder: Path) -> Generator[ApiServer]:
    """Give a server that serves; end it afterwards."""
    server = ApiServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
