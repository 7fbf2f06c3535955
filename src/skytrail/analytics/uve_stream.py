"""What changed in the UVEs, for those who follow: newest state per struct, in order of change.

A follower holds a position and asks for what came after it. Many changes of one struct between two
questions are one. Who falls behind by more than the log holds starts again from everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CHANGES_COUNT_MAX: Final = 200_000

Place = tuple[str, str, str]
"""Table, key, struct."""


class UveChanges:
    """The places that changed, each at its latest position."""

    def __init__(self, count_max: int = CHANGES_COUNT_MAX) -> None:
        self._latest: dict[Place, int] = {}
        self._count_max = count_max
        self.position = 0
        self._lost_until = 0

    def note(self, place: Place) -> None:
        """Put a place at the end of the order."""
        self.position += 1
        self._latest.pop(place, None)
        self._latest[place] = self.position
        if len(self._latest) > self._count_max:
            oldest = next(iter(self._latest))
            self._lost_until = self._latest.pop(oldest)

    def after(self, position: int, count_max: int = 1000) -> tuple[Sequence[Place], int] | None:
        """Return places changed after a position and the position reached; None: too far behind."""
        if position < self._lost_until:
            return None
        found: list[Place] = []
        # The newest are at the end: whoever keeps up looks at few of them.
        for place, at in reversed(self._latest.items()):
            if at <= position:
                break
            found.append(place)
        found.reverse()
        some = found[:count_max]
        return some, self._latest[some[-1]] if some else position
