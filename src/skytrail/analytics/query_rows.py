"""Where the rows of a query come from: the stored table, or a rollup that gives the same. Pure.

A rollup answers when every column asked for is one of its dimensions or adds up, bins of time are whole numbers of its
own, and either the span is so long that single rows would be too many, or so long ago that they are gone. Its first and
last bin count whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from skytrail.analytics.history_tables import (
    COUNTERS,
    DATABASE,
    RECORDS,
    STAT,
    Rollup,
    keep_hours_of,
)
from skytrail.analytics.query_request import QueryUnusable, UnknownField
from skytrail.analytics.query_views import ATTRIBUTE, Column, View

BINS_COUNT_MIN: Final = 120
"""A rollup answers spans of so many of its bins and more."""
_HOUR_US: Final = 3_600_000_000
_FUNCTIONS: Final = {"SUM": "sum", "MIN": "min", "MAX": "max", "AVG": "avg"}
_PERCENTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(slots=True)
class Binder:
    """Values of a statement, by the names that stand for them in its SQL."""

    parameters: dict[str, str | int | float] = field(default_factory=dict[str, "str | int | float"])

    def bind(self, value: str | float) -> str:
        """Return the SQL that stands for a value."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        kind = "String" if isinstance(value, str) else "Int64"
        return f"{{{name}:{'Float64' if isinstance(value, float) else kind}}}"


class Rows(Protocol):
    """Rows that a query is made over."""

    @property
    def source(self) -> str:
        """SQL after ``FROM``."""
        ...

    def column(self, name: str, *, wants_number: bool = False) -> Column:
        """Return a column; ``UnknownField`` when there is none."""
        ...

    def aggregate(self, function: str, name: str) -> str:
        """Return SQL of SUM, MIN, MAX, AVG, COUNT or PERCENTILES of a column."""
        ...

    def bin(self, seconds: int) -> str:
        """Return SQL of the start of a row's bin of time, in microseconds."""
        ...

    def between(self, start_us: int, end_us: int) -> str:
        """Return SQL of a row's being within a span of time."""
        ...


class SingleRows:
    """The stored table itself."""

    def __init__(self, view: View, binder: Binder) -> None:
        self._view = view
        self._binder = binder
        self.source = f"{DATABASE}.{view.stored.name} AS t {view.join}".rstrip()

    def column(self, name: str, *, wants_number: bool = False) -> Column:
        found = self._view.columns.get(name)
        if found is not None:
            return found
        if not self._view.is_open or not ATTRIBUTE.fullmatch(name):
            known = ", ".join(sorted(self._view.columns))
            raise UnknownField(f"{self._view.name} has no column {name[:64]}; it has {known}")
        attribute = self._binder.bind(name)
        if wants_number:
            return Column(f"t.`numbers`[{attribute}]", "number")
        # An attribute is a number or a text; which, each row says.
        text = f"if(mapContains(t.`numbers`, {attribute}), toString(t.`numbers`[{attribute}]), t.`texts`[{attribute}])"
        return Column(text, "text")

    def aggregate(self, function: str, name: str) -> str:
        if function == "COUNT":
            return "count()"
        if self._view.is_open and name not in self._view.columns and ATTRIBUTE.fullmatch(name):
            # A row without the attribute is not one with the value 0.
            at = self._binder.bind(name)
            return _called(function, f"t.`numbers`[{at}]", f"mapContains(t.`numbers`, {at})")
        column = self.column(name)
        if column.kind != "number":
            raise QueryUnusable(f"{name[:64]} is not a number: it cannot be added up")
        return _called(function, column.expression)

    def bin(self, seconds: int) -> str:
        width = seconds * 1_000_000
        return f"intDiv(toUnixTimestamp64Micro(t.`{self._view.stored.time}`), {width}) * {width}"

    def between(self, start_us: int, end_us: int) -> str:
        first, last = self._binder.bind(start_us), self._binder.bind(end_us)
        time = f"t.`{self._view.stored.time}`"
        return (
            f"{time} BETWEEN fromUnixTimestamp64Micro({first}) AND fromUnixTimestamp64Micro({last})"
        )


def _called(function: str, of: str, condition: str = "") -> str:
    ending, arguments = ("If", f"{of}, {condition}") if condition else ("", of)
    if function == "PERCENTILES":
        return f"quantiles{ending}({', '.join(map(str, _PERCENTILES))})({arguments})"
    return f"{_FUNCTIONS[function]}{ending}({arguments})"


class RolledRows:
    """A rollup. Only what :func:`can_roll_up` lets pass is asked of it."""

    def __init__(self, view: View, rollup: Rollup, binder: Binder) -> None:
        self._view = view
        self._rollup = rollup
        self._binder = binder
        self.source = f"{DATABASE}.{rollup.name} AS t"

    def column(self, name: str, *, wants_number: bool = False) -> Column:
        return self._view.columns[name]

    def aggregate(self, function: str, name: str) -> str:
        if function == "COUNT":
            return f"sum(t.`{RECORDS}`)"
        if not self._view.is_open:
            total = f"sum(t.`{name}`)"
            return total if function == "SUM" else f"{total} / sum(t.`{RECORDS}`)"
        attribute = self._binder.bind(name)
        at, has = f"[{attribute}]", f"mapContains(t.`sums`, {attribute})"
        match function:
            case "SUM":
                return f"sum(t.`sums`{at})"
            case "MIN":
                return f"minIf(t.`least`{at}, {has})"
            case "MAX":
                return f"maxIf(t.`most`{at}, {has})"
            case _:
                return f"sum(t.`sums`{at}) / sum(t.`counts`{at})"

    def bin(self, seconds: int) -> str:
        width = seconds * 1_000_000
        return f"intDiv(toInt64(toUnixTimestamp(t.`T`)) * 1000000, {width}) * {width}"

    def between(self, start_us: int, end_us: int) -> str:
        width = self._rollup.seconds
        first = self._binder.bind(start_us // 1_000_000 // width * width)
        last = self._binder.bind(end_us // 1_000_000)
        return f"t.`T` BETWEEN toDateTime({first}, 'UTC') AND toDateTime({last}, 'UTC')"


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a query decides where its rows may come from."""

    aggregates: tuple[tuple[str, str], ...]
    """Function and column."""
    columns: frozenset[str]
    """Shown, or compared with."""
    bin_s: int
    """0: no bins."""
    start_us: int
    end_us: int


def can_roll_up(view: View, wish: Wish) -> bool:
    """Return whether the view's rollups hold all that is asked for."""
    if not view.rollups or not (wish.aggregates or wish.bin_s):
        return False
    if not wish.columns <= set(view.rollups[0].dimensions) & view.columns.keys():
        return False
    allowed = ("SUM", "AVG", "MIN", "MAX") if view.is_open else ("SUM", "AVG")
    adds_up = {*COUNTERS, "sample_count"} if not view.is_open else None
    return all(
        function == "COUNT"
        or (
            function in allowed
            and (name in adds_up if adds_up is not None else name not in STAT.columns)
        )
        for function, name in wish.aggregates
    )


def rows_of(
    view: View, wish: Wish, binder: Binder, now_us: int, keep_hours: Mapping[str, int]
) -> Rows:
    """Return where the rows of a query come from."""
    single = SingleRows(view, binder)
    usable = [each for each in view.rollups if wish.bin_s % each.seconds == 0]
    if not usable or not can_roll_up(view, wish):
        return single

    def is_gone(table: str) -> bool:
        return wish.start_us < now_us - keep_hours_of(table, keep_hours) * _HOUR_US

    span_us = wish.end_us - wish.start_us
    chosen: Rollup | None = None
    for rollup in usable:
        finer = view.stored.name if chosen is None else chosen.name
        if span_us >= BINS_COUNT_MIN * rollup.seconds * 1_000_000 or is_gone(finer):
            chosen = rollup
    return single if chosen is None else RolledRows(view, chosen, binder)
