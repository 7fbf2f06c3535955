"""Reads what is kept of UVEs over time: a moment, or all steps of a span."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from heapq import merge
from operator import attrgetter
from typing import Annotated, Any, Final, Self, TypeVar

import msgspec

from skytrail.analytics.dry_run import Step
from skytrail.analytics.io.history import History, HistoryRefused, HistoryUnavailable, away
from skytrail.analytics.io.other_nodes import OtherNodes, Part, Parts
from skytrail.analytics.io.slices import items_of
from skytrail.analytics.native_query import moment_of
from skytrail.analytics.query import Statement
from skytrail.analytics.query_request import QueryUnusable
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.uve_past import (
    DOWNS_COUNT_MAX,
    KEYS_COUNT_MAX,
    PLACES_COUNT_MAX,
    State,
    decoded,
    down_statement,
    downs_statement,
    entities_of,
    moment_statement,
    newest,
    span_statement,
    start_statement,
)
from skytrail.analytics.uve_recorder import LOOKBACK_S, START
from skytrail.runtime.asgi import HttpError
from skytrail.runtime.clock import Clock

RUNNING_COUNT_MAX: Final = 8
STEPS_COUNT_MAX: Final = 100_000
_T = TypeVar("_T")


_Row = tuple[str, str, str, str, str, Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]]


class _Rows(msgspec.Struct, frozen=True):
    node: str
    rows: msgspec.Raw
    instance: str = ""


class _Steps(msgspec.Struct, frozen=True):
    node: str
    steps: msgspec.Raw
    instance: str = ""


class MomentPart(Part, frozen=True):
    """What a node knew at a moment."""

    rows: list[_Row]

    @classmethod
    async def decoded(cls, content: bytes | bytearray) -> Self:
        outer = msgspec.json.decode(content, type=_Rows)
        rows = await items_of(outer.rows, list[_Row], b"],[", most=PLACES_COUNT_MAX)
        return cls(node=outer.node, instance=outer.instance, rows=rows)

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


class StepsPart(Part, frozen=True):
    """What happened to what a node knew, oldest first."""

    steps: list[Step]

    @classmethod
    async def decoded(cls, content: bytes | bytearray) -> Self:
        outer = msgspec.json.decode(content, type=_Steps)
        most = STEPS_COUNT_MAX + DOWNS_COUNT_MAX
        steps = await items_of(outer.steps, list[Step], b"],[", most=most)
        return cls(node=outer.node, instance=outer.instance, steps=steps)

    def unfit(self, question: object) -> str:
        if not isinstance(question, StepsQuestion):
            return ""
        tables, before_us = {"", *question.tables}, 0
        for step in self.steps:
            if step.table not in tables or step.node != self.node:
                return f"{step.table[:64]} of {step.node[:64]} was not asked for"
            if not before_us <= step.at_us <= question.end_us:
                return "its steps are not in their order, or of another time"
            before_us = step.at_us
            try:
                decoded(step.value or "{}")
            except (msgspec.MsgspecError, RecursionError) as error:
                return f"{step.name[:64]} {step.struct[:64]}: {error}"
        return ""


class StepsQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which entities it is asked what happened in a span of time, in microseconds since 1970."""

    tables: list[str]
    keys: tuple[str, ...]
    parts: tuple[tuple[str, str], ...]
    start_us: int
    end_us: int


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
            _or_unavailable(self.own_part(question)),
            self._others.ask("moment", question, MomentPart),
        )
        missing = self._missing(own, parts)
        known = [] if isinstance(own, HttpError) else [own]
        rows = newest([*known, *(part.rows for part in parts.told)])
        return entities_of(_not_before(rows, since_us), chosen), missing

    def _missing(self, own: object, parts: Parts[Any]) -> Mapping[str, str]:
        """Return whose part is missing; HttpError where there is none at all."""
        if not isinstance(own, HttpError):
            return parts.missing
        if not parts.told:
            raise own
        return {**parts.missing, self._node: own.text}

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
    ) -> tuple[list[Step], Mapping[str, str]]:
        """Return what happened on all nodes, oldest first, and whose part is missing; as :meth:`entities`."""
        question = StepsQuestion(list(tables), chosen.keys, chosen.parts, *span_us)
        if self._others is None:
            return await self._own_steps(question), {}
        own, parts = await asyncio.gather(
            _or_unavailable(self.own_steps_part(question)),
            self._others.ask("steps", question, StepsPart),
        )
        missing = self._missing(own, parts)
        known = [] if isinstance(own, HttpError) else [own]
        steps = list(merge(*known, *(part.steps for part in parts.told), key=attrgetter("at_us")))
        _check_count(steps)
        return steps, missing

    async def own_steps_part(self, question: StepsQuestion) -> list[Step]:
        """Return what happened here, where others know of that time as well: what a node that was down knew is gone."""
        steps = await self._own_steps(question)
        span_us = max(0, question.start_us - round(LOOKBACK_S * 1e6)), question.end_us
        downs = await self._select(downs_statement(self._node, span_us))
        ends = [Step(int(str(row[0])), "", "", "", START, "", self._node) for row in downs]
        return list(merge(steps, ends, key=attrgetter("at_us")))

    async def _own_steps(self, question: StepsQuestion) -> list[Step]:
        chosen = UveFilter(keys=question.keys, parts=question.parts)
        span_us = question.start_us, question.end_us
        asked = span_statement(self._node, chosen, question.tables, span_us, STEPS_COUNT_MAX)
        rows = await self._select(asked)
        _check_count(rows)
        return msgspec.convert([[*row, self._node] for row in rows], list[Step])

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


async def _or_unavailable(own: Awaitable[_T]) -> _T | HttpError:
    """Return what the own store says, or why it says nothing; other errors are the question's."""
    try:
        return await own
    except HttpError as error:
        if not isinstance(error.__cause__, HistoryUnavailable):
            raise
        return error


def _check_count(steps: Sequence[object]) -> None:
    if len(steps) > STEPS_COUNT_MAX:
        raise HttpError(
            400,
            f"last, entity: over {STEPS_COUNT_MAX} changes are kept of that time;"
            " choose a shorter one, or entities by name (entity)",
        )
