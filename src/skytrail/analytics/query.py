"""Queries to SQL: every identifier comes from a table of ours, every value is bound. Pure.

```
 QueryRequest --table--> View (columns as expressions) --> SELECT ... WHERE time AND where AND filter
                                                             GROUP BY ... ORDER BY ... LIMIT
```
A view is a table as users know it; several are made of one stored table. Columns are always named with their table, ``t``:
a bare name would mean what is selected under it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from skytrail.analytics.history_tables import DATABASE, MESSAGE, SESSION, STAT, StoredTable
from skytrail.analytics.query_request import (
    LIMIT_DEFAULT,
    Match,
    Operation,
    QueryRequest,
    QueryUnusable,
    UnknownField,
    UnknownTable,
    check_size,
    filters_of,
    moment_us,
)
from skytrail.analytics.uve_types import TABLES

Parameters = dict[str, str | int | float]

_AGGREGATE = re.compile(
    r"(SUM|MIN|MAX|AVG|COUNT|CLASS|PERCENTILES)\(([A-Za-z_][A-Za-z0-9_.=\-]{0,127})\)"
)
"""The whole of it is shown as a column's name: it must hold nothing that could end one."""
_BIN = re.compile(r"T=([0-9]{1,7})")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}")
_FUNCTIONS: Final = {"SUM": "sum", "MIN": "min", "MAX": "max", "AVG": "avg"}
_PERCENTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_STATISTICS: Final = "StatTable."


@dataclass(frozen=True, slots=True)
class Column:
    """``expression`` is SQL; ``kind`` is text, number, time or list."""

    expression: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class View:
    """A table as users know it."""

    name: str
    stored: StoredTable
    columns: Mapping[str, Column]
    restriction: str = ""
    """SQL that holds for all of its rows."""
    is_open: bool = False
    """Columns beyond the named ones are attributes of statistics."""


@dataclass(slots=True)
class Statement:
    """SQL with its bound values; ``columns`` names what it gives, in order."""

    sql: str
    parameters: Parameters
    columns: Sequence[str] = ()


@dataclass(slots=True)
class _Binder:
    parameters: Parameters = field(default_factory=dict[str, "str | int | float"])

    def bind(self, value: str | float) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        kind = "String" if isinstance(value, str) else "Int64"
        return f"{{{name}:{'Float64' if isinstance(value, float) else kind}}}"


def views() -> dict[str, View]:
    """Return every table that can be asked, statistics excepted, by name."""
    message = _message_view()
    found = [message, *(_object_view(table, message) for table in TABLES.values())]
    found += [_session_view("SessionSeriesTable"), _session_view("SessionRecordTable")]
    return {view.name: view for view in found}


def _message_view() -> View:
    columns = {
        name: Column(f"t.`{name}`", _kind(kind))
        for name, kind in MESSAGE.columns.items()
        if not name.startswith("Object")
    }
    return View("MessageTable", MESSAGE, columns)


def _object_view(table: str, message: View) -> View:
    # The name of a table of ours, never of a request: it needs no binding.
    at = f"indexOf(t.`ObjectTables`, '{table}')"
    logs = Column("t.`Xmlmessage`")
    own = {"ObjectId": Column(f"t.`ObjectIds`[{at}]"), "ObjectLog": logs, "SystemLog": logs}
    return View(table, MESSAGE, {**message.columns, **own}, f"has(t.`ObjectTables`, '{table}')")


def _session_view(name: str) -> View:
    columns = {name: Column(f"t.`{name}`", _kind(kind)) for name, kind in SESSION.columns.items()}
    if name == "SessionRecordTable":
        return View(name, SESSION, columns)
    # A session that was kept with probability p stands for 1/p of them.
    weighted = {
        column: Column(f"toUInt64(round(t.`{column}` * t.`sample_weight`))", "number")
        for column in columns
        if "_sampled_" in column
    }
    count = Column("toUInt64(round(t.`sample_weight`))", "number")
    return View(name, SESSION, {**columns, **weighted, "sample_count": count})


def _statistics_view(name: str) -> View:
    columns = {
        each: Column(f"t.`{each}`", _kind(STAT.columns[each])) for each in ("T", "name", "Source")
    }
    return View(name, STAT, columns, is_open=True)


def _kind(stored: str) -> str:
    if stored.startswith("DateTime"):
        return "time"
    return "number" if stored.startswith(("UInt", "Int", "Float")) else "text"


def view_of(name: str) -> View:
    """Return a table by name; :class:`UnknownTable` names how to find the others."""
    if name.startswith(_STATISTICS) and _ATTRIBUTE.fullmatch(name):
        return _statistics_view(name)
    found = views().get(name)
    if found is None:
        raise UnknownTable(f"no table is called {name[:64]}; GET /analytics/tables lists them")
    return found


def statement_of(request: QueryRequest, now_us: int) -> Statement:
    """Return the SQL of a query; :class:`QueryUnusable` names what is wrong with it."""
    check_size(request)
    return _Translator(request, view_of(request.table)).statement(now_us)


class _Translator:
    def __init__(self, request: QueryRequest, view: View) -> None:
        self._request = request
        self._view = view
        self._binder = _Binder()

    def statement(self, now_us: int) -> Statement:
        chosen = list(dict.fromkeys(self._request.select_fields))
        expressions = {name: self._selected(name) for name in chosen}
        grouping = self._grouping(chosen, expressions)
        where = [self._times(now_us), *self._restrictions()]
        sql = (
            f"SELECT {', '.join(f'{sql} AS `{_shown(name)}`' for name, sql in expressions.items())}"
        )
        sql += f" FROM {DATABASE}.{self._view.stored.name} AS t WHERE {' AND '.join(where)}"
        sql += f" GROUP BY {', '.join(grouping)}" if grouping else ""
        sql += self._order(chosen)
        sql += f" LIMIT {self._request.limit or LIMIT_DEFAULT}"
        return Statement(sql, self._binder.parameters, [_shown(name) for name in chosen])

    # What is shown.

    def _selected(self, name: str) -> str:
        binned = _BIN.fullmatch(name)
        if binned is not None:
            return self._bin(int(binned[1]))
        called = _AGGREGATE.fullmatch(name)
        if called is not None:
            return self._aggregate(called[1], called[2])
        column = self._column(name)
        if column.kind == "time":
            return f"toUnixTimestamp64Micro({column.expression})"
        return column.expression

    def _bin(self, seconds: int) -> str:
        if not 0 < seconds <= 86_400:
            raise QueryUnusable(f"T={seconds}: a bin of time is from 1 to 86400 seconds")
        time = f"toUnixTimestamp64Micro(t.`{self._view.stored.time}`)"
        width = seconds * 1_000_000
        return f"intDiv({time}, {width}) * {width}"

    def _aggregate(self, function: str, name: str) -> str:
        if function == "COUNT":
            return "count()"
        if function == "CLASS":
            chosen = [each for each in self._request.select_fields if not _is_aggregate(each)]
            named = ", ".join(self._selected(each) for each in chosen)
            return f"any(cityHash64({named or '1'}))"
        column = self._number(name)
        if function == "PERCENTILES":
            levels = ", ".join(map(str, _PERCENTILES))
            return f"quantiles({levels})({column})"
        return f"{_FUNCTIONS[function]}({column})"

    def _number(self, name: str) -> str:
        column = self._column(name, wants_number=True)
        if column.kind != "number":
            raise QueryUnusable(f"{name[:64]} is not a number: it cannot be added up")
        return column.expression

    def _column(self, name: str, *, wants_number: bool = False) -> Column:
        found = self._view.columns.get(name)
        if found is not None:
            return found
        if not self._view.is_open or not _ATTRIBUTE.fullmatch(name):
            known = ", ".join(sorted(self._view.columns))
            raise UnknownField(f"{self._view.name} has no column {name[:64]}; it has {known}")
        attribute = self._binder.bind(name)
        if wants_number:
            return Column(f"t.`numbers`[{attribute}]", "number")
        # An attribute is a number or a text; which, each row says.
        text = f"if(mapContains(t.`numbers`, {attribute}), toString(t.`numbers`[{attribute}]), t.`texts`[{attribute}])"
        return Column(text, "text")

    def _grouping(self, chosen: Sequence[str], expressions: Mapping[str, str]) -> list[str]:
        has_bin = any(_BIN.fullmatch(name) for name in chosen)
        if not has_bin and not any(map(_is_aggregate, chosen)):
            return []
        return [expressions[name] for name in chosen if not _is_aggregate(name)]

    # Which rows.

    def _times(self, now_us: int) -> str:
        start = moment_us("start_time", self._request.start_time, now_us)
        end = moment_us("end_time", self._request.end_time, now_us)
        if end < start:
            raise QueryUnusable("end_time is before start_time")
        time = f"t.`{self._view.stored.time}`"
        first, last = self._binder.bind(start), self._binder.bind(end)
        return (
            f"{time} BETWEEN fromUnixTimestamp64Micro({first}) AND fromUnixTimestamp64Micro({last})"
        )

    def _restrictions(self) -> list[str]:
        found = [self._view.restriction] if self._view.restriction else []
        if self._view.is_open:
            found.append(f"t.`Table` = {self._binder.bind(self._view.name)}")
        if self._request.session_type and "session_type" in self._view.columns:
            found.append(f"t.`session_type` = {self._binder.bind(self._request.session_type)}")
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
        column = self._column(match.name, wants_number=is_compared and self._view.is_open)
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
        fields = self._request.sort_fields or []
        unknown = [name for name in fields if name not in chosen]
        if unknown:
            raise UnknownField(f"sort_fields: {unknown[0][:64]} is not among select_fields")
        if not fields:
            return ""
        direction = "DESC" if self._request.sort == 2 else "ASC"
        return " ORDER BY " + ", ".join(f"`{_shown(name)}` {direction}" for name in fields)


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


def _is_aggregate(name: str) -> bool:
    return _AGGREGATE.fullmatch(name) is not None


def _shown(name: str) -> str:
    """Return the column's name in an answer: of ``T=60`` it is ``T=``, as it always was."""
    return "T=" if _BIN.fullmatch(name) else name
