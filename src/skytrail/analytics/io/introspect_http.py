"""Introspection of every process that is connected: one call, one table.

    GET /api/v1/introspect                       who can be asked, and which tables each has
    GET /api/v1/introspect/<table>               that table of all who have it, columns ``node`` and ``process`` first
        ?node=N&process=P                        only these; each may be given several times, or with commas
        ?limit=N                                 at most N rows together (10,000 unless told)
        ?offset=N                                without the first N, of one process
        ?match=<text>                            only rows in which any value holds this text, in any case
        ?timeout=S                               how long all have together (5 s unless told, 30 at most)
        ?<column>=<text>                         as at one process: only rows whose column prints as this text

    GET /api/v1/processes/<node>/<process>/metrics   its Prometheus text: one address for all processes to be scraped at
    GET /api/v1/processes/<node>/<process>/healthz   what it lacks, 503 when anything

Pages are read, nothing is changed. Who does not answer in time is named in ``failures``; the rest is shown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from skytrail.analytics.everywhere import (
    BYTES_MAX,
    NODE,
    PROCESS,
    ROWS_COUNT_DEFAULT,
    Chosen,
    Shown,
    gather,
    tables_of,
)
from skytrail.analytics.io.asking import Processes, Unanswered
from skytrail.runtime.answering import Pages, answer_to
from skytrail.runtime.asgi import (
    JSON,
    TEXT,
    HttpError,
    Request,
    Response,
    Router,
    json_reply,
)
from skytrail.runtime.metrics import METRICS_TYPE
from skytrail.wire.telemetry import Ask, Hello

TIMEOUT_S: Final = 5.0
TIMEOUT_S_MAX: Final = 30.0
AT_ONCE_COUNT: Final = 32
"""Processes that are asked at a time, by all calls together."""
CALLS_COUNT_MAX: Final = 4
"""That wait for answers; the next one is turned away."""
LIMIT_MAX: Final = 1_000_000
_LIMIT: Final = re.compile(r"[0-9]{1,7}")
_TIMEOUT: Final = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?")
PARAMETERS_COUNT_MAX: Final = 32
_REFUSALS: Final = range(400, 600)


class IntrospectEverywhere:
    """The pages; ``own`` are this process's, which is not connected to itself."""

    def __init__(self, processes: Processes, own: Pages, own_name: Hello) -> None:
        self._processes = processes
        self._own = own
        self._own_name = own_name
        self._calls_count = 0
        self._turn = asyncio.Semaphore(AT_ONCE_COUNT)

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/introspect", self._list)
        router.add("GET", "/api/v1/introspect/{table}", self._table)
        router.add("GET", "/api/v1/processes/{node}/{process}/metrics", self._page)
        router.add("GET", "/api/v1/processes/{node}/{process}/healthz", self._page)

    async def _list(self, request: Request) -> Response:
        chosen, timeout_s, query = _read(request)
        if query:
            raise HttpError(
                400, f"{min(query)[:64]} is not known; known are node, process, timeout"
            )
        shown = await self.ask_all(chosen, "introspect", {}, timeout_s)
        rows = [
            {
                NODE: each.who.source,
                PROCESS: each.who.module,
                "tables": tables_of(each.body) if each.status == 200 else (),
                "failure": "" if each.status == 200 else each.body.decode(errors="replace")[:512],
            }
            for each in shown
        ]
        return json_reply({"processes": rows})

    async def _table(self, request: Request) -> Response:
        chosen, timeout_s, query = _read(request)
        limit = _limit(query.get("limit"))
        table = request.params["table"]
        asked = {**query, "limit": str(limit)}
        if "offset" in query and (count := len(self._asked(chosen))) > 1:
            raise HttpError(
                400, f"offset is of the rows of one process, and {count} are asked:"
                " name one by node= and process=",
            )  # fmt: skip
        shown = await self.ask_all(chosen, f"introspect/{table}", asked, timeout_s)
        found = gather(table, shown, chosen, limit)
        if found is None:
            raise HttpError(
                404, f"No process that was asked has a table {table[:64]};"
                " `skytrail introspect`, GET /api/v1/introspect, lists what each has",
            )  # fmt: skip
        return json_reply(found)

    async def _page(self, request: Request) -> Response:
        """Pass on a page of one process as it shows it."""
        node, process, page = (
            request.params["node"],
            request.params["process"],
            request.segments[-1],
        )
        chosen = Chosen(frozenset({node}), frozenset({process}))
        shown = await self.ask_all(chosen, page, {}, TIMEOUT_S)
        if len(shown) != 1:
            raise HttpError(
                404,
                f"{len(shown)} processes {process[:64]} of {node[:64]} are connected;"
                " `skytrail introspect`, GET /api/v1/introspect, lists all",
            )
        (found,) = shown
        if not found.status:
            raise HttpError(504, f"{node} does not answer: {found.body.decode(errors='replace')}")
        if found.status != 200 and found.status not in _REFUSALS:
            # It is the process's word: others make the server's next reply part of this one, or the other way round.
            raise HttpError(502, f"{node[:64]} answers with a status of {found.status}")
        kind = METRICS_TYPE if (page, found.status) == ("metrics", 200) else TEXT
        return Response(found.status, found.body, JSON if page == "healthz" else kind)

    async def ask_all(
        self, chosen: Chosen, page: str, query: Mapping[str, str], timeout_s: float
    ) -> list[Shown]:
        """Return what everybody shows who is chosen; ``HttpError`` when too many ask already."""
        if self._calls_count >= CALLS_COUNT_MAX:
            raise HttpError(
                503, f"{CALLS_COUNT_MAX} calls wait for answers already; try again",
                (("retry-after", "2"),),
            )  # fmt: skip
        self._calls_count += 1
        deadline = asyncio.get_running_loop().time() + timeout_s
        size = 0

        async def ask(who: Hello) -> Shown:
            nonlocal size
            async with self._turn:
                left_s = deadline - asyncio.get_running_loop().time()
                if left_s <= 0 or size > BYTES_MAX:
                    return Shown(who, 0, b"not asked: too much was asked of the others before")
                found = await self._ask(who, page, query, left_s)
                size += len(found.body)
                return found

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(who)) for who in self._asked(chosen)]
        finally:
            self._calls_count -= 1
        return [task.result() for task in tasks]

    def _asked(self, chosen: Chosen) -> list[Hello]:
        known = (self._own_name, *self._processes.known())
        return [who for who in known if chosen.takes(who)]

    async def _ask(
        self, who: Hello, page: str, query: Mapping[str, str], timeout_s: float
    ) -> Shown:
        """Return what one process shows; that it does not answer is an answer too."""
        if who is self._own_name:
            (part, *more) = await answer_to(Ask(id=0, page=page, query=dict(query)), self._own)
            return Shown(who, part.status, b"".join([part.part, *(each.part for each in more)]))
        try:
            reply = await self._processes.ask(who.generator, page, query, timeout_s)
        except Unanswered as error:
            return Shown(who, 0, str(error).encode())
        return Shown(who, reply.status, reply.body)


def _read(request: Request) -> tuple[Chosen, float, dict[str, str]]:
    """Return who is asked, how long, and what is left of the query."""
    query = dict(request.query)
    if len(query) > PARAMETERS_COUNT_MAX:
        raise HttpError(400, f"there are over {PARAMETERS_COUNT_MAX} parameters")
    for name in (NODE, PROCESS):
        query.pop(name, None)
    chosen = Chosen(_names(request, NODE), _names(request, PROCESS))
    return chosen, _timeout_s(query.pop("timeout", None)), query


def _names(request: Request, name: str) -> frozenset[str]:
    given = request.query_all.get(name, ())
    return frozenset(each.strip() for text in given for each in text.split(",") if each.strip())


def _limit(text: str | None) -> int:
    if text is None:
        return ROWS_COUNT_DEFAULT
    if not _LIMIT.fullmatch(text) or int(text) > LIMIT_MAX:
        raise HttpError(400, f"limit={text[:40]} is not a number up to {LIMIT_MAX}")
    return int(text)


def _timeout_s(text: str | None) -> float:
    if text is None:
        return TIMEOUT_S
    if not _TIMEOUT.fullmatch(text) or not 0 < float(text) <= TIMEOUT_S_MAX:
        raise HttpError(400, f"timeout={text[:40]} is not seconds, up to {TIMEOUT_S_MAX:g}")
    return float(text)
