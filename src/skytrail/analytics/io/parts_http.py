"""Answers other analytics nodes from the own store alone: what is asked here is asked of nobody else.

POST /api/v1/parts/name      who this node is
POST /api/v1/parts/query     rows of a query, aggregates such that they can be merged
POST /api/v1/parts/values    tables of numbers, what they count, values of a column
POST /api/v1/parts/moment    entities as this node knew them
POST /api/v1/parts/steps     what happened to entities as this node knew them
POST /api/v1/parts/heard     up to which number a process's messages are kept
POST /api/v1/parts/copies    which of some messages this node has as well
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from skytrail.analytics.io.history import HistoryRefused, HistoryUnavailable, away
from skytrail.analytics.io.past import MomentQuestion, Past, StepsQuestion
from skytrail.analytics.io.queries import Queries, QueryPart
from skytrail.analytics.io.retold import CopiesQuestion, HeardQuestion, Retold, Unsettled
from skytrail.analytics.io.tenants import tenant_of
from skytrail.analytics.query_request import QueryUnusable
from skytrail.analytics.query_values import ValuesQuestion
from skytrail.analytics.tenant_view import NotForTenants
from skytrail.runtime.asgi import HttpError, Request, Response, Router, json_reply

RUNNING_COUNT_MAX: Final = 16


class PartsApi:
    """What this node's store has of an answer; so many questions at a time, the others are turned away."""

    def __init__(
        self, name: str, instance: str, queries: Queries, past: Past, retold: Retold
    ) -> None:
        self._who = {"node": name, "instance": instance}
        self._queries = queries
        self._past = past
        self._retold = retold
        self._running_count = 0

    def add_routes(self, router: Router) -> None:
        router.add("POST", "/api/v1/parts/name", self._name)
        router.add("POST", "/api/v1/parts/query", self._query)
        router.add("POST", "/api/v1/parts/values", self._values)
        router.add("POST", "/api/v1/parts/moment", self._moment)
        router.add("POST", "/api/v1/parts/steps", self._steps)
        router.add("POST", "/api/v1/parts/heard", self._heard)
        router.add("POST", "/api/v1/parts/copies", self._copies)

    async def _name(self, _: Request) -> Response:
        return json_reply(self._who)

    async def _query(self, request: Request) -> Response:
        async with self._turn():
            asked = self._queries.checked_part(request.json(QueryPart), tenant_of(request))
            return self._told("rows", await self._queries.own_rows(asked))

    async def _values(self, request: Request) -> Response:
        async with self._turn():
            return self._told(
                "values", await self._queries.own_values(request.json(ValuesQuestion))
            )

    async def _moment(self, request: Request) -> Response:
        async with self._turn():
            return self._told("rows", await self._past.own_part(request.json(MomentQuestion)))

    async def _steps(self, request: Request) -> Response:
        async with self._turn():
            asked = request.json(StepsQuestion)
            return self._told("steps", await self._past.own_steps_part(asked))

    async def _heard(self, request: Request) -> Response:
        # Many processes come at once where a node is lost; none of them asks the store.
        return self._told("kept", await self._retold.kept(request.json(HeardQuestion)))

    async def _copies(self, request: Request) -> Response:
        try:
            kept, aside = await self._retold.copies(request.json(CopiesQuestion))
        except Unsettled as error:
            raise HttpError(
                503, "What was heard is not judged yet", (("retry-after", "2"),)
            ) from error
        return json_reply({**self._who, "kept": kept, "aside": aside})

    def _told(self, name: str, part: object) -> Response:
        return json_reply({**self._who, name: part})

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        """Count a question while it is answered; HttpError says what is wrong with it."""
        if self._running_count >= RUNNING_COUNT_MAX:
            raise HttpError(503, "Too many ask for parts; try again", (("retry-after", "2"),))
        self._running_count += 1
        try:
            yield
        except QueryUnusable as error:
            raise HttpError(400, str(error)) from error
        except NotForTenants as error:
            raise HttpError(403, str(error)) from error
        except HistoryRefused as error:
            raise HttpError(400, f"The store refuses the query: {error}") from error
        except HistoryUnavailable as error:
            raise away(error) from error
        finally:
            self._running_count -= 1
