"""Which traces a revision of the watch belongs to; pure.

A change of a user is a trace of its own. What the compiler wrote belongs to the traces of all changes that it was derived from,
since the last time that it wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from skytrail.client.watch_events import RevisionEnd
from skytrail.wire.spans import trace_of

REVISIONS_COUNT_MAX: Final = 1_000
TRACES_COUNT_MAX: Final = 64
"""Of one revision: a compiler that was away derives from many at once, the last ones count."""


class TracedRevisions:
    """The last revisions. ``wants`` says which traces are kept at all."""

    def __init__(self, wants: Callable[[str], bool]) -> None:
        self._wants = wants
        self._traces: dict[int, tuple[str, ...]] = {}
        self._fresh: dict[int, tuple[str, ...]] = {}
        """Of changes nothing has been derived from yet."""

    def ended(self, event: RevisionEnd) -> tuple[str, ...]:
        """Take note of a revision; returns the traces it belongs to."""
        traces = () if event.derived_from is None else self._former(event.derived_from)
        if event.derived_from is None or event.is_mixed:
            traces = (*traces, *self._own(event))
        self._traces[event.revision] = traces
        while len(self._traces) > REVISIONS_COUNT_MAX:
            del self._traces[next(iter(self._traces))]
        return traces

    def _own(self, event: RevisionEnd) -> tuple[str, ...]:
        trace = trace_of(event.revision, event.history)
        found = (trace,) if self._wants(trace) else ()
        if found:
            self._fresh[event.revision] = found
            while len(self._fresh) > TRACES_COUNT_MAX:
                del self._fresh[next(iter(self._fresh))]
        return found

    def _former(self, derived_from: int) -> tuple[str, ...]:
        covered = [each for each in self._fresh if each <= derived_from]
        found = tuple(trace for each in covered for trace in self._fresh.pop(each))
        # A second part of what was derived follows on the first, not on a change.
        return found or self._traces.get(derived_from, ())
