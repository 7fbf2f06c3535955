"""Processes of one machine: children that die with their parent, ready lines, restart.

A daemon says exactly one line on standard output when it serves::

    skytrail-control ready socket=/run/x.sock

``Child`` waits for that line; ``keep_running`` starts the child again whenever it ends. Used by
the controller supervisor and by the lab.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from skytrail.runtime.backoff import Backoff
from skytrail.runtime.tasks import FINAL

PR_SET_PDEATHSIG: Final = 1
STOP_GRACE_S: Final = 5.0
READY_TIMEOUT_S: Final = 120.0

# Loaded before any fork: a forked child must not open libraries.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class ProcessFailed(Exception):
    """A child did not start, did not become ready, or ended; the text says which and how."""


class ProcessEnded(ProcessFailed):
    """A child ended at its start in a way that another start would not change (tasks.FINAL)."""


def die_with_parent(signal_number: int = signal.SIGKILL) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    For a child to call on itself; ``Child`` arranges it for whatever it starts. The parent
    must start children from a thread that lives as long as itself (the event loop's).
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)


def print_ready(name: str, **fields: object) -> None:
    """Print the one ready line: ``skytrail-<name> ready key=value ...``."""
    words = [f"skytrail-{name}", "ready", *(f"{key}={value}" for key, value in fields.items())]
    print(" ".join(words), flush=True)


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. ``ready_mark`` None means: ready as soon as it was started."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    ready_mark: str | None = " ready"
    ready_timeout_s: float = READY_TIMEOUT_S


class Child:
    """One running child process. Its standard error is the parent's."""

    def __init__(self, command: Command, process: asyncio.subprocess.Process) -> None:
        self.command = command
        self._process = process
        self.ready_line = ""

    @classmethod
    async def start(cls, command: Command) -> Child:
        """Start the command and wait until it is ready; raises ProcessFailed."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, **command.environment},
                preexec_fn=_bind_to(os.getpid()),
            )
        except OSError as error:
            message = f"{command.name}: cannot start {command.arguments[0]}: {error.strerror}"
            raise ProcessFailed(message) from error
        child = cls(command, process)
        try:
            await child._wait_ready()
        except BaseException:
            await child.stop(grace_s=0)
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for the end, draining its output; return the exit status (negative: signal)."""
        if self._process.stdout is not None:
            while await self._process.stdout.read(65536):
                pass
        return await self._process.wait()

    async def stop(self, *, grace_s: float = STOP_GRACE_S) -> int:
        """Ask it to end with SIGTERM, kill it after the grace time; return the exit status."""
        if self.running and grace_s > 0:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_s):
                    return await self.wait()
            except TimeoutError:
                pass
        if self.running:
            self._signal(signal.SIGKILL)
        return await self._process.wait()

    def kill(self) -> None:
        """Kill it at once (SIGKILL); for tests of recovery."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _wait_ready(self) -> None:
        mark, output = self.command.ready_mark, self._process.stdout
        if mark is None or output is None:
            return
        try:
            async with asyncio.timeout(self.command.ready_timeout_s):
                while mark not in self.ready_line:
                    line = await output.readline()
                    if not line:
                        status = await self._process.wait()
                        message = f"{self.command.name} ended with status {status} at its start"
                        raise (ProcessEnded if status == FINAL else ProcessFailed)(message)
                    self.ready_line = line.decode(errors="replace").rstrip("\n")
        except TimeoutError as error:
            limit = self.command.ready_timeout_s
            message = f"{self.command.name} was not ready within {limit:g} s"
            raise ProcessFailed(message) from error


async def keep_running(
    command: Command,
    *,
    when_ready: Callable[[Child], None] | None = None,
    backoff: Backoff | None = None,
) -> None:
    """Run the command for ever: start it again when it ends. Cancellation stops the child.

    The first start must succeed, so that a wrong command line is an error and not a loop; so is
    a later one that ends with ``tasks.FINAL``. Both raise ProcessFailed.
    """
    log = structlog.get_logger("skytrail.processes")
    delays = backoff if backoff is not None else Backoff()
    child = await Child.start(command)
    while True:
        if when_ready is not None:
            when_ready(child)
        delays.reset()
        try:
            status = await child.wait()
        finally:
            await child.stop()
        log.warning("child_ended", child=command.name, status=status)
        child = await _start_again(command, delays)
        log.info("child_restarted", child=command.name, pid=child.pid)


async def _start_again(command: Command, delays: Backoff) -> Child:
    log = structlog.get_logger("skytrail.processes")
    while True:
        await asyncio.sleep(delays.next_delay_s())
        try:
            return await Child.start(command)
        except ProcessEnded:
            raise
        except ProcessFailed as error:
            log.warning("child_start_failed", child=command.name, error=str(error))


def _bind_to(parent_pid: int) -> Callable[[], None]:
    def bind() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent_pid:  # The parent died between fork and prctl.
            os._exit(1)

    return bind
