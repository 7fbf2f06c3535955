"""The datapath's side of the session log: records out of a ring buffer, while somebody wants them."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from skytrail.agent.io.bpf_syscall import BpfMap
from skytrail.agent.io.ebpf_rows import u32
from skytrail.agent.io.ring import RecordRing
from skytrail.agent.session_batch import RECORD, SessionBatch

_NANOSECONDS = 1_000_000_000


class SessionRecords:
    """Implements :class:`skytrail.agent.plugin.SessionSource`."""

    def __init__(self, maps: Mapping[str, BpfMap]) -> None:
        self._maps = maps
        self._ring: RecordRing | None = None

    def want(self, *, wanted: bool) -> None:
        """Have the datapath tell of sessions, or not."""
        if wanted and self._ring is None:
            ring = self._maps["sessions"]
            self._ring = RecordRing(ring.fd, ring.max_entries)
        self._maps["sessions_wanted"].update(u32(0), u32(int(wanted)))

    def drain(self, records_max: int) -> SessionBatch:
        """Remove and return records that wait, at most so many."""
        if self._ring is None:
            return SessionBatch(np.zeros(0, RECORD))
        return SessionBatch(
            self._ring.take(RECORD, records_max),
            ahead_ns=round(time.clock_gettime(time.CLOCK_TAI) - time.time()) * _NANOSECONDS,
            monotonic_ns=time.time_ns() - time.monotonic_ns(),
        )

    def counts(self) -> tuple[int, int]:
        """(records since load, those of them that got lost)."""
        raw = self._maps["session_counters"].lookup(u32(0))
        words = memoryview(raw or bytes(16)).cast("Q")
        return sum(words[0::2]), sum(words[1::2])

    def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None
