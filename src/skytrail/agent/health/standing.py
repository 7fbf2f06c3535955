"""Whether a check has passed or failed, and how fast it may change its mind. Pure.

Failure counts at once, when as many questions in a row failed as configured. Recovery after one good
answer, unless the workload failed again and again: then it has to stay well for a time that doubles
with each failure, so that a flapping workload does not make the whole network follow it.
"""

from __future__ import annotations

from dataclasses import dataclass

FLAP_WINDOW_S = 120.0
"""Failures closer together than this add up."""
FLAPS_FREE_COUNT = 2
"""So many failures in a row cost nothing."""
HOLD_S = 5.0
HOLD_S_MAX = 120.0


@dataclass(slots=True)
class Standing:
    """``is_up`` is what counts; ``reason`` of the last failure, fixed when it was decided."""

    is_up: bool
    since: float
    reason: str = ""
    is_proven: bool = False
    """An answer, or the lack of it, has been heard; before, it stands as it started."""
    failures_row: int = 0
    changes_count: int = 0
    flaps_row: int = 0
    failed_at: float = float("-inf")
    well_since: float | None = None
    """Of a failed one that answers again."""

    def failed(self, reason: str, retries_count: int, now: float) -> bool:
        """Take in a failed question; True when that changes :attr:`is_up`, or why not."""
        self.failures_row += 1
        self.well_since = None
        if self.failures_row < retries_count:
            return False
        was_proven, self.is_proven = self.is_proven, True
        if not self.is_up:
            # Now it is known what is wrong with what had never answered.
            self.reason = self.reason if was_proven else reason
            return not was_proven
        close = now - self.failed_at < FLAP_WINDOW_S
        self.flaps_row = self.flaps_row + 1 if close else 0
        self.failed_at = now
        return self._change(now, is_up=False, reason=reason)

    def passed(self, now: float) -> bool:
        """Take in a good answer; True when that changes :attr:`is_up`."""
        self.failures_row = 0
        if self.is_up:
            self.is_proven = True
            return False
        if self.well_since is None:
            self.well_since = now
        if now < self.well_since + self.hold_s:
            return False
        self.is_proven = True
        return self._change(now, is_up=True, reason="")

    @property
    def hold_s(self) -> float:
        """How long it must answer before it counts as well again."""
        beyond = self.flaps_row - FLAPS_FREE_COUNT
        return 0.0 if beyond < 0 else min(HOLD_S * 2.0 ** min(beyond, 10), HOLD_S_MAX)

    def _change(self, now: float, *, is_up: bool, reason: str) -> bool:
        self.is_up, self.reason, self.since = is_up, reason, now
        self.well_since = None
        self.changes_count += 1
        return True
