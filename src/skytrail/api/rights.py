"""The checks of rights inside a planned change, so that no door to the store goes round them.

Every create, update, delete and reference is judged here for the caller of the change, whichever
endpoint it came through. What the server adds by itself is planned as ``THE_SERVER``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager

from skytrail.api import access_rules, authorize, documents, texts
from skytrail.api.authorize import LINK, READ, WRITE, Step, Verdict
from skytrail.api.caller import THE_SERVER
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import FqName, Record, find
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.unseen_names import names_in_text
from skytrail.model.catalog_types import ObjectType
from skytrail.model.derived_uuid import derived_uuid

_COMPILED = "compiled"
_PROJECT = "project"
_DNS = "virtual-DNS"
_USED_BY_NAME = frozenset({"service-instance", "routing-instance", "qos-config", _DNS})
_ROOT_OF_TENANTS = frozenset({"virtual-machine", "instance-ip"})
"""What tenants make without a parent: clients of theirs know no other place for these."""


@contextmanager
def on_own_behalf(change: Change) -> Generator[None]:
    """Plan what the server adds to the caller's change; nobody's rights are asked for it."""
    asking, change.caller = change.caller, THE_SERVER
    try:
        yield
    finally:
        change.caller = asking


def is_restricted(change: Change) -> bool:
    """Whether rights matter for this change at all."""
    return authorize.is_restricted(change.view, change.caller)


def check_create(change: Change, resource: ObjectType, request: Document) -> None:
    """Refuse a create that no rule allows, before anything of it is looked at."""
    if not is_restricted(change):
        return
    _check_origin(resource)
    authorize.require_rule(change.view, change.caller, resource.name, "C", list(request))
    if documents.flag(documents.section(request, "id_perms"), "user_visible") is False:
        raise bad_request("id_perms.user_visible: only an administrator may hide an object")


def check_place(change: Change, resource: ObjectType, fq_name: FqName) -> None:
    """Refuse a new object without parent, which would be everybody's, but to administrators."""
    at_root = resource.is_root and (len(fq_name) == 1 or not resource.parent_types)
    if at_root and is_restricted(change) and not may_be_without_parent(resource):
        raise Refused(403, without_parent(resource))


def check_uuid(change: Change, resource: ObjectType, fq_name: FqName, uuid: str) -> None:
    """Refuse a uuid by which compilers and hosts would take a tenant's object for the compiler's."""
    if uuid == derived_uuid(resource.name, fq_name) and is_restricted(change):
        raise Refused(
            403,
            f"Permission Denied: uuid {uuid} is kept for what the compiler makes of this name;"
            " choose another one, or none",
        )


def may_be_without_parent(resource: ObjectType) -> bool:
    """Whether others than administrators make such objects without parent."""
    return resource.name in _ROOT_OF_TENANTS


def without_parent(resource: ObjectType) -> str:
    """Return why one without parent is refused, and where to make it instead."""
    where = " below a project" if "project" in resource.parent_types else ""
    return (
        f"Permission Denied: to create a {resource.name} without parent needs the cloud "
        f"administrator's role{'; create it' * bool(where)}{where}"
    )


def explained_create(verdict: Verdict, resource: ObjectType | None, *, has_parent: bool) -> Verdict:
    """Add to what rules and permissions say what else a create is judged by.

    When nobody said where it is to be, the rule about places is told, and decides only where the
    type knows no parent at all.
    """
    if resource is None or not verdict.allowed:
        return verdict
    if _is_kept(resource):
        return Verdict((*verdict.steps, Step("origin", "deny", _of_compiler(resource))))
    if has_parent or not resource.is_root or may_be_without_parent(resource):
        return verdict
    if resource.parent_types:
        told = Step("place", "pass", f"below a parent; {without_parent(resource)}")
        return Verdict((*verdict.steps[:-1], told, verdict.steps[-1]), verdict.status)
    return Verdict((*verdict.steps, Step("place", "deny", without_parent(resource))))


def check_names(change: Change, record: Record, old: Document) -> None:
    """Refuse a new version that names in text what its caller could not refer to.

    Packets are marked by such a name, copied to it, led through it or looked up in it: that is use,
    as a reference is. What the object's own project has may be named before it exists. Names that
    match packets, of networks and groups, use nothing.
    """
    if not is_restricted(change):
        return
    before = set(names_in_text(old))
    home = record.fq_name[:-1] if record.parent_type == _PROJECT else None
    for kind, name in names_in_text(record.body):
        if kind not in _USED_BY_NAME or (kind, name) in before:
            continue
        parts = tuple(name.split(":"))
        is_at_home = parts[:2] == home and kind != _DNS
        if not is_at_home and not _may_use(change, kind, parts):
            raise Refused(
                403,
                f"Permission Denied: {kind} {name} does not exist or may not be used by you; "
                "its owner can share it (perms2, access 1 and 4)",
            )


def _may_use(change: Change, kind: str, name: FqName) -> bool:
    if kind == "routing-instance":
        # It is its network's, which is what people share.
        kind, name = "virtual-network", name[:-1]
    found = find(change.view, kind, name)
    if found is None:
        return False
    if found.parent_type != _PROJECT and kind != _DNS:
        return True
    is_known = authorize.knows(change.view, change.caller, found)
    return is_known and bool(authorize.access_to(change.caller, found) & LINK)


def check_parent(change: Change, parent: Record | None, missing: str) -> None:
    """Refuse a new object below a parent that may not be written; unseen ones do not exist."""
    if parent is None or not is_restricted(change):
        return
    if not authorize.knows(change.view, change.caller, parent):
        raise bad_request(missing)
    wanted = LINK if parent.type_name == "fabric" else WRITE
    authorize.require_access(change.view, change.caller, parent, wanted)


def check_update(change: Change, record: Record, request: Document) -> None:
    """Refuse an update by rule or by permissions; giving away needs to read as well."""
    if not is_restricted(change):
        return
    _check_origin(change.schema.resources[record.type_name])
    authorize.require(
        change.view, change.caller, "U", record.type_name, record=record, fields=list(request)
    )
    if request.get("perms2") is not None:
        check_permissions_edit(change, record)


def check_edit(change: Change, record: Record, fields: Iterable[str]) -> None:
    """Refuse an action on parts of an object; the action's own rule was asked at the door.

    Rules for a field hold whatever the way the field is changed.
    """
    if not is_restricted(change):
        return
    _check_origin(change.schema.resources[record.type_name])
    authorize.require_access(change.view, change.caller, record, WRITE)
    rules = access_rules.rules_for(change.view, change.caller)
    ruled = {rule.field for rule in rules if rule.subject in (record.type_name.lower(), "*")}
    for name in fields:
        if name in ruled:
            authorize.require_rule(change.view, change.caller, record.type_name, "U", [name])


def check_permissions_edit(change: Change, record: Record) -> None:
    """Refuse a change of owner, mode or shares without the rights to read and to write."""
    if is_restricted(change):
        _check_origin(change.schema.resources[record.type_name])
        authorize.require_access(change.view, change.caller, record, READ | WRITE)


def check_delete(change: Change, record: Record) -> None:
    """Refuse a removal by anybody but the owner."""
    if is_restricted(change):
        _check_origin(change.schema.resources[record.type_name])
        authorize.require(change.view, change.caller, "D", record.type_name, record=record)


def known(change: Change, record: Record | None, missing: str) -> Record:
    """Return the record, or refuse as for an unknown one when the caller may not know of it."""
    if record is None:
        raise not_found(missing)
    if not authorize.knows(change.view, change.caller, record):
        if authorize.is_hidden(record):
            raise not_found(texts.not_visible(record.uuid))
        raise not_found(missing)
    return record


def linkable(change: Change, target: Record | None) -> Record | None:
    """Return the target if the caller may refer to it, None if it may not know of it."""
    if target is None or not is_restricted(change):
        return target
    if not authorize.knows(change.view, change.caller, target):
        return None
    authorize.require_access(change.view, change.caller, target, LINK)
    return target


def shown_name(change: Change, record: Record) -> bool:
    """Whether a refusal may tell the caller the name and uuid of this object."""
    return authorize.knows(change.view, change.caller, record)


def _is_kept(resource: ObjectType) -> bool:
    return resource.origin == _COMPILED or resource.guard is not None


def _check_origin(resource: ObjectType) -> None:
    if _is_kept(resource):
        raise Refused(403, _of_compiler(resource))


def _of_compiler(resource: ObjectType) -> str:
    return f"Permission Denied: {resource.name} is written by the compiler and administrators"
