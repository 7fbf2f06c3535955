"""The analytics REST interface on port 8081.

GET  /analytics/uves                      the types that are known of
GET  /analytics/uve-types                 every type, with what may be asked of it
GET  /analytics/uves/<type>s              names of its entities
GET  /analytics/uves/<type>/<name>        one; ?flat for plain values; * and NAME* stand for many
POST /analytics/uves/<type>               many, filters in the body
GET  /analytics/uve-stream                changes as they come (server-sent events)
GET  /analytics/alarms                    what is raised; alarm-stream follows
POST /analytics/alarms/acknowledge        one of them was seen
GET  /api/v1/uves/<type>[/<name>]         as above, with plain values

``?at=TIME`` (ISO 8601) shows entities, their names and alarms as they were then, where history is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final
from urllib.parse import quote

import msgspec

from skytrail.analytics import uve_json, uve_types
from skytrail.analytics.alarms import Acknowledged
from skytrail.analytics.collector import Collector
from skytrail.analytics.io.fan_out import Asked, FanOut, News, event
from skytrail.analytics.io.other_nodes import Headers, missing_headers
from skytrail.analytics.io.own_uves import OwnUves
from skytrail.analytics.io.past import Past
from skytrail.analytics.io.rounds import Rounds
from skytrail.analytics.io.tenants import sender_of, tenant_of
from skytrail.analytics.io.uve_requests import (
    filter_of_body,
    filter_of_query,
    link,
    no_type,
    tables_of,
)
from skytrail.analytics.uve import Entity
from skytrail.analytics.uve_filter import ALARMS, UveFilter
from skytrail.analytics.uve_past import State
from skytrail.analytics.watchman import Watchman
from skytrail.runtime.asgi import (
    JSON,
    Handler,
    HttpError,
    Reply,
    Request,
    Response,
    Router,
    StreamResponse,
    encode_json,
    json_reply,
)
from skytrail.runtime.clock import Clock

_EVENTS: Final = "text/event-stream"
_HEARTBEAT_S: Final = 15.0
_CHUNK_COUNT: Final = 200
"""Entities rendered before other requests have their turn."""
STREAMS_COUNT_MAX: Final = 2048


class AnalyticsApi:
    """Answers questions about what a collector knows."""

    def __init__(
        self,
        collector: Collector,
        watchman: Watchman,
        clock: Clock,
        own: OwnUves,
        past: Past | None,
    ) -> None:
        self._collector = collector
        self._own = own
        """What members of projects see, in place of everything."""
        self._past = past
        self._watchman = watchman
        self._clock = clock
        self._fan_out = FanOut(collector.uves, collector.changes)
        self._rounds = Rounds(lambda: collector.changes.position)
        self._streams_count = 0

    def add_routes(self, router: Router) -> None:
        own = self._own
        router.add("GET", "/", self._index)
        router.add("GET", "/analytics", self._index)
        router.add("GET", "/analytics/uves", _by_sender(self._list_types, own.list_types))
        router.add("GET", "/analytics/uve-types", self._describe_types)
        for base in ("/analytics", "/api/v1"):
            keys = _by_sender(self._list_keys, own.list_keys)
            router.add("GET", f"{base}/uves/{{type}}", keys)
            shown = _by_sender(self._show, own.show)
            router.add("GET", f"{base}/uves/{{type}}/{{name...}}", shown)
        router.add("POST", "/analytics/uves/{type}", _by_sender(self._post_filters, own.post))
        router.add("GET", "/analytics/uve-stream", _by_sender(self._stream, own.stream))
        alarm_stream = _by_sender(self._alarm_stream, own.alarm_stream)
        router.add("GET", "/analytics/alarm-stream", alarm_stream)
        router.add("GET", "/analytics/alarms", _by_sender(self._alarms, own.alarms))
        router.add("POST", "/analytics/alarms/acknowledge", self._acknowledge)

    async def _index(self, request: Request) -> Response:
        names = ("uves", "uve-types", "uve-stream", "alarms", "alarm-stream")
        return json_reply([link(request, f"/analytics/{name}", name) for name in names])

    async def _list_types(self, request: Request) -> Response:
        held = set(self._collector.uves.tables())
        words = sorted(word for word, table in uve_types.TABLES.items() if table in held)
        return json_reply(
            [
                link(request, f"/analytics/uves/{uve_types.plural(word)}", uve_types.plural(word))
                for word in words
            ]
        )

    async def _describe_types(self, request: Request) -> Response:
        return json_reply(
            {
                uve_types.plural(word): {"table": table, "is_alarm_supported": True}
                for word, table in uve_types.TABLES.items()
            }
        )

    async def _list_keys(self, request: Request) -> Reply:
        word = uve_types.singular(request.params["type"])
        if word is None:
            if request.params["type"] in uve_types.TABLES:
                return self._many(request, request.params["type"], filter_of_query(request))
            raise no_type(request.params["type"])
        chosen, table = filter_of_query(request), uve_types.TABLES[word]
        headers: Headers = ()
        if "at" in request.query:
            past, headers = await self._past_entities(request, [table], chosen)
            query = f"flat&at={quote(request.query['at'], safe='')}"
            keys = [key for _, key in past]
        else:
            query = "flat"
            keys = [
                key
                for key, entity in self._collector.uves.entities(table)
                if chosen.has_key(key) and chosen.part_of(entity)
            ]
        base = f"/{'/'.join(request.segments[:-2])}/uves/{word}"
        return json_reply(
            [link(request, f"{base}/{quote(key, safe=':')}?{query}", key) for key in keys],
            headers=headers,
        )

    async def _show(self, request: Request) -> Reply:
        word, name = request.params["type"], request.params["name"]
        if word not in uve_types.TABLES:
            raise no_type(word)
        chosen = filter_of_query(request)
        is_many = name.endswith("*")
        if is_many and not chosen.keys:
            chosen = replace(chosen, keys=(name,))
        if "at" in request.query:
            asked = chosen if is_many else replace(chosen, keys=(name,))
            past, headers = await self._past_entities(request, [uve_types.TABLES[word]], asked)
            rows = [{"name": key, "value": state} for (_, key), state in past.items()]
            shown = {"value": rows} if is_many else rows[0]["value"] if rows else {}
            return json_reply(shown, headers=headers)
        if is_many:
            return self._many(request, word, chosen)
        entity = self._collector.uves.get(uve_types.TABLES[word], name)
        # The original answers an unknown name by an empty object; its users rely on it.
        return json_reply({} if entity is None else _rendered(request, chosen, entity))

    async def _post_filters(self, request: Request) -> Reply:
        word = request.params["type"]
        if word not in uve_types.TABLES:
            raise no_type(word)
        return self._many(request, word, filter_of_body(request))

    async def _past_entities(
        self, request: Request, tables: Sequence[str], chosen: UveFilter
    ) -> tuple[dict[tuple[str, str], State], Headers]:
        """Return entities as they were at the request's ``at``, by table and name, and whose part is missing."""
        if self._past is None:
            raise HttpError(404, "at: no history is kept here, so nothing is known of the past")
        at_us = self._past.moment(request.query["at"])
        found, missing = await self._past.entities(tables, chosen, at_us)
        return found, missing_headers(missing)

    def _many(self, request: Request, word: str, chosen: UveFilter) -> Reply:
        return StreamResponse(self._rows(request, word, chosen), content_type=JSON)

    async def _rows(self, request: Request, word: str, chosen: UveFilter) -> AsyncIterator[bytes]:
        yield b'{"value":['
        separator = b""
        rendered_count = 0
        for key, entity in self._collector.uves.entities(uve_types.TABLES[word]):
            if not chosen.has_key(key):
                continue
            value = _rendered(request, chosen, entity)
            if value:
                yield separator + encode_json({"name": key, "value": value})
                separator = b","
                rendered_count += 1
                if rendered_count % _CHUNK_COUNT == 0:
                    await asyncio.sleep(0)
        yield b"]}"

    async def _alarms(self, request: Request) -> Response:
        chosen = replace(filter_of_query(request), parts=((ALARMS, ""),))
        shown: dict[str, list[object]] = {}
        if "at" in request.query:
            past, headers = await self._past_entities(request, list(uve_types.TYPES), chosen)
            for (table, key), state in past.items():
                word = uve_types.TYPES[table]
                shown.setdefault(word, []).append({"name": key, "value": state})
            return json_reply(shown, headers=headers)
        for word, table in uve_types.TABLES.items():
            for key, entity in self._collector.uves.entities(table):
                if ALARMS in entity and chosen.has_key(key):
                    value = uve_json.flat(chosen.part_of(entity))
                    if value:
                        shown.setdefault(word, []).append({"name": key, "value": value})
        return json_reply(shown)

    async def _acknowledge(self, request: Request) -> Response:
        asked = request.json(_Acknowledgement)
        table = uve_types.TABLES.get(asked.table, asked.table)
        if table not in uve_types.TYPES:
            raise HttpError(400, f"table={asked.table[:64]} is neither a type nor a table of UVEs")
        sender, entity = sender_of(request), (table, asked.name)
        tenant = sender.tenant
        project = "" if tenant is None else tenant.project
        by = Acknowledged(sender.user, project, round(self._clock.wall() * 1e6))
        is_open = tenant is None or self._own.may_acknowledge(tenant, entity)
        if not is_open or not self._watchman.acknowledge(
            entity, asked.type, asked.token, by, self._clock.now()
        ):
            raise HttpError(404, "There is no such alarm, or it was raised anew: read it again")
        return json_reply({})

    async def _alarm_stream(self, request: Request) -> StreamResponse:
        return self._streamed(
            replace(filter_of_query(request), parts=((ALARMS, ""),)), tables_of(request)
        )

    async def _stream(self, request: Request) -> StreamResponse:
        alarms = request.query.get("alarms", "")
        if alarms not in {"", "all"}:
            raise HttpError(400, f"alarms={alarms[:40]} is not all")
        return self._streamed(
            filter_of_query(request), tables_of(request), with_alarms=bool(alarms)
        )

    def _streamed(
        self, chosen: UveFilter, tables: frozenset[str], *, with_alarms: bool = False
    ) -> StreamResponse:
        if self._streams_count >= STREAMS_COUNT_MAX:
            raise HttpError(503, f"There are {STREAMS_COUNT_MAX} streams already; try again later")
        asked = Asked(chosen, tables, with_alarms)
        return StreamResponse(self._events(asked), content_type=_EVENTS)

    async def _events(self, asked: Asked) -> AsyncIterator[bytes]:
        """Yield everything there is, then what changes; who is too slow gets everything again."""
        if self._streams_count >= STREAMS_COUNT_MAX:
            # Others began between this one's admission and its beginning.
            return
        self._streams_count += 1
        try:
            news: News | None = None
            while True:
                if news is None:
                    position = self._fan_out.position
                    # What a follower knew before is void: what went meanwhile is told to nobody.
                    yield event("init", None)
                    async for some in self._everything(asked):
                        yield some
                    yield event("synced", None)
                else:
                    position = news.position
                    if news.events:
                        yield news.events
                while not await self._rounds.changed(position, _HEARTBEAT_S):
                    # A comment: it finds out whether anybody still reads.
                    yield b":\n\n"
                news = self._fan_out.news(asked, position)
        finally:
            self._streams_count -= 1

    async def _everything(self, asked: Asked) -> AsyncIterator[bytes]:
        events = self._fan_out.everything(asked)
        while some := list(islice(events, _CHUNK_COUNT)):
            yield b"".join(some)
            await asyncio.sleep(0)


def _by_sender(everything: Handler, own: Handler) -> Handler:
    """Return what answers members of projects by ``own``, all others by ``everything``."""

    async def answer(request: Request) -> Reply:
        return await (everything if tenant_of(request) is None else own)(request)

    return answer


class _Acknowledgement(msgspec.Struct, frozen=True):
    table: str
    name: str
    type: str
    token: str


def _rendered(request: Request, chosen: UveFilter, entity: Entity) -> dict[str, object]:
    said = chosen.part_of(entity)
    is_flat = "flat" in request.query_all or request.segments[0] == "api"
    return uve_json.flat(said) if is_flat else uve_json.typed(said)
