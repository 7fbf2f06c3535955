"""How full subnets are, over HTTP.

GET /api/v1/subnet-use?q=shop&limit=100&offset=0    the fullest first, of all that the caller sees
"""

from __future__ import annotations

import asyncio
from typing import Final

from skytrail.api import authorize
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.io.native import check_parameters
from skytrail.api.refusal import bad_request
from skytrail.api.service import ConfigService
from skytrail.api.subnet_use import IPAM, NETWORK, Use, uses_of
from skytrail.model.validate import shown
from skytrail.runtime.asgi import Request, Response, Router

_PARAMETERS: Final = frozenset({"q", "limit", "offset"})
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
TEXT_LENGTH_MAX: Final = 256
_HOLDERS_PER_TURN: Final = 200


class SubnetUseApi:
    """Looks at all networks and flat IPAMs for each answer, in turns with other requests."""

    def __init__(self, service: ConfigService) -> None:
        self._service = service

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/subnet-use", self._use)

    async def _use(self, request: Request) -> Response:
        check_parameters(request, _PARAMETERS)
        graph, caller = self._service.graph, caller_of(request)
        for kind in (NETWORK, IPAM):
            authorize.require_rule(graph, caller, kind, "R")
        text = request.query.get("q", "").strip()
        if len(text) > TEXT_LENGTH_MAX:
            raise bad_request(f"q: at most {TEXT_LENGTH_MAX} characters of a name")
        limit = _number(request, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
        offset = _number(request, "offset", 0, 0, 10**9)
        found: list[Use] = []
        # As they are now: they change while others are served.
        holders = (*graph.of_type(NETWORK), *graph.of_type(IPAM))
        for number, holder in enumerate(holders):
            if text in ":".join(holder.fq_name) and authorize.sees(graph, caller, holder):
                found += uses_of(holder, graph.numbers)
            if number % _HOLDERS_PER_TURN == 0:
                await asyncio.sleep(0)
        found.sort(key=lambda use: use.order)
        page = [use.document() for use in found[offset : offset + limit]]
        return bodies.reply({"count": len(found), "items": page})


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most):
        raise bad_request(f"{name} must be a number from {least} to {most}, not {shown(text)!r}")
    return int(text)
