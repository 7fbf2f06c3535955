"""Where the rows of a query come from: the stored table, or a rollup that gives the same. Pure.

A rollup answers when every column asked for is one of its dimensions or adds up, bins of time are whole numbers of its
own, and either the span is so long that single rows would be too many, or so long ago that they are gone. Its first and
last bin count whole. Whole hours come from hours where minutes answer for the rest, and so does the hour that is not over:
nothing of it is later than now.
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

BINS_COUNT_MIN: Final = 60
"""A rollup answers spans of so many of its bins and more."""
BINNED_COUNT_MIN: Final = 10
"""The same where bins are asked for: each but the first and last is the same as of single rows, and those are whole."""
COARSE_COUNT_MIN: Final = 3
"""Of its bins a span has so many at least for a coarser rollup to answer for the whole ones."""
_HOUR_US: Final = 3_600_000_000
_FUNCTIONS: Final = {"SUM": "sum", "MIN": "min", "MAX": "max", "AVG": "avg"}
PERCENTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SAMPLE_COUNT_MAX: Final = 8192
"""Values of one store that percentiles of several are made of: as many as the store's own function looks at."""


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

    def column(self, name: str, *, wants_number: bool = False) -> Column:
        """Return a column; ``UnknownField`` when there is none."""
        ...

    def aggregate(self, function: str, name: str) -> str:
        """Return SQL of SUM, MIN, MAX, AVG, COUNT or PERCENTILES of a column."""
        ...

    def mergeable(self, function: str, name: str) -> str:
        """Return SQL of what :mod:`skytrail.analytics.gathering` makes an aggregate of: of several stores as of one."""
        ...

    def bin(self, seconds: int) -> str:
        """Return SQL of the start of a row's bin of time, in microseconds."""
        ...

    def within(self, start_us: int, end_us: int) -> tuple[str, str]:
        """Return SQL after ``FROM``, and of what holds for rows of it that are within a span of time."""
        ...


class SingleRows:
    """The stored table itself."""

    def __init__(self, view: View, binder: Binder) -> None:
        self._view = view
        self._binder = binder

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
        # An attribute is a number or a text; which, each row says. Conditions know it as text.
        is_number = f"mapContains(t.`numbers`, {attribute})"
        number, text = f"t.`numbers`[{attribute}]", f"t.`texts`[{attribute}]"
        return Column(
            f"if({is_number}, toString({number}), {text})",
            "text",
            shown=f"if({is_number}, {number}, {text})",
        )

    def aggregate(self, function: str, name: str) -> str:
        return "count()" if function == "COUNT" else _called(function, *self._added_up(name))

    def mergeable(self, function: str, name: str) -> str:
        if function in {"COUNT", "SUM"}:
            return self.aggregate(function, name)
        of, condition = self._added_up(name)
        count = f"countIf({condition})" if condition else "count()"
        if function == "PERCENTILES":
            ending, more = ("If", f", {condition}") if condition else ("", "")
            return f"tuple(groupArraySample{ending}({SAMPLE_COUNT_MAX})({of}{more}), {count})"
        first = _called("SUM" if function == "AVG" else function, of, condition)
        return f"tuple({first}, {count})"

    def _added_up(self, name: str) -> tuple[str, str]:
        """Return SQL of a number, and of which rows have it where not all do."""
        if self._view.is_open and name not in self._view.columns and ATTRIBUTE.fullmatch(name):
            # A row without the attribute is not one with the value 0.
            at = self._binder.bind(name)
            return f"t.`numbers`[{at}]", f"mapContains(t.`numbers`, {at})"
        column = self.column(name)
        if column.kind != "number":
            raise QueryUnusable(f"{name[:64]} is not a number: it cannot be added up")
        return column.expression, ""

    def bin(self, seconds: int) -> str:
        width = seconds * 1_000_000
        return f"intDiv(toUnixTimestamp64Micro(t.`{self._view.stored.time}`), {width}) * {width}"

    def within(self, start_us: int, end_us: int) -> tuple[str, str]:
        first, last = self._binder.bind(start_us), self._binder.bind(end_us)
        time = f"t.`{self._view.stored.time}`"
        return f"{DATABASE}.{self._view.stored.name} AS t {self._view.join}".rstrip(), (
            f"{time} BETWEEN fromUnixTimestamp64Micro({first}) AND fromUnixTimestamp64Micro({last})"
        )


def _called(function: str, of: str, condition: str = "") -> str:
    ending, arguments = ("If", f"{of}, {condition}") if condition else ("", of)
    if function == "PERCENTILES":
        return f"quantiles{ending}({', '.join(map(str, PERCENTILES))})({arguments})"
    return f"{_FUNCTIONS[function]}{ending}({arguments})"


class RolledRows:
    """A rollup. Only what :func:`can_roll_up` lets pass is asked of it.

    With a ``coarser`` one, that answers for its whole bins, and the rollup for what is left at both ends. A span that ends
    now has nothing left at its end: the coarser bin that holds it is not longer than its rows.
    """

    def __init__(
        self, view: View, rollup: Rollup, binder: Binder, now_us: int, coarser: Rollup | None = None
    ) -> None:
        self._view = view
        self._rollup = rollup
        self._binder = binder
        self._now_us = now_us
        self._coarser = coarser

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

    def mergeable(self, function: str, name: str) -> str:
        if function in {"COUNT", "SUM"}:
            return self.aggregate(function, name)
        count = f"sum(t.`{RECORDS}`)"
        if self._view.is_open:
            count = f"sum(t.`counts`[{self._binder.bind(name)}])"
        first = self.aggregate("SUM" if function == "AVG" else function, name)
        return f"tuple({first}, {count})"

    def bin(self, seconds: int) -> str:
        width = seconds * 1_000_000
        return f"intDiv(toInt64(toUnixTimestamp(t.`T`)) * 1000000, {width}) * {width}"

    def within(self, start_us: int, end_us: int) -> tuple[str, str]:
        width = self._rollup.seconds
        start_s, end_s = start_us // 1_000_000 // width * width, end_us // 1_000_000
        first, last = self._moment(start_s), self._moment(end_s)
        if self._coarser is None:
            return f"{DATABASE}.{self._rollup.name} AS t", f"t.`T` BETWEEN {first} AND {last}"
        wide = self._coarser.seconds
        middle_s, rest_s = -(-start_s // wide) * wide, end_s // wide * wide
        if end_s // width >= self._now_us // 1_000_000 // width:
            rest_s += wide
        middle, rest = self._moment(middle_s), self._moment(rest_s)
        parts = [_part(self._coarser, f"`T` >= {middle} AND `T` < {rest}")]
        if start_s < min(middle_s, rest_s):
            before = self._moment(min(middle_s, rest_s))
            parts.append(_part(self._rollup, f"`T` >= {first} AND `T` < {before}"))
        if max(start_s, rest_s) <= end_s:
            after = self._moment(max(start_s, rest_s))
            parts.append(_part(self._rollup, f"`T` >= {after} AND `T` <= {last}"))
        return f"({' UNION ALL '.join(parts)}) AS t", "1"

    def _moment(self, seconds: int) -> str:
        return f"toDateTime({self._binder.bind(seconds)}, 'UTC')"


def _part(rollup: Rollup, condition: str) -> str:
    return f"SELECT * FROM {DATABASE}.{rollup.name} WHERE {condition}"  # noqa: S608 # names are ours


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

    span_us = wish.end_us - wish.start_us + 1
    bins_count_min = BINNED_COUNT_MIN if wish.bin_s else BINS_COUNT_MIN
    chosen: Rollup | None = None
    for rollup in usable:
        finer = view.stored.name if chosen is None else chosen.name
        if span_us >= bins_count_min * rollup.seconds * 1_000_000 or is_gone(finer):
            chosen = rollup
    if chosen is None:
        return single
    # Whole hours of a day say the same as their minutes, which are many.
    coarser = next((each for each in usable if each.over is chosen), None)
    if coarser is None or span_us < COARSE_COUNT_MIN * coarser.seconds * 1_000_000:
        return RolledRows(view, chosen, binder, now_us)
    return RolledRows(view, chosen, binder, now_us, coarser)
