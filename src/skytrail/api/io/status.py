"""Status over HTTP: components report, people ask.

POST /api/v1/status/<reporter>          a component's report, for a lease
GET  /api/v1/status                     all reports that hold
GET  /api/v1/<type>/<uuid>/status       the conditions of one object
GET  /api/v1/conditions?type=T&uuids=   those of up to 200 objects of a type; unseen ones are left out
"""

from __future__ import annotations

import time

import msgspec

from skytrail.api import authorize, balancer_status
from skytrail.api.balancer_status import Standings
from skytrail.api.documents import Document
from skytrail.api.hosts import need_of
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.io.native import NativeApi, check_parameters
from skytrail.api.refusal import bad_request, not_found
from skytrail.api.service import ConfigService
from skytrail.api.status import Report, StatusBoard
from skytrail.api.unseen_names import eyes_of
from skytrail.model.validate import shown
from skytrail.runtime.asgi import Request, Response, Router

REPORTER_LENGTH_MAX = 128
REPORT_BYTES_MAX = 16 * 1024 * 1024
OBJECTS_COUNT_MAX = 200


class StatusApi:
    """Fills the board and answers from it; it is empty after a restart until the components report again."""

    def __init__(self, service: ConfigService, native: NativeApi, board: StatusBoard) -> None:
        self._service = service
        self._native = native
        self._board = board

    def add_routes(self, router: Router) -> None:
        router.add("POST", "/api/v1/status/{reporter}", self._report)
        router.add("GET", "/api/v1/status", self._reports)
        router.add("GET", "/api/v1/{type}/{uuid}/status", self._conditions)
        router.add("GET", "/api/v1/conditions", self._conditions_of_many)

    async def _report(self, request: Request) -> Response:
        authorize.require_system(caller_of(request), "a status report")
        check_parameters(request, frozenset())
        reporter = request.params["reporter"]
        if len(reporter) > REPORTER_LENGTH_MAX or not reporter.isprintable():
            raise bad_request(f"A reporter's name has at most {REPORTER_LENGTH_MAX} characters")
        report = bodies.read_json(request, Report, limit=REPORT_BYTES_MAX)
        self._board.put(reporter, report, time.monotonic())
        return bodies.reply({"revision": self._service.revision})

    async def _reports(self, request: Request) -> Response:
        check_parameters(request, frozenset())
        now = time.monotonic()
        found = [
            {"reporter": name, **msgspec.to_builtins(report)}
            for kind in ("compiler", "control")
            for name, report in self._board.reports(kind, now).items()
        ]
        return bodies.reply({"revision": self._service.revision, "reports": found})

    async def _conditions_of_many(self, request: Request) -> Response:
        check_parameters(request, frozenset({"type", "uuids"}))
        resource = self._service.schema.find(request.query.get("type", ""))
        if resource is None:
            raise bad_request(f"type={shown(request.query.get('type', ''))} is no object type")
        uuids = [each for each in request.query.get("uuids", "").split(",") if each]
        if not uuids or len(uuids) > OBJECTS_COUNT_MAX:
            raise bad_request(f"uuids names 1 to {OBJECTS_COUNT_MAX} objects, by commas")
        graph, caller = self._service.graph, caller_of(request)
        authorize.require_rule(graph, caller, resource.name, "R")
        now = time.monotonic()
        told, eyes = self._board.told(now), eyes_of(graph, caller)
        placed = self._board.hosts_by_machine(now)
        found: list[Document] = []
        for uuid in dict.fromkeys(uuids):
            record = graph.get(uuid)
            if record is None or record.type_name != resource.name:
                continue
            if not authorize.sees(graph, caller, record):
                continue
            conditions = told.conditions(record, need_of(graph, record, placed), eyes)
            found.append({"uuid": uuid, "revision": record.mod_revision, "conditions": conditions})
        return bodies.reply({"revision": self._service.revision, "items": found})

    async def _conditions(self, request: Request) -> Response:
        check_parameters(request, frozenset())
        resource = self._native.resource(request)
        graph, caller = self._service.graph, caller_of(request)
        record = graph.get(request.params["uuid"])
        missing = f"No {resource.name} has the uuid {shown(request.params['uuid'])}"
        if record is None or record.type_name != resource.name:
            raise not_found(missing)
        if not authorize.knows(graph, caller, record):
            raise not_found(missing)
        authorize.require_access(graph, caller, record, authorize.READ)
        now = time.monotonic()
        need = need_of(graph, record, self._board.hosts_by_machine(now))
        eyes = eyes_of(graph, caller)
        conditions = self._board.told(now).conditions(record, need, eyes)
        reply: Document = {
            "type": record.type_name,
            "uuid": record.uuid,
            "revision": record.mod_revision,
            "conditions": conditions,
        }
        if record.type_name in balancer_status.TYPES:
            reply["operating"] = Standings(graph, self._board, now).of(record).document()
        return bodies.reply(reply)
