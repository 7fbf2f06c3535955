"""Local users as the store keeps them. Pure: hashing and checking passwords is ``io/auth_local``'s.

Users live under reserved notes, which no client can read or write as notes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec

from skytrail.api import identity, notes
from skytrail.api.caller import Account
from skytrail.api.change import Change
from skytrail.api.graph import Graph, View, find
from skytrail.api.refusal import bad_request, conflict, not_found
from skytrail.model.validate import shown

PREFIX = notes.RESERVED + "user/"
TOKEN_KEY = notes.RESERVED + "token-key"
"""The note with the key that signs tokens; all servers on a store share it."""
PASSWORD_LENGTH_MIN = 8
PASSWORD_BYTES_MAX = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_ROLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One local user; the hash is argon2's encoded form."""

    name: str
    password_hash: str
    roles: tuple[str, ...] = ()
    project: str | None = None
    """Uuid of the project the user works in."""

    @property
    def fingerprint(self) -> str:
        """Names this version of the password; tokens carry it and die with it."""
        return hashlib.sha256(self.password_hash.encode()).hexdigest()[:16]

    @property
    def account(self) -> Account:
        """Name this version of the user; identities carry it, and streams end with it."""
        content = msgspec.json.encode(self)
        return Account(self.name, hashlib.sha256(content).hexdigest()[:16])

    def shown(self) -> dict[str, object]:
        """Return what readers of the user get: everything but the hash."""
        return {"name": self.name, "roles": list(self.roles), "project": self.project}


def get(view: View, name: str) -> User | None:
    """Return a user by exact name."""
    kept = view.remembered(PREFIX + name)
    return None if kept is None else decoded(kept)


def decoded(note: str) -> User:
    """Return the user that a note keeps."""
    return msgspec.json.decode(note, type=User)


def is_current(view: View, account: Account) -> bool:
    """Whether the user is still there and as it was."""
    user = get(view, account.name)
    return user is not None and user.account == account


def all_users(graph: Graph) -> list[User]:
    """Return the users by name."""
    names = sorted(key.removeprefix(PREFIX) for key in graph.memory if key.startswith(PREFIX))
    found = (get(graph, name) for name in names)
    return [user for user in found if user is not None]


def put(change: Change, user: User) -> None:
    """Plan a new or changed user."""
    change.view.remember(PREFIX + user.name, msgspec.json.encode(user).decode())


def remove(change: Change, name: str) -> None:
    """Plan the removal of a user."""
    if get(change.view, name) is None:
        raise not_found(f"User {shown(name)} not found")
    change.view.remember(PREFIX + name, None)


def refuse_new(view: View, name: str) -> None:
    """Refuse to add a user of a name that is taken: it would set a password and roles anew."""
    if get(view, name) is not None:
        raise conflict(
            f"User {shown(name)} exists already; PUT /api/v1/users/{name} changes it"
            " (`skytrail user roles`, `skytrail user password`)"
        )


def keep_administrator(
    view: View, others: Iterable[str], name: str, role: str, remaining: Iterable[str] = ()
) -> None:
    """Refuse what would leave no local user with the administrators' role.

    ``others`` are the names known; who is planned to go counts no more. ``remaining`` are the
    roles the user will have; none when it is to be removed.
    """
    found = (get(view, each) for each in {name, *others})
    holders = {user.name for user in found if user is not None and holds(user.roles, role)}
    if holders == {name} and not holds(remaining, role):
        raise conflict(
            f"User {shown(name)} is the last one with the role {role}, without which nobody could"
            " administer this server; give the role to another user first"
        )


def holds(roles: Iterable[str], role: str) -> bool:
    """Whether a role is among others; case does not count."""
    return role.lower() in {each.lower() for each in roles}


def check_name(name: str) -> str:
    """Return the name of a new user, or refuse it."""
    if _NAME.fullmatch(name) is None:
        raise bad_request(
            f"name: {shown(name)} is not 1 to 64 letters, digits or . _ @ - starting with a"
            " letter or digit"
        )
    return name


def check_password(password: str) -> str:
    """Return a password worth hashing, or refuse it without repeating it."""
    if len(password) < PASSWORD_LENGTH_MIN:
        raise bad_request(f"password: shorter than {PASSWORD_LENGTH_MIN} characters")
    if len(password.encode("utf-8", "surrogatepass")) > PASSWORD_BYTES_MAX:
        raise bad_request(f"password: longer than {PASSWORD_BYTES_MAX} bytes")
    return password


def check_roles(roles: list[str]) -> tuple[str, ...]:
    """Return the roles, or refuse the first that is no name of a role."""
    for role in roles:
        if _ROLE.fullmatch(role) is None:
            raise bad_request(f"roles: {shown(role)} is not the name of a role")
    return tuple(dict.fromkeys(roles))


def project_uuid(view: View, given: str | None) -> str | None:
    """Return the uuid of the project meant by uuid or by domain:project."""
    if given is None:
        return None
    if identity.is_uuid(given):
        record = view.get(given)
    else:
        record = find(view, "project", tuple(given.split(":")))
    if record is None or record.type_name != "project":
        raise bad_request(f"project: {shown(given)} is not the uuid or domain:name of a project")
    return record.uuid


def domain_of(view: View, project: str | None) -> str | None:
    """Return the uuid of a project's domain."""
    record = None if project is None else view.get(project)
    return None if record is None else record.parent_uuid
