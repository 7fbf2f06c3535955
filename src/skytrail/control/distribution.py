"""How a change's trace goes on through a control node: what became of it for one agent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from skytrail.wire.spans import CONTROL_DISTRIBUTE, Span, context_of, root_of

TRACES_COUNT_MAX: Final = 64
"""Of one agent between two marks; of more the last ones are told."""


class Touched:
    """Traces of what is on the way to one agent, and since when."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def add(self, traces: Iterable[str], now: float) -> None:
        """Note what a commit of these traces brings for the agent."""
        for trace in traces:
            self._since.setdefault(trace, now)
        while len(self._since) > TRACES_COUNT_MAX:
            del self._since[next(iter(self._since))]

    def take(self) -> Mapping[str, float]:
        """Return all, as everything there was to send has been sent."""
        since, self._since = self._since, {}
        return since


def spans_of(
    since: Mapping[str, float], node: str, agent: str, revision: int, now: float
) -> list[Span]:
    """Return a span for each trace: from the commit until all of it has been handed over for the agent."""
    attributes = {
        "skytrail.control_node": node,
        "skytrail.host": agent,
        "skytrail.revision": revision,
    }
    return [
        Span(
            CONTROL_DISTRIBUTE,
            context_of(trace, CONTROL_DISTRIBUTE, f"{node}/{agent}/{revision}"),
            root_of(trace),
            started,
            now,
            attributes,
        )
        for trace, started in since.items()
    ]
