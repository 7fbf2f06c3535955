"""Asks every request who sends it, once, before its body is read.

Unix socket of a trusted user -> a component of the system
credentials -> authenticators in order -> Caller on Request.identity
none or wrong -> 401 with a challenge per authenticator;  too often -> 429 with Retry-After
"""

from __future__ import annotations

import base64
import binascii
import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import structlog

from skytrail.api import authorize
from skytrail.api.caller import Caller
from skytrail.api.io.access import is_public
from skytrail.api.io.auth_local import LocalUsers
from skytrail.api.plugin import (
    Authenticator,
    Credentials,
    Directory,
    IdentityUnavailable,
    NotAuthentic,
    TooManyAttempts,
)
from skytrail.api.security_settings import SecuritySettings
from skytrail.api.service import ConfigService
from skytrail.api.throttle import TokenBuckets, address_key
from skytrail.runtime.asgi import HttpError, Request

TOKEN_BYTES_MAX = 16 * 1024
RECHECK_S = 60.0
"""How often the sender of an open stream is asked for again."""


class Gate:
    """The authenticators of one server and how often they may be asked."""

    def __init__(
        self,
        service: ConfigService,
        settings: SecuritySettings,
        authenticators: Sequence[Authenticator],
        *,
        directory: Directory | None = None,
        is_public: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.directory = directory
        """Where projects come from that are not here yet."""
        self.is_public = is_public
        """Whether other machines can connect: the mode no-auth is then refused."""
        self.local = next((each for each in authenticators if isinstance(each, LocalUsers)), None)
        self._service = service
        self._authenticators = authenticators
        self._clock = clock
        self._trusted = {0, os.geteuid(), *settings.trusted_uids}
        self._failures = TokenBuckets(settings.failures_per_s, settings.failures_burst)
        self._requests = (
            TokenBuckets(settings.requests_per_s, settings.requests_burst)
            if settings.requests_per_s
            else None
        )
        self._log = structlog.get_logger("skytrail.api")

    async def __call__(self, request: Request) -> None:
        """Put the caller on the request; raise HttpError when it is not admitted."""
        request.identity = await self._caller_of(request)
        if isinstance(request.identity, Caller):
            self._count(request.identity)

    def admit_now(self, request: Request) -> bool:
        """Put the caller on the request if nobody has to be asked who it is; tell whether done."""
        uid = request.peer.uid
        if uid is not None and uid in self._trusted:
            request.identity = Caller(user=f"uid-{uid}", is_admin=True, is_system=True)
            return True
        return authorize.mode_of(self._service.graph) == authorize.NO_AUTH and not self.is_public

    async def _caller_of(self, request: Request) -> Caller | None:
        if self.admit_now(request):
            return cast("Caller | None", request.identity)
        if is_public(request.segments):
            return STRANGER
        credentials = credentials_of(request)
        if credentials.are_missing:
            raise self._unauthorized("Authentication required")
        return await self.identify(credentials)

    async def identify(self, credentials: Credentials) -> Caller:
        """Return who holds the credentials; raise HttpError otherwise."""
        address = address_key(credentials.address)
        wait_s = self._failures.wait_s(address, self._clock())
        if wait_s > 0:
            raise too_many(wait_s)
        try:
            caller = await self._ask(credentials)
            if caller is not None:
                return caller
        except NotAuthentic as error:
            self._failures.take(address, self._clock())
            self._log.info("authentication_failed", client=credentials.address, reason=str(error))
            raise self._unauthorized("Authentication failed", invalid=True) from error
        except TooManyAttempts as error:
            raise too_many(error.wait_s) from error
        except IdentityUnavailable as error:
            self._log.warning("identity_unavailable", reason=str(error))
            raise HttpError(503, "The identity service does not answer") from error
        self._failures.take(address, self._clock())
        raise self._unauthorized("Authentication failed", invalid=True)

    async def _ask(self, credentials: Credentials) -> Caller | None:
        for authenticator in self._authenticators:
            caller = await authenticator.identify(credentials)
            if caller is not None:
                return caller
        return None

    def standing(self, request: Request) -> Callable[[], Awaitable[bool]]:
        """Return what tells whether the sender of an open stream is still who it was.

        Asks who it is every ``RECHECK_S``, so that a user whom an identity service no longer knows
        loses the stream; while that does not answer, the identity is good until it expires.
        """
        caller = request.identity
        if not isinstance(caller, Caller):
            return self._asks_nobody
        uid = request.peer.uid
        if uid is not None and uid in self._trusted:
            return _always
        credentials = credentials_of(request)
        due = self._clock() + RECHECK_S

        async def holds() -> bool:
            nonlocal due
            if self._clock() < due:
                return True
            due = self._clock() + RECHECK_S
            try:
                return await self._ask(credentials) == caller
            except NotAuthentic:
                return False
            except (TooManyAttempts, IdentityUnavailable) as error:
                self._log.warning("identity_unavailable", reason=str(error))
                return True

        return holds

    async def _asks_nobody(self) -> bool:
        """Whether authentication is still off: nobody keeps a stream beyond that unasked."""
        return authorize.mode_of(self._service.graph) == authorize.NO_AUTH and not self.is_public

    def _count(self, caller: Caller) -> None:
        if self._requests is None or caller.is_system or caller is STRANGER:
            return
        wait_s = self._requests.take(f"{caller.project} {caller.user}", self._clock())
        if wait_s > 0:
            raise too_many(wait_s)

    def _unauthorized(self, text: str, *, invalid: bool = False) -> HttpError:
        headers = [
            (
                "www-authenticate",
                f'{each.challenge}, error="invalid_token"'
                if invalid and each.challenge.startswith("Bearer")
                else each.challenge,
            )
            for each in self._authenticators
            if each.challenge
        ]
        return HttpError(401, text, tuple(headers))


async def _always() -> bool:
    return True


STRANGER = Caller(user="anonymous")
"""Who asks for what everybody may see; holds no role, owns nothing."""


def too_many(wait_s: float) -> HttpError:
    """Return the refusal that says when to come back."""
    seconds = max(1, math.ceil(wait_s))
    text = f"Too many requests, try again in {seconds} s"
    return HttpError(429, text, (("retry-after", str(seconds)),))


def credentials_of(request: Request) -> Credentials:
    """Return what the request says about its sender; HttpError 400 when it is garbled."""
    headers = request.headers
    token, bearer = headers.get("x-auth-token", ""), False
    user = password = ""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer" if not token:
            token, bearer = rest.strip(), True
        case "basic":
            user, password = _basic(rest.strip())
        case _:
            pass
    if len(token) > TOKEN_BYTES_MAX:
        raise HttpError(400, f"The token is longer than {TOKEN_BYTES_MAX} bytes")
    return Credentials(
        token=token,
        is_bearer=bearer,
        user=user,
        password=password,
        certificate=request.peer.certificate,
        address=request.client,
    )


def _basic(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded.encode("ascii"), validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise HttpError(400, "Authorization: Basic needs base64 of user:password") from error
    user, separator, password = text.partition(":")
    if not separator or not user:
        raise HttpError(400, "Authorization: Basic needs base64 of user:password")
    return user, password
