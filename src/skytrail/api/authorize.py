"""Who may do what. Pure: a function of the view, the caller and the question.

    judge(view, caller, operation, type, record, fields) -> Verdict
        mode -> role -> access lists (global, domain, project) -> permissions of the object

Administrators and components of the system pass at once. Everything else is refused unless a rule
of an access list lets it through *and* the object's own permissions do. What a caller holds no
permission on at all does not exist for it: refusals say the same as for an unknown name or uuid.
Callers take the shortest form that fits: ``require`` for one object, ``sees`` for each of many.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from skytrail.api import access_rules, documents, texts
from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.documents import Document
from skytrail.api.graph import Record, View
from skytrail.api.refusal import Refused

READ, WRITE, LINK = 4, 2, 1
CREATE_RULE, READ_RULE, UPDATE_RULE, DELETE_RULE = "C", "R", "U", "D"

NO_AUTH, CLOUD_ADMIN_ONLY, RBAC = "no-auth", "cloud-admin", "rbac"
MODES = (NO_AUTH, CLOUD_ADMIN_ONLY, RBAC)
MODE_NOTE = "skytrail/aaa-mode"
"""The note that holds the mode; names with this start belong to the server."""

_NEEDED = {"R": READ, "U": WRITE, "C": WRITE, "X": LINK}
_WORDS = {"C": "create", "R": "read", "U": "update", "D": "delete", "X": "refer to"}
_NOT_OF_THE_BODY = frozenset({"uuid", "fq_name", "name", "href", "parent_type", "parent_uuid"})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at: what, where it stands, and what it said."""

    check: str
    outcome: str
    """``allow`` and ``deny`` decide; ``pass`` goes on to the next."""
    text: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer and how it came about, first step first."""

    steps: tuple[Step, ...]
    status: int = 403

    @property
    def allowed(self) -> bool:
        return self.steps[-1].outcome == "allow"

    @property
    def text(self) -> str:
        return self.steps[-1].text


def mode_of(view: View) -> str:
    """Return the mode; without a decision of an administrator it is the strictest useful one."""
    noted = view.remembered(MODE_NOTE)
    return noted if noted in MODES else RBAC


def is_restricted(view: View, caller: Caller) -> bool:
    """Whether rules and permissions apply to the caller at all."""
    return not (caller.is_admin or caller.is_system or mode_of(view) == NO_AUTH)


def judge(
    view: View,
    caller: Caller,
    operation: str,
    type_name: str,
    *,
    record: Record | None = None,
    fields: Iterable[str] = (),
) -> Verdict:
    """Judge one operation (C, R, U, D, or X for referring to it) by rules, then by permissions.

    ``record`` is the object itself, or the parent for C; None leaves permissions out.
    """
    first = _by_role(view, caller, operation)
    if first.outcome != "pass":
        return Verdict((first,))
    steps = [first]
    if operation != "X":
        by_rule = judge_rule(view, caller, type_name, operation, fields)
        steps += by_rule.steps[1:]
        if not by_rule.allowed:
            return Verdict(tuple(steps), by_rule.status)
        if record is not None:
            # Allowed so far; the object has the last word.
            last = steps[-1]
            steps[-1] = Step(last.check, "pass", last.text, last.where)
    if record is not None:
        steps.append(_by_permissions(caller, record, operation))
    return Verdict(tuple(steps))


def judge_rule(
    view: View, caller: Caller, subject: str, operation: str, fields: Iterable[str] = ()
) -> Verdict:
    """Judge by mode, role and access lists only; the subject is a type or an action's path."""
    first = _by_role(view, caller, operation)
    if first.outcome != "pass":
        return Verdict((first,))
    if not caller.roles:
        return Verdict((first, Step("role", "deny", texts.roles_empty())), 401)
    considered = [name for name in fields if name not in _NOT_OF_THE_BODY]
    found = access_rules.decide(
        access_rules.rules_for(view, caller), subject, operation, caller.roles, considered
    )
    outcome = "allow" if found.allowed else "deny"
    text = found.text
    if not found.allowed:
        text = texts.permission_denied(
            caller.user, sorted(caller.roles), operation, subject, caller.project
        )
        text += f": {found.text}"
    return Verdict((first, Step("rule", outcome, text, found.where)))


def _by_role(view: View, caller: Caller, operation: str) -> Step:
    if caller == NOBODY_ASKED:
        return Step("mode", "allow", "authentication is off")
    if caller.is_system:
        return Step("role", "allow", "a component of the system")
    if caller.is_admin:
        return Step("role", "allow", "holds the cloud administrator's role")
    mode = mode_of(view)
    if mode == NO_AUTH:
        return Step("mode", "allow", "aaa-mode is no-auth")
    if caller.is_reader and operation == READ_RULE:
        return Step("role", "allow", "holds the role that may read everything")
    if mode == CLOUD_ADMIN_ONLY:
        return Step("mode", "deny", "Permission Denied: aaa-mode cloud-admin needs that role")
    return Step("mode", "pass", "aaa-mode is rbac")


def _by_permissions(caller: Caller, record: Record, operation: str) -> Step:
    where = f"{record.type_name} {':'.join(record.fq_name)}"
    if operation == DELETE_RULE:
        if is_owner(caller, record):
            return Step("permissions", "allow", "owner of the object", where)
        return Step("permissions", "deny", "Permission Denied: only its owner may delete", where)
    needed = LINK if operation == "C" and record.type_name == "fabric" else _NEEDED[operation]
    granted = access_to(caller, record)
    text = f"owner, share and global access add up to {letters(granted)}"
    if granted & needed:
        return Step("permissions", "allow", text, where)
    verb = _WORDS[operation] + (" below" if operation == "C" else "")
    text = f"Permission Denied: to {verb} it needs {letters(needed)}, {text}"
    return Step("permissions", "deny", text, where)


def require(
    view: View,
    caller: Caller,
    operation: str,
    type_name: str,
    *,
    record: Record | None = None,
    fields: Iterable[str] = (),
) -> None:
    """Raise the refusal of ``judge``, if any."""
    if is_restricted(view, caller):
        demand(judge(view, caller, operation, type_name, record=record, fields=fields))


def require_rule(
    view: View, caller: Caller, subject: str, operation: str, fields: Iterable[str] = ()
) -> None:
    """Raise the refusal of ``judge_rule``, if any."""
    if is_restricted(view, caller):
        demand(judge_rule(view, caller, subject, operation, fields))


def require_access(view: View, caller: Caller, record: Record, wanted: int) -> None:
    """Raise unless the object's permissions grant every wanted bit; rules are not asked."""
    if is_restricted(view, caller) and access_to(caller, record) & wanted != wanted:
        if caller.is_reader and wanted == READ:
            return
        raise Refused(403, f"Permission Denied: it needs {letters(wanted)} on the object")


def require_admin(view: View, caller: Caller, what: str) -> None:
    """Raise unless the caller is an administrator or the system."""
    if is_restricted(view, caller):
        raise Refused(403, f"Permission Denied: {what} needs the cloud administrator's role")


def require_system(caller: Caller, what: str) -> None:
    """Raise unless the caller is a component, or nobody is told apart because nobody is asked."""
    if not caller.is_system and caller != NOBODY_ASKED:
        raise Refused(403, f"Permission Denied: {what} is for components of the system")


def demand(verdict: Verdict) -> None:
    """Raise what the verdict refuses."""
    if not verdict.allowed:
        raise Refused(verdict.status, verdict.text)


# Permissions of one object.


def access_to(caller: Caller, record: Record) -> int:
    """Return the bits (4 read, 2 write, 1 link) that the object's permissions give the caller."""
    return granted_by(caller, documents.section(record.body, "perms2"))


def granted_by(caller: Caller, permissions: Document) -> int:
    """Return the bits that owner, share and global access of perms2 add up to."""
    granted = _bits(permissions.get("global_access"))
    project = None if caller.project is None else caller.project.replace("-", "")
    domain = None if caller.domain is None else caller.domain.replace("-", "")
    if project is not None and documents.text(permissions, "owner") is not None:
        owner = str(permissions["owner"]).replace("-", "")
        granted |= _bits(permissions.get("owner_access")) if owner == project else 0
    for share in documents.sections(permissions, "share"):
        kind, separator, tenant = (documents.text(share, "tenant") or "").rpartition(":")
        mine = domain if separator and kind == "domain" else project
        if mine is not None and tenant.replace("-", "") == mine:
            granted |= _bits(share.get("tenant_access"))
    return granted


def is_shared_with(caller: Caller, record: Record) -> bool:
    """Whether a share entry (not ownership, not global access) lets the caller read."""
    permissions = documents.section(record.body, "perms2")
    shares_only: Document = {"share": permissions.get("share")}
    return granted_by(caller, shares_only) & READ != 0


def _bits(value: object) -> int:
    return value & 7 if isinstance(value, int) else 0


def is_owner(caller: Caller, record: Record) -> bool:
    """Whether the object belongs to the caller's project."""
    owner = documents.text(documents.section(record.body, "perms2"), "owner")
    return owner is not None and caller.project is not None and _same(owner, caller.project)


def _same(one: str, other: str) -> bool:
    return one.replace("-", "") == other.replace("-", "")


def is_hidden(record: Record) -> bool:
    """Whether the object is not for users' eyes."""
    return documents.flag(documents.section(record.body, "id_perms"), "user_visible") is False


def sees(view: View, caller: Caller, record: Record) -> bool:
    """Whether lists, watches and back references show the object to the caller."""
    if not is_restricted(view, caller):
        return True
    if mode_of(view) == CLOUD_ADMIN_ONLY or is_hidden(record):
        return caller.is_reader and not is_hidden(record)
    return caller.is_reader or access_to(caller, record) & READ != 0


def knows(view: View, caller: Caller, record: Record) -> bool:
    """Whether the caller may learn that the object exists: any permission, or ownership."""
    if sees(view, caller, record):
        return True
    if is_hidden(record) or mode_of(view) == CLOUD_ADMIN_ONLY:
        return False
    return access_to(caller, record) != 0 or is_owner(caller, record)


def letters(bits: int) -> str:
    """Return the bits as clients know them: R, W, X."""
    found = "".join(
        letter for letter, bit in (("R", READ), ("W", WRITE), ("X", LINK)) if bits & bit
    )
    return found or "nothing"
