"""Keystone v3: validates the users' tokens with the credentials of a service user.

    X-Auth-Token --> cache --> GET /v3/auth/tokens (X-Subject-Token) --> Caller

Ids map as existing integrations expect: a project's uuid is its Keystone id with dashes, the
domain ``default`` is ``default-domain``. A project that is not there yet is made on first sight.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import datetime

import httpx
import msgspec

from skytrail.api.bounded import BoundedCache
from skytrail.api.caller import Caller
from skytrail.api.io.keystone_client import KeystoneClient, decoded
from skytrail.api.io.keystone_mirror import KeystoneMirror, Named, dashed
from skytrail.api.plugin import Credentials, IdentityUnavailable, NotAuthentic
from skytrail.api.security_settings import SecuritySettings, caller_with_roles
from skytrail.api.service import ConfigService

CACHED_COUNT_MAX = 10_000
REFUSED_S = 30.0
"""How long a token that was not valid is not asked about again."""


class _Project(msgspec.Struct):
    id: str
    name: str
    domain: Named


class _User(msgspec.Struct):
    id: str
    name: str


class _Token(msgspec.Struct):
    user: _User
    expires_at: str
    roles: list[Named] = []
    project: _Project | None = None
    domain: Named | None = None


class _Reply(msgspec.Struct):
    token: _Token


class Keystone:
    """Authenticates X-Auth-Token at a Keystone server."""

    def __init__(
        self,
        service: ConfigService,
        settings: SecuritySettings,
        client: KeystoneClient,
        mirror: KeystoneMirror,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._settings = settings
        self._keystone = client.settings
        self._client = client
        self._mirror = mirror
        self._clock = clock
        self._known: BoundedCache[bytes, tuple[Caller, float]] = BoundedCache(CACHED_COUNT_MAX)
        self._refused: BoundedCache[bytes, float] = BoundedCache(CACHED_COUNT_MAX)
        self._asking: dict[bytes, asyncio.Future[Caller]] = {}

    @property
    def challenge(self) -> str:
        return f'Keystone uri="{self._keystone.url.removesuffix("/").removesuffix("/v3")}"'

    async def identify(self, credentials: Credentials) -> Caller | None:
        if not credentials.token or credentials.is_bearer:
            return None
        if not (credentials.token.isascii() and credentials.token.isprintable()):
            raise NotAuthentic("the token has characters no token has")
        key = hashlib.sha256(credentials.token.encode()).digest()
        now = self._clock()
        known = self._known.get(key)
        if known is not None and now < known[1]:
            return known[0]
        if (self._refused.get(key) or 0.0) > now:
            raise NotAuthentic("Keystone does not know the token")
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.ensure_future(self._ask(key, credentials.token))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        # Shielded: one client that leaves does not end the question of the others.
        return await asyncio.shield(asking)

    async def _ask(self, key: bytes, token: str) -> Caller:
        try:
            found = await self._validated(token)
        except NotAuthentic:
            self._refused.put(key, self._clock() + REFUSED_S)
            raise
        expires_at = _seconds_of(found.expires_at)
        if self._clock() >= expires_at:
            raise NotAuthentic("the token is expired")
        caller = await self._caller(found, expires_at)
        self._known.put(key, (caller, min(expires_at, self._clock() + self._keystone.cache_s)))
        return caller

    async def _validated(self, token: str) -> _Token:
        headers = {"x-subject-token": token}
        reply = await self._client.get("/auth/tokens", params={"nocatalog": "1"}, headers=headers)
        if reply.status_code == httpx.codes.OK:
            return decoded(reply, _Reply).token
        if reply.status_code == httpx.codes.NOT_FOUND:
            raise NotAuthentic("Keystone does not know the token")
        raise IdentityUnavailable(f"Keystone answered {reply.status_code} to a validation")

    async def _caller(self, token: _Token, expires_at: float) -> Caller:
        project = domain = None
        if token.project is not None:
            domain = self._mirror.domain_uuid(token.project.domain.id)
            project = dashed(token.project.id)
            if self._service.graph.get(project) is None:
                named = Named(token.project.id, token.project.name)
                domain, project = await self._mirror.make_project(named, token.project.domain)
        elif token.domain is not None:
            domain = self._mirror.domain_uuid(token.domain.id)
        roles = [role.name for role in token.roles]
        return caller_with_roles(
            self._settings, token.user.name, roles,
            project=project, domain=domain, expires_at=expires_at,
        )  # fmt: skip


def _seconds_of(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise IdentityUnavailable("Keystone's answer has no usable expires_at") from error
    if moment.tzinfo is None:
        raise IdentityUnavailable("Keystone's expires_at has no time zone")
    return moment.timestamp()
