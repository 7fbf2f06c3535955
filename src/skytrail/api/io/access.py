"""The door of the HTTP surface: which paths ask which rule before their handler runs.

Reads of types and the actions of the compatible API are judged here by their path; writes are
judged inside the planned change (``api.rights``), whatever endpoint they come through. A native
path that is not listed here is for administrators: a new endpoint starts closed.
"""

from __future__ import annotations

from skytrail.api import authorize
from skytrail.api.caller import Caller
from skytrail.api.refusal import Refused
from skytrail.api.service import ConfigService
from skytrail.api.tenant_sight import analytics_project
from skytrail.runtime.asgi import Request
from skytrail.runtime.browsers import refuse_other_sites

_OPERATIONS = {"GET": "R", "HEAD": "R", "POST": "C", "PUT": "U", "PATCH": "U", "DELETE": "D"}
PUBLIC_PATHS = frozenset({(), ("healthz",), ("openapi.json",), ("api", "v1", "login")})
"""Hold no secret, and are asked by clients before they have a token."""
_CONSOLE = "console"
_ANSWERS_FOR_ITSELF = frozenset(
    {
        "list-bulk-collection",  # A list: the right to read the type.
        "obj-perms",  # About the asker's own rights.
        "hbs-get",  # A read of one object: its type's rule and its permissions.
        "aaa-mode",
    }
)
_ADMINISTRATION = frozenset({"metrics", "introspect"})
_ADMIN_ACTIONS = frozenset({"int-pools", "int-pool", "db-check", "fetch-records", "obj-cache"})
"""Work on or show what all tenants share, and know no object whose permissions could be asked."""
NATIVE_JUDGED = frozenset(
    {
        "transaction", "explain-access", "whoami", "login", "users", "search", "trace",
        "conditions", "subnet-use",
    }
)  # fmt: skip
"""Native endpoints (the segment after ``/api/v1``) that judge every object they touch."""
_NATIVE_BY_RULE = {"watch": "watch", "events": "watch"}
_ANALYTICS = "analytics"
"""For readers, and in part for members of projects: the passage asks for these on their behalf."""
_NATIVE_OPEN = frozenset({"schemas", "docs", "live"})
"""Descriptions are the same for everybody; the stream of a browser judges each of its parts."""


def is_public(segments: tuple[str, ...]) -> bool:
    """Whether a path is served to everybody, asked or not: also the files of the console."""
    return segments in PUBLIC_PATHS or segments[:1] == (_CONSOLE,)


def check_path(service: ConfigService, caller: Caller, request: Request) -> None:
    """Raise unless the caller may use this path at all."""
    refuse_other_sites(request)
    segments, graph = request.segments, service.graph
    if is_public(segments) or not authorize.is_restricted(graph, caller):
        return
    operation = _OPERATIONS.get(request.method, "U")
    found = service.schema.by_path.get(segments[0].lower())
    if found is not None:
        resource, _ = found
        # Creates, updates and deletes are judged with their fields, where they are planned.
        if operation == "R" or len(segments) > 2:
            authorize.require_rule(graph, caller, resource.name, operation)
    elif segments[:2] == ("api", "v1"):
        _check_native(service, caller, segments[2] if len(segments) > 2 else "", operation)
    elif segments[0] in _ADMINISTRATION:
        if not caller.is_reader:
            authorize.require_admin(graph, caller, f"/{segments[0]}")
    elif segments[0] in _ADMIN_ACTIONS:
        authorize.require_admin(graph, caller, f"/{segments[0]}")
    elif segments[0] not in _ANSWERS_FOR_ITSELF:
        authorize.require_rule(graph, caller, segments[0], operation)


def _check_native(service: ConfigService, caller: Caller, name: str, operation: str) -> None:
    resource = service.schema.find(name)
    if resource is not None:
        # Writes are judged with their fields, where they are planned.
        if operation == "R":
            authorize.require_rule(service.graph, caller, resource.name, "R")
        return
    if name in _NATIVE_OPEN:
        return
    if name in NATIVE_JUDGED:
        only_admins = authorize.mode_of(service.graph) == authorize.CLOUD_ADMIN_ONLY
        if only_admins and name not in ("whoami", "users"):
            raise Refused(403, "Permission Denied: aaa-mode cloud-admin needs that role")
        return
    if name == _ANALYTICS and (caller.is_reader or analytics_project(service.graph, caller)):
        return
    subject = _NATIVE_BY_RULE.get(name)
    if subject is None:
        authorize.require_admin(service.graph, caller, f"/api/v1/{name}")
    else:
        authorize.require_rule(service.graph, caller, subject, "R")
