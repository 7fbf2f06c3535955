"""Programs on interfaces: pinned TCX links, or clsact filters where the kernel has no TCX.

A pinned link outlives the agent; updating it swaps the program between two packets.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
from pathlib import Path

from skytrail.agent.io import bpf_syscall

_NO_TCX = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})


class LinkTable:
    """Links below ``directory``, one file for each interface index."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def ifindexes(self) -> list[int]:
        return sorted(int(path.name) for path in self._directory.iterdir())

    def sweep(self) -> None:
        """Forget links whose interface is gone."""
        for ifindex in self.ifindexes():
            link = self._open(ifindex)
            if link is not None:
                os.close(link)

    def attach(self, ifindex: int, program_fd: int, program_pin: Path) -> None:
        """Attach or replace; idempotent."""
        link = self._open(ifindex)
        try:
            if link is None:
                link = bpf_syscall.tcx_link_create(program_fd, ifindex)
                bpf_syscall.pin(link, self._directory / str(ifindex))
            else:
                bpf_syscall.link_update(link, program_fd)
        except OSError as failure:
            if failure.errno not in _NO_TCX:
                raise
            _attach_filter(ifindex, program_pin)
        finally:
            if link is not None:
                os.close(link)

    def detach(self, ifindex: int) -> None:
        """Remove the program; nothing happens when there is none."""
        with contextlib.suppress(FileNotFoundError):
            (self._directory / str(ifindex)).unlink()
            return
        with contextlib.suppress(OSError):
            _tc("qdisc", "del", "dev", socket.if_indextoname(ifindex), "clsact")

    def _open(self, ifindex: int) -> int | None:
        """The live link of an interface; a dead one's pin is removed."""
        path = self._directory / str(ifindex)
        try:
            link = bpf_syscall.open_pin(path)
        except FileNotFoundError:
            return None
        if bpf_syscall.tcx_link_ifindex(link) == ifindex:
            return link
        os.close(link)
        path.unlink()
        return None


def _attach_filter(ifindex: int, program_pin: Path) -> None:
    name = socket.if_indextoname(ifindex)
    _tc("qdisc", "replace", "dev", name, "clsact")
    _tc(
        "filter", "replace", "dev", name, "ingress", "protocol", "all", "prio", "1", "handle", "1",
        "bpf", "direct-action", "object-pinned", str(program_pin),
    )  # fmt: skip


def _tc(*arguments: str) -> None:
    done = subprocess.run(["tc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EIO, f"tc {' '.join(arguments)}: {done.stderr.strip()}")
