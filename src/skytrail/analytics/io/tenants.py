"""Requests of members of projects: which paths they may ask, and how many questions of a project are answered at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from skytrail.analytics.tenant_view import NOT_SHOWN, Tenant
from skytrail.net.decimal_text import decimal
from skytrail.runtime.asgi import AsgiApp, HttpError, Request
from skytrail.runtime.tenant import PROJECT_HEADER, SINCE_HEADER, USER_HEADER

RUNNING_COUNT_MAX: Final = 4
"""Questions of one project at a time."""
_PATHS: Final = frozenset(
    {
        ("POST", ("analytics", "query")),
        ("GET", ("analytics", "tables")),
        ("GET", ("analytics", "uves")),
        ("GET", ("analytics", "uve-types")),
        ("GET", ("analytics", "uve-stream")),
        ("GET", ("analytics", "alarms")),
        ("GET", ("analytics", "alarm-stream")),
        ("POST", ("analytics", "alarms", "acknowledge")),
        ("POST", ("api", "v1", "alarms", "dry-run")),
        ("GET", ("api", "v1", "flows")),
        ("GET", ("api", "v1", "metrics")),
        ("GET", ("api", "v1", "openapi.json")),
    }
)
"""What knows tenants. A new path starts closed to them."""
_TOLD: Final = frozenset({("POST", ("api", "v1", "parts", "query"))})
"""What nodes ask each other for tenants, whose turns the asking node counts: not open to tenants themselves."""
_BELOW: Final = {
    "GET": (("analytics", "uves"), ("api", "v1", "uves")),
    "POST": (("analytics", "uves"),),
}
"""So does all that is below these: a type, and perhaps a name."""


USER_CHARACTERS_MAX: Final = 256
_SINCE_US_MAX: Final = (1 << 53) - 1


@dataclass(frozen=True, slots=True)
class Sender:
    """Who asks, as far as anybody said; ``tenant`` is whose part is shown, None: all of it."""

    user: str
    tenant: Tenant | None = None


def admit_tenant(request: Request, tenant: Tenant, user: str, *, is_told: bool = False) -> None:
    """Note who asks; HttpError 403 where a path shows more than a tenant's own.

    ``is_told``: somebody who may ask everything asks for the tenant.
    """
    method, segments = request.method, request.segments
    is_below = any(
        len(base) < len(segments) and segments[: len(base)] == base
        for base in _BELOW.get(method, ())
    )
    is_schema = (
        method == "GET" and segments[:2] == ("analytics", "table") and segments[3:] == ("schema",)
    )
    is_open = (method, segments) in _PATHS or (is_told and (method, segments) in _TOLD)
    if not (is_open or is_below or is_schema):
        raise HttpError(403, NOT_SHOWN)
    request.identity = Sender(user, tenant)


def admit_told(request: Request, user: str | None = None) -> None:
    """Let pass what may ask everything, narrowed to a project where the sender tells one.

    Who asks is ``user`` where that was found out, else who the sender says it asks for.
    """
    told = request.headers.get(PROJECT_HEADER)
    if user is None:
        uid = request.peer.uid
        nobody = "" if uid is None else f"uid {uid}"
        user = unquote(request.headers.get(USER_HEADER, nobody))[:USER_CHARACTERS_MAX]
    if told is None:
        request.identity = Sender(user)
    else:
        since_us = decimal(request.headers.get(SINCE_HEADER, "0"), 0, _SINCE_US_MAX)
        if since_us is None:
            raise HttpError(400, f"{SINCE_HEADER} is no time in microseconds since 1970")
        admit_tenant(request, Tenant(unquote(told), since_us), user, is_told=True)


def sender_of(request: Request) -> Sender:
    """Return who asks; nobody is known where nobody is asked for."""
    return request.identity if isinstance(request.identity, Sender) else Sender("")


def tenant_of(request: Request) -> Tenant | None:
    """Return whose part of history is shown; None: all of it."""
    return sender_of(request).tenant


class NodeApp(AsgiApp):
    """The node's application: each member of a project has a share of its work."""

    def share_of(self, request: Request) -> tuple[str, int]:
        sender = sender_of(request)
        return ("", 0) if sender.tenant is None else (f"{sender.tenant.project} {sender.user}", 1)


class Turns:
    """Who has questions running now; of one project at most ``count_max``."""

    def __init__(self, count_max: int = RUNNING_COUNT_MAX) -> None:
        self._count_max = count_max
        self._running: Counter[str] = Counter()

    def take(self, tenant: Tenant | None) -> None:
        """Begin a question; HttpError 503 where its project has as many as it may have."""
        if tenant is None:
            return
        if self._running[tenant.project] >= self._count_max:
            raise HttpError(
                503,
                f"{self._count_max} queries of your project are running; try again",
                (("retry-after", "2"),),
            )
        self._running[tenant.project] += 1

    def give_back(self, tenant: Tenant | None) -> None:
        """End a question."""
        if tenant is None:
            return
        self._running[tenant.project] -= 1
        if not self._running[tenant.project]:
            del self._running[tenant.project]
