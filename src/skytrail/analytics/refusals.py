"""What machines told that was not theirs to tell: how much, why, the latest; a line of the log now and then. Pure."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MACHINES_COUNT_MAX: Final = 4_096
LINE_EVERY_S: Final = 60.0
"""Between two lines about one machine."""
_WHAT_CHARACTERS: Final = 256


@dataclass(slots=True)
class Refused:
    """Of one machine."""

    by_reason: Counter[str] = field(default_factory=Counter[str])
    latest: str = ""
    latest_reason: str = ""
    line_due: float = 0.0
    unsaid_count: int = 0
    """Since the last line."""


class Refusals:
    """By machine, those that told lately. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._machines: OrderedDict[str, Refused] = OrderedDict()
        self.total: Counter[str] = Counter()
        """By reason."""
        self.unheld_count = 0
        """UVEs for which there was no room to wait."""

    def note(self, machine: str, reason: str, what: str, now: float, count: int = 1) -> None:
        """Count what was not taken of a machine."""
        self.total[reason] += count
        refused = self._machines.get(machine)
        if refused is None:
            refused = self._machines[machine] = Refused(line_due=now)
            if len(self._machines) > MACHINES_COUNT_MAX:
                self._machines.popitem(last=False)
        self._machines.move_to_end(machine)
        refused.by_reason[reason] += count
        refused.unsaid_count += count
        refused.latest, refused.latest_reason = what[:_WHAT_CHARACTERS], reason

    def lines(self, now: float) -> Iterator[tuple[str, Refused, int]]:
        """Yield machines of which the log has to be told now, and of how many refusals."""
        for machine, refused in self._machines.items():
            if refused.unsaid_count and now >= refused.line_due:
                count, refused.unsaid_count = refused.unsaid_count, 0
                refused.line_due = now + LINE_EVERY_S
                yield machine, refused, count

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield rows for people."""
        for machine, refused in self._machines.items():
            yield {
                "machine": machine,
                "by_reason": dict(refused.by_reason),
                "latest": refused.latest,
                "latest_reason": refused.latest_reason,
            }
