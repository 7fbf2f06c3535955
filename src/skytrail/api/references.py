"""Turns the references of a request into complete ones: target by name and uuid, checked attribute.

Every stored reference names an object that exists; deleting an object takes the references to it
along. So a dangling reference cannot be represented.
"""

from __future__ import annotations

from typing import cast

from skytrail.api import documents, rights
from skytrail.api.change import Change
from skytrail.api.documents import Document, is_document
from skytrail.api.graph import Record, find
from skytrail.api.refusal import Refused, bad_request
from skytrail.model.catalog_types import ObjectType, ReferenceField
from skytrail.model.validate import InvalidValue, shown, stored_attribute


def resolve_references(
    change: Change,
    resource: ObjectType,
    body: Document,
    operation: str,
    *,
    old: Record | None = None,
) -> dict[str, list[Document]]:
    """Return the complete reference lists the body names; null and [] mean none.

    ``operation`` is the word the error texts use: ``create`` or ``update``. What ``old`` refers to
    may be kept without the right to refer to it anew.
    """
    kept = frozenset[tuple[str, str]]() if old is None else frozenset(old.targets)
    resolved: dict[str, list[Document]] = {}
    fields = resource.references
    for name, value in body.items():
        reference = fields.get(name)
        if reference is None:
            continue
        if value is not None and not isinstance(value, list):
            raise bad_request(
                f"Bad reference in {operation}: Field {name} must be a list. "
                f"Received value: {shown(change.schema.masks.reference(reference.attr_type, value))}"
            )
        complete: dict[str, Document] = {}
        for item in documents.as_list(value):
            entry = _resolve(change, resource, reference, item, operation, kept)
            complete[cast("str", entry["uuid"])] = entry
        resolved[name] = list(complete.values())
    return resolved


def _resolve(
    change: Change,
    resource: ObjectType,
    reference: ReferenceField,
    item: object,
    operation: str,
    kept: frozenset[tuple[str, str]],
) -> Document:
    if not is_document(item):
        raise bad_request(
            f"Bad reference in {operation}: Error validating reference {reference.name} "
            f"value {shown(change.schema.masks.reference(reference.attr_type, item))}: expected "
            '{"to": [NAME, ...]}'
        )
    try:
        attribute = stored_attribute(reference, item.get("attr"))
    except InvalidValue as invalid:
        raise bad_request(f"Bad reference in {operation}: {invalid}") from None
    target = target_of(change, reference.target, item)
    if target is not None and not (kept and (reference.name, target.uuid) in kept):
        target = rights.linkable(change, target)
    if target is None:
        who = operation if operation == "create" else f"{operation} {resource.name}"
        masked = change.schema.masks.reference(reference.attr_type, item)
        raise bad_request(f"Unknown reference in resource {who} {shown(masked)}.")
    return reference_to(target, attribute)


def target_of(change: Change, target_type: str, item: Document) -> Record | None:
    """Return the object a reference item means, by uuid first and by name otherwise."""
    uuid = documents.text(item, "uuid")
    if uuid:
        record = change.view.get(uuid)
        return record if record is not None and record.type_name == target_type else None
    names = tuple(documents.texts(item, "to"))
    return find_or_draft(change, target_type, names) if names else None


DRAFTS = "draft-policy-management"
GLOBAL_HOLDER = "default-policy-management"
_WITH_DRAFTS = frozenset({"address-group", "firewall-policy", "firewall-rule", "service-group"})


def draft_name(fq_name: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the name the draft of a security object has; None for names of other places."""
    if len(fq_name) < 2 or fq_name[-2] == DRAFTS:
        return None
    scope = fq_name[:-1]
    return (*(() if scope == (GLOBAL_HOLDER,) else scope), DRAFTS, fq_name[-1])


def find_or_draft(change: Change, type_name: str, fq_name: tuple[str, ...]) -> Record | None:
    """Return the object of that name, or the draft that will get the name when it is committed."""
    found = find(change.view, type_name, fq_name)
    if found is None and type_name in _WITH_DRAFTS:
        name = draft_name(fq_name)
        found = None if name is None else find(change.view, type_name, name)
    return found


def reference_to(target: Record, attribute: object = None) -> Document:
    """Return a complete reference item."""
    return {"to": list(target.fq_name), "uuid": target.uuid, "attr": attribute}


def referred(change: Change, body: Document, field: str) -> list[Record]:
    """Return the targets of one reference field of a complete body."""
    found: list[Record] = []
    for item in documents.sections(body, field):
        record = change.view.get(documents.text(item, "uuid") or "")
        if record is not None:
            found.append(record)
    return found


def reference_field(resource: ObjectType, target_type: str) -> ReferenceField:
    """Return the field by which a type refers to another, whatever spelling the caller uses."""
    wanted = target_type.lower().replace("-", "_").removesuffix("_refs") + "_refs"
    for name, reference in resource.references.items():
        if name.lower() == wanted:
            return reference
    raise Refused(404, f"No reference of {resource.name} to {shown(target_type)}")
