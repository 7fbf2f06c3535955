"""Nanoseconds that datapath programs take for a packet: steadier than any throughput here.

Two ways. ``Frames`` runs a program on frames by BPF_PROG_RUN, one frame a call as packets come: no
device, no other process, no stack of a workload is in it. ``program_times`` asks the kernel what its
programs took under real traffic. Neither counts what the kernel does before and after a program.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from skytrail.agent.io import bpf_syscall

_ENABLE_STATS = 32
_STATS_RUN_TIME = 0
_RUN_TIME_OFFSET = 192
"""Of ``run_time_ns`` and ``run_cnt`` in the kernel's ``bpf_prog_info``."""
_ATTRIBUTES = struct.Struct("=IIIIQQIIIIQQ")
_AFTER = struct.Struct("=4xI28xI")
"""Return value and duration."""
_CONTEXT_BYTES = 192
_CONTEXT_IFINDEX = 40
TC_REDIRECT, TC_SHOT, TC_PASS = 7, 2, 0xFFFFFFFF


class Frames:
    """Runs one program; the interface is the loopback of this namespace unless told."""

    def __init__(self, program_fd: int, *, ifindex: int = 0, wanted: int = TC_REDIRECT) -> None:
        self._wanted = wanted
        self._frame = ctypes.create_string_buffer(2048)
        context = bytearray(_CONTEXT_BYTES)
        struct.pack_into("=I", context, _CONTEXT_IFINDEX, ifindex)
        self._context = ctypes.create_string_buffer(bytes(context), _CONTEXT_BYTES)
        self._program_fd = program_fd
        self._has_context = bool(ifindex)

    def cost_ns(self, frame: bytes) -> int:
        """Run it on a frame; raises when the program did not do what is wanted: forward it, unless told."""
        ctypes.memmove(self._frame, frame, len(frame))
        given = (_CONTEXT_BYTES, ctypes.addressof(self._context)) if self._has_context else (0, 0)
        attributes = _ATTRIBUTES.pack(
            self._program_fd, 0, len(frame), 0, ctypes.addressof(self._frame), 0,
            1, 0, given[0], 0, given[1], 0,
        )  # fmt: skip
        _, after = bpf_syscall.bpf(bpf_syscall.PROG_TEST_RUN, attributes)
        result, duration = _AFTER.unpack_from(after)
        if result != self._wanted:
            raise RuntimeError(f"the program answered {result}, not {self._wanted}: {frame.hex()}")
        return int(duration)

    def costs_ns(self, frames: Iterable[bytes]) -> list[int]:
        return [self.cost_ns(frame) for frame in frames]


def run_time(program_fd: int) -> tuple[int, int]:
    """(nanoseconds, runs) of a program while the kernel counted."""
    nanoseconds, runs = struct.unpack_from(
        "=QQ", bpf_syscall.object_description(program_fd), _RUN_TIME_OFFSET
    )
    return nanoseconds, runs


@contextmanager
def program_times(programs: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """Let the kernel count; afterwards the mapping has nanoseconds a packet by program."""
    fd, _ = bpf_syscall.bpf(_ENABLE_STATS, struct.pack("=I", _STATS_RUN_TIME))
    found: dict[str, float] = {}
    try:
        before = {name: run_time(program) for name, program in programs.items()}
        yield found
        for name, program in programs.items():
            nanoseconds, runs = run_time(program)
            nanoseconds, runs = nanoseconds - before[name][0], runs - before[name][1]
            if runs:
                found[name] = nanoseconds / runs
    finally:
        os.close(fd)
