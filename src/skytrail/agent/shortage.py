"""Numbers that ran out: which units of the desired state have to do without one. Pure.

Such a unit forwards nothing, all others go on. It is computed again when a number has been given back.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from skytrail.agent.label import Numbers, NumbersExhausted
from skytrail.agent.ledger import Unit


class Shortage:
    """What lacks a number, and why."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._freed = numbers.freed
        self._lacking: dict[Unit, str] = {}

    @contextmanager
    def noted(self, unit: Unit) -> Generator[None]:
        """Note that the unit, computed within, got no number; or that it lacks none any more."""
        self._lacking.pop(unit, None)
        try:
            yield
        except NumbersExhausted as why:
            self.note(unit, why)

    def note(self, unit: Unit, why: NumbersExhausted) -> None:
        self._lacking[unit] = str(why)

    def settle(self, unit: Unit) -> None:
        """The unit is gone, or has what it needs."""
        self._lacking.pop(unit, None)

    def has(self, unit: Unit) -> bool:
        return unit in self._lacking

    def why(self, unit: Unit) -> str:
        return self._lacking.get(unit, "")

    def take(self) -> list[Unit]:
        """Return the units to compute again: those that lack a number, once one was given back."""
        if self._freed == self._numbers.freed:
            return []
        self._freed = self._numbers.freed
        return list(self._lacking)

    @property
    def text(self) -> str:
        """What is lacking, for people; empty: nothing."""
        if not self._lacking:
            return ""
        reasons = "; ".join(sorted(set(self._lacking.values())))
        return f"{reasons}; ports, routes and policies that wait for one: {len(self._lacking)}"
