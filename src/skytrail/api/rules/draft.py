"""Where drafts of security objects live, and what keeps enforced ones from being changed past them.

A scope is a project, or everything global. With draft mode on, the policy-management
``draft-policy-management`` exists under it, and users' creates end up there as drafts; updates and
deletes of enforced objects are carried out on copies there (``api/security_draft.py``) and refused
here when they try to go past.
"""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.change import Change, Companion, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, children, find
from skytrail.api.references import DRAFTS, draft_name, referred
from skytrail.api.refusal import Refused, bad_request, conflict

SECURITY_TYPES = (
    "service-group", "address-group", "firewall-rule", "firewall-policy", "application-policy-set",
)  # fmt: skip
"""In the order of dependency: later ones refer to earlier ones."""
SYSTEM = "default-global-system-config"
_HOLDER = "policy-management"
_FLAG = "enable_security_policy_draft"


def is_draft(record: Record) -> bool:
    """Whether a record is a draft."""
    return record.parent_type == _HOLDER and record.fq_name[-2:-1] == (DRAFTS,)


def is_free(change: Change) -> bool:
    """Whether the plan may touch enforced objects and draft states themselves."""
    return change.enforcing or change.by_system


def drafts_of(change: Change, type_name: str, fq_name: tuple[str, ...]) -> Record | None:
    """Return the holder of drafts of an enforced object's scope; None while draft mode is off."""
    if type_name not in SECURITY_TYPES:
        return None
    name = draft_name(fq_name)
    return None if name is None else find(change.view, _HOLDER, name[:-1])


def draft_of(change: Change, record: Record) -> Record | None:
    """Return the draft of an enforced object."""
    name = draft_name(record.fq_name)
    return None if name is None else find(change.view, record.type_name, name)


def redirect(type_name: str, change: Change, request: Document) -> None:
    """Have a create become one of a draft, where draft mode is on."""
    if is_free(change):
        return
    fq_name = tuple(documents.texts(request, "fq_name"))
    if fq_name[-2:-1] == (DRAFTS,):
        raise bad_request("Drafts are not created directly: create the object in its own scope")
    parent_type = (documents.text(request, "parent_type") or "").replace("_", "-")
    if parent_type not in ("project", _HOLDER):
        return
    holder = drafts_of(change, type_name, fq_name)
    if holder is None:
        return
    enforced = find(change.view, type_name, fq_name)
    if enforced is not None:
        draft = draft_of(change, enforced)
        hint = "" if draft is None else "; commit or discard its draft first"
        raise conflict(f"{list(fq_name)} already exists with uuid: {enforced.uuid}{hint}")
    request["fq_name"] = [*holder.fq_name, fq_name[-1]]
    request["parent_type"] = _HOLDER
    request["draft_mode_state"] = "created"


def check_state(change: Change, body: Document, old: Record | None) -> None:
    """Refuse a state of the user's own, and an enforced object that is changed past its draft."""
    if is_free(change):
        return
    name = tuple(documents.texts(body, "fq_name"))
    if old is None:
        in_draft = name[-2:-1] == (DRAFTS,)
        if body.get("draft_mode_state") is not None and not in_draft:
            raise _read_only()
    elif body.get("draft_mode_state") != old.body.get("draft_mode_state"):
        raise _read_only()
    elif _changes_policy(old, body):
        refuse_past_draft(change, old)
    for field in body:
        for target in referred(change, body, field) if field.endswith("_refs") else ():
            if is_draft(target) and target.fq_name[:-1] != name[:-1]:
                raise bad_request(
                    f"{list(name)} cannot refer to the draft {list(target.fq_name)}: commit it first"
                )


def _changes_policy(old: Record, body: Document) -> bool:
    """Whether an update changes more than who owns, shares or sees the object."""
    names = (old.body.keys() | body.keys()) - {"perms2", "id_perms"}
    return any(body.get(name) != old.body.get(name) for name in names)


def _read_only() -> Refused:
    return bad_request("Security resource property 'draft_mode_state' is only readable")


def refuse_past_draft(change: Change, record: Record) -> None:
    """Refuse to touch an enforced object whose scope is in draft mode."""
    if is_free(change) or drafts_of(change, record.type_name, record.fq_name) is None:
        return
    raise conflict(
        f"{record.type_name} {list(record.fq_name)} is in a scope with security policy draft "
        "enabled: patch it, and commit the draft; it is not applied and no cascade takes it away"
    )


def holder_companion(record: Record) -> list[Companion]:
    """Return the holder of drafts a scope needs when draft mode is on."""
    if not documents.flag(record.body, _FLAG):
        return []
    if record.type_name == "project":
        name = [*record.fq_name, DRAFTS]
        return [Companion(_HOLDER, {"fq_name": name, "parent_type": "project"})]
    return [Companion(_HOLDER, {"fq_name": [DRAFTS]})] if record.fq_name == (SYSTEM,) else []


def _holder_of(change: Change, scope: Record) -> Record | None:
    name = (*scope.fq_name, DRAFTS) if scope.type_name == "project" else (DRAFTS,)
    return find(change.view, _HOLDER, name)


def follow_flag(change: Change, old: Record, new: Record) -> None:
    """Make or drop the holder of drafts when a scope's flag changed."""
    before, after = (documents.flag(each.body, _FLAG) or False for each in (old, new))
    if before == after or (new.type_name != "project" and new.fq_name != (SYSTEM,)):
        return
    holder = _holder_of(change, new)
    if after and holder is None:
        from skytrail.api import admission  # the table of rules is below admission

        for companion in holder_companion(new):
            resource = change.schema.resources[companion.type_name]
            admission.create(change, resource, companion.body)
    elif not after and holder is not None:
        pending = pending_in(change, holder)
        if pending:
            names = [f"{each.type_name} {each.name}" for each in pending[:32]]
            raise conflict(f"Drafts are pending, commit or discard them first: {names}")
        change.view.numbers.release_owner(holder.uuid)
        change.view.remove(holder.uuid)


def pending_in(change: Change, holder: Record) -> list[Record]:
    """Return the drafts below a holder, in the order of dependency."""
    return [each for kind in SECURITY_TYPES for each in children(change.view, holder.uuid, kind)]


def _create_holder(change: Change, body: Document) -> None:
    name = documents.texts(body, "fq_name")
    if name[-1] != DRAFTS:
        return
    parent = change.view.get(documents.text(body, "parent_uuid") or "")
    scope = parent or find(change.view, "global-system-config", (SYSTEM,))
    if scope is None or not documents.flag(scope.body, _FLAG):
        raise bad_request(f"{DRAFTS} is made by setting {_FLAG} on its scope")


def _delete_holder(change: Change, record: Record) -> None:
    if record.name == DRAFTS and not is_free(change):
        raise conflict(f"{list(record.fq_name)} goes when {_FLAG} is cleared on its scope")


def _companions(change: Change, record: Record) -> list[Companion]:
    return holder_companion(record)


GLOBAL_SYSTEM_CONFIG = Rule(companions=_companions, after_update=follow_flag)
POLICY_MANAGEMENT = Rule(create=_create_holder, delete=_delete_holder)
