"""The compatible API: resources, collections and actions as existing clients call them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from skytrail.api import (
    admission,
    authorize,
    balancer_status,
    documents,
    ipam,
    notes,
    operations,
    query,
    render,
    secret_fields,
    security_draft,
    texts,
)
from skytrail.api.addressing import subnets_of
from skytrail.api.admission import Links
from skytrail.api.balancer_status import Standings
from skytrail.api.caller import Caller
from skytrail.api.documents import Document
from skytrail.api.elements import collection_of, positions_of
from skytrail.api.graph import Record, find
from skytrail.api.heads import part_reader
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of, write_for
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.render import Shape
from skytrail.api.rules.draft import is_draft
from skytrail.api.schema import collection_name
from skytrail.api.service import ConfigService, Written
from skytrail.api.status import StatusBoard
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import shown
from skytrail.runtime.asgi import JSON, Promised, Request, Response

_NETWORK = "virtual-network"
_Sight = Callable[[Record], bool] | None
_WITHOUT_OTHERS = frozenset({"exclude_back_refs", "exclude_children"})
_ALONE = Shape(back_references=False, children=False)
"""What clients ask for most: the object without what refers to it or lies below it."""


class CompatibleApi:
    """Handlers; each returns a response or raises Refused."""

    def __init__(self, service: ConfigService, board: StatusBoard) -> None:
        self._service = service
        self._schema = service.schema
        self._board = board

    # Resources.

    async def create(self, resource: ObjectType, request: Request) -> Response:
        body = bodies.read_object(request, resource)
        written = await self._service.write(
            lambda change: admission.create(change, resource, body),
            caller=caller_of(request),
            request_id=request.id,
        )
        return _created(resource, request, written)

    def create_promised(self, resource: ObjectType, request: Request) -> Promised | None:
        """As ``create``, for whoever can be called back; None when the writer has no room."""
        body = bodies.read_object(request, resource)
        future = self._service.write_promised(
            lambda change: admission.create(change, resource, body), caller_of(request), request.id
        )
        if future is None:
            return None

        def reply(done: asyncio.Future[Written[Record]]) -> Response:
            # Not raised: a refusal that knows this frame would be in a cycle with it.
            error = done.exception()
            if error is None:
                return _created(resource, request, done.result())
            if isinstance(error, Refused):
                return bodies.refused(error.status, error.text)
            raise error

        return Promised(future, reply)

    def read(self, resource: ObjectType, uuid: str, request: Request) -> Response:
        graph, caller = self._service.graph, caller_of(request)
        record = self._existing(resource, uuid, caller)
        record = secret_fields.shown(self._schema, graph, caller, record)
        etag = render.etag_of(record)
        stored, (record,) = record, self._standing(resource, [record])
        # How an object stands changes without a change of the object.
        if record is stored and request.headers.get("if-none-match") == etag:
            return Response(304, b"", JSON, (("etag", etag), bodies.NOT_KEPT))
        shape = _shape_of(request, self._sight(request))
        body = render.render(self._schema, graph, record, shape, bodies.base_of(request))
        whole = b'{"%s":%s}' % (resource.name.encode(), body)
        return Response(200, whole, JSON, (("etag", etag), bodies.NOT_KEPT))

    def _standing(self, resource: ObjectType, records: list[Record]) -> list[Record]:
        """Return objects of one type with what hosts say of how they stand."""
        if resource.name not in balancer_status.TYPES:
            return records
        standings = Standings(self._service.graph, self._board, time.monotonic())
        return [standings.filled(record) for record in records]

    async def update(self, resource: ObjectType, uuid: str, request: Request) -> Response:
        self._existing(resource, uuid, caller_of(request), readable=False)
        body = bodies.read_object(request, resource)
        if not body:
            return bodies.empty()
        missing = texts.unknown_id(uuid)

        written = await self._service.write(
            lambda change: admission.update(
                change,
                security_draft.editable(
                    change, admission.existing(change, resource, uuid, missing)
                ),
                body,
            ),
            caller=caller_of(request),
            request_id=request.id,
        )
        href = f"{bodies.base_of(request)}/{resource.name}/{uuid}"
        value = {resource.name: {"uuid": uuid, "href": href}}
        return bodies.reply(value, written.ignored, status=_accepted(written.value))

    async def delete(self, resource: ObjectType, uuid: str, request: Request) -> Response:
        missing = texts.id_does_not_exist(uuid)
        links = Links(bodies.base_of(request))
        written = await self._service.write(
            lambda change: security_draft.delete(
                change, admission.existing(change, resource, uuid, missing), links
            ),
            caller=caller_of(request),
            request_id=request.id,
        )
        return bodies.empty(status=_accepted(written.value))

    def _existing(
        self, resource: ObjectType, uuid: str, caller: Caller, *, readable: bool = True
    ) -> Record:
        """Return an object of a path, which the caller may know of and, if asked for, read."""
        record = self._known(uuid, caller, texts.unknown_id(uuid))
        if readable:
            authorize.require_access(self._service.graph, caller, record, authorize.READ)
        if record.type_name != resource.name:
            raise not_found(texts.no_such_object(resource.name, uuid))
        return record

    def _known(self, uuid: str, caller: Caller, missing: str) -> Record:
        """Return an object that the caller may know of; others are missing."""
        graph = self._service.graph
        record = graph.get(uuid)
        if record is None:
            raise not_found(missing)
        if not authorize.knows(graph, caller, record):
            raise not_found(texts.not_visible(uuid) if authorize.is_hidden(record) else missing)
        return record

    def _sight(self, request: Request) -> _Sight:
        """Return what tells whether the caller sees an object; None when it sees all."""
        graph, caller = self._service.graph, caller_of(request)
        if not authorize.is_restricted(graph, caller):
            return None
        return lambda record: authorize.sees(graph, caller, record)

    # Collections.

    def list(self, resource: ObjectType, request: Request) -> Response:
        return self._list(resource, bodies.parameters(request), request)

    async def list_bulk(self, request: Request) -> Response:
        given = bodies.read_document(request)
        resource = self._resource(documents.text(given, "type"))
        if isinstance(given.get("fields"), list):
            given["fields"] = ",".join(bodies.text_list(given["fields"]))
        if given.get("exclude_hrefs") is False:
            del given["exclude_hrefs"]
        authorize.require_rule(self._service.graph, caller_of(request), resource.name, "R")
        return self._list(resource, given, request)

    def _list(self, resource: ObjectType, given: Document, request: Request) -> Response:
        asked = query.parse(given)
        base, sees = bodies.base_of(request), self._sight(request)
        graph = self._service.graph
        name = collection_name(resource)
        if sees is not None:
            secret_fields.check_filters(self._schema, resource, asked.filters)
        found = query.select(graph, resource, asked, caller_of(request))
        if sees is not None:
            found = [record for record in found if sees(record)]
            found = secret_fields.all_shown(self._schema, graph, caller_of(request), found)
        if asked.count:
            return bodies.reply({name: {"count": len(found)}})
        chosen, marker = query.page(found, asked)
        chosen = self._standing(resource, chosen)
        if asked.detail:
            items = self._detailed(chosen, asked, base, sees)
        else:
            items = b",".join(self._summaries(resource, chosen, asked, base, sees))
        tail = b"}"
        if asked.marker is not None:
            tail = b',"marker":' + msgspec.json.encode(marker) + b"}"
        body = b'{"%s":[%s]%s' % (name.encode(), items, tail)
        return bodies.reply(body)

    def _detailed(
        self, chosen: list[Record], asked: query.ListQuery, base: str, sees: _Sight
    ) -> bytes:
        if asked.links and not asked.fields:
            return render.render_alike(self._schema, chosen, base)
        shape = Shape(back_references=False, children=False, links=asked.links)
        if asked.fields:
            # Asked fields add to the whole object here; they do not restrict it.
            resource = self._schema.resources[chosen[0].type_name] if chosen else None
            every = {*resource.properties, *resource.references} if resource else set[str]()
            shape = Shape(fields=asked.fields | every, links=asked.links, sees=sees)
        graph = self._service.graph
        return b",".join(
            b'{"%s":%s}'
            % (
                record.type_name.encode(),
                render.render(self._schema, graph, record, shape, base),
            )
            for record in chosen
        )

    def _summaries(
        self,
        resource: ObjectType,
        chosen: list[Record],
        asked: query.ListQuery,
        base: str,
        sees: _Sight,
    ) -> list[bytes]:
        shape = Shape(fields=asked.fields, links=asked.links, sees=sees)
        plain = asked.fields - {"name"}
        own = all(name in resource.properties for name in plain)
        if own:
            reader = part_reader(frozenset(plain))
            return [
                msgspec.json.encode(
                    render.summary(record, asked.fields, shape, base, parts=reader.read(record))
                )
                for record in chosen
            ]
        graph = self._service.graph
        kept = {"uuid", "fq_name", "href", *asked.fields}
        items: list[bytes] = []
        for record in chosen:
            whole = msgspec.json.decode(
                render.render(self._schema, graph, record, shape, base), type=Document
            )
            items.append(msgspec.json.encode({n: v for n, v in whole.items() if n in kept}))
        return items

    def _resource(self, type_name: str | None) -> ObjectType:
        resource = self._schema.find(type_name) if type_name else None
        if resource is None:
            raise not_found(texts.resource_type_not_found(shown(type_name)))
        return resource

    # Actions.

    async def name_to_id(self, request: Request) -> Response:
        given = bodies.read_document(request)
        resource = self._resource(documents.text(given, "type"))
        name = documents.texts(given, "fq_name")
        graph, caller = self._service.graph, caller_of(request)
        record = find(graph, resource.name, tuple(name))
        if record is None or not authorize.knows(graph, caller, record):
            raise not_found(texts.name_not_found(name))
        return bodies.reply({"uuid": record.uuid})

    async def id_to_name(self, request: Request) -> Response:
        uuid = documents.text(bodies.read_document(request), "uuid") or ""
        record = self._known(uuid, caller_of(request), texts.uuid_not_found(shown(uuid)))
        return bodies.reply({"type": record.type_name, "fq_name": list(record.fq_name)})

    async def ref_update(self, request: Request) -> Response:
        given = bodies.read_document(request)
        written = await write_for(
            request, self._service, lambda change: operations.update_reference(change, given)
        )
        return bodies.reply({"uuid": written.value})

    async def ref_relax(self, request: Request) -> Response:
        given = bodies.read_document(request)
        written = await write_for(
            request, self._service, lambda change: operations.relax_reference(change, given)
        )
        return bodies.reply({"uuid": written.value})

    async def collection_get(self, request: Request) -> Response:
        given = bodies.parameters(request)
        uuid = str(given.get("uuid", ""))
        caller = caller_of(request)
        record = self._known(uuid, caller, texts.unknown_id(shown(uuid)))
        authorize.require_access(self._service.graph, caller, record, authorize.READ)
        record = secret_fields.shown(self._schema, self._service.graph, caller, record)
        resource = self._schema.resources[record.type_name]
        names = [name for name in str(given.get("fields", "")).split(",") if name]
        if not names:
            raise bad_request("Bad Request: fields is null")
        position = given.get("position")
        found: Document = {}
        for name in names:
            prop = collection_of(resource, name)
            pairs = positions_of(record.body, prop, record.side.positions)
            if prop.kind == "list":
                pairs.sort(key=lambda pair: pair[1])
            if position is not None:
                pairs = [pair for pair in pairs if pair[1] == position]
            found[name] = [list(pair) for pair in pairs]
        return bodies.reply(found)

    async def collection_update(self, request: Request) -> Response:
        given = bodies.read_document(request)
        await write_for(
            request, self._service, lambda change: operations.edit_elements(change, given)
        )
        return bodies.empty()

    async def notes(self, request: Request) -> Response:
        given = bodies.read_document(request)
        if given.get("operation") == "RETRIEVE" and given.get("key", "") is None:
            graph = self._service.graph
            memory = notes.visible(graph, caller_of(request), graph.memory).items()
            return bodies.reply({"value": [{"key": k, "value": v} for k, v in memory]})
        written = await write_for(
            request, self._service, lambda change: operations.keep_note(change, given)
        )
        return bodies.empty() if written.value is None else bodies.reply(written.value)

    async def ip_alloc(self, uuid: str, request: Request) -> Response:
        given = bodies.read_document(request)
        self._network(uuid, caller_of(request))
        written = await write_for(
            request,
            self._service,
            lambda change: operations.alloc_ips(change, _network_in(change.view.get(uuid)), given),
        )
        return bodies.reply({"ip_addr": written.value})

    async def ip_free(self, uuid: str, request: Request) -> Response:
        given = bodies.read_document(request)
        self._network(uuid, caller_of(request))
        await write_for(
            request,
            self._service,
            lambda change: operations.free_ips(change, _network_in(change.view.get(uuid)), given),
        )
        return bodies.empty()

    async def ip_count(self, uuid: str, request: Request) -> Response:
        wanted = documents.texts(bodies.read_document(request), "subnet_list")
        network = self._network(uuid, caller_of(request))
        authorize.require_access(self._service.graph, caller_of(request), network, authorize.READ)
        offered = {s.uuid: s for s in subnets_of(self._service.graph, network)}
        counts = [self._used(offered.get(subnet)) for subnet in wanted]
        return bodies.reply({"ip_count_list": counts})

    def _used(self, subnet: ipam.Subnet | None) -> int:
        if subnet is None:
            return 0
        return sum(1 for _ in self._service.graph.numbers.pool(subnet.pool))

    def _network(self, uuid: str, caller: Caller) -> Record:
        return self._existing(self._schema.resources[_NETWORK], uuid, caller, readable=False)


def _shape_of(request: Request, sees: _Sight) -> Shape:
    """Return what the reader of one object wants to see."""
    given = request.query_all
    if sees is None and given.keys() == _WITHOUT_OTHERS:
        return _ALONE
    fields = bodies.parameters(request).get("fields") if "fields" in given else None
    return Shape(
        fields=frozenset(str(fields).split(",")) if fields else None,
        back_references="exclude_back_refs" not in given,
        children="exclude_children" not in given,
        links="exclude_hrefs" not in given,
        sees=sees,
    )


def _created(resource: ObjectType, request: Request, written: Written[Record]) -> Response:
    value = render.created(written.value, bodies.base_of(request))
    return bodies.reply({resource.name: value}, written.ignored, status=_accepted(written.value))


def _accepted(written: Record | None) -> int:
    """Return the status of a write: 202 says that it waits in a draft."""
    return 202 if written is not None and is_draft(written) else 200


def _network_in(record: Record | None) -> Record:
    """Return the network, which another request may have deleted meanwhile."""
    if record is None:
        raise not_found("The virtual network has been deleted")
    return record
