"""The one HTTP surface: compatible resources by path, native endpoints beside them.

/<type>s            GET list, POST create         /<type>/<uuid>    GET, PUT, DELETE
/<action>           see ``home.ACTIONS``          /api/v1/...       native endpoints
/healthz /metrics /introspect/... /openapi.json
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, cast

import msgspec

from skytrail.api import home, sight, texts
from skytrail.api import operations as actions
from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.io import access, bodies, watch
from skytrail.api.io.actions import ObjectActions
from skytrail.api.io.callers import caller_of, write_for
from skytrail.api.io.compatible import CompatibleApi
from skytrail.api.io.directory import KINDS, Mirrored
from skytrail.api.io.events import EventsApi
from skytrail.api.io.freshness import Fresh
from skytrail.api.io.gate import STRANGER, Gate
from skytrail.api.io.int_pools import IntPools
from skytrail.api.io.lists import watch_filter
from skytrail.api.io.native import TRANSACTION_BYTES_MAX, is_native, problem_reply
from skytrail.api.io.native_routes import add_native_routes
from skytrail.api.io.security import SecurityEndpoints
from skytrail.api.io.store_actions import StoreActions
from skytrail.api.plugin import Deriver
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.service import ConfigService
from skytrail.api.status import StatusBoard
from skytrail.api.throttle import address_key
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import shown
from skytrail.runtime.asgi import (
    Admit,
    AsgiApp,
    CheckHost,
    Handler,
    HttpError,
    Promised,
    Reply,
    Request,
    Response,
    Router,
    StreamResponse,
)
from skytrail.runtime.fair_share import AT_ONCE, FairShare
from skytrail.runtime.introspection import Introspection
from skytrail.runtime.metrics import Sample
from skytrail.runtime.stream_limits import StreamLimits

_EVENT_STREAM = "text/event-stream"
_HISTORY = re.compile("[0-9a-f]{1,64}")
_METHOD_NOT_ALLOWED = "Method not allowed."


_BYTES_OF_A_SHARE = 2_048
"""Of a body: what it asks for is planned in one go, some ten operations in as much."""
_OF_A_LIST = AT_ONCE
"""Weight of reading a collection, which may be all of its type: one at a time."""


class Routes(Protocol):
    """Something that is served beside the API."""

    def add_routes(self, router: Router) -> None: ...


class HttpApi(AsgiApp):
    """The ASGI application; native requests may be larger than compatible ones."""

    def __init__(
        self,
        service: ConfigService,
        deriver: Deriver | None = None,
        *,
        gate: Gate | None = None,
        admit: Admit | None = None,
        also: Sequence[Routes] = (),
        check_host: CheckHost | None = None,
        streams: StreamLimits | None = None,
        shares: FairShare | None = None,
    ) -> None:
        """``gate`` asks who sends a request; ``admit`` stands in for it in tests; ``also`` is
        served beside the API: the console's files, the passage to analytics.
        """
        self._by_path = service.schema.by_path
        shares = shares or FairShare()
        shown = introspection(service, shares)
        dispatch = Dispatch(service, deriver, gate, [*also, shown])
        super().__init__(
            Fresh(service, Mirrored(None if gate is None else gate.directory, dispatch)),
            body_limit_bytes=bodies.BODY_BYTES_MAX,
            admit=admit or gate,
            at_once=dispatch.answer_now if admit is None else None,
            check_host=check_host,
            streams=streams,
            shares=shares,
        )

    def stream_client(self, request: Request) -> str:
        """A user over all machines, else an address; components of the system are not counted."""
        caller = request.identity
        if isinstance(caller, Caller) and caller not in {NOBODY_ASKED, STRANGER}:
            return "" if caller.is_system else f"user {caller.project} {caller.user}"
        return address_key(request.client) if request.client else ""

    def share_of(self, request: Request) -> tuple[str, int]:
        """A member of a project, by its user; the longer its work holds up the loop, the more it is.

        Components and administrators are what members wait for, and have no share.
        """
        caller = request.identity
        if not isinstance(caller, Caller) or caller in {NOBODY_ASKED, STRANGER}:
            return "", 0
        if caller.is_system or caller.is_admin:
            return "", 0
        weight = 1 + len(request.body) // _BYTES_OF_A_SHARE
        named = self._by_path.get(request.segments[0].lower()) if request.segments else None
        if named is not None and named[1] and request.method == "GET":
            weight = _OF_A_LIST
        return f"{caller.project} {caller.user}", weight

    def body_limit(self, request: Request) -> int:
        if request.segments[:1] == ("api",):
            return TRANSACTION_BYTES_MAX
        return super().body_limit(request)


class Dispatch:
    """Finds the handler of a request and turns refusals into replies."""

    def __init__(
        self,
        service: ConfigService,
        deriver: Deriver | None = None,
        gate: Gate | None = None,
        also: Sequence[Routes] = (),
    ) -> None:
        self._service = service
        self._deriver = deriver
        self._gate = gate
        self._board = StatusBoard()
        self._compatible = CompatibleApi(service, self._board)
        self._by_path = service.schema.by_path
        self._openapi: bytes | None = None
        self._router = Router()
        self._add_actions()
        self._add_native()
        for each in also:
            each.add_routes(self._router)

    async def __call__(self, request: Request) -> Reply:
        try:
            return await self._dispatch(request)
        except Refused as refusal:
            if is_native(request):
                return problem_reply(refusal)
            return bodies.refused(refusal.status, refusal.text)
        except HttpError as error:
            if error.headers and error.status != 405:
                # What the client has to do next stands in the headers.
                raise
            if is_native(request):
                return problem_reply(Refused(error.status, error.text))
            if error.status == 405:
                return bodies.refused(405, _METHOD_NOT_ALLOWED)
            if error.status == 404 and error.text.startswith("Not found"):
                return bodies.refused(404, f"Not found: '{request.path[:256]}'")
            return bodies.refused(error.status, error.text)

    def answer_now(self, request: Request) -> Response | Promised | None:
        """Answer a compatible read or create if only a commit, or nothing, has to be waited for."""
        segments = request.segments
        if not segments or self._service.shared is not None:
            return None
        found = self._by_path.get(segments[0].lower())
        if found is None or len(segments) != (1 if found[1] else 2):
            return None
        resource, is_collection = found
        if request.method != "GET" and not (request.method == "POST" and is_collection):
            return None
        if self._gate is not None:
            if self._gate.directory is not None and resource.name in KINDS:
                return None
            if not self._gate.admit_now(request):
                return None
        try:
            access.check_path(self._service, caller_of(request), request)
            if request.method == "POST":
                return self._compatible.create_promised(resource, request)
            if is_collection:
                return self._compatible.list(resource, request)
            uuid = bodies.path_uuid(resource, segments[1])
            return self._compatible.read(resource, uuid, request)
        except Refused as refusal:
            return bodies.refused(refusal.status, refusal.text)

    async def _dispatch(self, request: Request) -> Reply:
        segments = request.segments
        access.check_path(self._service, caller_of(request), request)
        if segments:
            found = self._by_path.get(segments[0].lower())
            if found is not None:
                resource, is_collection = found
                if is_collection:
                    return await self._collection(resource, request)
                return await self._object(resource, request)
            missing = home.NOT_THERE.get(segments[0])
            if missing is not None:
                raise Refused(501, f"Not available in this release: {missing}")
        return await self._router(request)

    async def _collection(self, resource: ObjectType, request: Request) -> Reply:
        if len(request.segments) != 1:
            raise not_found(f"Not found: '{request.path[:256]}'")
        if request.method == "POST":
            return await self._compatible.create(resource, request)
        if request.method in ("GET", "HEAD"):
            return self._compatible.list(resource, request)
        raise Refused(405, _METHOD_NOT_ALLOWED)

    async def _object(self, resource: ObjectType, request: Request) -> Reply:
        segments = request.segments
        if len(segments) == 3 and resource.name == "virtual-network":
            return await self._network_action(segments[1], segments[2], request)
        if len(segments) != 2:
            raise not_found(f"Not found: '{request.path[:256]}'")
        uuid = bodies.path_uuid(resource, segments[1])
        match request.method:
            case "GET" | "HEAD":
                return self._compatible.read(resource, uuid, request)
            case "PUT":
                return await self._compatible.update(resource, uuid, request)
            case "DELETE":
                return await self._compatible.delete(resource, uuid, request)
            case _:
                raise Refused(405, _METHOD_NOT_ALLOWED)

    async def _network_action(self, uuid: str, action: str, request: Request) -> Reply:
        handlers = {
            "ip-alloc": self._compatible.ip_alloc,
            "ip-free": self._compatible.ip_free,
            "subnet-ip-count": self._compatible.ip_count,
        }
        handler = handlers.get(action)
        if handler is None:
            raise not_found(f"Not found: '{request.path[:256]}'")
        if request.method != "POST":
            raise Refused(405, _METHOD_NOT_ALLOWED)
        return await handler(uuid, request)

    def _add_actions(self) -> None:
        api = self._compatible
        handlers: Mapping[str, Callable[[Request], Awaitable[Reply]]] = {
            "fqname-to-id": api.name_to_id,
            "id-to-fqname": api.id_to_name,
            "ref-update": api.ref_update,
            "ref-relax-for-delete": api.ref_relax,
            "prop-collection-get": api.collection_get,
            "prop-collection-update": api.collection_update,
            "useragent-kv": api.notes,
            "list-bulk-collection": api.list_bulk,
            "watch": self._watch_events,
            **ObjectActions(self._service).handlers(),
        }
        for _, path, method in home.ACTIONS:
            if "%s" not in path and path in handlers:
                self._router.add(method, f"/{path}", cast("Handler", handlers[path]))
        IntPools(self._service).add_routes(self._router)
        StoreActions(self._service, self._compatible).add_routes(self._router)
        self._router.add("GET", f"/{home.DOCUMENTATION}", self._documentation)
        SecurityEndpoints(self._service, self._gate).add_routes(self._router)
        self._router.add("GET", "/", self._home)

    def _add_native(self) -> None:
        self._router.add("GET", "/api/v1/watch", self._watch)
        add_native_routes(self._router, self._service, self._deriver, self._board)
        EventsApi(self._service, self._gate).add_routes(self._router)
        self._router.add("POST", "/api/v1/allocate", self._allocate)
        self._router.add("POST", "/api/v1/free", self._free)
        self._router.add("GET", "/openapi.json", self._openapi_page)

    async def _home(self, request: Request) -> Response:
        return bodies.reply(home.page(self._service.schema, bodies.base_of(request)))

    async def _documentation(self, request: Request) -> Response:
        page = home.documentation_page(self._service.schema)
        return Response(200, page.encode(), bodies.ERROR_TYPE)

    async def _openapi_page(self, request: Request) -> Response:
        if self._openapi is None:
            self._openapi = msgspec.json.encode(home.description(self._service.schema))
        return bodies.reply(self._openapi)

    async def _allocate(self, request: Request) -> Response:
        given = bodies.read_document(request)
        written = await write_for(
            request, self._service, lambda change: actions.allocate_number(change, given)
        )
        return bodies.reply({"value": written.value, "revision": written.revision})

    async def _free(self, request: Request) -> Response:
        given = bodies.read_document(request)
        written = await write_for(
            request, self._service, lambda change: actions.free_number(change, given)
        )
        return bodies.reply({"revision": written.revision})

    async def _watch(self, request: Request) -> StreamResponse:
        given = request.query
        types = frozenset(self._type(name) for name in given.get("types", "").split(",") if name)
        text = given.get("from_revision", "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 19):
            raise bad_request(f"Invalid from_revision {shown(text)}")
        history = given.get("history", "")
        if history and not _HISTORY.fullmatch(history):
            raise bad_request(
                f"Invalid history {shown(history)}: it is what a line of a watch said"
            )
        view = sight.Sight(self._service.graph, caller_of(request), self._service.schema)
        fits = watch_filter(self._service, types, request)
        position = (int(text), history) if text else None
        standing = self._standing(request)
        stream = watch.native(self._service, types, position, view, fits, standing)
        return StreamResponse(stream)

    async def _watch_events(self, request: Request) -> StreamResponse:
        given = request.query
        wanted: dict[str, frozenset[str] | None] = {}
        for name in given.get("resource_type", "").split(","):
            if name:
                type_name = self._type(name)
                fields = given.get(f"{name.replace('-', '_')}_fields") or given.get(
                    f"{name}_fields"
                )
                wanted[type_name] = frozenset(fields.split(",")) if fields else None
        if not wanted:
            raise bad_request("resource_type required in request")
        view = sight.Sight(self._service.graph, caller_of(request), self._service.schema)
        standing = self._standing(request)
        stream = watch.server_sent(self._service, wanted, bodies.base_of(request), view, standing)
        return StreamResponse(stream, content_type=_EVENT_STREAM)

    def _standing(self, request: Request) -> watch.Standing | None:
        return None if self._gate is None else self._gate.standing(request)

    def _type(self, name: str) -> str:
        resource = self._service.schema.find(name)
        if resource is None:
            raise not_found(texts.resource_type_not_found(shown(name)))
        return resource.name


def introspection(service: ConfigService, shares: FairShare) -> Introspection:
    """Return what the API server shows of itself."""
    return Introspection(
        _tables(service),
        lambda: unmet(service),
        lambda: [*_samples(service), *shares.samples("skytrail_api")],
    )


def _tables(service: ConfigService) -> Mapping[str, Callable[[], list[object]]]:
    graph = service.graph
    return {
        "types": lambda: [
            {"type": name, "count": len(records)} for name, records in graph.by_type.items()
        ],
        "objects": lambda: [
            {
                "type": record.type_name,
                "uuid": record.uuid,
                "fq_name": ":".join(record.fq_name),
                "revision": record.mod_revision,
            }
            for record in graph.records.values()
        ],
        "numbers": lambda: [
            {"pool": pool, "number": number, "owner": owner}
            for pool, taken in graph.numbers.pools.items()
            for number, owner in taken.items()
        ],
        "service": lambda: [
            {
                "revision": service.revision,
                "writes": service.writes_count,
                "batches": service.batches_count,
                "refusals": service.refusals_count,
                "watchers": service.feed.watchers_count,
            }
        ],
    }


def unmet(service: ConfigService) -> tuple[str, ...]:
    """Name what the server lacks for full operation."""
    return () if service.healthy else ("store",)


def _samples(service: ConfigService) -> list[Sample]:
    shared = service.shared
    among_servers = (
        []
        if shared is None
        else [
            Sample("skytrail_api_conflicts_total", shared.conflicts_count),
            Sample("skytrail_api_number_conflicts_total", shared.number_conflicts_count),
        ]
    )
    return [
        *among_servers,
        *([] if service.traces is None else service.traces.traces.samples()),
        Sample("skytrail_api_objects", len(service.graph.records), description="Objects"),
        Sample("skytrail_api_revision", service.revision, description="Last committed revision"),
        Sample("skytrail_api_writes_total", service.writes_count, description="Accepted writes"),
        Sample("skytrail_api_batches_total", service.batches_count, description="Commits"),
        Sample("skytrail_api_refusals_total", service.refusals_count, description="Refused writes"),
        Sample("skytrail_api_watchers", service.feed.watchers_count, description="Open watches"),
    ]
