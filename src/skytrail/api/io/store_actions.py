"""What operators ask about the store and the memory; for administrators but the last.

POST      /db-check         whether what is stored is consistent, and the same as in memory
POST      /fetch-records    every object as it is stored, secrets masked
GET, POST /obj-cache        entries of the memory: ?uuids=a,b | ?count=10; or the same as a body
POST      /hbs-get          a host-based service by its name: hbs_fq_name
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import msgspec

from skytrail.api import authorize, secret_fields, texts
from skytrail.api.documents import Document
from skytrail.api.graph import Record, find
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.io.compatible import CompatibleApi
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.service import ConfigService
from skytrail.api.store_check import PREFIXES, Finding, StoreCheck
from skytrail.model.validate import shown
from skytrail.runtime.asgi import JSON, Request, Response, Router, StreamResponse
from skytrail.store.key_space import object_key, split_object_key
from skytrail.store.plugin import Compacted, StoreUnavailable

FINDINGS_SHOWN_MAX = 1_000
ENTRIES_COUNT_DEFAULT = 10
ENTRIES_COUNT_MAX = 1_000
_PAGE = 500
_LOOKS, _LOOK_AGAIN_S = 3, 0.1
_SERVICE = "host-based-service"


class _CacheQuery(msgspec.Struct, frozen=True):
    uuids: list[str] = []
    count: int = ENTRIES_COUNT_DEFAULT


class _ServiceQuery(msgspec.Struct, frozen=True):
    hbs_fq_name: list[str]


class StoreActions:
    """Handlers; ``io.access`` keeps others than administrators out."""

    def __init__(self, service: ConfigService, compatible: CompatibleApi) -> None:
        self._service = service
        self._compatible = compatible

    def add_routes(self, router: Router) -> None:
        router.add("POST", "/db-check", self._check)
        router.add("POST", "/fetch-records", self._records)
        router.add("GET", "/obj-cache", self._cache_by_query)
        router.add("POST", "/obj-cache", self._cache_by_body)
        router.add("POST", "/hbs-get", self._host_based_service)

    async def _check(self, request: Request) -> Response:
        check = StoreCheck(self._service.schema)
        seen: dict[str, int] = {}
        revision: int | None = None
        try:
            for prefix in PREFIXES:
                start: str | None = None
                while True:
                    page = await self._service.store.range(
                        prefix, start=start, limit=_PAGE, revision=revision
                    )
                    revision = page.revision
                    for item in page.items:
                        check.feed(item)
                        # A key of another form is a finding already.
                        if prefix == PREFIXES[0] and item.key.count("/") == 3:
                            seen[item.key] = item.mod_revision
                    start = page.next_start
                    if start is None:
                        break
                    await asyncio.sleep(0)
            assert revision is not None  # There is at least one prefix.
            unlike = await self._unlike_memory(seen, revision)
        except Compacted:
            raise Refused(503, "The store discarded the revision being read; ask again") from None
        except StoreUnavailable as error:
            raise Refused(503, f"The store cannot be read: {error}") from None
        found = [*check.findings(), *unlike]
        return bodies.reply(
            {
                "results": found[:FINDINGS_SHOWN_MAX],
                "results_count": len(found),
                "revision": revision,
                "checked": check.counts,
            }
        )

    async def _unlike_memory(self, seen: dict[str, int], revision: int) -> list[Finding]:
        """Compare what was read with the memory; each may have moved on meanwhile."""
        graph = self._service.graph
        doubtful = {key for key, stored in seen.items() if self._in_memory(key) != stored}
        for record in list(graph.records.values()):
            key = object_key(record.type_name, record.uuid)
            if record.create_revision <= revision and key not in seen:
                doubtful.add(key)
        found: dict[str, Finding] = {}
        for attempt in range(_LOOKS):
            if attempt and doubtful:
                # Where several servers share the store, memory follows it a moment later.
                await asyncio.sleep(_LOOK_AGAIN_S)
            found = {key: each for key in doubtful if (each := await self._differing(key))}
            doubtful = set(found)
        return list(found.values())

    def _in_memory(self, key: str) -> int:
        _, uuid = split_object_key(key)
        record = self._service.graph.get(uuid)
        is_same = record is not None and object_key(record.type_name, uuid) == key
        return record.mod_revision if record is not None and is_same else 0

    async def _differing(self, key: str) -> Finding | None:
        """Return what differs now between the store and the memory."""
        item = await self._service.store.get(key)
        stored, known = 0 if item is None else item.mod_revision, self._in_memory(key)
        if stored == known:
            return None
        if not known:
            detail = "it is stored, but not in memory"
        elif not stored:
            detail = "it is in memory, but not stored"
        else:
            detail = f"memory has revision {known}, the store {stored}"
        return Finding("memory", *split_object_key(key), detail)

    async def _records(self, request: Request) -> StreamResponse:
        records = list(self._service.graph.records.values())
        return StreamResponse(self._lines(records), content_type=JSON)

    async def _lines(self, records: list[Record]) -> AsyncIterator[bytes]:
        yield b'{"results":['
        for place, record in enumerate(records):
            entry = msgspec.json.encode({record.type_name: self._masked(record)})
            yield entry if place == 0 else b"," + entry
        yield b"]}"

    async def _cache_by_query(self, request: Request) -> Response:
        given = request.query
        count = given.get("count", str(ENTRIES_COUNT_DEFAULT))
        if not (count.isascii() and count.isdigit() and len(count) < 10):
            raise bad_request(f"count must be a number, not {shown(count)!r}")
        uuids = [each for each in given.get("uuids", "").split(",") if each]
        return self._cache(_CacheQuery(uuids, int(count)))

    async def _cache_by_body(self, request: Request) -> Response:
        return self._cache(bodies.read_json(request, _CacheQuery))

    def _cache(self, asked: _CacheQuery) -> Response:
        if not 1 <= asked.count <= ENTRIES_COUNT_MAX or len(asked.uuids) > ENTRIES_COUNT_MAX:
            raise bad_request(f"Between 1 and {ENTRIES_COUNT_MAX} entries are shown at once")
        graph = self._service.graph
        chosen: Iterable[Record | None] = (
            map(graph.get, asked.uuids)
            if asked.uuids
            else list(graph.records.values())[-asked.count :]
        )
        return bodies.reply({each.uuid: self._entry(each) for each in chosen if each is not None})

    def _entry(self, record: Record) -> Document:
        is_decoded = record.has_body
        return {
            "type": record.type_name,
            "fq_name": list(record.fq_name),
            "revision": record.mod_revision,
            "created_revision": record.create_revision,
            "bytes": len(record.encode()),
            "decoded": is_decoded,
            "rendered": record.rendered is not None,
            "obj_dict": self._masked(record),
        }

    def _masked(self, record: Record) -> Document:
        """Return the document, decoded for this answer alone."""
        body = msgspec.json.decode(record.encode(), type=Document)
        return secret_fields.masked(self._service.schema, record.type_name, body)

    async def _host_based_service(self, request: Request) -> Response:
        asked = bodies.read_json(request, _ServiceQuery)
        graph, caller = self._service.graph, caller_of(request)
        authorize.require_rule(graph, caller, _SERVICE, "R")
        record = find(graph, _SERVICE, tuple(asked.hbs_fq_name))
        if record is None or not authorize.knows(graph, caller, record):
            raise not_found(texts.name_not_found(asked.hbs_fq_name))
        resource = self._service.schema.resources[_SERVICE]
        return self._compatible.read(resource, record.uuid, request)
