"""Who of several processes does a job: elections by lease, for components that are API clients.

POST   /api/v1/elections/{name}           {"ttl_s": 2, "lease": "..."}  -->  {"lease", "leading", "ttl_s"}
DELETE /api/v1/elections/{name}/{lease}   resign, so that the next need not wait

A candidate asks again and again, several times within its lease's time: the first request grants the
lease, each further one keeps it and tries for the office. The lease is the store's, so the next
request may go to another server, and a candidate that dies loses the office when its lease ends.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import uuid4

import msgspec

from skytrail.api import authorize
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.refusal import Refused, bad_request
from skytrail.api.service import ConfigService
from skytrail.model.validate import shown
from skytrail.runtime.asgi import Request, Response, Router
from skytrail.runtime.clock import SystemClock
from skytrail.store.plugin import LeaseBackend, StoreUnavailable

TTL_S_MIN: Final = 1.0
TTL_S_MAX: Final = 60.0
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LEASE = re.compile(r"[0-9a-f]{32}")


class Candidacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ttl_s: float = 2.0
    lease: str | None = None


class Elections:
    """Handlers of the two requests."""

    def __init__(self, service: ConfigService) -> None:
        self._service = service
        self._store: LeaseBackend = service.store
        self._clock = SystemClock()

    def add_routes(self, router: Router) -> None:
        router.add("POST", "/api/v1/elections/{name}", self._stand)
        router.add("DELETE", "/api/v1/elections/{name}/{lease}", self._resign)

    async def _stand(self, request: Request) -> Response:
        name = self._checked_name(request)
        asked = bodies.read_json(request, Candidacy)
        if not TTL_S_MIN <= asked.ttl_s <= TTL_S_MAX:
            raise bad_request(f"ttl_s must be {TTL_S_MIN:g} to {TTL_S_MAX:g}, not {asked.ttl_s:g}")
        lease = uuid4().hex if asked.lease is None else _checked_lease(asked.lease)
        try:
            now = self._clock.now()
            kept = await self._store.write_lease(
                lease, now + asked.ttl_s, now, renew=asked.lease is not None
            )
            if not kept:
                raise Refused(410, f"The lease {lease} ran out; stand again without it")
            leading = await self._store.campaign(name, lease, self._clock.now())
        except StoreUnavailable as error:
            raise _unavailable(error) from error
        return bodies.reply({"lease": lease, "leading": leading, "ttl_s": asked.ttl_s})

    async def _resign(self, request: Request) -> Response:
        name, lease = self._checked_name(request), _checked_lease(request.params["lease"])
        try:
            await self._store.resign(name, lease)
            await self._store.drop_lease(lease)
        except StoreUnavailable as error:
            raise _unavailable(error) from error
        return bodies.empty()

    def _checked_name(self, request: Request) -> str:
        # Components hold no administrator's role, and no right that rules could give them.
        authorize.require_admin(self._service.graph, caller_of(request), "an election")
        name = request.params["name"]
        if _NAME.fullmatch(name) is None:
            raise bad_request(f"An election's name is 1 to 64 of a-z, 0-9 and -, not {shown(name)}")
        return name


def _unavailable(error: StoreUnavailable) -> Refused:
    return Refused(503, f"The configuration store is not available: {error}")


def _checked_lease(text: str) -> str:
    if _LEASE.fullmatch(text) is None:
        raise bad_request(f"A lease is 32 hexadecimal digits, not {shown(text)}")
    return text
