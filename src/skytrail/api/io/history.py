"""History over HTTP: the audit log, objects and configurations as of a revision, reverts.

GET  /api/v1/history                    entries, newest first: ?object= ?type= ?by= ?derived= ?revision= ?limit= ?cursor=
GET  /api/v1/history/moment?time=T      the revision that stood at a time
GET  /api/v1/history/<change>           one entry; a change is <revision> or <revision>.<place>
POST /api/v1/history/<change>/revert    the inverse, as a new change: ?force= ?dry_run=
GET  /api/v1/history/verify             whether the chain of hashes holds
GET  /api/v1/snapshot?revision=N        all that people configured, as of then
GET  /api/v1/<type>/<uuid>?revision=N   one object as of then
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import msgspec

from skytrail.api import authorize, revert
from skytrail.api.audit import Entry, Page, Verifier, number_of
from skytrail.api.documents import Document
from skytrail.api.graph import Record, make_record
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of, write_for
from skytrail.api.io.native import NativeApi, check_parameters, flag
from skytrail.api.past import Past
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.schema import Schema
from skytrail.api.secret_fields import masked
from skytrail.api.service import ConfigService
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import shown
from skytrail.runtime.asgi import JSON, Request, Response, Router, StreamResponse
from skytrail.store.plugin import KeyValue

_LIST_PARAMETERS = frozenset({"object", "type", "by", "derived", "revision", "limit", "cursor"})
PAGES_PER_READ = 200
LIMIT_MAX = 1_000
PAGES_SCANNED_MAX = 20_000
"""Pages one request looks through; the reply's cursor continues after them."""


class HistoryApi:
    """Handlers; whoever may not administer learns nothing here."""

    def __init__(self, service: ConfigService) -> None:
        self._service = service
        self._native: NativeApi | None = None

    def add_routes(self, router: Router, native: NativeApi) -> None:
        self._native = native
        router.add("GET", "/api/v1/history", self._list)
        router.add("GET", "/api/v1/history/verify", self._verify)
        router.add("GET", "/api/v1/history/moment", self._moment)
        router.add("GET", "/api/v1/history/{change}", self._read)
        router.add("POST", "/api/v1/history/{change}/revert", self._revert)
        router.add("GET", "/api/v1/snapshot", self._snapshot)

    def admit(self, request: Request) -> None:
        """Refuse those who may not see everything: an entry shows objects of all tenants."""
        authorize.require_admin(self._service.graph, caller_of(request), "history")

    # The log.

    async def _list(self, request: Request) -> Response:
        self.admit(request)
        check_parameters(request, _LIST_PARAMETERS)
        given = request.query
        wanted = _Wanted(
            object=given.get("object"),
            type=given.get("type"),
            by=given.get("by"),
            derived=flag(request, "derived") or "object" in given,
        )
        limit = min(_number(given.get("limit", "50"), "limit"), LIMIT_MAX)
        start = self._service.audit_head.number
        skip = -1
        if "cursor" in given:
            number, _, place = given["cursor"].partition(".")
            start, skip = _number(number, "cursor"), _number(place or "0", "cursor")
        elif "revision" in given:
            revision = self.revision(request)
            newest = await self._newest(lambda item: item.create_revision <= revision)
            start = (
                self._service.audit_head.base_number if newest is None else number_of(newest.key)
            )
        return bodies.reply(await self._search(wanted, start, skip, limit))

    async def _search(self, wanted: _Wanted, start: int, skip: int, limit: int) -> Document:
        """Return matching entries from a page downwards; in it only those before ``skip``."""
        found: list[Document] = []
        scanned = 0
        marker = wanted.marker
        async for item in self._pages_down(start):
            scanned += 1
            number = number_of(item.key)
            if marker and marker not in item.value:
                if scanned < PAGES_SCANNED_MAX:
                    continue
                return {"entries": found, "next": f"{number}.0"}
            page = msgspec.json.decode(item.value, type=Page)
            for place in reversed(range(len(page.entries))):
                if number == start and 0 <= skip <= place:
                    continue
                if wanted.fits(page.entries[place]):
                    found.append(_shown(item, place, page.entries[place]))
                    if len(found) == limit:
                        return {"entries": found, "next": f"{number}.{place}"}
            if scanned >= PAGES_SCANNED_MAX:
                return {"entries": found, "next": f"{number}.0"}
        return {"entries": found, "next": None}

    async def _pages_down(self, start: int, step: int = PAGES_PER_READ) -> AsyncIterator[KeyValue]:
        """Yield pages from a number down to the oldest."""
        high = start
        while high > self._service.audit_head.base_number:
            low = high - step + 1
            for item in reversed(await self._service.audit_pages(low, high)):
                yield item
            high = low - 1
            await asyncio.sleep(0)

    async def _read(self, request: Request) -> Response:
        self.admit(request)
        check_parameters(request, frozenset())
        item, place, entry = await self._entry(request.params["change"])
        return bodies.reply(_shown(item, place, entry))

    async def _entry(self, change: str) -> tuple[KeyValue, int, Entry]:
        """Return the entry of a change; a revision alone must have only one by people."""
        text, dot, place_text = change.partition(".")
        revision = _number(text, "change")
        item = await self._page_at(revision)
        if item is None:
            raise not_found(f"No change was made at revision {revision}, or it is too long ago")
        entries: list[Entry] = list(msgspec.json.decode(item.value, type=Page).entries)
        if dot:
            place = _number(place_text, "change")
            if place >= len(entries):
                raise not_found(f"Revision {revision} has {len(entries)} changes")
            return item, place, entries[place]
        if len(entries) > 1:
            names = ", ".join(f"{revision}.{each}" for each in range(min(len(entries), 20)))
            raise Refused(409, f"Revision {revision} has {len(entries)} changes: {names}")
        return item, 0, entries[0]

    async def _page_at(self, revision: int) -> KeyValue | None:
        """Return the page committed at a revision."""
        newest = await self._newest(lambda item: item.create_revision <= revision)
        return newest if newest is not None and newest.create_revision == revision else None

    async def _newest(self, fits: Callable[[KeyValue], bool]) -> KeyValue | None:
        """Return the newest page that fits, by halving: those before it have to fit too."""
        head = self._service.audit_head
        low, high = head.base_number + 1, head.number
        found: KeyValue | None = None
        while low <= high:
            middle = (low + high) // 2
            pages = await self._service.audit_pages(middle, middle)
            if not pages:
                return None
            if fits(pages[0]):
                found, low = pages[0], middle + 1
            else:
                high = middle - 1
        return found

    async def _moment(self, request: Request) -> Response:
        """Tell the revision that stood at a time: that of the last change until then.

        A clock that was set back between changes leaves times that two changes claim; one of them
        is told.
        """
        self.admit(request)
        check_parameters(request, frozenset({"time"}))
        wanted = _time(request.query.get("time", ""))
        newest = await self._newest(lambda item: _committed_at(item) <= wanted)
        if newest is None:
            raise Refused(410, "The configuration of this time is not known: it is before the log")
        return bodies.reply(
            {"revision": newest.create_revision, "at": _page_of(newest).entries[0].at}
        )

    async def _verify(self, request: Request) -> Response:
        self.admit(request)
        check_parameters(request, frozenset())
        head = self._service.audit_head
        verifier = Verifier(head)
        low = head.base_number + 1
        while low <= head.number:
            high = min(low + PAGES_PER_READ - 1, head.number)
            for item in await self._service.audit_pages(low, high):
                verifier.add(item.key, item.value)
            low = high + 1
            await asyncio.sleep(0)
        verifier.finish()
        return bodies.reply(
            {
                "valid": not verifier.fault,
                "fault": verifier.fault,
                "pages": verifier.pages_count,
                "discarded": head.base_number,
                "hash": head.hash,
            }
        )

    # Going back.

    async def _revert(self, request: Request) -> Response:
        self.admit(request)
        check_parameters(request, frozenset({"force", "dry_run"}))
        _, _, entry = await self._entry(request.params["change"])
        force = flag(request, "force")
        assert self._native is not None  # Set when the routes were added.
        ground = self._native.ground(request)
        if flag(request, "dry_run"):
            _, overlay = self._service.rehearse(
                lambda change: revert.carry_out(change, entry, ground, force=force),
                caller=caller_of(request),
            )
            return self._native.rehearsed(request, overlay)
        written = await write_for(
            request,
            self._service,
            lambda change: revert.carry_out(change, entry, ground, force=force),
        )
        results = [
            {"type": d.record.type_name, "uuid": d.record.uuid, "result": d.verb}
            for d in written.value
        ]
        return bodies.reply(
            {"revision": written.revision, "change": written.change, "results": results}
        )

    async def object(self, request: Request, resource: ObjectType, uuid: str) -> Response:
        """Return one object as of a revision."""
        self.admit(request)
        check_parameters(request, frozenset({"revision"}))
        revision = self.revision(request)
        past = await self._past(revision, Past({}, uuid=uuid))
        if uuid in past.unknown:
            stored = await self._service.stored_at(resource.name, uuid, revision)
            found = None if stored is None else (resource.name, stored)
        else:
            found = past.documents.get(uuid)
        if found is None or found[0] != resource.name:
            raise not_found(f"No {resource.name} had the uuid {shown(uuid)} at {revision}")
        document = masked(self._service.schema, *found)
        return Response(200, msgspec.json.encode(document), JSON)

    async def _snapshot(self, request: Request) -> StreamResponse:
        self.admit(request)
        check_parameters(request, frozenset({"revision", "types"}))
        resources = self._service.schema.resources
        types = frozenset(request.query.get("types", "").split(",")) - {""}
        unknown = types - set(resources)
        if unknown:
            raise not_found(f"There is no object type {shown(min(unknown))!r}")
        if not types:
            types = frozenset(n for n, each in resources.items() if each.origin != "compiled")
        past = await self._past(self.revision(request), Past({}, types=types))
        return StreamResponse(_lines(self._service.schema, past))

    async def documents_at(self, type_name: str, revision: int) -> list[Document]:
        """Return the documents of one type as of a revision; what the compiler wrote as it is."""
        past = await self._past(revision, Past({}, types=frozenset({type_name})))
        return [document for _, document in past.documents.values()]

    async def records_at(self, revision: int) -> list[Record]:
        """Return all objects as of a revision; what the compiler wrote is left out."""
        resources = self._service.schema.resources
        types = frozenset(n for n, each in resources.items() if each.origin != "compiled")
        past = await self._past(revision, Past({}, types=types))
        return [make_record(name, document) for name, document in past.known()]

    async def _past(self, revision: int, past: Past) -> Past:
        """Fill in the present and take back every page after the revision."""
        graph = self._service.graph
        head = self._service.audit_head
        if past.uuid is not None:
            record = graph.get(past.uuid)
            records = [] if record is None else [record]
        else:
            records = [record for kind in past.types for record in graph.of_type(kind)]
        past.documents = {r.uuid: (r.type_name, r.body) for r in records}
        async for item in self._pages_down(head.number):
            if item.create_revision <= revision:
                return past
            is_oldest = number_of(item.key) == head.base_number + 1
            if is_oldest or past.uuid is None or past.uuid.encode() in item.value:
                page = msgspec.json.decode(item.value, type=Page)
                if is_oldest and revision < page.after:
                    raise Refused(410, f"History begins at revision {page.after}")
                past.undo(page)
        return past

    def revision(self, request: Request) -> int:
        """Return the revision a request is about, that of now when it names none."""
        revision = _number(request.query.get("revision", str(self._service.revision)), "revision")
        if revision > self._service.revision:
            raise bad_request(f"Revision {revision} is to come; now is {self._service.revision}")
        return revision


class _Wanted(msgspec.Struct, frozen=True):
    """Which entries a reader wants."""

    object: str | None
    type: str | None
    by: str | None
    derived: bool

    @property
    def marker(self) -> bytes:
        """Return what a page must contain to be worth decoding."""
        if self.object is not None:
            return self.object.encode()
        return msgspec.json.encode(self.by) if self.by is not None else b""

    def fits(self, entry: Entry) -> bool:
        if entry.derived_from is not None and not self.derived:
            return False
        if self.by is not None and entry.by != self.by:
            return False
        return (self.object is None and self.type is None) or any(
            (self.object is None or alteration.uuid == self.object)
            and (self.type is None or alteration.type == self.type)
            for alteration in entry.alterations
        )


def _shown(item: KeyValue, place: int, entry: Entry) -> Document:
    operations: list[Document] = []
    for alteration in entry.alterations:
        operation: Document = {
            "op": alteration.op,
            "type": alteration.type,
            "uuid": alteration.uuid,
            "fq_name": list(alteration.name),
        }
        if alteration.fields:
            operation["fields"] = [
                each.shown() for each in alteration.fields if each.path[0] != "id_perms"
            ]
        if alteration.object is not None:
            operation["object"] = alteration.object
        operations.append(operation)
    found: Document = {
        "change": f"{item.create_revision}.{place}",
        "revision": item.create_revision,
        "at": entry.at,
        "by": entry.by,
        "operations": operations,
    }
    if entry.request_id:
        found["request_id"] = entry.request_id
    if entry.derived_from is not None:
        found["derived_from"] = entry.derived_from
    return found


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise bad_request(f"{name} must be a number, not {shown(text)!r}")
    return int(text)


def _time(text: str) -> datetime:
    """Return a time with its zone, as ISO 8601 writes it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise bad_request(f"time must be as 2026-11-28T02:40:00Z, not {shown(text)!r}")
    return found.astimezone(UTC)


def _page_of(item: KeyValue) -> Page:
    return msgspec.json.decode(item.value, type=Page)


def _committed_at(item: KeyValue) -> datetime:
    return datetime.fromisoformat(_page_of(item).entries[0].at).replace(tzinfo=UTC)


async def _lines(schema: Schema, past: Past) -> AsyncIterator[bytes]:
    """Yield one JSON line per object: type and document."""
    for type_name, document in past.known():
        shown = masked(schema, type_name, document)
        yield msgspec.json.encode({"type": type_name, "object": shown}) + b"\n"
