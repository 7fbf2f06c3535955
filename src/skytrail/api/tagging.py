"""Tags on objects: the set-tag action, and which tags one object may carry at once.

A tag is named ``type=value``; global ones live under the root, others under the project that owns
the tagged object.
"""

from __future__ import annotations

from uuid import UUID

from skytrail.api import admission, documents, rights, security_draft, texts
from skytrail.api.change import Change
from skytrail.api.documents import Document, is_document
from skytrail.api.graph import FqName, Record, find
from skytrail.api.references import reference_to
from skytrail.api.refusal import bad_request, not_found
from skytrail.api.rules.tags import MULTI_VALUE_TYPES, set_twice, type_of
from skytrail.model.validate import shown

_ADDRESS_GROUP_TYPES = frozenset({"label"})
_ENVELOPE = ("obj_type", "obj_uuid")
_FIELD = "tag_refs"
_TYPE_COUNT_MAX = 64
_VALUE_COUNT_MAX = 256


def set_tags(change: Change, request: Document) -> Record:
    """Set, add and drop tags of one object by type; all of it or nothing."""
    record = _addressed(change, request)
    wanted = {name: value for name, value in request.items() if name not in _ENVELOPE}
    if len(wanted) > _TYPE_COUNT_MAX:
        raise bad_request(f"Bad Request, more than {_TYPE_COUNT_MAX} tag types in one request")
    body = dict(record.body)
    references = documents.sections(body, _FIELD)
    for kind, given in wanted.items():
        references = _with_type(change, record, references, kind, given)
    if references == documents.sections(body, _FIELD):
        return record
    body[_FIELD] = references
    if not references:
        del body[_FIELD]
    return admission.replace_body(change, record, body)


def _addressed(change: Change, request: Document) -> Record:
    kind, uuid = documents.text(request, "obj_type"), documents.text(request, "obj_uuid")
    if not kind or not uuid:
        raise bad_request("Bad Request, obj_type and obj_uuid must be specified")
    resource = change.schema.find(kind)
    if resource is None:
        raise not_found(texts.resource_type_not_found(shown(kind)))
    record = admission.existing(change, resource, uuid, texts.unknown_id(shown(uuid)))
    rights.check_edit(change, record, (_FIELD,))
    return security_draft.editable(change, record)


def _with_type(
    change: Change, record: Record, references: list[Document], kind: str, given: object
) -> list[Document]:
    """Return the references with the tags of one type as asked."""
    own = [item for item in references if type_of(item) == kind]
    others = [item for item in references if type_of(item) != kind]
    if given is None:
        return others
    if not is_document(given):
        raise bad_request(f"Bad Request, tag type {shown(kind)} needs an object or null")
    if record.type_name == "address-group" and kind not in _ADDRESS_GROUP_TYPES:
        raise bad_request(f"Invalid tag type {shown(kind)} for object type {record.type_name}")
    value, add, drop = given.get("value"), _values(given, "add"), _values(given, "delete")
    is_global = documents.flag(given, "is_global") or False
    if value is not None and (not isinstance(value, str) or not value):
        raise bad_request(f"No valid value provided for tag type {shown(kind)}")
    if kind not in MULTI_VALUE_TYPES:
        if add or drop:
            raise bad_request(set_twice(kind))
        if value is None:
            raise bad_request(f"No valid value provided for tag type {shown(kind)}")
        name = _name(record, change, kind, value, is_global=is_global)
        return [*others, reference_to(_tag(change, name, own))]
    if value is not None:
        add = [value, *add]
    if not add and not drop:
        raise bad_request(f"No valid value provided for tag type {shown(kind)}")
    leaving = {_name(record, change, kind, text, is_global=is_global) for text in drop}
    kept = [item for item in own if tuple(documents.texts(item, "to")) not in leaving]
    present = {documents.text(item, "uuid") for item in kept}
    for text in dict.fromkeys(add):
        tag = _tag(change, _name(record, change, kind, text, is_global=is_global), own)
        if tag.uuid not in present:
            kept.append(reference_to(tag))
    return [*others, *kept]


def _values(given: Document, operation: str) -> list[str]:
    name = f"{operation}_values"
    value = given.get(name)
    values = documents.texts(given, name)
    if value is not None and (
        not isinstance(value, list) or len(values) != len(documents.as_list(value))
    ):
        raise bad_request(f"Bad Request, {name} must be a list of strings")
    if len(values) > _VALUE_COUNT_MAX:
        raise bad_request(f"Bad Request, {name} has more than {_VALUE_COUNT_MAX} values")
    return values


def _name(record: Record, change: Change, kind: str, value: str, *, is_global: bool) -> FqName:
    name = f"{kind}={value}"
    if is_global:
        return (name,)
    project = owning_project(change, record)
    if project is None:
        raise bad_request(
            f"{record.type_name} {record.uuid} belongs to no project: "
            f"only global tags can be set on it (is_global)"
        )
    return (*project.fq_name, name)


def _tag(change: Change, name: FqName, held: list[Document]) -> Record:
    """Return the tag if the caller may refer to it, or the object does already."""
    tag = find(change.view, "tag", name)
    if tag is None or not any(documents.text(item, "uuid") == tag.uuid for item in held):
        tag = rights.linkable(change, tag)
    if tag is None:
        raise not_found(f"Tag with FQName {shown(list(name))} not found")
    return tag


def owning_project(change: Change, record: Record) -> Record | None:
    """Return the project an object is in: the nearest above it, else the one that owns it.

    Owners may be any, so that one which the caller may not know of counts for nothing.
    """
    here: Record | None = record
    while here is not None:
        if here.type_name == "project":
            return here
        here = change.view.get(here.parent_uuid or "")
    owner = documents.text(documents.section(record.body, "perms2"), "owner") or ""
    try:
        project = change.view.get(str(UUID(hex=owner)))
    except ValueError:
        return None
    if project is None or project.type_name != "project":
        return None
    return project if rights.shown_name(change, project) else None
