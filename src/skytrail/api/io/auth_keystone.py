"""Keystone v3: validates the users' tokens with the credentials of a service user.

    X-Auth-Token --> cache --> GET /v3/auth/tokens (X-Subject-Token) --> Caller
                                 401: the service's own token is renewed once

Ids map as existing integrations expect: a project's uuid is its Keystone id with dashes, the
domain ``default`` is ``default-domain``. A project that is not there yet is made on first sight.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import httpx
import msgspec

from skytrail.api import admission
from skytrail.api.bounded import BoundedCache
from skytrail.api.caller import THE_SERVER, Caller
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import find
from skytrail.api.plugin import Credentials, IdentityUnavailable, NotAuthentic
from skytrail.api.refusal import Refused
from skytrail.api.security_settings import KeystoneSettings, SecuritySettings, caller_with_roles
from skytrail.api.service import ConfigService

CACHED_COUNT_MAX = 10_000
REFUSED_S = 30.0
"""How long a token that was not valid is not asked about again."""
_DEFAULT_DOMAIN = ("default-domain",)


class _Named(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Project(msgspec.Struct):
    id: str
    name: str
    domain: _Named


class _User(msgspec.Struct):
    id: str
    name: str


class _Token(msgspec.Struct):
    user: _User
    expires_at: str
    roles: list[_Named] = []
    project: _Project | None = None
    domain: _Named | None = None


class _Reply(msgspec.Struct):
    token: _Token


class Keystone:
    """Authenticates X-Auth-Token at a Keystone server."""

    def __init__(
        self,
        service: ConfigService,
        settings: SecuritySettings,
        keystone: KeystoneSettings,
        password: str,
        *,
        http: httpx.AsyncClient,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._settings = settings
        self._keystone = keystone
        self._password = password
        self._http = http
        self._clock = clock
        self._service_token = ""
        self._renewing = asyncio.Lock()
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
        mine = self._service_token or await self._renewed("")
        reply = await self._validate(mine, token)
        if reply.status_code == httpx.codes.UNAUTHORIZED:
            reply = await self._validate(await self._renewed(mine), token)
        if reply.status_code == httpx.codes.OK:
            return _decoded(reply).token
        if reply.status_code == httpx.codes.NOT_FOUND:
            raise NotAuthentic("Keystone does not know the token")
        raise IdentityUnavailable(f"Keystone answered {reply.status_code} to a validation")

    async def _validate(self, mine: str, token: str) -> httpx.Response:
        headers = {"x-auth-token": mine, "x-subject-token": token}
        return await self._send("GET", "/auth/tokens", headers, params={"nocatalog": "1"})

    async def _renewed(self, stale: str) -> str:
        """Return a token of the service user that is not the stale one."""
        async with self._renewing:
            if self._service_token and self._service_token != stale:
                return self._service_token
            keystone = self._keystone
            who = {
                "name": keystone.user,
                "domain": {"name": keystone.user_domain},
                "password": self._password,
            }
            where = {"name": keystone.project, "domain": {"name": keystone.project_domain}}
            body = {
                "auth": {
                    "identity": {"methods": ["password"], "password": {"user": who}},
                    "scope": {"project": where},
                }
            }
            reply = await self._send("POST", "/auth/tokens", {}, json=body)
            token = reply.headers.get("x-subject-token", "")
            if reply.status_code != httpx.codes.CREATED or not token:
                raise IdentityUnavailable(
                    f"Keystone answered {reply.status_code} to the service user's login"
                )
            self._service_token = token
            return token

    async def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        json: object = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response:
        url = self._keystone.url.removesuffix("/") + path
        try:
            return await self._http.request(
                method, url, headers=headers, json=json, params=params,
                timeout=self._keystone.timeout_s,
            )  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise IdentityUnavailable(f"Keystone does not answer: {reason}") from error

    async def _caller(self, token: _Token, expires_at: float) -> Caller:
        project = domain = None
        if token.project is not None:
            domain = self._domain(token.project.domain.id)
            project = _dashed(token.project.id)
            if self._service.graph.get(project) is None:
                domain, project = await self._make_project(token.project)
        elif token.domain is not None:
            domain = self._domain(token.domain.id)
        roles = [role.name for role in token.roles]
        return caller_with_roles(
            self._settings, token.user.name, roles,
            project=project, domain=domain, expires_at=expires_at,
        )  # fmt: skip

    def _domain(self, keystone_id: str) -> str:
        if keystone_id == "default":
            return self._service.graph.uuid_of("domain", _DEFAULT_DOMAIN) or ""
        return _dashed(keystone_id)

    async def _make_project(self, project: _Project) -> tuple[str, str]:
        try:
            written = await self._service.write(
                lambda change: ensure_project(
                    change,
                    project.id,
                    project.name,
                    domain_id=project.domain.id,
                    domain_name=project.domain.name,
                ),
                caller=THE_SERVER,
            )
        except Refused as refusal:
            raise IdentityUnavailable(f"the project cannot be made: {refusal.text}") from refusal
        return written.value


def ensure_project(
    change: Change, project_id: str, project_name: str, *, domain_id: str, domain_name: str
) -> tuple[str, str]:
    """Plan a Keystone project and its domain where they are missing; return both uuids."""
    domain_uuid = change.view.uuid_of("domain", _DEFAULT_DOMAIN)
    if domain_id != "default" or domain_uuid is None:
        domain_uuid = _dashed(domain_id)
        _ensure(change, "domain", domain_uuid, (), domain_name)
    domain = change.view.get(domain_uuid)
    uuid = _dashed(project_id)
    _ensure(change, "project", uuid, () if domain is None else domain.fq_name, project_name)
    return domain_uuid, uuid


def _ensure(change: Change, kind: str, uuid: str, above: tuple[str, ...], name: str) -> None:
    if change.view.get(uuid) is not None:
        return
    usable = name.replace(":", "_")
    if find(change.view, kind, (*above, usable)) is not None:
        # The name is taken by an object that is not Keystone's, or by a deleted project's.
        usable = f"{usable}-{uuid}"
    body: Document = {"uuid": uuid, "fq_name": [*above, usable], "display_name": name}
    admission.create(change, change.schema.resources[kind], body)


def _dashed(keystone_id: str) -> str:
    try:
        return str(UUID(hex=keystone_id))
    except ValueError as error:
        raise NotAuthentic(f"Keystone id {keystone_id[:64]!r} is not a uuid") from error


def _decoded(reply: httpx.Response) -> _Reply:
    try:
        return msgspec.json.decode(reply.content, type=_Reply)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IdentityUnavailable(f"Keystone's answer does not fit: {error}") from error


def _seconds_of(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise IdentityUnavailable("Keystone's answer has no usable expires_at") from error
    if moment.tzinfo is None:
        raise IdentityUnavailable("Keystone's expires_at has no time zone")
    return moment.timestamp()
