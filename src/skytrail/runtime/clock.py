"""Time as a value that is passed in: the real clock, for the outermost shell only.

Tests and simulations pass their own object with the same two methods.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time; both results are seconds."""

    def now(self) -> float:
        """Monotonic seconds; the origin is arbitrary but shared by all processes of a host."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump, so never subtract two of them."""
        ...


class SystemClock:
    """The host's clocks (CLOCK_MONOTONIC, CLOCK_REALTIME)."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
