"""What changed in the UVEs, for those who follow: newest state per struct, in order of change.

A follower holds a position and asks for what came after it. Many changes of one struct between two
questions are one. Who falls behind by more than the log holds starts again from everything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

CHANGES_COUNT_MAX: Final = 200_000
_SUPERSEDED_COUNT_MAX: Final = 10_000
"""Entries of the log that a later one stands for, before they are cleared away."""

Place = tuple[str, str, str]
"""Table, key, struct."""


class UveChanges:
    """The places that changed, each at its latest position."""

    def __init__(self, count_max: int = CHANGES_COUNT_MAX) -> None:
        self._latest: dict[Place, int] = {}
        self._positions: list[int] = []
        self._places: list[Place] = []
        """The log by position, which finds where a follower is; superseded entries stay a while."""
        self._count_max = count_max
        self.position = 0
        self._lost_until = 0

    def note(self, place: Place) -> None:
        """Put a place at the end of the order."""
        self.position += 1
        self._latest.pop(place, None)
        self._latest[place] = self.position
        self._positions.append(self.position)
        self._places.append(place)
        if len(self._latest) > self._count_max:
            oldest = next(iter(self._latest))
            self._lost_until = self._latest.pop(oldest)
        if len(self._places) > 2 * len(self._latest) + _SUPERSEDED_COUNT_MAX:
            self._places = list(self._latest)
            self._positions = list(self._latest.values())

    def position_of(self, place: Place) -> int:
        """Return where a place last changed; 0: before what the log holds."""
        return self._latest.get(place, 0)

    def since(self, position: int) -> Iterator[tuple[Place, int]] | None:
        """Return each place changed after a position, with its own; None: too far behind.

        The log is not to be written to while it is read.
        """
        if position < self._lost_until:
            return None
        first = bisect_right(self._positions, position)
        log = ((self._places[n], self._positions[n]) for n in range(first, len(self._places)))
        return ((place, at) for place, at in log if self._latest.get(place) == at)

    def after(self, position: int, count_max: int = 1000) -> tuple[Sequence[Place], int] | None:
        """Return places changed after a position and the position reached; None: too far behind."""
        found = self.since(position)
        if found is None:
            return None
        some = list(islice(found, count_max))
        return [place for place, _ in some], some[-1][1] if some else position
