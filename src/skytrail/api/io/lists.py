"""Lists over HTTP: typed filters, sort, counts, and pages that all show one revision.

GET /api/v1/<type>?filter=&tags=&labels=&parent=&realised=&sort=&fields=&limit=&cursor=&count=&revision=

A cursor names the revision of the first page. Later pages show the objects as they were then, out
of the audit log when they have changed meanwhile: nothing is missed and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from skytrail.api import authorize, secret_fields
from skytrail.api.caller import Caller
from skytrail.api.documents import Document
from skytrail.api.graph import Record, make_record
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.io.history import HistoryApi
from skytrail.api.io.native import NativeApi, check_parameters, flag
from skytrail.api.native import etag_of
from skytrail.api.problem import did_you_mean
from skytrail.api.realised import Judge, Realised, words_of
from skytrail.api.refusal import Refused, bad_request
from skytrail.api.selection import selection_of, sort_key_of
from skytrail.api.service import ConfigService
from skytrail.api.status import StatusBoard
from skytrail.api.unseen_names import eyes_of
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import shown
from skytrail.runtime.asgi import Request, Response, Router

LIMIT_DEFAULT = 500
LIMIT_MAX = 10_000
KEPT_LISTS_MAX = 16
KEPT_OBJECTS_MAX = 500_000
KEPT_S = 60.0
_PARAMETERS = frozenset(
    {
        "filter", "tags", "labels", "parent", "realised", "sort", "fields", "limit", "cursor",
        "count", "revision",
    }
)  # fmt: skip
_SELECTING = ("filter", "tags", "labels", "parent")
_BY_REALISED = frozenset({"realised", "-realised"})
_JUDGED_AT_ONCE = 200
_WATCH_PARAMETERS = frozenset({"types", "from_revision", "history", *_SELECTING})


class _Asked(NamedTuple):
    """What a list depends on, besides the configuration."""

    type_name: str
    revision: int
    caller: Caller
    parameters: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, resource: ObjectType, revision: int, caller: Caller, request: Request) -> _Asked:
        given = request.query_all
        chosen = (
            (name, tuple(given[name]))
            for name in (*_SELECTING, "realised", "sort")
            if name in given
        )
        return cls(resource.name, revision, caller, tuple(chosen))


class _KeptLists:
    """Lists whose later pages may be asked for: sorting all of them for each page would cost their
    square. What is not kept any more is found again, out of the audit log.
    """

    def __init__(self) -> None:
        self._lists: dict[_Asked, tuple[list[Record], float]] = {}

    def take(self, asked: _Asked, now: float) -> list[Record] | None:
        found = self._lists.get(asked)
        return None if found is None or found[1] < now else found[0]

    def keep(self, asked: _Asked, records: list[Record], now: float) -> None:
        self._lists.pop(asked, None)
        self._lists[asked] = (records, now + KEPT_S)
        for each in [each for each, (_, until) in self._lists.items() if until < now]:
            del self._lists[each]
        while len(self._lists) > 1 and (
            len(self._lists) > KEPT_LISTS_MAX
            or sum(len(records) for records, _ in self._lists.values()) > KEPT_OBJECTS_MAX
        ):
            del self._lists[next(iter(self._lists))]


class ListApi:
    """The list endpoint of every type."""

    def __init__(
        self, service: ConfigService, native: NativeApi, history: HistoryApi, board: StatusBoard
    ) -> None:
        self._service = service
        self._board = board
        self._native = native
        self._history = history
        self._kept = _KeptLists()
        self._judging = asyncio.Lock()
        """Held for one list at a time: judging many objects takes the processor for long."""

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/{type}", self._list)

    async def _list(self, request: Request) -> Response:
        resource = self._native.resource(request)
        check_parameters(request, _PARAMETERS)
        graph, caller = self._service.graph, caller_of(request)
        authorize.require_rule(graph, caller, resource.name, "R")
        revision, offset = self._place(request)
        limit = _number(request, "limit", LIMIT_DEFAULT, LIMIT_MAX)
        asked = _Asked.of(resource, revision, caller, request)
        records = self._kept.take(asked, time.monotonic()) if "cursor" in request.query else None
        if records is None:
            records = await self._chosen(resource, revision, request)
        if flag(request, "count"):
            return bodies.reply({"revision": revision, "count": len(records)})
        page = records[offset : offset + limit]
        more = offset + limit < len(records)
        if more:
            self._kept.keep(asked, records, time.monotonic())
        if offset:
            # The rights of later pages are those of now, also for what was kept.
            page = [record for record in page if self._is_current_to(caller, record)]
        head = {
            "revision": revision,
            "count": len(records),
            "next": f"{revision}.{offset + limit}" if more else None,
        }
        fields = _fields(resource, request)
        items = b",".join(_item(record, fields) for record in page)
        body = msgspec.json.encode(head)[:-1] + b',"items":[' + items + b"]}"
        return bodies.reply(body)

    async def _chosen(self, resource: ObjectType, revision: int, request: Request) -> list[Record]:
        """Return the list, in order; also by how far changes have come, which is known of now only."""
        wanted = request.query.get("realised")
        sort = request.query.get("sort", "fq_name")
        if wanted is None and sort not in _BY_REALISED:
            return await self._select(resource, revision, request, sort)
        words = frozenset(Realised) if wanted is None else words_of(wanted)
        if "revision" in request.query:
            raise bad_request(
                "realised: how far changes have come is known of now, not of the past"
            )
        if "cursor" in request.query:
            raise Refused(410, "The list is not kept any more, and things went on: begin it anew")
        by_name = "-fq_name" if sort == "-realised" else "fq_name"
        records = await self._select(
            resource, revision, request, by_name if sort in _BY_REALISED else sort
        )
        judged = await self._judged(records, caller_of(request))
        records = [record for record in records if judged[record.uuid] in words]
        if sort in _BY_REALISED:
            records.sort(key=lambda record: judged[record.uuid], reverse=sort == "-realised")
        return records

    async def _judged(self, records: list[Record], caller: Caller) -> dict[str, Realised]:
        graph = self._service.graph
        async with self._judging:
            now = time.monotonic()
            placed = self._board.hosts_by_machine(now)
            judge = Judge(graph, self._board.told(now), placed, eyes_of(graph, caller))
            judged: dict[str, Realised] = {}
            for number, record in enumerate(records):
                judged[record.uuid] = judge.of(record)
                if number % _JUDGED_AT_ONCE == 0:
                    await asyncio.sleep(0)
        return judged

    async def _select(
        self, resource: ObjectType, revision: int, request: Request, sort: str
    ) -> list[Record]:
        """Return all that the caller sees and the query selects, in order."""
        graph, caller = self._service.graph, caller_of(request)
        chosen = selection_of(graph, resource, request.query_all, caller)
        key, downwards = sort_key_of(resource, sort)
        seen = [
            record
            for record in await self._as_of(resource, revision)
            if authorize.sees(graph, caller, record) and self._is_current_to(caller, record)
        ]
        # Selected by what is shown: a selection must not answer guesses about secrets.
        shown = secret_fields.all_shown(self._service.schema, graph, caller, seen)
        records = [record for record in shown if chosen.fits(record)]
        records.sort(key=key, reverse=downwards)
        return records

    def _is_current_to(self, caller: Caller, record: Record) -> bool:
        """Whether the caller sees the object now too; cursors lead to versions of the past."""
        graph = self._service.graph
        if not authorize.is_restricted(graph, caller):
            return True
        current = graph.get(record.uuid)
        return current is not None and authorize.sees(graph, caller, current)

    def _place(self, request: Request) -> tuple[int, int]:
        """Return the revision to show and how many objects to leave out."""
        now = self._service.revision
        cursor = request.query.get("cursor")
        if cursor is None:
            if "revision" not in request.query:
                return now, 0
            self._history.admit(request)
            return self._checked(_number(request, "revision", now)), 0
        revision, _, offset = cursor.partition(".")
        if not (_is_number(revision) and _is_number(offset)):
            raise bad_request(f"cursor {shown(cursor)!r} is none of this list's")
        return self._checked(int(revision)), int(offset)

    def _checked(self, revision: int) -> int:
        if revision > self._service.revision:
            raise bad_request(f"Revision {revision} is to come; now is {self._service.revision}")
        return revision

    async def _as_of(self, resource: ObjectType, revision: int) -> list[Record]:
        if revision == self._service.revision:
            return list(self._service.graph.of_type(resource.name))
        documents = await self._history.documents_at(resource.name, revision)
        return [make_record(resource.name, document) for document in documents]


def watch_filter(
    service: ConfigService, types: frozenset[str], request: Request
) -> Callable[[Record], bool] | None:
    """Return what objects a watch tells of, None for all; filters need types that know the fields."""
    check_parameters(request, _WATCH_PARAMETERS)
    given = {name: request.query_all[name] for name in _SELECTING if name in request.query_all}
    if not given:
        return None
    if not types:
        raise bad_request("A filtered watch needs the types it is about (types=)")
    resources = service.schema.resources
    caller = caller_of(request)
    chosen = {name: selection_of(service.graph, resources[name], given, caller) for name in types}
    return lambda record: record.type_name in chosen and chosen[record.type_name].fits(record)


def _fields(resource: ObjectType, request: Request) -> tuple[str, ...] | None:
    """Return the asked fields, each once, None for all; refuse those the type does not have."""
    fields = request.query.get("fields")
    if fields is None:
        return None
    known = ("uuid", "fq_name", "name", "etag", *resource.properties, *resource.references)
    names = tuple(name for name in dict.fromkeys(fields.split(",")) if name)
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise bad_request(f"fields: {resource.name} has no field {shown(name)!r}.{near}")
    return names


def _item(record: Record, fields: tuple[str, ...] | None) -> bytes:
    if fields is None:
        return record.encode()
    item: Document = {"uuid": record.uuid, "fq_name": list(record.fq_name)}
    for name in fields:
        if name == "name":
            item["name"] = record.name
        elif name == "etag":
            item["etag"] = etag_of(record)
        elif name in record.body:
            item[name] = record.body[name]
    return msgspec.json.encode(item)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _number(request: Request, name: str, default: int, most: int | None = None) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not _is_number(text) or (most is not None and not 1 <= int(text) <= most):
        bounds = "" if most is None else f" from 1 to {most}"
        raise bad_request(f"{name} must be a number{bounds}, not {shown(text)!r}")
    return int(text)
