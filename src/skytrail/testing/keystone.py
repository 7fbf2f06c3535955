"""A small Keystone v3: password logins and token validation, with the real shapes of both.

POST /v3/auth/tokens   identity by password, scope by project -> X-Subject-Token
GET  /v3/auth/tokens   X-Auth-Token of somebody allowed, X-Subject-Token of whom to tell about
GET  /v3/projects, /v3/domains   lists, ?name= ?domain_id=; one by its id
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec

from skytrail.runtime.asgi import AsgiApp, HttpError, Reply, Request, Response, Router, json_reply

VALIDATORS = frozenset({"admin", "service"})
Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Account:
    """One user in one project."""

    name: str
    password: str
    project: str
    roles: tuple[str, ...]
    domain_id: str = "default"
    domain_name: str = "Default"
    user_id: str = field(default_factory=lambda: uuid4().hex)


class _Domain(msgspec.Struct):
    id: str | None = None
    name: str | None = None


class _User(msgspec.Struct):
    password: str
    name: str | None = None
    id: str | None = None
    domain: _Domain | None = None


class _Password(msgspec.Struct):
    user: _User


class _Identity(msgspec.Struct):
    methods: list[str]
    password: _Password


class _Project(msgspec.Struct):
    name: str | None = None
    id: str | None = None
    domain: _Domain | None = None


class _Scope(msgspec.Struct):
    project: _Project


class _Auth(msgspec.Struct):
    identity: _Identity
    scope: _Scope | None = None


class _Login(msgspec.Struct):
    auth: _Auth


@dataclass(frozen=True, slots=True)
class _Issued:
    account: Account
    issued_at: datetime
    expires_at: datetime


class FakeKeystone:
    """The accounts, projects and tokens of one server; ``app`` serves them."""

    def __init__(self, lifetime_s: float = 3600.0) -> None:
        self.lifetime_s = lifetime_s
        self.accounts: list[Account] = []
        self.project_ids: dict[tuple[str, str], str] = {}
        self.domain_names = {"default": "Default"}
        self.lookups_count = 0
        self.lists_count_max: int | None = None
        """Lists are cut there, as an administrator of Keystone may have them."""
        self.is_down = False
        self.validations_count = 0
        self._tokens: dict[str, _Issued] = {}
        router = Router()
        router.add("GET", "/", self._versions)
        router.add("GET", "/v3", self._version)
        router.add("POST", "/v3/auth/tokens", self._login)
        router.add("GET", "/v3/auth/tokens", self._validate)
        for kind in ("project", "domain"):
            router.add("GET", f"/v3/{kind}s", self._list)
            router.add("GET", f"/v3/{kind}s/{{id}}", self._read)
        self.app = AsgiApp(router)

    def add(self, name: str, password: str, project: str, *roles: str, **more: str) -> Account:
        """Add a user to a project, which comes into being with its first user."""
        account = Account(name, password, project, roles, **more)
        self.accounts.append(account)
        self.domain_names.setdefault(account.domain_id, account.domain_name)
        self.project_ids.setdefault((account.domain_id, project), uuid4().hex)
        return account

    def project_id(self, project: str, domain_id: str = "default") -> str:
        return self.project_ids[domain_id, project]

    def issue(self, account: Account) -> str:
        """Return a token as a login would."""
        token = "gAAAAAB" + secrets.token_urlsafe(120)
        now = datetime.now(UTC)
        self._tokens[token] = _Issued(account, now, now + timedelta(seconds=self.lifetime_s))
        return token

    def add_project(self, name: str, domain_id: str = "default", domain_name: str = "") -> str:
        """Add a project without users, and its domain; return its id."""
        self.domain_names.setdefault(domain_id, domain_name or domain_id)
        return self.project_ids.setdefault((domain_id, name), uuid4().hex)

    def remove_project(self, name: str, domain_id: str = "default") -> None:
        """Delete a project with its users."""
        del self.project_ids[domain_id, name]
        self.accounts = [
            each for each in self.accounts if (each.domain_id, each.project) != (domain_id, name)
        ]

    def revoke_all(self) -> None:
        self._tokens.clear()

    async def _versions(self, request: Request) -> Reply:
        return json_reply({"versions": {"values": [self._description(request)]}}, 300)

    async def _version(self, request: Request) -> Reply:
        return json_reply({"version": self._description(request)})

    def _description(self, request: Request) -> Document:
        href = f"http://{request.headers.get('host', 'localhost')}/v3/"
        return {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": href}]}

    async def _login(self, request: Request) -> Reply:
        self._check_up()
        given = request.json(_Login).auth
        if given.identity.methods != ["password"]:
            raise _refusal(401, "only the method password is there")
        user = given.identity.password.user
        for account in self.accounts:
            if user.password == account.password and user.name == account.name:
                self._check_scope(given.scope, account)
                token = self.issue(account)
                return self._described(token, 201)
        raise _refusal(401, "The request you have made requires authentication.")

    def _check_scope(self, scope: _Scope | None, account: Account) -> None:
        if scope is None:
            return
        wanted = scope.project
        own = self.project_id(account.project, account.domain_id)
        if account.project != wanted.name and own != wanted.id:
            raise _refusal(401, "The user is not in that project.")

    def _admit(self, request: Request) -> None:
        self._check_up()
        asking = self._valid(request.headers.get("x-auth-token", ""))
        if asking is None:
            raise _refusal(401, "The request you have made requires authentication.")
        if VALIDATORS.isdisjoint(asking.account.roles):
            raise _refusal(403, "You are not authorized to perform the requested action.")
        self.lookups_count += 1

    def _all(self, kind: str) -> list[Document]:
        if kind == "domains":
            return [
                {"id": domain_id, "name": name, "enabled": True}
                for domain_id, name in self.domain_names.items()
            ]
        return [
            {"id": own, "name": name, "domain_id": domain_id, "enabled": True, "is_domain": False}
            for (domain_id, name), own in self.project_ids.items()
        ]

    async def _list(self, request: Request) -> Reply:
        self._admit(request)
        kind = request.segments[1]
        found = [
            each
            for each in self._all(kind)
            if all(each.get(name) == value for name, value in request.query.items())
        ]
        return json_reply({kind: found[: self.lists_count_max], "links": {"next": None}})

    async def _read(self, request: Request) -> Reply:
        self._admit(request)
        kind = request.segments[1]
        for each in self._all(kind):
            if each["id"] == request.params["id"]:
                return json_reply({kind.removesuffix("s"): each})
        raise _refusal(404, f"Could not find {kind.removesuffix('s')}.")

    async def _validate(self, request: Request) -> Reply:
        self._check_up()
        asking = self._valid(request.headers.get("x-auth-token", ""))
        if asking is None:
            raise _refusal(401, "The request you have made requires authentication.")
        if VALIDATORS.isdisjoint(asking.account.roles):
            raise _refusal(403, "You are not authorized to perform identity:validate_token.")
        self.validations_count += 1
        subject = request.headers.get("x-subject-token", "")
        if self._valid(subject) is None:
            raise _refusal(404, "Could not find token.")
        return self._described(subject, 200)

    def _valid(self, token: str) -> _Issued | None:
        found = self._tokens.get(token)
        return None if found is None or found.expires_at <= datetime.now(UTC) else found

    def _check_up(self) -> None:
        if self.is_down:
            raise HttpError(503, "down")

    def _described(self, token: str, status: int) -> Response:
        issued = self._tokens[token]
        account = issued.account
        domain = {"id": account.domain_id, "name": account.domain_name}
        body: Document = {
            "methods": ["password"],
            "user": {
                "domain": domain,
                "id": account.user_id,
                "name": account.name,
                "password_expires_at": None,
            },
            "audit_ids": [secrets.token_urlsafe(16)],
            "expires_at": _moment(issued.expires_at),
            "issued_at": _moment(issued.issued_at),
            "project": {
                "domain": domain,
                "id": self.project_id(account.project, account.domain_id),
                "name": account.project,
            },
            "is_domain": False,
            "roles": [{"id": uuid4().hex, "name": name} for name in account.roles],
        }
        return json_reply({"token": body}, status, (("x-subject-token", token),))


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _refusal(status: int, message: str) -> HttpError:
    body: Document = {"error": {"code": status, "message": message, "title": "Error"}}
    return HttpError(status, msgspec.json.encode(body).decode())
