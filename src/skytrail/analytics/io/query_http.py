"""Queries over history by REST.

POST /analytics/query                         answer, or 202 with ``Expect: 202-accepted``
GET  /analytics/query/<id>                    how far it is
GET  /analytics/query/<id>/chunk-final/0      its answer
GET  /analytics/queries                       pending, processed, abandoned
GET  /analytics/tables, /analytics/table/<t>, .../schema, .../column-values/<column>
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid1

from skytrail.analytics.io.history import HistoryRefused, HistoryUnavailable, away
from skytrail.analytics.io.other_nodes import Headers, missing_headers
from skytrail.analytics.io.queries import Asked, Queries
from skytrail.analytics.io.tenants import Turns, tenant_of
from skytrail.analytics.io.underlay_http import named_rows
from skytrail.analytics.query_request import (
    QueryRequest,
    QueryUnusable,
    UnknownField,
    UnknownTable,
)
from skytrail.analytics.query_values import VALUE_COLUMNS, ValuesQuestion
from skytrail.analytics.query_views import View, view_of, views
from skytrail.analytics.questions import Question, Questions
from skytrail.analytics.tenant_view import NOT_SHOWN, NotForTenants, seen_by, shown_tables
from skytrail.analytics.underlay_map import TABLE as UNDERLAY_MAP
from skytrail.analytics.underlay_map import flows_request, tunnels_of, underlay_request
from skytrail.runtime.asgi import HttpError, Request, Response, Router, json_reply
from skytrail.runtime.clock import Clock

_EXPECT: Final = ("expect", "postman-expect")
_ACCEPTED: Final = "202-accepted"


@contextmanager
def _refusals() -> Generator[None]:
    """Turn what is wrong with a query into the status that says so."""
    try:
        yield
    except UnknownTable as error:
        raise HttpError(410, str(error)) from error
    except UnknownField as error:
        raise HttpError(404, str(error)) from error
    except QueryUnusable as error:
        raise HttpError(400, str(error)) from error
    except NotForTenants as error:
        raise HttpError(403, str(error)) from error


class QueryApi:
    """Answers queries; many at a time, each bounded."""

    def __init__(self, queries: Queries, clock: Clock, turns: Turns) -> None:
        self._turns = turns
        self._queries = queries
        self._clock = clock
        self._questions = Questions()
        self._running: set[asyncio.Task[None]] = set()

    def add_routes(self, router: Router) -> None:
        router.add("POST", "/analytics/query", self._query)
        router.add("GET", "/analytics/query/{id}", self._progress)
        router.add("GET", "/analytics/query/{id}/chunk-final/{chunk}", self._chunk)
        router.add("GET", "/analytics/queries", self._list)
        router.add("GET", "/analytics/tables", self._tables)
        router.add("GET", "/analytics/table/{table}", self._table)
        router.add("GET", "/analytics/table/{table}/schema", self._schema)
        router.add("GET", "/analytics/table/{table}/column-values", self._value_columns)
        router.add("GET", "/analytics/table/{table}/column-values/{column}", self._values)

    async def close(self) -> None:
        """End what is asked still."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _query(self, request: Request) -> Response:
        asked, tenant = request.json(QueryRequest), tenant_of(request)
        if asked.table == UNDERLAY_MAP and tenant is not None:
            raise HttpError(403, NOT_SHOWN)
        if asked.table == UNDERLAY_MAP:
            checked = await self._underlay(asked)
        else:
            with _refusals():
                checked = self._queries.checked(asked, tenant)
        if not self._questions.has_room():
            raise HttpError(503, "Too many queries are running; try again", (("retry-after", "2"),))
        # Members that no query has are not looked at: they may be no text.
        text = request.body.decode(errors="replace")
        question = Question(
            uuid1(), text, asked.table, self._clock.now(), asked.start_time, asked.end_time
        )
        # From here to the task that gives it back nothing fails.
        self._turns.take(tenant)
        self._questions.add(question, self._clock.now())
        task = asyncio.create_task(self._ask(question, checked), name="analytics-query")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: self._turns.give_back(tenant))
        # Answers that are kept are had by whoever knows their id: those of tenants are not kept.
        if tenant is None and any(
            request.headers.get(name, "").lower() == _ACCEPTED for name in _EXPECT
        ):
            return json_reply({"href": f"/analytics/query/{question.id}"}, 202)
        await asyncio.shield(task)
        # Who waited was not told by which id to ask again.
        self._questions.forget(question)
        return self._answered(question)

    async def _underlay(self, asked: QueryRequest) -> Asked:
        """Return the second of the two queries that tell which switches saw an overlay flow."""
        with _refusals():
            first = self._queries.checked(flows_request(asked))
        flows, _ = await named_rows(self._queries, first)
        with _refusals():
            second = self._queries.checked(underlay_request(asked, tunnels_of(flows)))
        return replace(second, columns=list(dict.fromkeys(asked.select_fields)))

    async def _ask(self, question: Question, checked: Asked) -> None:
        """Have the stores answer a question."""
        try:
            answer = await self._queries.rows(checked)
        except HistoryUnavailable as error:
            question.problem, question.status = str(error), 503
            question.headers = away(error).headers
        except HistoryRefused as error:
            question.problem, question.status = f"The store refuses the query: {error}", 400
        except QueryUnusable as error:
            question.problem, question.status = str(error), 400
        else:
            names = checked.columns
            question.rows = [dict(zip(names, row, strict=True)) for row in answer.rows]
            question.headers = answer.headers()
            self._questions.make_room(question)
        finally:
            if not question.is_done:
                # A defect of ours is told once, and takes nobody's place for ever.
                question.problem = "The query was not carried out; the server's log has the details"
                question.status = 500

    @staticmethod
    def _answered(question: Question) -> Response:
        if question.rows is None:
            raise HttpError(question.status, question.problem, question.headers)
        return json_reply({"value": question.rows}, headers=question.headers)

    def _question(self, request: Request) -> Question:
        try:
            question = self._questions.get(UUID(request.params["id"]))
        except ValueError:
            question = None
        if question is None:
            raise HttpError(404, "No such query, or its answer was kept long enough")
        return question

    async def _progress(self, request: Request) -> Response:
        question = self._question(request)
        if question.problem:
            raise HttpError(question.status, question.problem, question.headers)
        href = f"/analytics/query/{question.id}/chunk-final/0" if question.is_done else ""
        chunk = {"start_time": question.start_time, "end_time": question.end_time, "href": href}
        return json_reply({"progress": 100 if question.is_done else 0, "chunks": [chunk]})

    async def _chunk(self, request: Request) -> Response:
        question = self._question(request)
        if request.params["chunk"] != "0" or not question.is_done:
            raise HttpError(404, "That chunk is not there (yet); ask the query how far it is")
        return self._answered(question)

    async def _list(self, request: Request) -> Response:
        shown: dict[str, list[dict[str, object]]] = {
            "pending_queries": [], "queries_being_processed": [], "abandoned_queries": [],
        }  # fmt: skip
        for each in self._questions.all():
            kind = "abandoned_queries" if each.problem else "queries_being_processed"
            if each.rows is None:
                shown[kind].append({"enqueue_time": each.asked_at, "query_id": str(each.id)})
        return json_reply(shown)

    async def _tables(self, request: Request) -> Response:
        if tenant_of(request) is not None:
            return json_reply(
                [
                    {
                        "href": f"/analytics/table/{each.name}",
                        "name": each.name,
                        "type": _type_of(each),
                    }
                    for each in shown_tables()
                ]
            )
        statistics, headers = await self._values_of(ValuesQuestion(kind="tables"))
        found = [*sorted(views().values(), key=lambda view: view.name), *map(view_of, statistics)]
        return json_reply(
            [
                {"href": f"/analytics/table/{view.name}", "name": view.name, "type": _type_of(view)}
                for view in found
            ],
            headers=headers,
        )

    async def _table(self, request: Request) -> Response:
        name = self._view(request).name
        pages = ("schema", "column-values")
        return json_reply([{"href": f"/analytics/table/{name}/{p}", "name": p} for p in pages])

    async def _schema(self, request: Request) -> Response:
        try:
            view = seen_by(tenant_of(request), self._view(request))
        except NotForTenants as error:
            raise HttpError(403, str(error)) from error
        columns = [
            {"name": name, "datatype": _DATATYPES[column.kind], "index": name in VALUE_COLUMNS}
            for name, column in view.columns.items()
        ]
        headers: Headers = ()
        if view.is_open:
            asked = ValuesQuestion(kind="attributes", table=view.name)
            attributes, headers = await self._values_of(asked)
            columns += [{"name": name, "datatype": "double", "index": False} for name in attributes]
        return json_reply({"columns": columns, "type": _type_of(view)}, headers=headers)

    async def _value_columns(self, request: Request) -> Response:
        view = self._view(request)
        names = sorted(VALUE_COLUMNS & view.columns.keys())
        base = f"/analytics/table/{view.name}/column-values"
        return json_reply([{"href": f"{base}/{name}", "name": name} for name in names])

    async def _values(self, request: Request) -> Response:
        view, column = self._view(request), request.params["column"]
        asked = ValuesQuestion(kind="column", table=view.name, column=column)
        values, headers = await self._values_of(asked)
        return json_reply(values, headers=headers)

    async def _values_of(self, asked: ValuesQuestion) -> tuple[list[str], Headers]:
        try:
            values, missing = await self._queries.values(asked)
        except UnknownField as error:
            raise HttpError(404, str(error)) from error
        except HistoryUnavailable as error:
            raise away(error) from error
        except HistoryRefused as error:
            raise HttpError(503, str(error)) from error
        return values, missing_headers(missing)

    @staticmethod
    def _view(request: Request) -> View:
        try:
            return view_of(request.params["table"])
        except UnknownTable as error:
            raise HttpError(404, str(error)) from error


_DATATYPES: Final = {"text": "string", "number": "int", "time": "int"}


def _type_of(view: View) -> str:
    if view.name == "MessageTable" or view.name.startswith("Object"):
        return "OBJECT" if view.name != "MessageTable" else "LOG"
    return "STAT" if view.is_open else "SESSION"
