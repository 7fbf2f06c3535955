"""Traces of what the API commits: one span for each revision in which somebody but the compiler changed something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from skytrail.api.audit import Entry
from skytrail.api.feed import Batch
from skytrail.runtime.clock import Clock
from skytrail.runtime.traces import Traces
from skytrail.wire.spans import API_WRITE, Span, SpanEvent, context_of, trace_of

EVENTS_COUNT_MAX: Final = 32
"""Requests that a span names; the number is of all."""
_OBJECTS_SHOWN: Final = 8


class WriteTraces:
    """Tells ``traces`` of commits."""

    def __init__(self, traces: Traces, clock: Clock) -> None:
        self.traces = traces
        self._clock = clock

    def written(
        self,
        batches: Sequence[Batch] | None,
        revision: int,
        asked_at: float,
        entries: Sequence[Entry],
    ) -> None:
        """Tell of a commit; ``batches`` are the feed's from that revision on, the earliest request came ``asked_at``."""
        own = [entry for entry in entries if entry.derived_from is None]
        batch = batches[0] if batches else None
        if not own or batch is None or batch.revision != revision:
            return
        trace = trace_of(revision, batch.history)
        if not self.traces.wants(trace):
            return
        now = self._clock.now()
        attributes = {"skytrail.revision": revision, "skytrail.requests": len(own)}
        events = [SpanEvent("request", now, _shown(each)) for each in own[:EVENTS_COUNT_MAX]]
        span = Span(API_WRITE, context_of(trace, API_WRITE), "", asked_at, now, attributes, events)
        self.traces.add(span)


def _shown(entry: Entry) -> dict[str, str]:
    named = [
        f"{each.op} {each.type} {':'.join(each.name)}"
        for each in entry.alterations[:_OBJECTS_SHOWN]
    ]
    if len(entry.alterations) > _OBJECTS_SHOWN:
        named.append(f"and {len(entry.alterations) - _OBJECTS_SHOWN} more")
    return {
        "skytrail.user": entry.by,
        "skytrail.request_id": entry.request_id,
        "skytrail.objects": ", ".join(named),
    }
