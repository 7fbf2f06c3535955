"""Finds objects of any type by a part of their name, or by uuid, among those the caller sees.

GET /api/v1/search?q=web&limit=20      exact names first, then beginnings, then what contains it
"""

from __future__ import annotations

import heapq
from typing import Final

from skytrail.api import authorize
from skytrail.api.graph import Record
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.io.native import check_parameters
from skytrail.api.refusal import bad_request
from skytrail.api.service import ConfigService
from skytrail.runtime.asgi import Request, Response, Router

_PARAMETERS: Final = frozenset({"q", "limit"})
LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100
TEXT_LENGTH_MAX: Final = 256


class SearchApi:
    """One look through all names; nothing is indexed for it, 100,000 take some 50 ms."""

    def __init__(self, service: ConfigService) -> None:
        self._service = service

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/search", self._search)

    async def _search(self, request: Request) -> Response:
        check_parameters(request, _PARAMETERS)
        text = request.query.get("q", "").strip().lower()
        if not text or len(text) > TEXT_LENGTH_MAX:
            raise bad_request(f"q: 1 to {TEXT_LENGTH_MAX} characters of a name or uuid")
        limit = _limit(request)
        graph, caller = self._service.graph, caller_of(request)
        may_read: dict[str, bool] = {}

        def reads(record: Record) -> bool:
            name = record.type_name
            if name not in may_read:
                may_read[name] = authorize.judge_rule(graph, caller, name, "R").allowed
            return may_read[name] and authorize.sees(graph, caller, record)

        ranked = (
            (rank, len(record.fq_name), record.fq_name, record.uuid, record)
            for record in list(graph.records.values())
            if (rank := _rank(text, record)) is not None and reads(record)
        )
        found = heapq.nsmallest(limit, ranked, key=lambda each: each[:4])
        items = [
            {"type": record.type_name, "uuid": record.uuid, "fq_name": record.fq_name}
            for *_, record in found
        ]
        return bodies.reply({"items": items})


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
