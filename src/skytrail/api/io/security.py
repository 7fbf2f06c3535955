"""Endpoints about rights and identities.

/aaa-mode GET, PUT     /obj-perms GET               of the compatible API
/api/v1/login POST     /api/v1/whoami GET           /api/v1/explain-access GET
/api/v1/users GET, POST      /api/v1/users/{name} PUT, DELETE     /api/v1/users/{name}/password POST
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import msgspec

from skytrail.api import access_rules, admission, authorize, rights, texts, users
from skytrail.api.authorize import MODE_NOTE, MODES, NO_AUTH, RBAC
from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record, find
from skytrail.api.io import bodies
from skytrail.api.io.auth_local import LocalUsers
from skytrail.api.io.callers import caller_of, write_for
from skytrail.api.io.gate import Gate, too_many
from skytrail.api.plugin import Credentials, NotAuthentic, TooManyAttempts
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.security_settings import SecuritySettings, caller_with_roles
from skytrail.api.service import ConfigService
from skytrail.api.tenant_sight import analytics_project, may_acknowledge, project_since_us
from skytrail.model.validate import shown
from skytrail.runtime.asgi import HttpError, Request, Response, Router

_OPERATIONS = {
    "c": "C", "create": "C", "r": "R", "read": "R", "u": "U", "update": "U",
    "d": "D", "delete": "D", "x": "X", "link": "X",
}  # fmt: skip


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    user: str
    password: str


class _UserChange(msgspec.Struct, forbid_unknown_fields=True):
    password: str | None = None
    roles: list[str] | None = None
    project: str | msgspec.UnsetType | None = msgspec.UNSET


class _NewUser(_UserChange, forbid_unknown_fields=True, kw_only=True):
    name: str


class _PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    password: str
    old_password: str = ""


class SecurityEndpoints:
    """Handlers; each returns a response or raises Refused or HttpError."""

    def __init__(self, service: ConfigService, gate: Gate | None) -> None:
        self._service = service
        self._gate = gate

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/aaa-mode", self._mode)
        router.add("PUT", "/aaa-mode", self._set_mode)
        router.add("GET", "/obj-perms", self._object_permissions)
        router.add("POST", "/api/v1/login", self._login)
        router.add("GET", "/api/v1/whoami", self._whoami)
        router.add("GET", "/api/v1/explain-access", self._explain)
        router.add("GET", "/api/v1/users", self._users)
        router.add("POST", "/api/v1/users", self._add_user)
        router.add("PUT", "/api/v1/users/{name}", self._put_user)
        router.add("DELETE", "/api/v1/users/{name}", self._delete_user)
        router.add("POST", "/api/v1/users/{name}/password", self._set_password)

    def _require_admin(self, request: Request, what: str) -> None:
        authorize.require_admin(self._service.graph, caller_of(request), what)

    # The mode.

    def _mode_for(self, caller: Caller) -> str:
        return NO_AUTH if caller == NOBODY_ASKED else authorize.mode_of(self._service.graph)

    async def _mode(self, request: Request) -> Response:
        return bodies.reply({"aaa-mode": self._mode_for(caller_of(request))})

    async def _set_mode(self, request: Request) -> Response:
        self._require_admin(request, "changing aaa-mode")
        wanted = bodies.read_document(request).get("aaa-mode")
        if wanted not in MODES:
            raise bad_request(f"Invalid aaa-mode {shown(wanted)}: one of {', '.join(MODES)}")
        if self._gate is None and wanted != NO_AUTH:
            raise bad_request(
                "Authentication is off, so nobody can be told apart: start the server with"
                " --security and a settings file that names a way to authenticate"
            )
        if self._gate is not None and wanted == NO_AUTH and self._gate.is_public:
            raise Refused(403, "no-auth is refused while other machines can reach this server")
        if self._gate is not None:
            await write_for(request, self._service, lambda change: set_mode(change, str(wanted)))
        return bodies.reply({"aaa-mode": wanted})

    async def _object_permissions(self, request: Request) -> Response:
        uuid = str(bodies.parameters(request).get("uuid", ""))
        graph, caller = self._service.graph, caller_of(request)
        record = graph.get(uuid)
        if record is None or not authorize.knows(graph, caller, record):
            raise not_found(texts.unknown_id(shown(uuid)))
        given = request.headers.get("x-user-token")
        subject = caller
        if self._gate is not None and given is not None:
            subject = await self._gate.identify(Credentials(token=given, address=request.client))
        if not authorize.is_restricted(graph, subject):
            bits = authorize.READ | authorize.WRITE | authorize.LINK
        else:
            bits = authorize.access_to(subject, record)
            bits |= authorize.READ if authorize.sees(graph, subject, record) else 0
        is_off = subject == NOBODY_ASKED
        return bodies.reply(
            {
                "token_info": None if is_off else _token_of(subject),
                "is_cloud_admin_role": subject.is_admin and not is_off,
                "is_global_read_only_role": subject.is_reader,
                "permissions": "" if bits == 0 else authorize.letters(bits),
            }
        )

    # Who.

    async def _login(self, request: Request) -> Response:
        local = self._local()
        given = bodies.read_json(request, _Login)
        try:
            user = await local.check(given.user, given.password, request.client)
        except NotAuthentic:
            raise HttpError(
                401, "Unknown user or wrong password", (("www-authenticate", local.challenge),)
            ) from None
        except TooManyAttempts as error:
            raise too_many(error.wait_s) from error
        token, expires_at = local.issue(user)
        return bodies.reply({"token": token, "expires_at": expires_at, **user.shown()})

    async def _whoami(self, request: Request) -> Response:
        caller = caller_of(request)
        graph = self._service.graph
        seen = {
            "analytics_project": analytics_project(graph, caller),
            "analytics_since_us": project_since_us(graph, caller),
            "analytics_acknowledges": may_acknowledge(graph, caller),
        }
        keeps_users = self._gate is not None and self._gate.local is not None
        return bodies.reply(
            {
                **_identity(caller),
                **seen,
                "aaa_mode": self._mode_for(caller),
                "keeps_users": keeps_users,
            }
        )

    def _local(self) -> LocalUsers:
        local = None if self._gate is None else self._gate.local
        if local is None:
            raise Refused(501, "This server keeps no local users")
        return local

    # Local users.

    async def _users(self, request: Request) -> Response:
        self._local()
        self._require_admin(request, "reading users")
        found = users.all_users(self._service.graph)
        return bodies.reply({"users": [user.shown() for user in found]})

    async def _add_user(self, request: Request) -> Response:
        """Add a user; one that is there stays as it is."""
        local = self._local()
        self._require_admin(request, "adding users")
        given = bodies.read_json(request, _NewUser)
        name = users.check_name(given.name)
        users.refuse_new(self._service.graph, name)  # Before the slow hash; again in the plan.
        hashed = None if given.password is None else await local.hash(given.password)

        def plan(change: Change) -> users.User:
            users.refuse_new(change.view, name)
            return _put(change, name, given, hashed)

        written = await write_for(request, self._service, plan)
        return bodies.reply(written.value.shown())

    async def _put_user(self, request: Request) -> Response:
        local = self._local()
        self._require_admin(request, "changing users")
        name = users.check_name(request.params["name"])
        given = bodies.read_json(request, _UserChange)
        hashed = None if given.password is None else await local.hash(given.password)

        def plan(change: Change) -> users.User:
            if given.roles is not None:
                self._keep_administrator(change, name, given.roles)
            return _put(change, name, given, hashed)

        written = await write_for(request, self._service, plan)
        return bodies.reply(written.value.shown())

    async def _delete_user(self, request: Request) -> Response:
        self._local()
        name = request.params["name"]
        self._require_admin(request, "removing users")

        def plan(change: Change) -> None:
            self._keep_administrator(change, name)
            users.remove(change, name)

        await write_for(request, self._service, plan)
        return bodies.reply({"removed": name})

    def _keep_administrator(self, change: Change, name: str, remaining: Sequence[str] = ()) -> None:
        """Refuse to do away with the last administrator, where only local users can be one."""
        settings = SecuritySettings() if self._gate is None else self._gate.settings
        if set(settings.authentication) <= {"local"}:
            known = [user.name for user in users.all_users(self._service.graph)]
            role = settings.cloud_admin_role
            users.keep_administrator(change.view, known, name, role, remaining)

    async def _set_password(self, request: Request) -> Response:
        """Change a password: one's own by the old one, anybody's as an administrator."""
        local, caller = self._local(), caller_of(request)
        name = request.params["name"]
        given = bodies.read_json(request, _PasswordChange)
        if authorize.is_restricted(self._service.graph, caller):
            if caller.user != name:
                raise Refused(403, "Permission Denied: only one's own password can be changed")
            try:
                await local.check(name, given.old_password, request.client)
            except NotAuthentic:
                raise Refused(403, "old_password: wrong") from None
            except TooManyAttempts as error:
                raise too_many(error.wait_s) from error
        hashed = await local.hash(given.password)
        change_to = _UserChange(password=given.password)
        await write_for(
            request,
            self._service,
            lambda change: _put(change, name, change_to, hashed, must_exist=True),
        )
        return bodies.reply({"user": name, "password": "changed"})

    # Why.

    async def _explain(self, request: Request) -> Response:
        """Tell what would be answered to an operation, and each step that led there."""
        given = bodies.parameters(request)
        graph, asking = self._service.graph, caller_of(request)
        subject = asking
        if {"user", "roles", "project"} & given.keys():
            authorize.require_admin(graph, asking, "explaining for somebody else")
            subject = self._somebody(given)
        operation = _OPERATIONS.get(str(given.get("operation", "read")).lower())
        if operation is None:
            raise bad_request(f"operation: one of {', '.join(_OPERATIONS)}")
        name = str(given.get("type", ""))
        if not name:
            raise bad_request("type: name an object type or the path of an action")
        resource = self._service.schema.find(name)
        record = self._object_of(given, asking)
        fields = [part for part in str(given.get("fields", "")).split(",") if part]
        verdict = authorize.judge(
            graph, subject, operation, resource.name if resource else name,
            record=record, fields=fields,
        )  # fmt: skip
        if operation == "C" and authorize.is_restricted(graph, subject):
            verdict = rights.explained_create(verdict, resource, has_parent=record is not None)
        rules = access_rules.rules_for(graph, subject)
        wanted = {(resource.name if resource else name).lower(), access_rules.ANY}
        return bodies.reply(
            {
                "allowed": verdict.allowed,
                "status": 200 if verdict.allowed else verdict.status,
                "text": verdict.text,
                "caller": _identity(subject),
                "aaa_mode": self._mode_for(subject),
                "steps": [asdict(step) for step in verdict.steps],
                "rules": [asdict(rule) for rule in rules if rule.subject in wanted],
            }
        )

    def _somebody(self, given: Document) -> Caller:
        settings = SecuritySettings() if self._gate is None else self._gate.settings
        graph = self._service.graph
        local = users.get(graph, str(given.get("user", "")))
        named = given.get("project")
        project = users.project_uuid(graph, None if named is None else str(named))
        roles = [role for role in str(given.get("roles", "")).split(",") if role]
        if local is not None:
            project, roles = project or local.project, roles or list(local.roles)
        return caller_with_roles(
            settings, str(given.get("user", "somebody")), roles,
            project=project, domain=users.domain_of(graph, project),
        )  # fmt: skip

    def _object_of(self, given: Document, asking: Caller) -> Record | None:
        """Return the object asked about, or its parent for a create; None when none is named."""
        graph = self._service.graph
        uuid, name = given.get("uuid"), given.get("fq_name")
        if uuid is None and name is None:
            return None
        if uuid is not None:
            record = graph.get(str(uuid))
        else:
            kind = str(given.get("object_type", given.get("type", "")))
            resource = self._service.schema.find(kind)
            if resource is None:
                raise not_found(texts.resource_type_not_found(shown(kind)))
            record = find(graph, resource.name, tuple(str(name).split(":")))
        if record is None or not authorize.knows(graph, asking, record):
            raise not_found(f"There is no object {shown(uuid or name)}, or you may not know of it")
        return record


def _put(
    change: Change,
    name: str,
    given: _UserChange,
    hashed: str | None,
    *,
    must_exist: bool = False,
) -> users.User:
    """Plan a new user, or a change of one; None leaves a part as it is."""
    old = users.get(change.view, name)
    if old is None and must_exist:
        raise not_found(f"User {shown(name)} not found")
    if old is None and hashed is None:
        raise bad_request("password: a new user needs one")
    project = old.project if old is not None else None
    if given.project is not msgspec.UNSET:
        project = users.project_uuid(change.view, given.project)
    roles = old.roles if old is not None else ()
    user = users.User(
        name=name,
        password_hash=hashed or (old.password_hash if old is not None else ""),
        roles=roles if given.roles is None else users.check_roles(given.roles),
        project=project,
    )
    users.put(change, user)
    return user


def set_mode(change: Change, mode: str) -> None:
    """Plan the mode; access lists begin with the default one."""
    change.view.remember(MODE_NOTE, mode)
    if mode == RBAC:
        ensure_default_list(change)


def ensure_default_list(change: Change) -> None:
    """Plan the default access list unless there is one."""
    if find(change.view, access_rules.LIST, access_rules.LIST_NAME) is not None:
        return
    body: Document = {
        "fq_name": list(access_rules.LIST_NAME),
        "parent_type": "global-system-config",
        "api_access_list_entries": access_rules.default_entries(),
    }
    with rights.on_own_behalf(change):
        admission.create(change, change.schema.resources[access_rules.LIST], body)


def _identity(caller: Caller) -> Document:
    return {
        "user": caller.user,
        "project": caller.project,
        "domain": caller.domain,
        "roles": sorted(caller.roles),
        "is_admin": caller.is_admin,
        "is_system": caller.is_system,
        "is_reader": caller.is_reader,
    }


def _token_of(caller: Caller) -> Document:
    """Return the identity in the form of a validated token, as clients of obj-perms expect it."""
    token: Document = {
        "user": {"name": caller.user},
        "roles": [{"name": role} for role in sorted(caller.roles)],
    }
    if caller.project is not None:
        token["project"] = {"id": caller.owner}
    return {"token": token}
