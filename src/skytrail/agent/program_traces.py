"""How changes' traces end on a host: what a mark speaks of is in the kernel. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skytrail.wire.spans import AGENT_PROGRAM, DATAPATH_WRITE, Span, context_of
from skytrail.wire.xmpp import RevisionMark


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the reconciler; times are seconds of the monotonic clock."""

    start: float
    end: float
    puts: int
    deletes: int


class ProgramTraces:
    """Spans of one host; ``tell`` is given them."""

    def __init__(self, host: str, tell: Callable[[Span], None]) -> None:
        self._host = host
        self._tell = tell

    def programmed(self, mark: RevisionMark, since: float, run: Run, now: float) -> None:
        """Tell that all up to a mark, which came ``since`` then, is in the kernel after a last run.

        What a mark's traces brought is told from the mark on, not from the first row of it: that may have come with an
        earlier trace, and a span would begin before the one it is part of.
        """
        attributes = {"skytrail.host": self._host, "skytrail.revision": mark.revision}
        rows = {**attributes, "skytrail.puts": run.puts, "skytrail.deletes": run.deletes}
        for parent in mark.traces:
            which = f"{self._host}/{mark.revision}"
            own = context_of(parent.trace_id, AGENT_PROGRAM, which)
            self._tell(Span(AGENT_PROGRAM, own, parent.span_id, since, now, attributes))
            inner = context_of(parent.trace_id, DATAPATH_WRITE, which)
            self._tell(Span(DATAPATH_WRITE, inner, own.span_id, run.start, run.end, rows))
