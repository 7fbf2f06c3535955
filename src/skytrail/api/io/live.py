"""What a browser shows live, by one stream: changes of the configuration, and what processes say.

GET /api/v1/live?from_revision=&history=&types=&alarms=all     server-sent events

    event: config     data: a line of /api/v1/events
    event: init, update, synced, stop     as of /analytics/uve-stream, of the types and alarms asked for
    event: absent     data: {"part":"config|analytics","status":S,"detail":T}: why a part tells nothing

A part that is absent for the node's sake (503) is tried again here: whoever reads need not begin anew.
A part that may not be read stays absent; where nothing may be read, the stream is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final, cast

import msgspec

from skytrail.api import authorize
from skytrail.api.io import events, watch
from skytrail.api.io.analytics_passage import AnalyticsPassage
from skytrail.api.io.callers import caller_of
from skytrail.api.io.gate import Gate
from skytrail.api.io.native import check_parameters
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.service import ConfigService
from skytrail.api.sight import Sight
from skytrail.model.validate import shown
from skytrail.runtime.asgi import Request, Router, StreamResponse

_PARAMETERS: Final = frozenset({"from_revision", "history", "types", "alarms"})
_EVENTS: Final = "text/event-stream"
_ANALYTICS: Final = "/api/v1/analytics/"
_AWAY: Final = 503
AGAIN_S: Final = 2.0
"""Between attempts to reach an analytics node."""
SILENT_S: Final = 30.0
"""A node says something every few seconds: one that does not hangs."""


class _Over(Exception):
    """The reader is no longer who it was: nothing more is told, of no part."""


class LiveApi:
    """The stream; without a passage, analytics is absent."""

    def __init__(
        self, service: ConfigService, gate: Gate | None, passage: AnalyticsPassage | None
    ) -> None:
        self._service = service
        self._gate = gate
        self._passage = passage

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/live", self._live)

    async def _live(self, request: Request) -> StreamResponse:
        check_parameters(request, _PARAMETERS)
        position = events.position_of(request)
        asked = _asked_of(request)
        graph, caller = self._service.graph, caller_of(request)
        sight = Sight(graph, caller, self._service.schema)
        standing = None if self._gate is None else self._gate.standing(request)
        sources: list[AsyncGenerator[bytes]] = []
        begin = b""
        try:
            authorize.require_rule(graph, caller, "watch", "R")
        except Refused as refused:
            if asked is None:
                raise
            begin = _absent("config", refused)
        else:
            sources.append(_config(self._service, position, sight, standing))
        if asked is not None:
            sources.append(self._analytics(asked, sight, standing))
        return StreamResponse(_together(begin, sources), 200, _EVENTS)

    async def _analytics(
        self, asked: Request, sight: Sight, standing: watch.Standing | None
    ) -> AsyncGenerator[bytes]:
        """Yield what the node says, for as long as its reader is who it was and may read it."""
        while True:
            why = Refused(_AWAY, "The analytics node ended the stream")
            try:
                if self._passage is None:
                    raise not_found("This server knows no analytics node")
                reply = await self._passage.pass_on(asked)
                if reply.status != 200:
                    why = Refused(reply.status, "The analytics node refuses the stream")
                if isinstance(reply, StreamResponse):
                    chunks = cast("AsyncGenerator[bytes, None]", reply.chunks)
                    async with aclosing(chunks), aclosing(_whole_events(chunks)) as whole:
                        async for told in whole:
                            if reply.status == 200:
                                yield told
            except TimeoutError:
                why = Refused(_AWAY, "The analytics node says nothing")
            except Refused as refused:
                why = refused
            if not await watch.may_go_on(sight, standing):
                raise _Over
            yield _absent("analytics", why)
            if why.status < 500:
                return
            await asyncio.sleep(AGAIN_S)
            if not await watch.may_go_on(sight, standing):
                raise _Over


def _asked_of(request: Request) -> Request | None:
    """Return the request for the node that stands behind this one; None: analytics is not asked."""
    types, alarms = request.query.get("types", ""), request.query.get("alarms", "")
    if alarms not in ("", "all"):
        raise bad_request(f"Invalid alarms {shown(alarms)}: it is 'all', or not given")
    if not types and not alarms:
        return None
    path = "uve-stream" if types else "alarm-stream"
    query = {"tablefilt": types, "alarms": alarms} if types else {}
    return replace(
        request,
        path=_ANALYTICS + path,
        segments=(*_ANALYTICS.strip("/").split("/"), path),
        query_all={name: (value,) for name, value in query.items() if value},
    )


async def _config(
    service: ConfigService,
    position: tuple[int, str] | None,
    sight: Sight,
    standing: watch.Standing | None,
) -> AsyncGenerator[bytes]:
    async with aclosing(events.lines(service, position, sight, standing)) as lines:
        async for line in lines:
            yield b"event: config\ndata: %s\n" % line


async def _whole_events(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes]:
    """Yield the bytes, cut between events only; ``TimeoutError`` when none come for long."""
    rest = b""
    while True:
        async with asyncio.timeout(SILENT_S):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        whole, end, rest = (rest + chunk).rpartition(b"\n\n")
        if end:
            yield whole + end


async def _next(source: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(source, None)


async def _together(begin: bytes, sources: list[AsyncGenerator[bytes]]) -> AsyncGenerator[bytes]:
    """Yield what any of the sources yields, as it comes, until the first one ends, or the reader's time."""
    waiting = {asyncio.create_task(_next(source)): source for source in sources}
    try:
        if begin:
            yield begin
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                source = waiting.pop(task)
                try:
                    chunk = task.result()
                except _Over:
                    return
                if chunk is not None:
                    waiting[asyncio.create_task(_next(source))] = source
                    yield chunk
                elif source is sources[0]:
                    return
    finally:
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
        for source in sources:
            await source.aclose()


def _absent(part: str, why: Refused) -> bytes:
    told = {"part": part, "status": why.status, "detail": str(why)}
    return b"event: absent\ndata: %s\n\n" % msgspec.json.encode(told)
