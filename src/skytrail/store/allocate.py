"""Choosing the lowest free number of a pool without looking at all of it each time; pure."""

from __future__ import annotations

from collections.abc import Iterable


class LowestFree:
    """Remembers, per pool and range start, below which number everything is taken.

    Only a hint: a store checks the number it chooses, so a stale hint costs time, never a
    number given twice. Memory grows with pools in use, not with numbers.
    """

    def __init__(self) -> None:
        self._next: dict[str, dict[int, int]] = {}

    def start(self, pool: str, low: int) -> int:
        """Return where to begin looking for a free number >= low."""
        return self._next.get(pool, {}).get(low, low)

    def taken_below(self, pool: str, low: int, following: int) -> None:
        """Note that every number in low..following-1 is taken."""
        self._next.setdefault(pool, {})[low] = following

    def freed(self, pool: str, number: int) -> None:
        """Note that a number was given back."""
        ranges = self._next.get(pool, {})
        for low, following in ranges.items():
            if low <= number < following:
                ranges[low] = number

    def forget(self) -> None:
        """Drop all hints, after a failure that may have undone what they were drawn from."""
        self._next.clear()


def first_gap(low: int, high: int, taken: Iterable[int]) -> int | None:
    """Return the lowest number of low..high not in ``taken`` (ascending, from low on)."""
    candidate = low
    for number in taken:
        if number > candidate:
            break
        candidate = number + 1
    return candidate if candidate <= high else None
