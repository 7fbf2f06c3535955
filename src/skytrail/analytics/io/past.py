"""Reads what is kept of UVEs over time: a moment, or all steps of a span."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Self

import msgspec

from skytrail.analytics.dry_run import Step
from skytrail.analytics.io.history import History, HistoryRefused, HistoryUnavailable, away
from skytrail.analytics.io.other_nodes import OtherNodes, Part
from skytrail.analytics.io.slices import items_of
from skytrail.analytics.native_query import moment_of
from skytrail.analytics.query import Statement
from skytrail.analytics.query_request import QueryUnusable
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.uve_past import (
    KEYS_COUNT_MAX,
    PLACES_COUNT_MAX,
    State,
    decoded,
    down_statement,
    entities_of,
    moment_statement,
    newest,
    span_statement,
    start_statement,
)
from skytrail.runtime.asgi import HttpError
from skytrail.runtime.clock import Clock

RUNNING_COUNT_MAX: Final = 8
STEPS_COUNT_MAX: Final = 100_000


_Row = tuple[str, str, str, str, str, Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]]


class _Rows(msgspec.Struct, frozen=True):
    node: str
    rows: msgspec.Raw


class MomentPart(Part, frozen=True):
    """What a node knew at a moment."""

    rows: list[_Row]

    @classmethod
    async def decoded(cls, content: bytes | bytearray) -> Self:
        outer = msgspec.json.decode(content, type=_Rows)
        return cls(
            outer.node, await items_of(outer.rows, list[_Row], b"],[", most=PLACES_COUNT_MAX)
        )

    def unfit(self, question: object) -> str:
        tables = set(question.tables) if isinstance(question, MomentQuestion) else set[str]()
        for table, name, struct, value, *_ in self.rows:
            if table not in tables:
                return f"{table[:64]} was not asked for"
            try:
                decoded(value)
            except (msgspec.MsgspecError, RecursionError) as error:
                return f"{name[:64]} {struct[:64]}: {error}"
        return ""


class MomentQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which entities it is asked what was so at a moment, in microseconds since 1970."""

    tables: list[str]
    keys: tuple[str, ...]
    parts: tuple[tuple[str, str], ...]
    at_us: int


class Past:
    """What a node kept of entities; a few questions at a time, the others are turned away (503)."""

    def __init__(
        self, history: History, node: str, clock: Clock, others: OtherNodes | None = None
    ) -> None:
        """``others`` are asked of a moment as well, where each node has a store of its own."""
        self._others = others
        self._history = history
        self._node = node
        self._clock = clock
        self._running_count = 0

    def moment(self, text: str) -> int:
        """Return the moment of a request's ``at`` in microseconds; HttpError 400 where it is none of the past."""
        try:
            at_us = moment_of("at", text)
        except QueryUnusable as error:
            raise HttpError(400, str(error)) from error
        if not 0 <= at_us <= round(self._clock.wall() * 1e6):
            raise HttpError(400, f"at={text[:40]} is not in the past; leave it out for what is now")
        return at_us

    async def entities(
        self, tables: Sequence[str], chosen: UveFilter, at_us: int, since_us: int = 0
    ) -> tuple[dict[tuple[str, str], State], Mapping[str, str]]:
        """Return entities as they were, by table and name, and which nodes' part is missing, and why.

        What was kept before ``since_us`` is left out. HttpError when they are too many, or nobody answers.
        """
        if chosen.source or chosen.module is not None:
            raise HttpError(
                400, "sfilt, mfilt: of the past it is kept what all sources said together; leave them out"
            )  # fmt: skip
        question = MomentQuestion(list(tables), chosen.keys, chosen.parts, at_us)
        if self._others is None:
            rows: Sequence[Sequence[object]] = await self.own_rows(question)
            return entities_of(_not_before(rows, since_us), chosen), {}
        own, parts = await asyncio.gather(
            self.own_part(question), self._others.ask("moment", question, MomentPart)
        )
        rows = newest([own, *(part.rows for part in parts.told)])
        return entities_of(_not_before(rows, since_us), chosen), parts.missing

    async def own_part(self, question: MomentQuestion) -> list[list[object]]:
        """Return what this node knew then, where others know of that time as well; as :meth:`own_rows`."""
        down = await self._select(down_statement(self._node, question.at_us))
        return [] if down and down[0][0] else await self.own_rows(question)

    async def own_rows(self, question: MomentQuestion) -> list[list[object]]:
        """Return structs as this node kept them: table, name, struct, value, kind, when; HttpError."""
        if len(question.keys) > KEYS_COUNT_MAX:
            raise HttpError(400, f"kfilt: over {KEYS_COUNT_MAX} names of the past at once")
        at_us, chosen = question.at_us, UveFilter(keys=question.keys, parts=question.parts)
        started = await self._select(start_statement(self._node, at_us))
        started_us = int(str(started[0][0])) if started else 0
        rows = await self._select(
            moment_statement(self._node, chosen, question.tables, at_us, started_us)
        )
        if len(rows) > PLACES_COUNT_MAX:
            raise HttpError(
                400, f"kfilt, cfilt: over {PLACES_COUNT_MAX} structs were there; choose fewer"
            )
        return rows

    async def steps(
        self, tables: Sequence[str], chosen: UveFilter, span_us: tuple[int, int]
    ) -> list[Step]:
        """Return what happened, oldest first; HttpError as :meth:`entities`."""
        asked = span_statement(self._node, chosen, tables, span_us, STEPS_COUNT_MAX)
        rows = await self._select(asked)
        if len(rows) > STEPS_COUNT_MAX:
            raise HttpError(
                400,
                f"last, entity: over {STEPS_COUNT_MAX} changes are kept of that time;"
                " choose a shorter one, or entities by name (entity)",
            )
        return msgspec.convert(rows, list[Step])

    async def _select(self, asked: Statement) -> list[list[object]]:
        if self._running_count >= RUNNING_COUNT_MAX:
            raise HttpError(
                503, "Too many questions to the past; try again", (("retry-after", "2"),)
            )
        self._running_count += 1
        try:
            return await self._history.select(asked.sql, asked.parameters)
        except HistoryUnavailable as error:
            raise away(error) from error
        except HistoryRefused as error:
            raise HttpError(400, f"The store refuses it; choose fewer: {error}") from error
        finally:
            self._running_count -= 1


def _not_before(rows: Sequence[Sequence[object]], since_us: int) -> Sequence[Sequence[object]]:
    return [row for row in rows if int(str(row[5])) >= since_us] if since_us else rows
