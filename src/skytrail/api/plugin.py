"""The API's seams: who finds out who asks, and who can tell what would be derived from a change.

Authenticators live in ``api/io/auth_*.py``. The gate asks them in the configured order; the first
that knows the credentials decides. Nobody else sees passwords or tokens.

The API knows no compiler. Whoever puts the process together hands in one; without it plans show the
intent alone and say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from skytrail.api.caller import Caller
from skytrail.api.documents import Document

StoredChange = tuple[str, str, bytes | None]
"""Type, uuid and encoded document of an object; None for a removal."""


class Deriver(Protocol):
    """Called from one thread at a time; may take long only in ``load``."""

    @property
    def kinds(self) -> frozenset[str]:
        """The types it needs to hear of."""
        ...

    def load(self, objects: Iterable[StoredChange]) -> None:
        """Start from these committed objects."""
        ...

    def follow(self, changes: Iterable[StoredChange]) -> None:
        """Take committed changes, in order."""
        ...

    def preview(self, changes: Iterable[StoredChange]) -> Document:
        """Return members of a plan: ``derived``, ``reachability``, their counts, ``violations``."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request carries about its sender; kept out of logs by its own ``repr``."""

    token: str = field(default="", repr=False)
    """Of ``X-Auth-Token``, or of ``Authorization: Bearer``."""
    is_bearer: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    """Of ``Authorization: Basic``."""
    certificate: Mapping[str, object] | None = None
    """Of a client whose certificate the TLS layer has verified."""
    address: str = ""

    @property
    def are_missing(self) -> bool:
        return not (self.token or self.user or self.certificate)


class NotAuthentic(Exception):
    """The credentials are of this kind and wrong: 401, without saying which part was wrong."""


class TooManyAttempts(Exception):
    """Not looked at now; try again after so many seconds: 429."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"try again in {wait_s:.0f} s")
        self.wait_s = wait_s


class IdentityUnavailable(Exception):
    """The service that could tell does not answer: 503."""


class Authenticator(Protocol):
    """One way to find out who asks."""

    @property
    def challenge(self) -> str:
        """Value of ``WWW-Authenticate`` that tells clients what is accepted."""
        ...

    async def identify(self, credentials: Credentials) -> Caller | None:
        """Return who it is; None when these credentials are not of this kind.

        Raises NotAuthentic, TooManyAttempts or IdentityUnavailable.
        """
        ...


class Directory(Protocol):
    """Where domains and projects come from, beside our own configuration."""

    async def bring_name(self, kind: str, fq_name: tuple[str, ...]) -> None:
        """Make the ``domain`` or ``project`` of that name, if it exists there and not here.

        Raises IdentityUnavailable when nobody can tell.
        """
        ...

    async def bring_uuid(self, kind: str, uuid: str) -> None:
        """Make the one with that uuid, likewise."""
        ...

    async def keep_in_step(self) -> None:
        """Remove what is gone there, until cancelled."""
        ...
