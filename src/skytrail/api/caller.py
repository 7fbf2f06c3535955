"""Who a request comes from, as the authenticator found out; everything that judges rights reads this."""

from __future__ import annotations

from dataclasses import dataclass, field

CLOUD_ADMIN = "cloud-admin"


@dataclass(frozen=True, slots=True)
class Account:
    """A local user at the moment an identity was taken from it."""

    name: str
    version: str
    """Another one as soon as password, roles or project are others."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated identity. Project and domain are uuids in dashed form."""

    user: str
    project: str | None = None
    domain: str | None = None
    roles: frozenset[str] = frozenset()
    is_admin: bool = False
    """Holds the cloud administrator's role: no object permission is in its way."""
    is_system: bool = False
    """A component of Skytrail itself (compiler, control node) rather than a user."""
    is_reader: bool = False
    """Holds the role that may read everything and change nothing."""
    expires_at: float | None = None
    """Seconds since the epoch after which the identity is no longer good; streams end then."""

    account: Account | None = field(default=None, compare=False)
    """The local user this is; the identity is no longer good when that is another or gone."""

    @property
    def owner(self) -> str:
        """What ``perms2.owner`` of an object made by this caller is, where nothing else says."""
        return self.project.replace("-", "") if self.project else CLOUD_ADMIN


NOBODY_ASKED = Caller(user="no-auth", is_admin=True)
"""The caller of every request while authentication is off."""
THE_SERVER = Caller(user="system", is_admin=True, is_system=True)
"""The server itself: default objects, companions made at start."""
