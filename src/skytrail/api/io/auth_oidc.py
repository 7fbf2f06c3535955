"""OpenID Connect: bearer tokens signed by an issuer whose keys are fetched and cached.

Accepted are only tokens with the configured issuer, audience and signature algorithms, none of
which is one with a shared secret; expiry and subject are required. Keys are fetched again when a
token names one that is not known, at most once a minute. Keys that change end what was remembered
of tokens, so a key the issuer has withdrawn is good for an hour at most.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import cast
from uuid import UUID

import httpx
import jwt
import msgspec

from skytrail.api import users
from skytrail.api.bounded import BoundedCache
from skytrail.api.caller import Caller
from skytrail.api.plugin import Credentials, IdentityUnavailable, NotAuthentic
from skytrail.api.security_settings import OidcSettings, SecuritySettings, caller_with_roles
from skytrail.api.service import ConfigService

KEYS_FRESH_S = 3600.0
REFETCH_S = 60.0
"""Between fetches that unknown keys cause: anybody can name one."""
RETRY_S = 5.0
"""How long an issuer that did not answer is not asked again."""
_DISCOVERY = "/.well-known/openid-configuration"


class OpenIdConnect:
    """Authenticates Authorization: Bearer."""

    challenge = 'Bearer realm="skytrail"'

    def __init__(
        self,
        service: ConfigService,
        settings: SecuritySettings,
        oidc: OidcSettings,
        *,
        http: httpx.AsyncClient,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._settings = settings
        self._oidc = oidc
        self._http = http
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._searched_at = self._failed_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._known: BoundedCache[bytes, tuple[Caller, float]] = BoundedCache(10_000)

    async def identify(self, credentials: Credentials) -> Caller | None:
        if not credentials.is_bearer:
            return None
        digest = hashlib.sha256(credentials.token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None and self._clock() < known[1]:
            return known[0]
        claims = await self._claims(credentials.token)
        caller = self._caller(claims)
        fresh_until = min(caller.expires_at or 0.0, self._clock() + KEYS_FRESH_S)
        self._known.put(digest, (caller, fresh_until))
        return caller

    async def _claims(self, token: str) -> Mapping[str, object]:
        try:
            header: Mapping[str, object] = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, UnicodeEncodeError) as error:
            raise NotAuthentic("not a signed token") from error
        if header.get("alg") not in self._oidc.algorithms:
            raise NotAuthentic("the token's algorithm is not accepted")
        key = await self._key(str(header.get("kid", "")))
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=list[str](self._oidc.algorithms),
                audience=self._oidc.audience,
                issuer=self._oidc.issuer,
                leeway=self._oidc.leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, TypeError, ValueError) as error:
            raise NotAuthentic(f"the token is not valid: {error}") from error
        return cast("Mapping[str, object]", claims)

    async def _key(self, kid: str) -> jwt.PyJWK:
        async with self._fetching:
            now = self._clock()
            if now - self._fetched_at > KEYS_FRESH_S:
                await self._fetch(now)
            elif kid not in self._keys and kid and now - self._searched_at > REFETCH_S:
                self._searched_at = now
                await self._fetch(now)
        if kid in self._keys:
            return self._keys[kid]
        if not kid and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        raise NotAuthentic("the token is signed by a key the issuer does not have")

    async def _fetch(self, now: float) -> None:
        if now - self._failed_at < RETRY_S:
            raise IdentityUnavailable("the issuer did not answer a moment ago")
        try:
            keys = await self._published()
        except IdentityUnavailable:
            self._failed_at = now
            raise
        self._fetched_at = now
        if set(keys) != set(self._keys):
            self._known = BoundedCache(10_000)
        self._keys = keys

    async def _published(self) -> dict[str, jwt.PyJWK]:
        """Return the keys the issuer signs with, by name."""
        url = self._oidc.key_set_url
        if not url:
            page = await self._get(self._oidc.issuer.removesuffix("/") + _DISCOVERY)
            if page.get("issuer") != self._oidc.issuer:
                raise IdentityUnavailable("the discovery document names another issuer")
            url = str(page.get("jwks_uri", ""))
        keys: dict[str, jwt.PyJWK] = {}
        listed = (await self._get(url)).get("keys")
        for each in cast("list[object]", listed) if isinstance(listed, list) else []:
            if not isinstance(each, dict):
                continue
            described = cast("dict[str, object]", each)
            if described.get("kty") == "oct" or described.get("use", "sig") != "sig":
                continue
            try:
                keys[str(described.get("kid", ""))] = jwt.PyJWK.from_dict(described)
            except (jwt.PyJWKError, jwt.InvalidKeyError):
                # A key of a kind that is not known here signs nothing that is accepted here.
                continue
        if not keys:
            raise IdentityUnavailable("the issuer publishes no usable key")
        return keys

    async def _get(self, url: str) -> Mapping[str, object]:
        try:
            reply = await self._http.get(url, timeout=self._oidc.timeout_s)
            reply.raise_for_status()
            return msgspec.json.decode(reply.content, type=dict[str, object])
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            msgspec.DecodeError,
            UnicodeDecodeError,
        ) as error:
            raise IdentityUnavailable(f"the issuer does not answer at {url}: {error}") from error

    def _caller(self, claims: Mapping[str, object]) -> Caller:
        oidc, graph = self._oidc, self._service.graph
        named = claims.get(oidc.user_claim) or claims["sub"]
        project = _uuid(claims.get(oidc.project_claim))
        domain = _uuid(claims.get(oidc.domain_claim)) or users.domain_of(graph, project)
        return caller_with_roles(
            self._settings, str(named), _roles(claims, oidc.roles_claim),
            project=project, domain=domain, expires_at=float(str(claims["exp"])),
        )  # fmt: skip


def _roles(claims: Mapping[str, object], path: str) -> list[str]:
    here: object = claims
    for part in path.split("."):
        here = cast("Mapping[str, object]", here).get(part) if isinstance(here, dict) else None
    if isinstance(here, str):
        return here.split()
    given = cast("list[object]", here) if isinstance(here, list) else []
    return [role for role in given if isinstance(role, str)]


def _uuid(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        return str(UUID(hex=value))
    except ValueError as error:
        raise NotAuthentic("the token's project or domain is not a uuid") from error
