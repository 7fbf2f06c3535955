"""Long-lived processes of a lab: started detached, recorded before they run, ended by identity.

A process is identified by its id **and** start time, so that an id reused by the system is never
mistaken for ours. The record is written by the process itself before it becomes the program
(``sh`` writes its own id, then ``exec``), so no window exists in which a running process is unknown.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

_RECORDER = 'read -r line </proc/self/stat && echo "$line" >"$0.stat" && exec "$@"'
_START_TIME_FIELD = 19
"""Of /proc/PID/stat, counted after the parenthesised name (field 22 in proc(5))."""
_POLL_S = 0.02
_STOP_S = 5.0
_KILLED_S = 60.0
"""SIGKILL cannot fail, but a guest's memory takes a busy machine a while to free."""


class ProcessError(Exception):
    """A process did not start or ended early; the text holds the end of its log."""


class Specification(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a process again."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = {}
    ready: str | None = None
    """Start of the line on standard output that tells it serves; None: it is ready when started."""


@dataclass(frozen=True, slots=True)
class Identity:
    pid: int
    start_time: int


class ProcessTable:
    """The recorded processes of one lab, kept as files in a directory."""

    def __init__(self, records: Path, logs: Path) -> None:
        self._records = records
        self._logs = logs

    def start(self, specification: Specification) -> Identity:
        """Start a detached process and record it; :class:`ProcessError` when it already runs."""
        name = specification.name
        if self.identity(name) is not None:
            raise ProcessError(f"{name} is already running")
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        record = self._records / name
        record.with_suffix(".json").write_bytes(msgspec.json.encode(specification))
        self.output(name).write_bytes(b"")
        with self.output(name).open("ab") as output, self.log(name).open("ab") as log:
            child = subprocess.Popen(
                ["/bin/sh", "-c", _RECORDER, str(record), *specification.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env={**os.environ, **specification.environment},
                start_new_session=True,
                close_fds=True,
            )
        _adopted.append(child)
        return _wait_recorded(record.with_suffix(".stat"), child)

    def wait_ready(self, name: str, timeout_s: float) -> str:
        """Return the ready line; :class:`ProcessError` when the process ends or time is up."""
        wanted = self.specification(name).ready
        deadline = time.monotonic() + timeout_s
        while wanted is not None:
            for line in self.output(name).read_text(errors="replace").splitlines():
                if line.startswith(wanted):
                    return line
            if self.identity(name) is None:
                raise ProcessError(f"{name} ended before it was ready:\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{name} is not ready after {timeout_s:g} s:\n{self.tail(name)}")
            time.sleep(_POLL_S)
        return ""

    def stop(self, name: str, *, graceful: bool = True) -> bool:
        """End the process (TERM, then KILL after 5 s; or KILL at once); True if it ran."""
        identity = self.identity(name)
        if identity is not None:
            end(identity, graceful_s=_STOP_S if graceful else 0.0)
        self._forget(name)
        return identity is not None

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal; False when the process does not run. The record stays."""
        identity = self.identity(name)
        return identity is not None and _send(identity, number)

    def names(self) -> list[str]:
        if not self._records.exists():
            return []
        return sorted(path.stem for path in self._records.glob("*.stat"))

    def specification(self, name: str) -> Specification:
        path = self._records / f"{name}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Specification)
        except FileNotFoundError as error:
            raise ProcessError(
                f"no process {name!r} was started in this lab; skytrail lab show lists them"
            ) from error

    def identity(self, name: str) -> Identity | None:
        """Return the running process, or None when it ended."""
        try:
            identity = _parse((self._records / f"{name}.stat").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return identity if is_running(identity) else None

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def output(self, name: str) -> Path:
        return self._logs / f"{name}.out"

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of what the process wrote."""
        written: list[str] = []
        for path in (self.output(name), self.log(name)):
            with contextlib.suppress(FileNotFoundError):
                written += path.read_text(errors="replace").splitlines()
        return "\n".join(written[-lines:]) or "(it wrote nothing)"

    def _forget(self, name: str) -> None:
        (self._records / f"{name}.stat").unlink(missing_ok=True)


_adopted: list[subprocess.Popen[bytes]] = []
"""Children of this process: kept so that the interpreter reaps them without complaint."""


def is_running(identity: Identity) -> bool:
    """True while this very process lives (a zombie does not)."""
    try:
        text = Path(f"/proc/{identity.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state = text.rpartition(")")[2].split()[0]
    if state == "Z":
        reap_ended()
        return False
    return _parse(text) == identity


def identify(pid: int) -> Identity | None:
    """Return the identity of a process that runs now."""
    try:
        return _parse(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def end(identity: Identity, *, graceful_s: float) -> None:
    """End a process and wait until it is gone; nothing happens when it already is."""
    if graceful_s and _send(identity, signal.SIGTERM) and _wait_gone(identity, graceful_s):
        return
    if _send(identity, signal.SIGKILL) and not _wait_gone(identity, _KILLED_S):
        raise ProcessError(f"process {identity.pid} does not end, even by SIGKILL; try again later")


def _send(identity: Identity, number: signal.Signals) -> bool:
    if not is_running(identity):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(identity.pid, number)
    return True


def _wait_gone(identity: Identity, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_running(identity):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _wait_recorded(record: Path, child: subprocess.Popen[bytes]) -> Identity:
    deadline = time.monotonic() + _STOP_S
    while True:
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            identity = _parse(record.read_text())
            if identity.pid == child.pid:
                return identity
        if child.poll() is not None or time.monotonic() > deadline:
            raise ProcessError(f"cannot record process {child.pid} in {record}")
        time.sleep(_POLL_S / 4)


def _parse(stat: str) -> Identity:
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    if len(fields) <= _START_TIME_FIELD:
        raise ValueError(f"not a process status line: {stat!r}")
    return Identity(pid=int(head.split()[0]), start_time=int(fields[_START_TIME_FIELD]))


def reap_ended() -> None:
    """Collect children that somebody else ended."""
    _adopted[:] = [child for child in _adopted if child.poll() is None]
