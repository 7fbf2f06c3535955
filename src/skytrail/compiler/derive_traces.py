"""Traces of what the compiler derives: a span for each change, from its arrival until what follows from it is written. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from skytrail.client.watch_events import RevisionEnd
from skytrail.wire.spans import COMPILER_DERIVE, Span, context_of, root_of, trace_of

CHANGES_COUNT_MAX: Final = 256
"""That nothing was derived from yet; of more the last ones are told."""


class DeriveTraces:
    """Changes that wait. ``wants`` says which traces are kept at all, ``tell`` is given the spans."""

    def __init__(self, wants: Callable[[str], bool], tell: Callable[[Span], None]) -> None:
        self._wants = wants
        self._tell = tell
        self._waiting: dict[int, tuple[str, float]] = {}

    def arrived(self, event: RevisionEnd, now: float) -> None:
        """Take note of a revision; what the compiler itself wrote is no change."""
        trace = trace_of(event.revision, event.history)
        is_own = event.derived_from is not None and not event.is_mixed
        if is_own or not self._wants(trace):
            return
        self._waiting[event.revision] = trace, now
        while len(self._waiting) > CHANGES_COUNT_MAX:
            del self._waiting[next(iter(self._waiting))]

    def done(self, seen: int, written: int | None, writes: int, now: float) -> None:
        """Tell of all changes up to ``seen``: what follows is ``writes`` objects, in revision ``written``."""
        for revision in [each for each in self._waiting if each <= seen]:
            trace, since = self._waiting.pop(revision)
            attributes = {"skytrail.revision": revision, "skytrail.writes": writes}
            if seen != revision:
                attributes["skytrail.derived_with_revision"] = seen
            if written is not None:
                attributes["skytrail.derived_revision"] = written
            context = context_of(trace, COMPILER_DERIVE)
            self._tell(Span(COMPILER_DERIVE, context, root_of(trace), since, now, attributes))

    def forget(self) -> None:
        """Another process writes."""
        self._waiting.clear()
