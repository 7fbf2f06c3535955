"""Change sets over HTTP.

GET, POST         /api/v1/change-sets                     all; a new one: title, operations
GET, DELETE       /api/v1/change-sets/<id>                one; discard it
POST              /api/v1/change-sets/<id>/operations     add operations
GET               /api/v1/change-sets/<id>/plan           review: the plan, and conflicts
POST              /api/v1/change-sets/<id>/commit         all of it, or 409
POST              /api/v1/change-sets/<id>/rebase         take the objects as they are now
"""

from __future__ import annotations

import msgspec

from skytrail.api import change_sets
from skytrail.api.change import Change
from skytrail.api.change_sets import PREFIX, ChangeSet
from skytrail.api.documents import Document
from skytrail.api.graph import Overlay
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of, write_for
from skytrail.api.io.native import NativeApi, check_parameters
from skytrail.api.io.planning import Planner
from skytrail.api.native import Operation
from skytrail.api.problem import Problem
from skytrail.api.service import ConfigService
from skytrail.runtime.asgi import JSON, Request, Response, Router

_NONE: frozenset[str] = frozenset()


class _Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str = ""
    operations: list[Operation] = []


class _More(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operations: list[Operation]


class ChangeSetApi:
    """Handlers of change sets; for administrators, as ``io.access`` sees to."""

    def __init__(self, service: ConfigService, native: NativeApi, planner: Planner) -> None:
        self._service = service
        self._native = native
        self._planner = planner

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/change-sets", self._list)
        router.add("POST", "/api/v1/change-sets", self._draft)
        router.add("GET", "/api/v1/change-sets/{set}", self._read)
        router.add("DELETE", "/api/v1/change-sets/{set}", self._discard)
        router.add("POST", "/api/v1/change-sets/{set}/operations", self._extend)
        router.add("GET", "/api/v1/change-sets/{set}/plan", self._review)
        router.add("POST", "/api/v1/change-sets/{set}/commit", self._commit)
        router.add("POST", "/api/v1/change-sets/{set}/rebase", self._rebase)

    def _all(self) -> list[ChangeSet]:
        memory = self._service.graph.memory
        texts = [text for key, text in memory.items() if key.startswith(PREFIX)]
        found = [msgspec.json.decode(text, type=ChangeSet) for text in texts]
        return sorted(found, key=lambda each: each.created)

    async def _list(self, request: Request) -> Response:
        check_parameters(request, _NONE)
        listed: list[Document] = []
        for each in self._all():
            whole = each.shown(self._service.schema)
            whole["operations_count"] = len(each.operations)
            del whole["operations"]
            listed.append(whole)
        return bodies.reply({"change_sets": listed})

    async def _draft(self, request: Request) -> Response:
        check_parameters(request, _NONE)
        asked = bodies.read_json(request, _Draft)
        ground, count = self._native.ground(request), len(self._all())
        self._try(request, asked.operations, ())
        written = await write_for(
            request,
            self._service,
            lambda change: change_sets.draft(change, asked.title, asked.operations, count, ground),
        )
        headers = (("location", f"/api/v1/change-sets/{written.value.id}"),)
        return Response(
            201, msgspec.json.encode(written.value.shown(self._service.schema)), JSON, headers
        )

    async def _read(self, request: Request) -> Response:
        check_parameters(request, _NONE)
        return self._reply(self._existing(request))

    async def _extend(self, request: Request) -> Response:
        check_parameters(request, _NONE)
        asked = bodies.read_json(request, _More)
        existing, ground = self._existing(request), self._native.ground(request)
        self._try(request, asked.operations, existing.operations)

        def plan(change: Change) -> ChangeSet:
            current = change_sets.load(change.view, existing.id)
            return change_sets.extend(change, current, asked.operations, ground)

        written = await write_for(request, self._service, plan)
        return self._reply(written.value)

    async def _review(self, request: Request) -> Response:
        check_parameters(request, _NONE)
        existing = self._existing(request)
        overlay, moved = self._rehearse(request, existing)
        found = await self._planner.of(overlay)
        conflicts = [{"pointer": each.pointer, "detail": each.detail} for each in moved]
        return bodies.reply({**found, "conflicts": conflicts})

    async def _commit(self, request: Request) -> Response:
        check_parameters(request, _NONE)
        existing, ground = self._existing(request), self._native.ground(request)
        written = await write_for(
            request,
            self._service,
            lambda change: change_sets.commit(change, existing.id, ground),
            weight=len(existing.operations),
            request_id=f"{request.id} change-set {existing.id} {existing.title}".strip()[:256],
        )
        results = [{"uuid": d.record.uuid, "result": d.verb} for d in written.value]
        return bodies.reply(
            {"revision": written.revision, "change": written.change, "results": results}
        )

    async def _rebase(self, request: Request) -> Response:
        check_parameters(request, _NONE)
        identity = self._existing(request).id
        written = await write_for(
            request,
            self._service,
            lambda change: change_sets.rebase(change, change_sets.load(change.view, identity)),
        )
        return self._reply(written.value)

    async def _discard(self, request: Request) -> Response:
        check_parameters(request, _NONE)
        identity = self._existing(request).id

        def plan(change: Change) -> None:
            change_sets.load(change.view, identity)
            change.view.remember(PREFIX + identity, None)

        await write_for(request, self._service, plan)
        return bodies.reply({"discarded": identity})

    def _reply(self, found: ChangeSet) -> Response:
        return bodies.reply(found.shown(self._service.schema))

    def _existing(self, request: Request) -> ChangeSet:
        return change_sets.load(self._service.graph, request.params["set"])

    def _rehearse(self, request: Request, existing: ChangeSet) -> tuple[Overlay, list[Problem]]:
        ground = self._native.ground(request)

        def plan(change: Change) -> list[Problem]:
            moved = change_sets.conflicts(change, existing)
            change_sets.try_out(change, existing, ground)
            return moved

        moved, overlay = self._service.rehearse(plan, caller=caller_of(request))
        return overlay, moved

    def _try(self, request: Request, more: list[Operation], before: tuple[Operation, ...]) -> None:
        """Refuse operations that could not be carried out after those before them."""
        trial = ChangeSet("", "", "", "", operations=(*before, *more))
        ground = self._native.ground(request)
        self._service.rehearse(
            lambda change: change_sets.try_out(change, trial, ground), caller=caller_of(request)
        )
