"""Which of the store's past revisions nobody needs any more; pure, time comes in.

The graph and the feed answer all requests, so history serves people who look into the store after
something went wrong. It is kept for a day, and never so much that it fills the disk.
"""

from __future__ import annotations

from collections import deque

KEPT_REVISIONS_MIN = 10_000
"""Kept however old they are."""
KEPT_S = 24 * 3600.0
"""Kept for this long, as far as the bound below allows."""
KEPT_REVISIONS_MAX = 1_000_000


class History:
    """Remembers when which revision was current; ages count from the start of the server."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._aged = 0
        """The last revision known to be older than the kept time."""
        self._discarded = 0

    def discardable(self, now: float, revision: int) -> int | None:
        """Return up to which revision to discard, None when there is nothing new to discard.

        ``now`` is in monotonic seconds, ``revision`` the current one. Call it every few minutes:
        the time between calls is how exact the kept time is.
        """
        self._marks.append((now, revision))
        while self._marks[0][0] <= now - KEPT_S:
            self._aged = self._marks.popleft()[1]
        wanted = max(min(self._aged, revision - KEPT_REVISIONS_MIN), revision - KEPT_REVISIONS_MAX)
        return wanted if wanted > self._discarded else None

    def discarded(self, revision: int) -> None:
        """Note that the store has discarded up to this revision."""
        self._discarded = revision
