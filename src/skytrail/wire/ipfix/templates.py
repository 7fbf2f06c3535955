"""Templates and sampling rates that one exporter told: bounded, and forgotten when not repeated.

Over UDP a template counts for a time only, since nobody would say that it is withdrawn (RFC 7011 section 8.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LIFE_S: Final = 1800.0
TEMPLATES_COUNT_MAX: Final = 256
"""Of one exporter, over all of its observation domains."""
FIELDS_COUNT_MAX: Final = 256
"""Of one template."""
SAMPLERS_COUNT_MAX: Final = 256
VARIABLE: Final = 0xFFFF
"""Length of a field whose every value says its own (RFC 7011 section 7)."""


@dataclass(frozen=True, slots=True)
class TemplateField:
    """``enterprise`` 0: an element of IANA's register."""

    enterprise: int
    element: int
    length: int


@dataclass(frozen=True, slots=True)
class Template:
    fields: tuple[TemplateField, ...]
    scope_count: int = 0
    """Of the fields, how many say what an options record is about; 0 for records of flows."""

    @property
    def least_bytes(self) -> int:
        """Return how long a record is at least."""
        return sum(1 if each.length == VARIABLE else each.length for each in self.fields)


class Templates:
    """What one exporter told. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, int], tuple[Template, float]] = {}
        self._rates: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self._told)

    def get(self, domain: int, number: int, now: float) -> Template | None:
        """Return a template that still counts."""
        found = self._told.get((domain, number))
        if found is None:
            return None
        if now - found[1] > LIFE_S:
            del self._told[domain, number]
            return None
        return found[0]

    def put(self, learned: Mapping[tuple[int, int], Template | None], now: float) -> int:
        """Take templates over, None for one that is withdrawn; returns for how many there is no room."""
        refused = 0
        for place, template in learned.items():
            if template is None:
                self._told.pop(place, None)
            elif place in self._told or self._has_room(now):
                self._told[place] = template, now
            else:
                refused += 1
        return refused

    def _has_room(self, now: float) -> bool:
        if len(self._told) >= TEMPLATES_COUNT_MAX:
            self._told = {
                place: told for place, told in self._told.items() if now - told[1] <= LIFE_S
            }
        return len(self._told) < TEMPLATES_COUNT_MAX

    def set_rate(self, domain: int, sampler: int, rate: int) -> None:
        """Note of how many packets one is looked at; sampler 0 for the whole domain."""
        if (domain, sampler) in self._rates or len(self._rates) < SAMPLERS_COUNT_MAX:
            self._rates[domain, sampler] = rate

    def rate(self, domain: int, sampler: int, *, whole: int = 0) -> int:
        """Return how many packets one stands for, 1 where nothing is said.

        ``whole`` is what was said of the whole domain since, 0 for nothing.
        """
        told = self._rates
        return told.get((domain, sampler)) or whole or told.get((domain, 0)) or 1
