"""Local users: HTTP Basic and signed tokens of limited life.

A token is a JWT with a shared-key signature behind the mark ``skt_``; it names the user and the
version of its password, so a changed password or a removed user ends it at once, on every server
of the store. Hashing is slow by design: it runs beside the loop, two at a time, and a password that
was right is remembered for a minute (as a keyed digest).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from skytrail.api import users
from skytrail.api.bounded import BoundedCache
from skytrail.api.caller import Caller
from skytrail.api.plugin import Credentials, NotAuthentic, TooManyAttempts
from skytrail.api.security_settings import SecuritySettings, caller_with_roles
from skytrail.api.service import ConfigService
from skytrail.api.throttle import FailureThrottle, address_key
from skytrail.api.users import User

MARK = "skt_"
REMEMBERED_S = 60.0
_ALGORITHM = "HS256"
_ISSUER = "skytrail"
_HASHES_AT_ONCE = 2
_TOKENS_COUNT_MAX = 10_000


class LocalUsers:
    """Authenticates users of the store and issues their tokens."""

    challenge = 'Basic realm="skytrail", charset="UTF-8"'

    def __init__(
        self,
        service: ConfigService,
        settings: SecuritySettings,
        *,
        hasher: PasswordHasher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._settings = settings
        self._hasher = hasher or PasswordHasher()
        self._clock = clock
        self._slots = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._throttle = FailureThrottle()
        self._nobody = self._hasher.hash(secrets.token_hex())
        """Checked for unknown users, so that they take as long as known ones."""
        self._digest_key = secrets.token_bytes(32)
        self._right: BoundedCache[bytes, float] = BoundedCache(1_000)
        self._claims: BoundedCache[str, tuple[str, str, float]] = BoundedCache(_TOKENS_COUNT_MAX)

    async def identify(self, credentials: Credentials) -> Caller | None:
        if credentials.token.startswith(MARK):
            return self._by_token(credentials.token)
        if credentials.user:
            user = await self.check(credentials.user, credentials.password, credentials.address)
            return self._caller(user, None)
        return None

    async def check(self, name: str, password: str, address: str) -> User:
        """Return the user whose password this is; NotAuthentic, TooManyAttempts otherwise."""
        key = f"{address_key(address)} {name}"
        wait_s = self._throttle.wait_s(key, self._clock())
        if wait_s > 0:
            raise TooManyAttempts(wait_s)
        user = users.get(self._service.graph, name)
        if await self._is_right(user, password):
            self._throttle.succeeded(key)
            if user is not None:
                return user
        self._throttle.failed(key, self._clock())
        raise NotAuthentic("unknown user or wrong password")

    async def _is_right(self, user: User | None, password: str) -> bool:
        if len(password.encode("utf-8", "surrogatepass")) > users.PASSWORD_BYTES_MAX:
            return False
        expected = self._nobody if user is None else user.password_hash
        text = f"{expected}\0{password}".encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._digest_key, text, hashlib.sha256)
        until = self._right.get(digest)
        if until is not None and self._clock() < until:
            return True
        async with self._slots:
            right = await asyncio.to_thread(self._verify, expected, password)
        if right and user is not None:
            self._right.put(digest, self._clock() + REMEMBERED_S)
        return right and user is not None

    def _verify(self, expected: str, password: str) -> bool:
        try:
            return self._hasher.verify(expected, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    async def hash(self, password: str) -> str:
        """Return the hash to keep of a new password."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, users.check_password(password))

    def issue(self, user: User) -> tuple[str, float]:
        """Return a token for the user and when it expires."""
        now = self._clock()
        expires_at = now + self._settings.token_lifetime_s
        claims = {
            "iss": _ISSUER,
            "sub": user.name,
            "iat": int(now),
            "exp": int(expires_at),
            "ver": user.fingerprint,
        }
        return MARK + jwt.encode(claims, self._key(), algorithm=_ALGORITHM), float(int(expires_at))

    def _by_token(self, token: str) -> Caller:
        found = self._claims.get(token)
        if found is None:
            found = self._opened(token)
            self._claims.put(token, found)
        name, version, expires_at = found
        user = users.get(self._service.graph, name)
        if user is None or user.fingerprint != version or self._clock() >= expires_at:
            raise NotAuthentic("the token is expired or revoked")
        return self._caller(user, expires_at)

    def _opened(self, token: str) -> tuple[str, str, float]:
        try:
            claims = jwt.decode(
                token.removeprefix(MARK),
                self._key(),
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={"require": ["iss", "sub", "exp", "ver"], "verify_exp": False},
            )
        except (jwt.InvalidTokenError, UnicodeEncodeError) as error:
            raise NotAuthentic("the token is not valid") from error
        return str(claims["sub"]), str(claims["ver"]), float(claims["exp"])

    def _caller(self, user: User, expires_at: float | None) -> Caller:
        graph = self._service.graph
        caller = caller_with_roles(
            self._settings,
            user.name,
            user.roles,
            project=user.project,
            domain=users.domain_of(graph, user.project),
            expires_at=expires_at,
        )
        return replace(caller, account=user.account)

    def _key(self) -> bytes:
        kept = self._service.graph.remembered(users.TOKEN_KEY)
        if kept is None:
            raise NotAuthentic("the server has no key for tokens yet")
        return bytes.fromhex(kept)
