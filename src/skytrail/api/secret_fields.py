"""Fields that are secrets in the model: masked for all but administrators and components. Pure.

Which they are, the schema says (``secret: true``); nothing here goes by names of fields. The audit
log and what is made of it are masked for everybody, reads for whoever the permissions restrict.

A reader that writes back what it read sends the mask where it saw it: the value that was there
stays. A mask where nothing was is refused, so that no device ever gets it as a password.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skytrail.api import authorize, documents
from skytrail.api.caller import Caller
from skytrail.api.documents import Document
from skytrail.api.graph import Record, View, make_record
from skytrail.api.refusal import Refused, bad_request
from skytrail.api.schema import Schema
from skytrail.model.catalog_types import Field, ObjectType
from skytrail.model.secret_values import MASK

_HOLDERS_IDENTITY = ("user", "address", "server", "name", "key_id")
"""Parts of names of fields that say whose secret it is, or to whom it is sent."""


def shown(schema: Schema, view: View, caller: Caller, record: Record) -> Record:
    """Return what the caller may see of a record: itself, or a copy with masks."""
    names = schema.secret_names[record.type_name]
    if not names or not authorize.is_restricted(view, caller) or names.isdisjoint(record.body):
        return record
    copy = make_record(record.type_name, masked(schema, record.type_name, record.body), record.side)
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
        if name in schema.secret_names[resource.name]:
            raise Refused(403, f"Permission Denied: {name} holds secrets and cannot be a filter")


def masked(schema: Schema, type_name: str, body: Document) -> Document:
    """Return the document with a mask in place of every secret; the same one if it has none."""
    names = schema.secret_names[type_name]
    if names.isdisjoint(body):
        return body
    resource = schema.resources[type_name]
    return {
        name: schema.masks.member(resource, name, value) if name in names else value
        for name, value in body.items()
    }


def restore(schema: Schema, type_name: str, body: Document, old: Document) -> None:
    """Put the old secrets where a new body has the mask; refuse masks of nothing."""
    resource = schema.resources[type_name]
    walk = _Restoring(schema)
    for name in schema.secret_names[type_name]:
        value = body.get(name)
        if value is None or value is old.get(name):
            continue
        if name in resource.properties:
            body[name] = walk.field(resource.properties[name], value, old.get(name), name)
        else:
            body[name] = walk.references(resource, name, value, old.get(name))


class _Restoring:
    """Walks a new value beside the one it replaces."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._masks = schema.masks

    def references(self, resource: ObjectType, name: str, value: object, old: object) -> object:
        kind = resource.references[name].attr_type
        former = {
            documents.text(item, "uuid"): item.get("attr")
            for item in documents.as_list(old)
            if documents.is_document(item)
        }
        items: list[object] = []
        for place, item in enumerate(documents.as_list(value)):
            if documents.is_document(item) and item.get("attr") is not None:
                before = former.get(documents.text(item, "uuid"))
                where = f"{name}[{place}].attr"
                item = {**item, "attr": self._typed(kind, item["attr"], before, where)}
            items.append(item)
        return items

    def field(self, field: Field, value: object, old: object, place: str) -> object:
        if field.secret and value == MASK:
            if old is None:
                raise _nothing_there(place)
            return old
        return self._typed(field.type, value, old, place)

    def _typed(self, type_name: str, value: object, old: object, place: str) -> object:
        if type_name not in self._masks.holders:
            return value
        if isinstance(value, list):
            return self._elements(type_name, documents.as_list(value), old, place)
        if not documents.is_document(value):
            return value
        fields = self._schema.complex_types[type_name].fields
        before: Document = old if documents.is_document(old) else {}
        found: Document = {}
        for name, part in value.items():
            member = fields.get(name)
            where = f"{place}.{name}"
            if member is not None and member.secret and part == MASK:
                _check_same_holder(value, before, fields, where)
            found[name] = (
                part if member is None else self.field(member, part, before.get(name), where)
            )
        return found

    def _elements(
        self, type_name: str, elements: list[object], old: object, place: str
    ) -> list[object]:
        """Restore each element from the one that looks the same, else from that at its place."""
        former = documents.as_list(old)
        looks = [self._masks.typed(type_name, each) for each in former]
        found: list[object] = []
        for place_in_list, each in enumerate(elements):
            before = former[place_in_list] if place_in_list < len(former) else None
            if each in looks and each != looks[min(place_in_list, len(looks) - 1)]:
                before = former[looks.index(each)]
            found.append(self._typed(type_name, each, before, f"{place}[{place_in_list}]"))
        return found


def _nothing_there(where: str) -> Refused:
    return bad_request(f"{where}: {MASK} stands for a secret that is not there; give it")


def _check_same_holder(
    value: Document, before: Document, fields: Mapping[str, Field], where: str
) -> None:
    """Refuse a mask that would carry a secret over to another account or device."""
    if before.get(where.rpartition(".")[2]) is None:
        raise _nothing_there(where)
    for name, field in fields.items():
        tells = not field.secret and any(part in name for part in _HOLDERS_IDENTITY)
        if tells and value.get(name) != before.get(name):
            raise bad_request(f"{where}: {name} changes, so give the secret anew")


__all__ = ["MASK", "all_shown", "check_filters", "masked", "restore", "shown"]
