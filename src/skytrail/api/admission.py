"""Plans creates, updates and deletes of any type: the order of the checks, and what they add up to.

Everything happens on the change's overlay; a refusal anywhere leaves the plan to be thrown away.
The order of the checks is part of the wire contract, because clients meet the first error.

    create: name -> property types -> exists? -> parent type -> uuid -> parent -> references
            -> rule of the type -> quota -> record -> companions
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from skytrail.api import documents, guards, identity, rights, secret_fields, texts
from skytrail.api.change import NO_RULE, Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import NO_SIDE, FqName, Record, Side, find, make_record
from skytrail.api.quota import check_objects
from skytrail.api.references import resolve_references
from skytrail.api.refusal import Refused, bad_request, conflict, not_found
from skytrail.api.rules import RULES
from skytrail.api.rules.tags import check_carried
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import InvalidValue, is_known_key, stored_properties

ROOT = "config-root"
OBJECT_BYTES_MAX = 1_400_000
_SERVER_WRITTEN = frozenset({"id_perms", "perms2"})


def rule_of(type_name: str) -> Rule:
    """Return the rule of a type; most have none."""
    return RULES.get(type_name, NO_RULE)


def create(change: Change, resource: ObjectType, request: Document) -> Record:
    """Plan a new object and its companions; return the object."""
    request = dict(request)
    rights.check_create(change, resource, request)
    rule = rule_of(resource.name)
    rule.prepare(change, request)
    fq_name = identity.check_fq_name(resource.name, request)
    rights.check_place(change, resource, fq_name)
    properties = _properties(resource, request, "create")
    identity.check_plain("display_name", properties.get("display_name"))
    taken = change.view.uuid_of(resource.name, fq_name)
    if taken is not None:
        raise _name_taken(change, resource, request, fq_name, taken)
    parent_type = _parent_type(resource, request, fq_name)
    uuid = _fresh_uuid(change, resource, fq_name, request)
    parent = _parent(change, parent_type, fq_name)
    references = resolve_references(change, resource, request, "create")
    body = _new_body(change, uuid, fq_name, parent, properties)
    _note_ignored(change, resource, request)
    body.update({name: value for name, value in properties.items() if value is not None})
    body["id_perms"] = identity.id_permissions(
        uuid, documents.section(properties, "id_perms"), change.now
    )
    owner = _owner(change, resource, uuid, parent)
    body["perms2"] = identity.permissions(properties.get("perms2"), owner)
    body.setdefault("display_name", fq_name[-1])
    body.update({name: items for name, items in references.items() if items})
    secret_fields.restore(change.schema, resource.name, body, {})
    check_carried(resource.name, body)
    guards.check(change, resource, body, {})
    rule.create(change, body)
    check_objects(change, resource, body)
    record = _bounded(make_record(resource.name, body))
    rights.check_names(change, record, {})
    change.view.put(record)
    with rights.on_own_behalf(change):
        for companion in rule.companions(change, record):
            create(change, change.schema.resources[companion.type_name], companion.body)
    return change.view.get(uuid) or record


def _name_taken(
    change: Change, resource: ObjectType, request: Document, fq_name: FqName, uuid: str
) -> Refused:
    """Return the refusal; whoever may not create there does not learn what is there."""
    if rights.is_restricted(change):
        _parent(change, _parent_type(resource, request, fq_name), fq_name)
        taken = change.view.get(uuid)
        if taken is not None and not rights.shown_name(change, taken):
            return conflict(f"{list(fq_name)} already exists")
    return conflict(texts.already_exists(fq_name, uuid))


def _bounded(record: Record) -> Record:
    """Refuse an object the store could not keep; the encoding is needed for the store anyway."""
    size = len(record.encode())
    if size > OBJECT_BYTES_MAX:
        raise Refused(413, f"Object of {size} bytes is over {OBJECT_BYTES_MAX} bytes")
    return record


def _properties(resource: ObjectType, request: Document, operation: str) -> Document:
    """Return the request's properties in stored form; the operation's name starts the refusal."""
    try:
        return stored_properties(resource, request)
    except InvalidValue as invalid:
        raise bad_request(f"Bad property in {operation}: {invalid}") from None


def _parent_type(resource: ObjectType, request: Document, fq_name: FqName) -> str | None:
    """Return the type of the parent, None for a root object."""
    given = request.get("parent_type")
    allowed = resource.parent_types
    if given is not None and given != ROOT:
        if not isinstance(given, str) or given.replace("_", "-") not in allowed:
            raise bad_request(texts.invalid_parent_type(str(given)[:256], allowed))
        if len(fq_name) < 2:
            raise bad_request(texts.invalid_fq_name(given, fq_name))
        return given.replace("_", "-")
    if resource.is_root and (len(fq_name) == 1 or not allowed):
        if len(fq_name) != 1:
            raise bad_request(texts.invalid_fq_name(ROOT, fq_name))
        return None
    if given == ROOT:
        raise bad_request(texts.invalid_parent_type(ROOT, allowed))
    if len(allowed) != 1:
        raise bad_request("Missing parent type")
    if len(fq_name) < 2:
        raise bad_request(texts.invalid_fq_name(allowed[0], fq_name))
    return allowed[0]


def _fresh_uuid(change: Change, resource: ObjectType, fq_name: FqName, request: Document) -> str:
    given = request.get("uuid")
    if given is None:
        return change.new_uuid()
    if not identity.is_uuid(given):
        raise bad_request(texts.invalid_uuid(str(given)[:256]))
    uuid = cast("str", given)
    taken = change.view.get(uuid)
    if taken is not None:
        if not rights.shown_name(change, taken):
            raise conflict(f"{uuid} already exists")
        raise conflict(texts.uuid_already_exists(uuid, taken.fq_name))
    rights.check_uuid(change, resource, fq_name, uuid)
    return uuid


def _parent(change: Change, parent_type: str | None, fq_name: FqName) -> Record | None:
    if parent_type is None:
        return None
    parent = find(change.view, parent_type, fq_name[:-1])
    if parent is None or rights.is_restricted(change):
        missing = texts.parent_missing(fq_name[:-1], parent_type)
        if parent is None:
            raise bad_request(missing)
        rights.check_parent(change, parent, missing)
    return parent


def _new_body(
    change: Change, uuid: str, fq_name: FqName, parent: Record | None, properties: Document
) -> Document:
    body: Document = {"uuid": uuid, "fq_name": list(fq_name)}
    if parent is not None:
        body["parent_type"] = parent.type_name
        body["parent_uuid"] = parent.uuid
    return body


def _owner(change: Change, resource: ObjectType, uuid: str, parent: Record | None) -> str:
    """Return the default owner: a project owns itself, others belong to their parent's owner."""
    if resource.name == "project":
        return uuid.replace("-", "")
    if parent is None or parent.type_name == "domain":
        return change.caller.owner
    return documents.text(documents.section(parent.body, "perms2"), "owner") or change.caller.owner


def _note_ignored(change: Change, resource: ObjectType, request: Document) -> None:
    """Remember members of the request that mean nothing; clients that read then write send more."""
    properties, references = resource.properties, resource.references
    change.ignored += [
        name
        for name in request
        if name not in properties and name not in references and not is_known_key(resource, name)
    ]


def existing(change: Change, resource: ObjectType, uuid: str, missing: str) -> Record:
    """Return the object a path names, or refuse with the text for an unknown one."""
    record = rights.known(change, change.view.get(uuid), missing)
    if record.type_name != resource.name:
        raise not_found(texts.no_such_object(resource.name, uuid))
    return record


def update(change: Change, record: Record, request: Document) -> Record:
    """Plan the new version of an object; members that are absent stay, null removes."""
    rights.check_update(change, record, request)
    resource = change.schema.resources[record.type_name]
    properties = _properties(resource, request, "http_put")
    if properties.get("display_name") != record.body.get("display_name"):
        identity.check_plain("display_name", properties.get("display_name"))
    references = resolve_references(change, resource, request, "update", old=record)
    _note_ignored(change, resource, request)
    body = dict(record.body)
    for name, value in properties.items():
        if name in _SERVER_WRITTEN:
            continue
        if value is None:
            body.pop(name, None)
        else:
            body[name] = value
    for name, items in references.items():
        if items:
            body[name] = items
        else:
            body.pop(name, None)
    perms2 = properties.get("perms2")
    if documents.is_document(perms2):
        body["perms2"] = identity.changed_permissions(record.body, perms2)
    given = documents.section(properties, "id_perms")
    return replace_body(change, record, body, given=given)


def replace_body(
    change: Change,
    record: Record,
    body: Document,
    *,
    side: Side | None = None,
    given: Document | None = None,
) -> Record:
    """Plan a new version with this complete body, after the type's rule has agreed to it."""
    rule = rule_of(record.type_name)
    body["id_perms"] = identity.touched(record.body, change.now, given)
    secret_fields.restore(change.schema, record.type_name, body, record.body)
    check_carried(record.type_name, body)
    guards.check(change, change.schema.resources[record.type_name], body, record.body)
    rule.update(change, record, body)
    renewed = _bounded(next_version(record, body, record.side if side is None else side))
    rights.check_names(change, renewed, record.body)
    change.view.put(renewed)
    rule.after_update(change, record, renewed)
    return renewed


def next_version(record: Record, body: Document, side: Side) -> Record:
    """Return a record with a new body that remembers what the store knows of the old one."""
    kept = {
        name: positions
        for name, positions in side.positions.items()
        if body.get(name) is record.body.get(name) or side is not record.side
    }
    targets = {documents.text(i, "uuid") for n in body for i in _references_in(body, n)}
    relaxed = tuple(uuid for uuid in side.relaxed if uuid in targets)
    unchanged = kept == record.side.positions and relaxed == record.side.relaxed
    renewed = make_record(
        record.type_name,
        body,
        side
        if unchanged and side is record.side
        else Side(positions=kept, relaxed=relaxed, owners=side.owners),
    )
    renewed.mod_revision = record.mod_revision
    renewed.create_revision = record.create_revision
    return renewed


def _references_in(body: Document, name: str) -> list[Document]:
    return documents.sections(body, name) if name.endswith("_refs") else []


def delete(change: Change, record: Record, links: Links) -> None:
    """Plan the removal of an object, its derived and default children and references to it."""
    rights.check_delete(change, record)
    rule_of(record.type_name).delete(change, record)
    blocking = _blocking_children(change, record)
    if blocking:
        raise held(change, texts.children_present, blocking, links)
    leaving = _with_children(change, record)
    inside = {each.uuid for each in leaving}
    referring = _blocking_referrers(change, leaving, inside)
    if referring:
        raise held(change, texts.still_referred, referring, links)
    for each in leaving:
        _drop_references_to(change, each, inside)
    for each in reversed(leaving):
        change.view.numbers.release_owner(each.uuid)
        change.view.remove(each.uuid)
    rule_of(record.type_name).after_delete(change, record)


def held(
    change: Change,
    text: Callable[[Sequence[str]], str],
    holders: Sequence[Record],
    links: Links,
) -> Refused:
    """Return the refusal that names who holds the object, as far as the caller may know them."""
    named = [links.of(holder) for holder in holders if rights.shown_name(change, holder)]
    unseen = len(holders) - len(named)
    more = f" and {unseen} more that are not visible to you" if unseen else ""
    return conflict(text(named) + more)


class Links:
    """Makes the absolute links that refusals name."""

    def __init__(self, base: str) -> None:
        self.base = base

    def of(self, record: Record) -> str:
        return f"{self.base}/{record.type_name}/{record.uuid}"


def _blocking_children(change: Change, record: Record) -> list[Record]:
    blocking: list[Record] = []
    for kind in sorted(change.view.child_types(record.uuid)):
        derived = change.schema.is_derived_child(record.type_name, kind)
        for uuid in change.view.child_uuids(record.uuid, kind):
            child = change.view.get(uuid)
            if child is None:
                continue
            if derived or _is_default_child(child):
                blocking += _blocking_children(change, child)
            else:
                blocking.append(child)
    return blocking


def _is_default_child(child: Record) -> bool:
    return child.name in (f"default-{child.type_name}", "draft-policy-management")


def _with_children(change: Change, record: Record) -> list[Record]:
    """Return the object and everything below it, parents first."""
    found = [record]
    for kind in sorted(change.view.child_types(record.uuid)):
        for uuid in list(change.view.child_uuids(record.uuid, kind)):
            child = change.view.get(uuid)
            if child is not None:
                found += _with_children(change, child)
    return found


def _blocking_referrers(change: Change, leaving: list[Record], inside: set[str]) -> list[Record]:
    """Return who forbids the removal: strong, not relaxed references from outside.

    References to derived and default children count as little as those children themselves.
    """
    record = leaving[0]
    blocking: list[Record] = []
    for kind in sorted(change.view.referrer_types(record.uuid)):
        for uuid in change.view.referrer_uuids(record.uuid, kind):
            source = change.view.get(uuid)
            if source is None or uuid in inside or record.uuid in source.side.relaxed:
                continue
            references = change.schema.resources[kind].references
            fields = (name for name, target in source.targets if target == record.uuid)
            if any(not references[name].weak for name in fields if name in references):
                blocking.append(source)
    for child in leaving[1:]:
        if not change.schema.is_derived_child(child.parent_type or ROOT, child.type_name):
            blocking += _blocking_referrers(change, [child], inside | {record.uuid})
    return blocking


def _drop_references_to(change: Change, target: Record, inside: set[str]) -> None:
    for kind in sorted(change.view.referrer_types(target.uuid)):
        for uuid in list(change.view.referrer_uuids(target.uuid, kind)):
            source = change.view.get(uuid)
            if source is not None and uuid not in inside:
                drop_reference(change, source, target.uuid)


def drop_reference(change: Change, source: Record, target: str) -> None:
    """Plan the source without its references to the target; its rule is not asked."""
    body = dict(source.body)
    for name in {field for field, uuid in source.targets if uuid == target}:
        left = [item for item in documents.sections(body, name) if item.get("uuid") != target]
        if left:
            body[name] = left
        else:
            del body[name]
    body["id_perms"] = identity.touched(source.body, change.now)
    change.view.put(next_version(source, body, source.side))


__all__ = ["NO_SIDE", "Links", "create", "delete", "existing", "held", "replace_body", "update"]
