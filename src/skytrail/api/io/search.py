"""Finds objects of any type by a part of their name, or by uuid, among those the caller sees.

GET /api/v1/search?q=web&limit=20      exact names first, then beginnings, then what contains it
                  &revision=N          among the objects of then (administrators)
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from skytrail.api import authorize
from skytrail.api.graph import FqName, Record
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.io.history import HistoryApi
from skytrail.api.io.native import check_parameters
from skytrail.api.refusal import bad_request
from skytrail.api.service import ConfigService
from skytrail.runtime.asgi import Request, Response, Router

_PARAMETERS: Final = frozenset({"q", "limit", "revision"})
LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100
TEXT_LENGTH_MAX: Final = 256
_NAMES_PER_TURN: Final = 4096
_LOOKS_PER_TURN: Final = 256
"""Some milliseconds each: who sees little may have a hundred thousand objects looked at for what he
does not see, and others are served meanwhile."""

_Hit: TypeAlias = tuple[int, int, FqName, str]
"""(rank, depth of the name, name, uuid)"""


class SearchApi:
    """One look through all names, in turns with other requests; nothing is indexed for it."""

    def __init__(self, service: ConfigService, history: HistoryApi) -> None:
        self._service = service
        self._history = history

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/search", self._search)

    async def _search(self, request: Request) -> Response:
        check_parameters(request, _PARAMETERS)
        text = request.query.get("q", "").strip().lower()
        if not text or len(text) > TEXT_LENGTH_MAX:
            raise bad_request(f"q: 1 to {TEXT_LENGTH_MAX} characters of a name or uuid")
        limit = _limit(request)
        sees = self._eye_of(request)
        records = self._service.graph.records
        if "revision" in request.query:
            self._history.admit(request)
            revision = self._history.revision(request)
            records = {each.uuid: each for each in await self._history.records_at(revision)}
        ranked = await self._ranked(text, records)
        items: list[dict[str, object]] = []
        for looked_at in itertools.count(1):
            if not ranked or len(items) >= limit:
                break
            *_, uuid = heapq.heappop(ranked)
            # What was found a turn ago may be gone, or somebody else's by now.
            record = records.get(uuid)
            if record is not None and sees(record):
                items.append({"type": record.type_name, "uuid": uuid, "fq_name": record.fq_name})
            if looked_at % _LOOKS_PER_TURN == 0:
                await asyncio.sleep(0)
        return bodies.reply({"items": items})

    async def _ranked(self, text: str, records: Mapping[str, Record]) -> list[_Hit]:
        """Return a heap of what fits, whoever sees it."""
        hits: list[_Hit] = []
        for number, record in enumerate(list(records.values()), start=1):
            rank = _rank(text, record)
            if rank is not None:
                hits.append((rank, len(record.fq_name), record.fq_name, record.uuid))
            if number % _NAMES_PER_TURN == 0:
                await asyncio.sleep(0)
        heapq.heapify(hits)
        return hits

    def _eye_of(self, request: Request) -> Callable[[Record], bool]:
        """Return what tells whether the sender sees an object."""
        graph, caller = self._service.graph, caller_of(request)
        may_read: dict[str, bool] = {}

        def sees(record: Record) -> bool:
            name = record.type_name
            if name not in may_read:
                may_read[name] = authorize.judge_rule(graph, caller, name, "R").allowed
            return may_read[name] and authorize.sees(graph, caller, record)

        return sees


def _limit(request: Request) -> int:
    text = request.query.get("limit", str(LIMIT_DEFAULT))
    # Of a number with more digits than these, Python may refuse to make an int at all.
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= LIMIT_MAX):
        raise bad_request(f"limit: 1 to {LIMIT_MAX}")
    return int(text)


def _rank(text: str, record: Record) -> int | None:
    """Tell how well a name fits, the best being 0; None when it does not."""
    name = record.fq_name[-1].lower()
    if text in (name, record.uuid):
        return 0
    if name.startswith(text):
        return 1
    if text in name:
        return 2
    if record.uuid.startswith(text):
        return 3
    return 4 if ":" in text and text in ":".join(record.fq_name).lower() else None
