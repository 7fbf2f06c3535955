"""A query as users of the original system send it, and what makes it unusable. Pure.

{"table": "SessionSeriesTable", "start_time": "now-15m", "end_time": "now",
 "select_fields": ["T=60", "vn", "SUM(forward_logged_bytes)"],
 "where": [[{"name": "vn", "value": "a:b:web", "op": 1}]], "limit": 5000}
"""

from __future__ import annotations

import enum
import re
from typing import Any, Final

import msgspec

LIMIT_MAX: Final = 100_000
LIMIT_DEFAULT: Final = 10_000
FIELDS_COUNT_MAX: Final = 64
CLAUSES_COUNT_MAX: Final = 64
_UNITS_US: Final = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_NOW: Final = re.compile(r"now(?:-([0-9]{1,9})([smhd]))?")
_TIME_MAX_US: Final = 4_102_444_800_000_000
"""The year 2100: beyond what a column of time holds lies trouble."""


class QueryUnusable(Exception):
    """A query that cannot be carried out; the text names the member and the fix."""


class UnknownTable(QueryUnusable):
    """There is no such table."""


class UnknownField(QueryUnusable):
    """The table has no such column."""


class Operation(enum.IntEnum):
    """Of a match. 4 (not in range) was never carried out by the original either."""

    EQUAL = 1
    NOT_EQUAL = 2
    IN_RANGE = 3
    LESS_OR_EQUAL = 5
    GREATER_OR_EQUAL = 6
    PREFIX = 7
    REGEX = 8


class Match(msgspec.Struct, frozen=True):
    name: str
    value: str | int | float | bool
    op: int = 1
    value2: str | int | float | None = None
    suffix: Any = None


class QueryRequest(msgspec.Struct, frozen=True):
    """The body of ``POST /analytics/query``; members nobody reads are let pass, as before."""

    table: str
    start_time: int | str
    end_time: int | str
    select_fields: list[str]
    where: list[list[Match]] | None = None
    filter: list[Any] | None = None
    """Matches, or lists of them as in ``where``; read by :func:`filters_of`."""
    sort: int | None = None
    sort_fields: list[str] | None = None
    limit: int | None = None
    dir: int | None = None
    session_type: str | None = None
    is_service_instance: int | None = None


def moment_us(name: str, given: int | str, now_us: int) -> int:
    """Return a moment in microseconds since 1970; ``QueryUnusable`` says how it is written."""
    if isinstance(given, str):
        text = given.strip()
        match = _NOW.fullmatch(text)
        if match is not None:
            return now_us - int(match[1] or 0) * _UNITS_US[match[2] or "s"]
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise QueryUnusable(
                f"{name}={text[:40]!r} is neither microseconds since 1970 nor now or now-15m"
            )
        given = int(text)
    if not 0 <= given <= _TIME_MAX_US:
        raise QueryUnusable(f"{name}={given} is not a time in microseconds since 1970")
    return given


def not_before(request: QueryRequest, since_us: int, now_us: int) -> QueryRequest:
    """Return a query that asks for nothing older, its times absolute; ``QueryUnusable`` as of :func:`moment_us`."""
    start, end = (
        max(since_us, moment_us(name, getattr(request, name), now_us))
        for name in ("start_time", "end_time")
    )
    return msgspec.structs.replace(request, start_time=start, end_time=end)


def filters_of(request: QueryRequest) -> list[list[Match]]:
    """Return the filter as alternatives of matches that hold together."""
    given = request.filter or []
    try:
        if all(isinstance(each, dict) for each in given):
            return [msgspec.convert(given, list[Match])] if given else []
        return msgspec.convert(given, list[list[Match]])
    except msgspec.ValidationError as error:
        raise QueryUnusable(f"filter does not fit: {error}") from error


def check_size(request: QueryRequest) -> None:
    """Raise ``QueryUnusable`` for more than anybody writes by hand or dashboard."""
    if not request.select_fields:
        raise QueryUnusable("select_fields is empty: name at least one column")
    if len(request.select_fields) > FIELDS_COUNT_MAX:
        raise QueryUnusable(f"select_fields has over {FIELDS_COUNT_MAX} columns")
    clauses = [match for group in request.where or [] for match in group]
    clauses += [match for group in filters_of(request) for match in group]
    if len(clauses) > CLAUSES_COUNT_MAX:
        raise QueryUnusable(f"where and filter have over {CLAUSES_COUNT_MAX} matches")
    if request.limit is not None and not 0 < request.limit <= LIMIT_MAX:
        raise QueryUnusable(f"limit={request.limit} is not from 1 to {LIMIT_MAX}")
