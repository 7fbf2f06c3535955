"""``GET /api/v1/logs``, ``/flows``, ``/metrics``: history by readable parameters, as JSON or a row a line.

Lines go out as the store gives them. An answer that the store breaks off, or that is over the bound, ends with a line
``{"error": ...}``: whoever reads lines sees that some are missing, as where another node's part of history is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from skytrail.analytics.io.history import History, HistoryRefused, HistoryUnavailable, away
from skytrail.analytics.io.queries import Answer, Asked, Queries
from skytrail.analytics.io.tenants import Turns, tenant_of
from skytrail.analytics.native_query import PATHS, is_ndjson, openapi, request_of
from skytrail.analytics.query import Statement
from skytrail.analytics.query_request import QueryUnusable, UnknownField, UnknownTable
from skytrail.analytics.tenant_view import NotForTenants, Tenant
from skytrail.runtime.asgi import (
    HttpError,
    Request,
    Response,
    Router,
    StreamResponse,
    encode_json,
    json_reply,
)

RUNNING_COUNT_MAX: Final = 8
LINES_BYTES_MAX: Final = 64 << 20
_LINES_COUNT: Final = 500


class NativeQueries:
    """Answers these queries; a few at a time, the others are turned away."""

    def __init__(self, queries: Queries, history: History, turns: Turns) -> None:
        self._turns = turns
        self._queries = queries
        self._history = history
        self._running_count = 0

    def add_routes(self, router: Router) -> None:
        for path in PATHS:
            router.add("GET", f"/api/v1/{path}", self._query)
        router.add("GET", "/api/v1/openapi.json", self._describe)

    async def _describe(self, request: Request) -> Response:
        return json_reply(openapi())

    async def _query(self, request: Request) -> Response | StreamResponse:
        tenant = tenant_of(request)
        try:
            asked = request_of(request.segments[-1], request.query)
            as_lines = is_ndjson(request.query, request.headers.get("accept", ""))
            checked = self._queries.checked(asked, tenant)
        except (UnknownTable, UnknownField) as error:
            raise HttpError(404, str(error)) from error
        except QueryUnusable as error:
            raise HttpError(400, str(error)) from error
        except NotForTenants as error:
            raise HttpError(403, str(error)) from error
        if self._running_count >= RUNNING_COUNT_MAX:
            raise HttpError(503, "Too many queries are running; try again", (("retry-after", "2"),))
        if as_lines and self._queries.is_alone:
            return StreamResponse(self._lines(checked.statements[-1], tenant))
        answer = await self._answer(checked, tenant)
        named = [dict(zip(checked.columns, row, strict=True)) for row in answer.rows]
        if as_lines:
            return StreamResponse(_merged_lines(named, answer.missing), headers=answer.headers())
        shown: dict[str, object] = {"columns": checked.columns, "rows": named}
        if answer.missing:
            shown["missing"] = answer.missing
        return json_reply(shown, headers=answer.headers())

    async def _answer(self, checked: Asked, tenant: Tenant | None) -> Answer:
        self._turns.take(tenant)
        self._running_count += 1
        try:
            return await self._queries.rows(checked)
        except HistoryUnavailable as error:
            raise away(error) from error
        except HistoryRefused as error:
            raise HttpError(400, f"The store refuses the query: {error}") from error
        except QueryUnusable as error:
            raise HttpError(400, str(error)) from error
        finally:
            self._running_count -= 1
            self._turns.give_back(tenant)

    async def _lines(self, statement: Statement, tenant: Tenant | None) -> AsyncIterator[bytes]:
        try:
            self._turns.take(tenant)
        except HttpError as error:
            yield _broken(error.text)
            return
        self._running_count += 1
        size = 0
        try:
            async for chunk in self._history.lines(statement.sql, statement.parameters):
                size += len(chunk)
                if size > LINES_BYTES_MAX:
                    yield _broken(f"the answer is over {LINES_BYTES_MAX >> 20} MiB; narrow it")
                    return
                yield chunk
        except (HistoryUnavailable, HistoryRefused) as error:
            yield _broken(str(error))
        finally:
            self._running_count -= 1
            self._turns.give_back(tenant)


async def _merged_lines(
    rows: Sequence[Mapping[str, object]], missing: Mapping[str, str]
) -> AsyncIterator[bytes]:
    for first in range(0, len(rows), _LINES_COUNT):
        yield b"".join(b"%b\n" % encode_json(row) for row in rows[first : first + _LINES_COUNT])
        await asyncio.sleep(0)
    if missing:
        reasons = "; ".join(f"{node}: {reason}" for node, reason in missing.items())
        yield _broken(f"the part of some analytics nodes is missing: {reasons}")


def _broken(reason: str) -> bytes:
    return b"%b\n" % encode_json({"error": reason})
