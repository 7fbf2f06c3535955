"""Programs on interfaces: pinned TCX links, or clsact filters where the kernel has no TCX.

A pinned link outlives the agent; updating it swaps the program between two packets, and so does
replacing a filter. A filter cannot be pinned: the program is, under the interface's index, to know
where filters are. Kernels before 6.6 have no TCX.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

from skytrail.agent.io import bpf_syscall

_NO_TCX = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})

OWN_HANDLE = 0x5C7
FILTER = ("ingress", "protocol", "all", "prio", "1", "handle", hex(OWN_HANDLE))
"""Ours, of a number others do not use; first in line as far as others let it."""


RCU_EXPEDITED = Path("/sys/kernel/rcu_expedited")
"""1: whoever waits for readers of the kernel's data asks each CPU at once, and not at its next turn."""


class Hook(enum.Enum):
    """How programs are put on interfaces."""

    AUTO = "auto"
    """TCX if the kernel has it."""
    CLSACT = "clsact"


@contextlib.contextmanager
def expedited_rcu() -> Generator[None]:
    """Let the kernel wait shortly, inside.

    A new link waits until no CPU looks at what was there before, 14 ms and more, while nobody may
    change any interface; a host with a thousand waits a quarter of a minute (ADR 0306). What an
    operator turned on stays; where it cannot be written, links only take longer.
    """
    is_ours = False
    with contextlib.suppress(OSError):
        if RCU_EXPEDITED.read_text(encoding="ascii").strip() == "0":
            RCU_EXPEDITED.write_text("1", encoding="ascii")
            is_ours = True
    try:
        yield
    finally:
        if is_ours:
            RCU_EXPEDITED.write_text("0", encoding="ascii")


class LinkTable:
    """Links and filters below ``directory``, one file for each interface index."""

    def __init__(self, directory: Path, hook: Hook = Hook.AUTO) -> None:
        self._links = directory / "links"
        self._filters = directory / "filters"
        self._hook = hook
        for folder in (self._links, self._filters):
            folder.mkdir(parents=True, exist_ok=True)

    def ifindexes(self) -> list[int]:
        """Interfaces that carry a program."""
        pins = [*self._links.iterdir(), *self._filters.iterdir()]
        return sorted({int(path.name) for path in pins})

    def sweep(self) -> None:
        """Forget links and filters whose interface is gone."""
        for path in list(self._links.iterdir()):
            link = self._open(int(path.name))
            if link is not None:
                os.close(link)
        for path in list(self._filters.iterdir()):
            if _name_of(int(path.name)) is None:
                path.unlink()

    def attach(self, ifindex: int, program_fd: int, program_pin: Path) -> None:
        """Attach or replace; idempotent. What was attached the other way goes afterwards."""
        if self._hook is Hook.AUTO:
            try:
                self._attach_link(ifindex, program_fd)
            except OSError as failure:
                if failure.errno not in _NO_TCX:
                    raise
            else:
                self._detach_filter(ifindex)
                return
        self._attach_filter(ifindex, program_fd, program_pin)
        (self._links / str(ifindex)).unlink(missing_ok=True)

    def _attach_link(self, ifindex: int, program_fd: int) -> None:
        link = self._open(ifindex)
        if link is None:
            with expedited_rcu():
                link = bpf_syscall.tcx_link_create(program_fd, ifindex)
            created = True
        else:
            created = False
        try:
            if created:
                bpf_syscall.pin(link, self._links / str(ifindex))
            else:
                bpf_syscall.link_update(link, program_fd)
        finally:
            os.close(link)

    def detach(self, ifindex: int) -> None:
        """Remove the program; nothing happens when there is none."""
        (self._links / str(ifindex)).unlink(missing_ok=True)
        self._detach_filter(ifindex)

    def forget(self, ifindex: int) -> None:
        """Another table carries this interface now: links go, filters were replaced."""
        for folder in (self._links, self._filters):
            (folder / str(ifindex)).unlink(missing_ok=True)

    def _open(self, ifindex: int) -> int | None:
        """The live link of an interface; a dead one's pin is removed."""
        path = self._links / str(ifindex)
        try:
            link = bpf_syscall.open_pin(path)
        except FileNotFoundError:
            return None
        if bpf_syscall.tcx_link_ifindex(link) == ifindex:
            return link
        os.close(link)
        path.unlink()
        return None

    def _attach_filter(self, ifindex: int, program_fd: int, program_pin: Path) -> None:
        name = socket.if_indextoname(ifindex)
        _tc("qdisc", "replace", "dev", name, "clsact")
        _tc(
            "filter", "replace", "dev", name, *FILTER,
            "bpf", "direct-action", "object-pinned", str(program_pin),
        )  # fmt: skip
        mark = self._filters / str(ifindex)
        mark.unlink(missing_ok=True)
        bpf_syscall.pin(program_fd, mark)

    def _detach_filter(self, ifindex: int) -> None:
        mark = self._filters / str(ifindex)
        if not mark.exists():
            return
        name = _name_of(ifindex)
        if name is not None:
            _tc("filter", "delete", "dev", name, *FILTER, "bpf")
        mark.unlink()


def _name_of(ifindex: int) -> str | None:
    with contextlib.suppress(OSError):
        return socket.if_indextoname(ifindex)
    return None


def _tc(*arguments: str) -> None:
    done = subprocess.run(["tc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EIO, f"tc {' '.join(arguments)}: {done.stderr.strip()}")
