"""Calls on integer pools and their numbers; each path serves several methods."""

from __future__ import annotations

from skytrail.api import int_pools
from skytrail.api.io import bodies
from skytrail.api.io.callers import write_for
from skytrail.api.service import ConfigService
from skytrail.runtime.asgi import Request, Response, Router


class IntPools:
    """Handlers; each returns a response or raises Refused."""

    def __init__(self, service: ConfigService) -> None:
        self._service = service

    def add_routes(self, router: Router) -> None:
        """Serve the pools."""
        router.add("POST", "/int-pools", self._create)
        router.add("DELETE", "/int-pools", self._delete)
        router.add("GET", "/int-pool", self._owner)
        router.add("POST", "/int-pool", self._allocate)
        router.add("DELETE", "/int-pool", self._free)

    async def _create(self, request: Request) -> Response:
        given = bodies.read_document(request)
        await write_for(request, self._service, lambda change: int_pools.create(change, given))
        return bodies.reply({})

    async def _delete(self, request: Request) -> Response:
        given = bodies.read_document(request)
        await write_for(request, self._service, lambda change: int_pools.delete(change, given))
        return bodies.empty()

    async def _owner(self, request: Request) -> Response:
        owner = int_pools.owner_of(self._service.graph, bodies.parameters(request))
        return bodies.reply({"owner": owner})

    async def _allocate(self, request: Request) -> Response:
        given = bodies.read_document(request)
        written = await write_for(
            request, self._service, lambda change: int_pools.allocate(change, given)
        )
        return bodies.reply({"value": written.value})

    async def _free(self, request: Request) -> Response:
        given = bodies.read_document(request)
        await write_for(request, self._service, lambda change: int_pools.free(change, given))
        return bodies.empty()
