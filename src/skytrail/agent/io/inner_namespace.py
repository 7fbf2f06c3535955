"""A network namespace that belongs to this process: it and its links end with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class InnerNamespace:
    """Made empty; the calling thread stays where it is. ``OSError`` without the right to."""

    def __init__(self) -> None:
        self._home = _own()
        _check(_libc.unshare(_CLONE_NEWNET))
        try:
            self._inner = _own()
        finally:
            _check(_libc.setns(self._home, _CLONE_NEWNET))

    def close(self) -> None:
        """Let go of it: it ends with the last process inside."""
        os.close(self._inner)
        os.close(self._home)

    @property
    def path(self) -> str:
        """Where other processes find it while this one lives."""
        return f"/proc/{os.getpid()}/fd/{self._inner}"

    @contextlib.contextmanager
    def entered(self) -> Generator[None]:
        """Be inside for the block, which must not wait: other tasks of the thread would be, too."""
        _check(_libc.setns(self._inner, _CLONE_NEWNET))
        try:
            yield
        finally:
            _check(_libc.setns(self._home, _CLONE_NEWNET))

    def configure(self, lines: Iterable[str]) -> None:
        """Run lines of ``ip`` inside. ``OSError`` when one is refused."""
        with self.entered():
            run_batch("ip", lines)

    def set_sysctls(self, values: Mapping[str, int]) -> None:
        """Write sysctls of the namespace by their place below ``net``."""
        with self.entered():
            for name, value in values.items():
                Path("/proc/sys/net", name).write_text(f"{value}\n")


def run_batch(tool: str, lines: Iterable[str]) -> None:
    """Run lines of ``ip`` or ``tc``, all or up to the one that is refused (``OSError``)."""
    run([tool, "-batch", "-"], text="".join(f"{line}\n" for line in lines))


def run(command: Sequence[str], *, text: str = "") -> str:
    """Run a short tool; ``OSError`` with what it says when it fails."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def _own() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"network namespace: {os.strerror(number)}")
