"""Real daemons as child processes, and a whole controller of them, for tests that need the whole way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from skytrail.client import ApiClient

DEADLINE_S: Final = 30.0
"""How long anything may take on a busy machine before the test fails."""


class Daemons:
    """Daemons of this tree by name, each with a log in the folder; leaving ``with`` kills all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, *arguments: object, module: str | None = None) -> dict[str, str]:
        """Return what the daemon says of itself, ``name=value``, when it is ready.

        The module is called as the daemon is, unless several of one module run. Raises RuntimeError
        with the log if it ends first.
        """
        words = ["-m", f"skytrail.daemons.{module or name}", *map(str, arguments)]
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, *words], stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._running[name] = process
        ready = "" if process.stdout is None else process.stdout.readline()
        if process.stdout is None or " ready" not in ready:
            raise RuntimeError(f"{name} did not become ready:\n{self.log(name)}")
        process.stdout.close()
        said = (word.partition("=") for word in ready.split())
        return {name: value for name, equals, value in said if equals}

    def kill(self, name: str) -> None:
        """End a daemon as kill -9 does; it may be started again."""
        with self._running.pop(name) as process:
            process.kill()

    def stop(self) -> None:
        for name in list(self._running):
            self.kill(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


class Controller(Daemons):
    """Starts, kills and restarts the daemons on one data folder; sockets keep their paths."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.api_socket = folder / "api.sock"
        self.compiler_socket = folder / "compiler.sock"
        self.api_url = ""
        """Where the API listens on TCP; another port after each start."""

    def start_api(self) -> None:
        arguments = ["--data", str(self.folder / "data"), "--port", "0"]
        told = self.start("api", *arguments, "--socket", str(self.api_socket))
        self.api_url = f"http://{told['host']}:{told['port']}"

    def start_control(self, *arguments: str) -> None:
        """Start a control node that no agent is told of."""
        own = ["--name", "control", "--api-socket", str(self.api_socket)]
        self.start("control", *own, "--listen", "127.0.0.1", "--port", "0", *arguments)

    def start_compiler(
        self, name: str = "compiler", socket: Path | None = None, options: Sequence[str] = ()
    ) -> None:
        """Start a compiler; a second one needs a name and a socket of its own."""
        arguments = ["--api-socket", str(self.api_socket), *options]
        place = self.compiler_socket if socket is None else socket
        self.start(name, *arguments, "--socket", str(place), module="compiler")

    def client(self) -> ApiClient:
        return ApiClient(unix_socket=str(self.api_socket))


@contextmanager
def running_controller(folder: Path) -> Generator[Controller]:
    """Give a controller whose API and compiler serve; end both afterwards."""
    controller = Controller(folder)
    try:
        controller.start_api()
        controller.start_compiler()
        yield controller
    finally:
        controller.stop()


def wait_until(condition: Callable[[], object], what: str, *, within_s: float = DEADLINE_S) -> None:
    """Return when the condition holds; TimeoutError names what did not happen."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {within_s:g} s")
        time.sleep(0.01)
