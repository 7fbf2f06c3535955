"""The native API's objects over HTTP: one object per request, and transactions of many.

/api/v1/<type>                    GET list, POST create
/api/v1/<type>/<uuid>             GET, PUT (replace), PATCH (merge patch), DELETE
/api/v1/<type>/by-name/<fq:name>  GET, PUT and PATCH (server-side apply), DELETE
/api/v1/transaction               POST many operations, all or none

Every write takes ``?dry_run=true``, If-Match and If-None-Match; refusals are problem documents.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from skytrail.api import authorize, native, plan, secret_fields, transaction
from skytrail.api.admission import Links
from skytrail.api.caller import Caller
from skytrail.api.documents import Document
from skytrail.api.graph import Overlay, Record, find
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.native import Done, Ground, Operation
from skytrail.api.problem import MEDIA_TYPE, did_you_mean, document_of
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.service import ConfigService
from skytrail.api.transaction import TransactionRequest
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import shown
from skytrail.runtime.asgi import JSON, Request, Response, Router


class PastReader(Protocol):
    """Reads objects as of a former revision."""

    async def object(self, request: Request, resource: ObjectType, uuid: str) -> Response: ...


TRANSACTION_BYTES_MAX = 32 * 1024 * 1024
_WRITE_PARAMETERS = frozenset({"dry_run", "cascade", "field_owner", "force"})


def problem_reply(refusal: Refused) -> Response:
    """Return a refusal as a problem document."""
    body = msgspec.json.encode(document_of(refusal))
    return Response(refusal.status, body, MEDIA_TYPE)


def is_native(request: Request) -> bool:
    """Whether the request belongs to the native API, whose errors are problem documents."""
    return request.segments[:2] == ("api", "v1")


def check_parameters(request: Request, known: frozenset[str]) -> None:
    """Refuse query parameters that mean nothing here."""
    for name in request.query_all:
        if name not in known:
            near = did_you_mean(name, known)
            raise bad_request(f"There is no query parameter {shown(name)!r} here.{near}")


def flag(request: Request, name: str) -> bool:
    """Return a query parameter that is true or false."""
    given = request.query.get(name, "false").lower()
    if given not in ("true", "false", "1", "0", ""):
        raise bad_request(f"{name} must be true or false, not {shown(given)!r}")
    return given in ("true", "1", "")


class NativeApi:
    """Handlers of objects and transactions."""

    def __init__(self, service: ConfigService, past: PastReader) -> None:
        self._service = service
        self._past = past

    def add_routes(self, router: Router) -> None:
        router.add("POST", "/api/v1/transaction", self._transaction)
        router.add("POST", "/api/v1/{type}", self._create)
        router.add("GET", "/api/v1/{type}/{uuid}", self._read)
        for method, verb in (("PUT", "replace"), ("PATCH", "patch"), ("DELETE", "delete")):
            router.add(method, "/api/v1/{type}/{uuid}", _Writing(self, verb).by_uuid)
        router.add("GET", "/api/v1/{type}/by-name/{name}", self._read_by_name)
        for method, verb in (("PUT", "apply"), ("PATCH", "apply"), ("DELETE", "delete")):
            router.add(method, "/api/v1/{type}/by-name/{name}", _Writing(self, verb).by_name)

    def resource(self, request: Request) -> ObjectType:
        """Return the type a path names."""
        schema = self._service.schema
        name = request.params["type"]
        found = schema.find(name)
        if found is None:
            near = did_you_mean(name, schema.resources)
            raise not_found(f"There is no object type {shown(name)!r}.{near}")
        return found

    # Reads.

    async def _read(self, request: Request) -> Response:
        resource = self.resource(request)
        uuid = request.params["uuid"]
        if "revision" in request.query:
            return await self._past.object(request, resource, uuid)
        record = self._service.graph.get(uuid)
        if record is not None and record.type_name != resource.name:
            record = None
        return self._object(request, record, f"No {resource.name} has the uuid {shown(uuid)}")

    async def _read_by_name(self, request: Request) -> Response:
        resource = self.resource(request)
        name = native.name_of(resource, request.params["name"])
        record = find(self._service.graph, resource.name, name)
        missing = f"No {resource.name} is named {shown(request.params['name'])}"
        return self._object(request, record, missing)

    def _object(self, request: Request, record: Record | None, missing: str) -> Response:
        check_parameters(request, frozenset())
        graph, caller = self._service.graph, caller_of(request)
        if record is None or not authorize.knows(graph, caller, record):
            raise not_found(missing)
        authorize.require_access(graph, caller, record, authorize.READ)
        record = secret_fields.shown(self._service.schema, graph, caller, record)
        tag = native.etag_of(record)
        headers = (("etag", tag), bodies.NOT_KEPT)
        if tag in request.headers.get("if-none-match", "").replace(" ", "").split(","):
            return Response(304, b"", JSON, headers)
        return Response(200, record.encode(), JSON, headers)

    # Writes.

    async def _create(self, request: Request) -> Response:
        resource = self.resource(request)
        body = bodies.read_document(request)
        return await self.write_one(
            request, Operation(op="create", type=resource.name, object=body)
        )

    async def write_one(self, request: Request, operation: Operation) -> Response:
        """Carry out one operation of a request, or only say what it would change."""
        check_parameters(request, _WRITE_PARAMETERS)
        given = request.query
        operation = msgspec.structs.replace(
            operation,
            if_match=request.headers.get("if-match"),
            if_none_match=request.headers.get("if-none-match"),
            field_owner=given.get("field_owner"),
            force=flag(request, "force"),
            cascade=flag(request, "cascade"),
        )
        ground = self.ground(request)
        caller = caller_of(request)
        if flag(request, "dry_run"):
            _, overlay = self._service.rehearse(
                lambda change: native.carry_out(change, operation, ground), caller=caller
            )
            return self.rehearsed(request, overlay)
        written = await self._service.write(
            lambda change: native.carry_out(change, operation, ground),
            caller=caller,
            request_id=request.id,
        )
        return self._written(written.value, written.revision, written.change, caller)

    def _written(self, done: Done, revision: int, change: str, caller: Caller) -> Response:
        graph = self._service.graph
        record = graph.get(done.record.uuid) or done.record
        headers = (
            ("x-skytrail-revision", str(revision)),
            ("x-skytrail-result", done.verb),
            ("x-skytrail-change", change),
        )
        if done.verb == "deleted":
            gone: Document = {"deleted": done.record.uuid, "revision": revision}
            return Response(200, msgspec.json.encode(gone), JSON, headers)
        headers = (*headers, ("etag", native.etag_of(record)))
        if not authorize.sees(graph, caller, record):
            # The right to write is not the right to read what is there.
            return Response(200, msgspec.json.encode({"uuid": record.uuid}), JSON, headers)
        record = secret_fields.shown(self._service.schema, graph, caller, record)
        if done.verb != "created":
            return Response(200, record.encode(), JSON, headers)
        place = f"/api/v1/{record.type_name}/{record.uuid}"
        return Response(201, record.encode(), JSON, (*headers, ("location", place)))

    def rehearsed(self, request: Request, overlay: Overlay, **more: object) -> Response:
        """Answer a dry run: what would change, as far as who asks may see it."""
        changes = plan.intent_changes(overlay, caller_of(request), self._service.schema)
        revision = self._service.revision
        return bodies.reply({"dry_run": True, "revision": revision, **more, "changes": changes})

    def ground(self, request: Request) -> Ground:
        """Return what operations of a request stand on."""
        return Ground(self._service.graph, Links(f"{bodies.base_of(request)}/api/v1"))

    async def _transaction(self, request: Request) -> Response:
        check_parameters(request, frozenset({"dry_run"}))
        asked = bodies.read_json(request, TransactionRequest, limit=TRANSACTION_BYTES_MAX)
        ground = self.ground(request)
        caller = caller_of(request)
        if flag(request, "dry_run"):
            done, overlay = self._service.rehearse(
                lambda change: transaction.carry_out(change, asked, ground), caller=caller
            )
            return self.rehearsed(request, overlay, results=_results(done))
        written = await self._service.write(
            lambda change: transaction.carry_out(change, asked, ground),
            derived_from=asked.derived_from,
            weight=len(asked.operations),
            caller=caller_of(request),
            request_id=request.id,
        )
        return bodies.reply(
            {
                "revision": written.revision,
                "change": written.change,
                "results": _results(written.value),
            }
        )


def _results(done: list[Done]) -> list[Document]:
    return [{"uuid": each.record.uuid, "result": each.verb} for each in done]


class _Writing:
    """A write of one kind on an addressed object."""

    def __init__(self, api: NativeApi, verb: str) -> None:
        self._api = api
        self._verb = verb

    async def by_uuid(self, request: Request) -> Response:
        resource = self._api.resource(request)
        uuid = request.params["uuid"]
        return await self._api.write_one(
            request,
            Operation(op=self._verb, type=resource.name, uuid=uuid, object=self._body(request)),
        )

    async def by_name(self, request: Request) -> Response:
        resource = self._api.resource(request)
        name = request.params["name"]
        return await self._api.write_one(
            request,
            Operation(op=self._verb, type=resource.name, name=name, object=self._body(request)),
        )

    def _body(self, request: Request) -> Document | None:
        if self._verb == "delete":
            return None
        return _merge_patch(request) if self._verb == "patch" else bodies.read_document(request)


def _merge_patch(request: Request) -> Document:
    if len(request.body) > bodies.BODY_BYTES_MAX:
        raise Refused(413, f"Request body is over {bodies.BODY_BYTES_MAX} bytes")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (JSON, "application/merge-patch+json"):
        raise Refused(415, f"Content-Type must be application/merge-patch+json or {JSON}")
    return bodies.decoded(request, dict[str, object])
