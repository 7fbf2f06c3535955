"""Fields that are secrets in the model: masked for all but administrators and components. Pure.

A reader that writes back what it read sends the mask where it saw it: the value that was there
stays. A mask where nothing was is refused, so that no device ever gets it as a password.
"""

from __future__ import annotations

from collections.abc import Iterable

from skytrail.api import authorize, documents
from skytrail.api.caller import Caller
from skytrail.api.documents import Document
from skytrail.api.graph import Record, View, make_record
from skytrail.api.refusal import Refused, bad_request
from skytrail.api.schema import Schema
from skytrail.model.catalog_types import ObjectType

MASK = "***"


def has_secrets(schema: Schema, resource: ObjectType) -> bool:
    """Whether objects of the type may hold secrets."""
    return any(prop.type in schema.secret_types for prop in resource.properties.values())


def shown(schema: Schema, view: View, caller: Caller, record: Record) -> Record:
    """Return what the caller may see of a record: itself, or a copy with masks."""
    resource = schema.resources[record.type_name]
    if not has_secrets(schema, resource) or not authorize.is_restricted(view, caller):
        return record
    copy = make_record(record.type_name, masked(schema, resource, record.body), record.side)
    copy.mod_revision, copy.create_revision = record.mod_revision, record.create_revision
    return copy


def all_shown(
    schema: Schema, view: View, caller: Caller, records: Iterable[Record]
) -> list[Record]:
    """Return what the caller may see of several records."""
    return [shown(schema, view, caller, record) for record in records]


def check_filters(schema: Schema, resource: ObjectType, names: Iterable[str]) -> None:
    """Refuse to select by what the caller may not see: the answers would confirm guesses."""
    for name in names:
        prop = resource.properties.get(name)
        if prop is not None and prop.type in schema.secret_types:
            raise Refused(403, f"Permission Denied: {name} holds secrets and cannot be a filter")


def masked(schema: Schema, resource: ObjectType, body: Document) -> Document:
    """Return the document with a mask in place of every secret that is set."""
    return {
        name: _masked(schema, resource.properties[name].type, value)
        if name in resource.properties
        else value
        for name, value in body.items()
    }


def _masked(schema: Schema, type_name: str, value: object) -> object:
    if type_name not in schema.secret_types:
        return value
    if isinstance(value, list):
        return [_masked(schema, type_name, each) for each in documents.as_list(value)]
    if not documents.is_document(value):
        return value
    fields = schema.complex_types[type_name].fields
    found: Document = {}
    for name, part in value.items():
        member = fields.get(name)
        if member is not None and member.secret:
            found[name] = None if part is None else MASK
        else:
            found[name] = part if member is None else _masked(schema, member.type, part)
    return found


def restore(schema: Schema, resource: ObjectType, properties: Document, old: Document) -> None:
    """Put the old secrets where the new properties have the mask; refuse masks of nothing."""
    for name, value in properties.items():
        kind = resource.properties[name].type if name in resource.properties else ""
        if kind in schema.secret_types and value is not None:
            properties[name] = _restored(schema, kind, value, old.get(name), name)


def _restored(schema: Schema, type_name: str, value: object, old: object, place: str) -> object:
    if type_name not in schema.secret_types:
        return value
    if isinstance(value, list):
        former = documents.as_list(old)
        return [
            _restored(
                schema, type_name, each, former[n] if n < len(former) else None, f"{place}[{n}]"
            )
            for n, each in enumerate(documents.as_list(value))
        ]
    if not documents.is_document(value):
        return value
    fields = schema.complex_types[type_name].fields
    before: Document = old if documents.is_document(old) else {}
    found: Document = {}
    for name, part in value.items():
        member = fields.get(name)
        where = f"{place}.{name}"
        if member is not None and member.secret and part == MASK:
            _check_same_holder(value, before, fields, where)
            found[name] = before[name]
        else:
            kind = "" if member is None else member.type
            found[name] = _restored(schema, kind, part, before.get(name), where)
    return found


def _check_same_holder(
    value: Document, before: Document, fields: Iterable[str], where: str
) -> None:
    """Refuse a mask that would carry a secret over to another account or device."""
    secret = where.rpartition(".")[2]
    if before.get(secret) is None:
        raise bad_request(f"{where}: {MASK} stands for a secret that is not there; give it")
    for name in fields:
        if "user" in name and value.get(name) != before.get(name):
            raise bad_request(f"{where}: {name} changes, so give the secret anew")
