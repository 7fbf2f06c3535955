"""Queries to SQL: every identifier comes from a table of ours, every value is bound. Pure.

```
 QueryRequest --table--> View (columns as expressions) --> SELECT ... WHERE time AND where AND filter
                           `-- its rows, or a rollup's       GROUP BY ... ORDER BY ... LIMIT
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from skytrail.analytics.query_request import (
    LIMIT_DEFAULT,
    Match,
    Operation,
    QueryRequest,
    QueryUnusable,
    UnknownField,
    check_size,
    filters_of,
    moment_us,
)
from skytrail.analytics.query_rows import Binder, Rows, Wish, rows_of
from skytrail.analytics.query_views import View, view_of
from skytrail.analytics.tenant_view import Tenant, seen_by

Parameters = dict[str, str | int | float]

_AGGREGATE: Final = re.compile(
    r"(SUM|MIN|MAX|AVG|COUNT|CLASS|PERCENTILES|sum|min|max|avg|count)"
    r"\(([A-Za-z_][A-Za-z0-9_.=\-]{0,127})\)"
)
"""The whole of it is shown as a column's name: it must hold nothing that could end one."""
_BIN: Final = re.compile(r"T=([0-9]{1,7})")
_BIN_S_MAX: Final = 86_400
_DESCENDING: Final = 2
_SHARES: Final = (64, 4, 2)
_PARTED_US_MIN: Final = 600_000_000
"""Of ten minutes all rows are put in order at once."""
_NOTHING_TOLD: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(slots=True)
class Statement:
    """SQL with its bound values; ``columns`` names what it gives, in order."""

    sql: str
    parameters: Parameters
    columns: Sequence[str] = ()


def statement_of(
    request: QueryRequest,
    now_us: int,
    keep_hours: Mapping[str, int] = _NOTHING_TOLD,
    tenant: Tenant | None = None,
) -> Statement:
    """Return the SQL of a query; :class:`QueryUnusable` names what is wrong with it.

    ``keep_hours`` tells how long stored tables are kept, where it is not the default. A ``tenant`` is
    shown what is his own; ``NotForTenants`` where a table has no such part.
    """
    view, wish = _wanted(request, now_us, tenant)
    binder = Binder({} if tenant is None else dict(tenant.bound))
    rows = rows_of(view, wish, binder, now_us, keep_hours)
    made = _Translator(request, view, rows, binder, is_part=False)
    return made.statement(wish.start_us, wish.end_us)


def statements_of(
    request: QueryRequest,
    now_us: int,
    keep_hours: Mapping[str, int] = _NOTHING_TOLD,
    tenant: Tenant | None = None,
    *,
    is_part: bool = False,
) -> Iterator[Statement]:
    """Yield SQL over one part of the time after the other: rows of all, in this order, are the answer, to ``limit`` of them.

    There is more than one only where rows are wanted in the order of time: then the newest (or oldest) part of it has the
    first of them, and nobody has to put the others in order. Of a part, aggregates are what several stores' are merged of.
    """
    view, wish = _wanted(request, now_us, tenant)
    for first, last in _spans(request, view, wish):
        binder = Binder({} if tenant is None else dict(tenant.bound))
        rows = rows_of(view, wish, binder, now_us, keep_hours)
        yield _Translator(request, view, rows, binder, is_part=is_part).statement(first, last)


def _wanted(request: QueryRequest, now_us: int, tenant: Tenant | None) -> tuple[View, Wish]:
    check_size(request)
    view = seen_by(tenant, view_of(request.table))
    start = moment_us("start_time", request.start_time, now_us)
    end = moment_us("end_time", request.end_time, now_us)
    if end < start:
        raise QueryUnusable("end_time is before start_time")
    return view, _wish(request, start, end)


def _spans(request: QueryRequest, view: View, wish: Wish) -> Iterator[tuple[int, int]]:
    """Yield parts of the time, in the order in which rows are wanted. They meet where bins do."""
    order = next(iter(request.sort_fields or []), "")
    is_by_time = order == view.stored.time or _BIN.fullmatch(order) is not None
    length = wish.end_us - wish.start_us
    shares = _SHARES if is_by_time and length >= _PARTED_US_MIN else ()
    width = (wish.bin_s or 1) * 1_000_000
    start, end = wish.start_us, wish.end_us
    for share in shares:
        if is_descending(request):
            first = (wish.end_us - length // share) // width * width
            if start < first <= end:
                yield first, end
                end = first - 1
        else:
            last = -(-(wish.start_us + length // share) // width) * width - 1
            if start <= last < end:
                yield start, last
                start = last + 1
    yield start, end


def _wish(request: QueryRequest, start_us: int, end_us: int) -> Wish:
    called = [_AGGREGATE.fullmatch(name) for name in request.select_fields]
    aggregates = tuple((each[1].upper(), each[2]) for each in called if each is not None)
    plain = [
        name
        for name, each in zip(request.select_fields, called, strict=True)
        if each is None and not _BIN.fullmatch(name)
    ]
    groups = [*(request.where or []), *filters_of(request)]
    compared = [match.name for group in groups for match in group]
    binned = dict.fromkeys(name for name in request.select_fields if _BIN.fullmatch(name))
    if len(binned) > 1:
        raise QueryUnusable(f"select_fields has {' and '.join(binned)}: name one bin of time")
    bins = [_bin_s(each) for each in map(_BIN.fullmatch, binned) if each is not None]
    return Wish(
        tuple(each for each in aggregates if each[0] != "CLASS"),
        frozenset([*plain, *compared]),
        bins[0] if bins else 0,
        start_us,
        end_us,
    )


def _bin_s(binned: re.Match[str]) -> int:
    seconds = int(binned[1])
    if not 0 < seconds <= _BIN_S_MAX:
        raise QueryUnusable(f"T={seconds}: a bin of time is from 1 to {_BIN_S_MAX} seconds")
    return seconds


class _Translator:
    def __init__(
        self, request: QueryRequest, view: View, rows: Rows, binder: Binder, *, is_part: bool
    ) -> None:
        self._request = request
        self._is_part = is_part
        self._view = view
        self._rows = rows
        self._binder = binder

    def statement(self, start_us: int, end_us: int) -> Statement:
        chosen = list(dict.fromkeys(self._request.select_fields))
        expressions = {name: self._selected(name) for name in chosen}
        grouping = self._grouping(chosen, expressions)
        source, is_within = self._rows.within(start_us, end_us)
        where = [is_within, *self._restrictions()]
        sql = f"SELECT {', '.join(f'{sql} AS `{shown_name(name)}`' for name, sql in expressions.items())}"
        sql += f" FROM {source} WHERE {' AND '.join(where)}"
        sql += f" GROUP BY {', '.join(grouping)}" if grouping else ""
        sql += self._order(chosen)
        sql += f" LIMIT {self._request.limit or LIMIT_DEFAULT}"
        return Statement(sql, self._binder.parameters, [shown_name(name) for name in chosen])

    # What is shown.

    def _selected(self, name: str) -> str:
        binned = _BIN.fullmatch(name)
        if binned is not None:
            return self._rows.bin(_bin_s(binned))
        called = _AGGREGATE.fullmatch(name)
        if called is not None and called[1] == "CLASS":
            chosen = [each for each in self._request.select_fields if not is_aggregate(each)]
            named = ", ".join(self._selected(each) for each in chosen)
            return f"any(cityHash64({named or '1'}))"
        if called is not None:
            of = self._rows.mergeable if self._is_part else self._rows.aggregate
            return of(called[1].upper(), called[2])
        column = self._rows.column(name)
        if column.kind == "time":
            return f"toUnixTimestamp64Micro({column.expression})"
        return column.shown or column.expression

    def _grouping(self, chosen: Sequence[str], expressions: Mapping[str, str]) -> list[str]:
        return (
            [expressions[name] for name in chosen if not is_aggregate(name)]
            if is_grouped(chosen)
            else []
        )

    # Which rows.

    def _restrictions(self) -> list[str]:
        found = [self._view.restriction] if self._view.restriction else []
        if self._view.is_open:
            found.append(f"t.`Table` = {self._binder.bind(self._view.name)}")
        if self._request.session_type and "session_type" in self._view.columns:
            found.append(f"t.`session_type` = {self._binder.bind(self._request.session_type)}")
        if self._request.dir is not None and "direction_ing" in self._view.columns:
            direction = self._view.columns["direction_ing"].expression
            found.append(f"{direction} = {self._binder.bind(self._request.dir)}")
        for groups in (self._request.where or [], filters_of(self._request)):
            alternatives = [
                " AND ".join(self._match(each) for each in group) for group in groups if group
            ]
            if alternatives:
                found.append("(" + " OR ".join(f"({each})" for each in alternatives) + ")")
        return found

    def _match(self, match: Match) -> str:
        try:
            operation = Operation(match.op)
        except ValueError as error:
            raise QueryUnusable(f"op={match.op} of {match.name[:64]} is no operation") from error
        is_compared = operation in {
            Operation.IN_RANGE,
            Operation.LESS_OR_EQUAL,
            Operation.GREATER_OR_EQUAL,
        }
        column = self._rows.column(match.name, wants_number=is_compared and self._view.is_open)
        expression = column.expression
        if column.kind == "time":
            expression = f"toUnixTimestamp64Micro({expression})"
        return self._compared(operation, expression, match, column.kind)

    def _compared(self, operation: Operation, expression: str, match: Match, kind: str) -> str:
        def bound(value: str | float | None) -> str:
            return self._binder.bind(_of_kind(match.name, value, kind))

        match operation:
            case Operation.PREFIX | Operation.REGEX if kind != "text":
                raise QueryUnusable(f"{match.name[:64]} is not text: it has no prefix or pattern")
            case Operation.PREFIX:
                return f"startsWith({expression}, {bound(match.value)})"
            case Operation.REGEX:
                # RE2 needs time in proportion to the text, whatever the pattern.
                return f"match({expression}, {bound(match.value)})"
            case Operation.IN_RANGE:
                return f"{expression} BETWEEN {bound(match.value)} AND {bound(match.value2)}"
            case (
                Operation.EQUAL
                | Operation.NOT_EQUAL
                | Operation.LESS_OR_EQUAL
                | Operation.GREATER_OR_EQUAL
            ):
                return f"{expression} {_SIGNS[operation]} {bound(match.value)}"

    # In which order.

    def _order(self, chosen: Sequence[str]) -> str:
        fields = order_of(self._request)
        unknown = [name for name in fields if name not in chosen]
        if unknown:
            raise UnknownField(f"sort_fields: {unknown[0][:64]} is not among select_fields")
        if not fields:
            return ""
        direction = "DESC" if is_descending(self._request) else "ASC"
        return " ORDER BY " + ", ".join(f"`{shown_name(name)}` {direction}" for name in fields)


_SIGNS: Final = {
    Operation.EQUAL: "=",
    Operation.NOT_EQUAL: "!=",
    Operation.LESS_OR_EQUAL: "<=",
    Operation.GREATER_OR_EQUAL: ">=",
}


def _of_kind(name: str, value: str | float | None, kind: str) -> str | float:
    """Return a value as a column holds it; ``QueryUnusable`` when it cannot be one."""
    if value is None:
        raise QueryUnusable(f"the match of {name[:64]} lacks value2, the end of its range")
    if kind == "text":
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, str):
        try:
            value = int(value) if value.lstrip("-").isdigit() else float(value)
        except ValueError as error:
            raise QueryUnusable(f"{name[:64]} is a number, {value[:32]!r} is not") from error
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise QueryUnusable(f"{name[:64]}: {value} is out of range")
    return value


def is_aggregate(name: str) -> bool:
    """Tell whether a selected field is made of all rows of its group."""
    return _AGGREGATE.fullmatch(name) is not None


def function_of(name: str) -> str:
    """Return which aggregate a selected field is, in upper case; nothing when it is none."""
    called = _AGGREGATE.fullmatch(name)
    return called[1].upper() if called is not None else ""


def is_grouped(fields: Sequence[str]) -> bool:
    """Tell whether rows of an answer stand for groups of rows."""
    return any(_BIN.fullmatch(name) or is_aggregate(name) for name in fields)


def is_descending(request: QueryRequest) -> bool:
    return request.sort == _DESCENDING


def order_of(request: QueryRequest) -> list[str]:
    """Return the selected fields that put the answer in order."""
    fields = list(dict.fromkeys(request.sort_fields or []))
    # A course over time is read from its beginning on, or its end where that is asked for.
    return fields or [name for name in dict.fromkeys(request.select_fields) if _BIN.fullmatch(name)]


def shown_name(name: str) -> str:
    """Return the column's name in an answer: of ``T=60`` it is ``T=``, as it always was."""
    return "T=" if _BIN.fullmatch(name) else name
