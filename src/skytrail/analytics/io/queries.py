"""Carries queries out: over the own store, or over those of all nodes where each has its own.

```
 QueryRequest --checked--> Asked --rows--> own store ----------.
                                     `---> other nodes: parts --+--> gathering --> Answer, and who is missing
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar

import msgspec

from skytrail.analytics.gathering import columns_of, merged, part_of, unfit
from skytrail.analytics.io.history import History, HistoryUnavailable
from skytrail.analytics.io.other_nodes import Headers, OtherNodes, Part, missing_headers
from skytrail.analytics.io.slices import items_of
from skytrail.analytics.query import Statement, statements_of
from skytrail.analytics.query_request import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    QueryRequest,
    moment_us,
    not_before,
)
from skytrail.analytics.query_values import VALUES_COUNT_MAX, ValuesQuestion, values_statement
from skytrail.analytics.tenant_view import Tenant
from skytrail.runtime.clock import Clock

_THREAD_COUNT: Final = 2_000
"""Rows that others wait for while they are merged; more are merged beside."""

Rows = list[Sequence[object]]
_T = TypeVar("_T")


# Tuples of plain values are nothing that the collector of garbage looks into, at which everybody waits.
_Row = tuple[Any, ...]


class _Rows(msgspec.Struct, frozen=True):
    node: str
    rows: msgspec.Raw
    instance: str = ""


class _Values(msgspec.Struct, frozen=True):
    node: str
    values: msgspec.Raw
    instance: str = ""


class RowsPart(Part, frozen=True):
    """A node's rows of a query."""

    rows: list[_Row]

    @classmethod
    async def decoded(cls, content: bytes | bytearray) -> Self:
        outer = msgspec.json.decode(content, type=_Rows)
        rows = await items_of(outer.rows, list[_Row], b"],[", most=LIMIT_MAX)
        return cls(node=outer.node, instance=outer.instance, rows=rows)

    def unfit(self, question: object) -> str:
        return unfit(question.request, self.rows) if isinstance(question, QueryPart) else ""


class ValuesPart(Part, frozen=True):
    """What a node lists of its own."""

    values: list[str]

    @classmethod
    async def decoded(cls, content: bytes | bytearray) -> Self:
        outer = msgspec.json.decode(content, type=_Values)
        values = await items_of(outer.values, list[str], b'","', most=VALUES_COUNT_MAX)
        return cls(node=outer.node, instance=outer.instance, values=values)


class QueryPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What other nodes are asked: a query whose times are absolute, and when it was asked."""

    request: QueryRequest
    now_us: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that was checked, and may be carried out."""

    request: QueryRequest
    now_us: int
    tenant: Tenant | None
    statements: Sequence[Statement]
    """Over the own store: one after the other, until there are rows enough."""
    rows_wanted: int
    """Of the own store."""
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows in the order of the query's columns."""

    rows: Sequence[Sequence[object]]
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    """Whose part is not in it, and why."""

    def headers(self) -> Headers:
        """Return what tells readers of rows alone that some are missing."""
        return missing_headers(self.missing)


class Queries:
    """Answers queries from all stores there are."""

    def __init__(
        self,
        history: History,
        clock: Clock,
        keep_hours: Mapping[str, int],
        name: str,
        others: OtherNodes | None = None,
    ) -> None:
        """``name`` is this node's, as it is missing in an answer. Without ``others`` the own store has everything."""
        self._history = history
        self._clock = clock
        self._keep_hours = keep_hours
        self._name = name
        self._others = others

    @property
    def is_alone(self) -> bool:
        """Whether the own store answers for all."""
        return self._others is None

    def checked(self, request: QueryRequest, tenant: Tenant | None = None) -> Asked:
        """Return a query that can be carried out; ``QueryUnusable`` or ``NotForTenants`` say why one cannot."""
        now_us = round(self._clock.wall() * 1e6)
        if tenant is not None and tenant.since_us:
            request = not_before(request, tenant.since_us, now_us)
        if self._others is None:
            return self._asked(request, now_us, tenant, is_part=False)
        times = [moment_us(name, getattr(request, name), now_us) for name in ("start_time", "end_time")]  # fmt: skip
        absolute = msgspec.structs.replace(request, start_time=times[0], end_time=times[1])
        # As it was written it is judged once; each node is asked for its part.
        list(statements_of(absolute, now_us, self._keep_hours, tenant))
        return self._asked(absolute, now_us, tenant, is_part=True)

    def checked_part(self, question: QueryPart, tenant: Tenant | None) -> Asked:
        """Return what another node asks of this one's store; as :meth:`checked`."""
        return self._asked(question.request, question.now_us, tenant, is_part=True)

    def _asked(
        self, request: QueryRequest, now_us: int, tenant: Tenant | None, *, is_part: bool
    ) -> Asked:
        own = part_of(request) if is_part else request
        statements = list(statements_of(own, now_us, self._keep_hours, tenant, is_part=is_part))
        wanted = own.limit or LIMIT_DEFAULT
        return Asked(request, now_us, tenant, statements, wanted, columns_of(request))

    async def own_rows(self, asked: Asked) -> list[list[object]]:
        """Return rows of the own store; ``HistoryUnavailable`` or ``HistoryRefused``."""
        rows: list[list[object]] = []
        for statement in asked.statements:
            rows += await self._history.select(statement.sql, statement.parameters)
            if len(rows) >= asked.rows_wanted:
                break
        return rows[: asked.rows_wanted]

    async def rows(self, asked: Asked) -> Answer:
        """Return the rows of a query.

        ``HistoryUnavailable`` when no store answers, ``HistoryRefused`` or ``QueryUnusable`` when it cannot be done.
        """
        if self._others is None:
            return Answer(await self.own_rows(asked))
        project = None if asked.tenant is None else asked.tenant.project
        question = QueryPart(asked.request, asked.now_us)
        own, parts = await asyncio.gather(
            _or_unavailable(self.own_rows(asked)),
            self._others.ask("query", question, RowsPart, project),
        )
        missing = dict(parts.missing)
        told: list[Rows] = [list(each.rows) for each in parts.told]
        if isinstance(own, HistoryUnavailable):
            if not told:
                raise own
            missing[self._name] = str(own)
        else:
            told.insert(0, list(own))
        if sum(map(len, told)) > _THREAD_COUNT:
            return Answer(await asyncio.to_thread(merged, asked.request, told), missing)
        return Answer(merged(asked.request, told), missing)

    async def values(self, question: ValuesQuestion) -> tuple[list[str], Mapping[str, str]]:
        """Return what is listed, of all nodes, and whose part is missing; as :meth:`rows`, and ``QueryUnusable``."""
        if self._others is None:
            return await self.own_values(question), {}
        own, parts = await asyncio.gather(
            _or_unavailable(self.own_values(question)),
            self._others.ask("values", question, ValuesPart),
        )
        missing, known = dict(parts.missing), [part.values for part in parts.told]
        if not isinstance(own, HistoryUnavailable):
            known.append(own)
        elif not known:
            raise own
        else:
            missing[self._name] = str(own)
        told = {value for values in known for value in values}
        return sorted(told)[:VALUES_COUNT_MAX], missing

    async def own_values(self, question: ValuesQuestion) -> list[str]:
        """Return what the own store lists."""
        statement = values_statement(question)
        rows = await self._history.select(statement.sql, statement.parameters)
        return [str(row[0]) for row in rows]


async def _or_unavailable(own: Awaitable[_T]) -> _T | HistoryUnavailable:
    try:
        return await own
    except HistoryUnavailable as error:
        return error
