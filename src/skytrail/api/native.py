"""One operation of the native API on one object: what the single endpoints, transactions, plans and
change sets all carry out. Admission and rules below are those of the compatible API.

    create   a new object             patch    JSON merge patch (RFC 7396)
    update   absent members stay      replace  absent members go, but what the server fills in
    apply    by name, field owners    delete   with cascade: also what forbids it

Where security policy is drafted, changes of its objects wait in drafts; apply and cascades, which
are about what is enforced, are refused there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from skytrail.api import admission, apply, documents, rights, security_draft, strict, texts
from skytrail.api.admission import Links
from skytrail.api.apply import Manner
from skytrail.api.cascade import delete_with_dependants
from skytrail.api.change import Change
from skytrail.api.differences import merged
from skytrail.api.documents import Document
from skytrail.api.graph import Graph, Record, find
from skytrail.api.identity import is_uuid
from skytrail.api.problem import Problem, Unacceptable, did_you_mean, invalid, listed
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.rules.draft import draft_of
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import shown

Verb = Literal["create", "update", "patch", "replace", "apply", "delete"]
VERBS = ("create", "update", "patch", "replace", "apply", "delete")
_STAYS = frozenset({"id_perms", "perms2", "display_name", "draft_mode_state"})
OWNER_LENGTH_MAX = 128


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    op: str
    type: str
    uuid: str | None = None
    name: str | list[str] | None = None
    """Instead of a uuid: the fully qualified name, joined by colons or as a list."""
    object: Document | None = None
    if_match: str | None = None
    """Entity tags, one of which the object must have; ``*`` for any object at all."""
    if_none_match: str | None = None
    """``*``: only if there is no such object."""
    field_owner: str | None = None
    """Who applies; the caller's user name when absent."""
    force: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What an operation came to; ``record`` is the last version for a deletion."""

    verb: str
    """created, changed, unchanged or deleted."""
    record: Record


@dataclass(frozen=True, slots=True)
class Ground:
    """What operations stand on besides the change: the committed objects, the reader's address."""

    committed: Graph
    links: Links


def etag_of(record: Record) -> str:
    """Return the native entity tag: the revision of the last change, quoted."""
    return f'"{record.mod_revision}"'


def resource_of(change_or_schema: Change, type_name: str) -> ObjectType:
    """Return the type of an operation or path, or refuse with the nearest name."""
    resource = change_or_schema.schema.find(type_name)
    if resource is None:
        near = did_you_mean(type_name, change_or_schema.schema.resources)
        raise not_found(texts.resource_type_not_found(type_name[:128]) + "." * bool(near) + near)
    return resource


def name_of(resource: ObjectType, given: str | list[str]) -> tuple[str, ...]:
    """Return a fully qualified name as a tuple; names of route targets hold colons."""
    if isinstance(given, list):
        return tuple(given)
    return (given,) if resource.name == "route-target" else tuple(given.split(":"))


def carry_out(change: Change, operation: Operation, ground: Ground) -> Done:
    """Plan one operation."""
    resource = resource_of(change, operation.type)
    if operation.op not in VERBS:
        near = did_you_mean(operation.op, VERBS)
        raise bad_request(f"unknown op {operation.op[:64]!r}: one of {', '.join(VERBS)}.{near}")
    if resource.origin == "compiled" and not change.by_system:
        raise Refused(
            403, f"{resource.name} is written by the compiler; change what it follows from"
        )
    record = _addressed(change, resource, operation)
    _check_conditions(change, operation, record, ground)
    if operation.op == "delete":
        target = _present(resource, operation, record)
        if operation.cascade:
            delete_with_dependants(change, target, ground.links)
            return Done("deleted", target)
        draft = security_draft.delete(change, target, ground.links)
        return Done("deleted", target) if draft in (None, target) else Done("changed", draft)
    body = operation.object
    if body is None:
        raise invalid([Problem("/object", "needed for every op but delete")])
    count = len(change.ignored)
    done = _write(change, resource, operation, body, record)
    if len(change.ignored) > count:
        raise bad_request(f"unknown fields: {', '.join(change.ignored[count:])[:512]}")
    return done


def _write(
    change: Change,
    resource: ObjectType,
    operation: Operation,
    body: Document,
    record: Record | None,
) -> Done:
    if operation.op == "create" or (operation.op == "apply" and record is None):
        body = _complete_identity(resource, operation, body)
        if not change.by_system:
            strict.check(change, resource, body, None)
        if operation.op == "create":
            created = admission.create(change, resource, body)
        else:
            created = apply.apply_new(change, resource, body, _manner(change, operation))
        parent = body.get("parent_uuid")
        if parent is not None and parent != created.parent_uuid and not change.by_system:
            detail = f"the parent named by fq_name is {created.parent_uuid or 'the root'}"
            raise invalid([Problem("/parent_uuid", detail)])
        return Done("created", created)
    target = _present(resource, operation, record)
    rights.check_update(change, target, body)
    if operation.op != "apply" and not _is_so(change, resource, operation, target):
        target = security_draft.editable(change, target)
    body = _asked(resource, operation, target, body)
    if not change.by_system:
        strict.check(change, resource, body, target)
    if operation.op == "apply":
        renewed = apply.apply_existing(change, target, body, _manner(change, operation))
    elif operation.op != "update" and _says_nothing_new(target, body):
        renewed = target
    else:
        renewed = admission.update(change, target, body)
    return Done("unchanged" if renewed is target else "changed", renewed)


def _asked(resource: ObjectType, operation: Operation, target: Record, body: Document) -> Document:
    """Return the update that a patch or a replacement comes to, of a certain object."""
    if operation.op == "patch":
        return _patched(target, body)
    return _replacing(resource, target, body) if operation.op == "replace" else body


def _is_so(change: Change, resource: ObjectType, operation: Operation, target: Record) -> bool:
    """Whether nothing would change, so that no draft is made for it."""
    if operation.op == "update" or draft_of(change, target) is not None:
        return False
    asked = _asked(resource, operation, target, operation.object or {})
    return _says_nothing_new(target, asked)


def _addressed(change: Change, resource: ObjectType, operation: Operation) -> Record | None:
    """Return the object an operation is about, None if there is none or it is to be made."""
    if operation.op == "create":
        return None
    if operation.uuid is not None:
        if not is_uuid(operation.uuid):
            raise bad_request(texts.invalid_uuid(shown(operation.uuid)))
        missing = texts.unknown_id(operation.uuid)
        found = rights.known(change, change.view.get(operation.uuid), missing)
        if found.type_name != resource.name:
            raise not_found(texts.no_such_object(resource.name, operation.uuid))
        return found
    given: str | list[str] | None = operation.name
    if given is None and operation.op == "apply" and operation.object is not None:
        given = documents.texts(operation.object, "fq_name") or None
    if given is None:
        raise bad_request(f"{operation.op} needs the uuid or the name of the object")
    found = find(change.view, resource.name, name_of(resource, given))
    return found if found is not None and rights.shown_name(change, found) else None


def _present(resource: ObjectType, operation: Operation, record: Record | None) -> Record:
    if record is None:
        name = name_of(resource, operation.name or "")
        raise not_found(f"No {resource.name} is named {':'.join(name)}")
    return record


def _check_conditions(
    change: Change, operation: Operation, record: Record | None, ground: Ground
) -> None:
    if operation.if_none_match is not None and record is not None:
        tags = _tags(operation.if_none_match)
        if "*" in tags or etag_of(record) in tags:
            raise Unacceptable(412, f"{record.type_name} {record.uuid} exists already")
    if operation.if_match is None:
        return
    if record is None:
        raise Unacceptable(412, "If-Match: there is no such object")
    tags = _tags(operation.if_match)
    if "*" in tags:
        return
    # Within a batch, a record changed by an earlier request still carries its former revision.
    untouched = change.view.base.get(record.uuid) is ground.committed.get(record.uuid)
    if not untouched or etag_of(record) not in tags:
        current = f"is at {etag_of(record)}" if untouched else "is being changed by somebody else"
        raise Unacceptable(
            412,
            f"If-Match {shown(operation.if_match)}: {record.type_name} {record.uuid} {current}; "
            "read it again",
            more={"current": etag_of(record)},
        )


def _tags(header: str) -> frozenset[str]:
    return frozenset(tag.strip().removeprefix("W/") for tag in header.split(","))


def _complete_identity(resource: ObjectType, operation: Operation, body: Document) -> Document:
    """Return the body with the uuid and name that the operation gives beside it."""
    body = dict(body)
    if operation.op == "create" and operation.uuid is not None:
        body.setdefault("uuid", operation.uuid)
    if operation.name is not None:
        name = list(name_of(resource, operation.name))
        if body.setdefault("fq_name", name) != name:
            raise invalid([Problem("/fq_name", f"differs from the name asked for, {name}")])
    if "parent_type" not in body and len(documents.texts(body, "fq_name")) > 1:
        parents = resource.parent_types
        if len(parents) == 1:
            body["parent_type"] = parents[0]
    return body


def _manner(change: Change, operation: Operation) -> Manner:
    owner = operation.field_owner or change.caller.user
    if len(owner) > OWNER_LENGTH_MAX or not owner.isprintable():
        raise bad_request(f"field_owner must be 1 to {OWNER_LENGTH_MAX} printable characters")
    return Manner(owner, operation.force)


def _patched(record: Record, patch: Document) -> Document:
    """Return the update a merge patch comes to: whole new members, None for those to remove."""
    body: Document = {}
    for name, value in patch.items():
        result = merged(record.body.get(name), value)
        body[name] = None if value is None else result
    return body


def _replacing(resource: ObjectType, record: Record, body: Document) -> Document:
    """Return the update that leaves only the given members and those the server fills in."""
    whole = dict(body)
    for name in record.body:
        if name in whole or name in _STAYS:
            continue
        field = resource.properties.get(name) or resource.references.get(name)
        if field is not None and field.presence not in ("system-only", "required"):
            whole[name] = None
    return whole


def _says_nothing_new(record: Record, body: Document) -> bool:
    return all(
        name not in record.body if value is None else record.body.get(name) == value
        for name, value in body.items()
        if name not in ("name", "parent_type")
    )


__all__ = ["VERBS", "Done", "Ground", "Operation", "carry_out", "etag_of", "listed", "name_of"]
