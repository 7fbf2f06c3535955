"""Asks the API who sends a request: administrators and global readers see what all tenants do, others their project's own.

Unix socket of root or our own user -> admitted
X-Auth-Token or Authorization       -> GET /api/v1/whoami of the API with the same -> cached
the API does not answer             -> 503: nobody is let in on a guess
"""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path
from typing import Final

import httpx
import msgspec

from skytrail.analytics.io.tenants import admit_tenant, admit_told
from skytrail.analytics.tenant_view import Tenant
from skytrail.net.latest import Latest
from skytrail.runtime.asgi import HttpError, Request
from skytrail.runtime.clock import Clock

CACHED_S: Final = 20.0
"""How long an answer counts; a user whose rights are taken loses these this late."""
CACHED_COUNT_MAX: Final = 10_000
ASK_S: Final = 10.0
_CREDENTIALS: Final = ("x-auth-token", "authorization")
_PUBLIC: Final = frozenset({"/healthz"})
_ACKNOWLEDGE: Final = "/analytics/alarms/acknowledge"


class _Who(msgspec.Struct, frozen=True):
    is_admin: bool = False
    is_reader: bool = False
    user: str | None = None
    analytics_project: str | None = None
    """Full name of the project whose part the sender may see."""
    analytics_since_us: int = 0
    """Since when there is that project."""
    analytics_acknowledges: bool = False
    """Whether he may say of that project's alarms that they were seen."""


class ApiGate:
    """Admits requests by what the API says of their credentials."""

    def __init__(self, api_url: str, ca_file: Path | None, clock: Clock) -> None:
        # Plain HTTP needs no trust; loading the system's takes longer than the node's start.
        verify = (
            ssl.create_default_context(cafile=ca_file) if api_url.startswith("https") else False
        )
        self._client = httpx.AsyncClient(
            base_url=api_url, timeout=ASK_S, verify=verify, trust_env=False
        )
        self._clock = clock
        self._known: Latest[bytes, tuple[float, _Who | None]] = Latest(CACHED_COUNT_MAX)
        self._trusted = {0, os.geteuid()}

    async def close(self) -> None:
        await self._client.aclose()

    async def __call__(self, request: Request) -> None:
        """Let a request pass, perhaps as a tenant's; HttpError 401, 403 or 503 when it may not."""
        if request.path in _PUBLIC:
            return
        if request.peer.uid in self._trusted:
            admit_told(request)
            return
        said = {name: request.headers[name] for name in _CREDENTIALS if name in request.headers}
        if not said:
            raise _unknown("Log in at the API and send the token as X-Auth-Token")
        who = await self._who(said)
        if who is None:
            raise _unknown("The API does not know these credentials")
        user = who.user or ""
        is_change = request.path == _ACKNOWLEDGE
        if is_change and not (who.is_admin or who.analytics_acknowledges):
            raise HttpError(
                403,
                "Alarms are acknowledged by administrators, and by members who may change the"
                " project's ports and networks",
            )
        if who.is_admin or (who.is_reader and not is_change):
            # Another node asks as one, and tells whose rows are wanted.
            admit_told(request, user)
        else:
            if not who.analytics_project:
                raise HttpError(
                    403, "Analytics is for administrators, global readers and members of projects"
                )
            admit_tenant(request, Tenant(who.analytics_project, who.analytics_since_us), user)

    async def stands(self, request: Request) -> bool:
        """Tell whether the sender of a request that was let in may still do the same."""
        before, request.identity = request.identity, None
        try:
            await self(request)
        except HttpError:
            return False
        finally:
            after, request.identity = request.identity, before
        return after == before

    async def _who(self, said: dict[str, str]) -> _Who | None:
        key = hashlib.sha256(repr(sorted(said.items())).encode()).digest()
        known = self._known.get(key)
        if known is not None and self._clock.now() - known[0] < CACHED_S:
            return known[1]
        who = await self._ask(said)
        self._known.put(key, (self._clock.now(), who))
        return who

    async def _ask(self, said: dict[str, str]) -> _Who | None:
        try:
            reply = await self._client.get("/api/v1/whoami", headers=said)
        except httpx.HTTPError as error:
            raise _no_answer() from error
        if reply.status_code == 401:
            return None
        if reply.status_code != 200:
            raise _no_answer()
        try:
            return msgspec.json.decode(reply.content, type=_Who)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _no_answer() from error


def _unknown(text: str) -> HttpError:
    return HttpError(401, text, (("www-authenticate", "Token"),))


def _no_answer() -> HttpError:
    return HttpError(503, "The API does not say who you are; try again", (("retry-after", "2"),))
