"""Writes objects the way clients read them: links, back references, children, selected fields.

The body without back references and children is encoded once per version of an object, with a mark
where the server's address belongs, because that address is whatever the client called us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from skytrail.api import documents
from skytrail.api.documents import Document
from skytrail.api.graph import Record, View, children, referrers
from skytrail.api.schema import Schema

# No stored text holds the zero character (properties are checked for it), and in JSON a backslash
# after a letter starts an escape: so nobody can write text that encodes to this mark.
_BASE_MARK = "\0base\0"
_BASE_BYTES = msgspec.json.encode(_BASE_MARK)[1:-1]
_ALWAYS = (
    "uuid", "fq_name", "name", "parent_type", "parent_uuid", "parent_href", "id_perms", "perms2",
    "href",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """What a reader wants to see."""

    fields: frozenset[str] | None = None
    """Only these beside the standing ones; None for all."""
    back_references: bool = True
    children: bool = True
    links: bool = True
    sees: Callable[[Record], bool] | None = None
    """Which back references and children are shown; None for all, with their secrets."""

    @property
    def is_plain(self) -> bool:
        """Whether the stored encoding can be used as it is."""
        return self.fields is None and self.links


def etag_of(record: Record) -> str:
    """Return the entity tag: the time of the last change, quoted."""
    modified = documents.text(documents.section(record.body, "id_perms"), "last_modified")
    return f'"{modified}"'


def render(schema: Schema, view: View, record: Record, shape: Shape, base: str) -> bytes:
    """Return the object as JSON bytes."""
    if shape.is_plain:
        body = _addressed(_plain(schema, record), base)
        extra = _inverse(schema, view, record, shape, base)
        if not extra:
            return body
        return body[:-1] + b"," + msgspec.json.encode(extra)[1:]
    whole = _linked(schema, record, base if shape.links else None)
    if shape.fields is not None:
        whole = {n: v for n, v in whole.items() if n in _ALWAYS or n in shape.fields}
    whole.update(_inverse(schema, view, record, shape, base))
    return msgspec.json.encode(whole)


def render_alike(schema: Schema, records: Sequence[Record], base: str) -> bytes:
    """Return whole objects of one type as a JSON list's inside, each under its type's name."""
    if not records:
        return b""
    head = b'{"%s":' % records[0].type_name.encode()
    joined = (b"}," + head).join([each.rendered or _plain(schema, each) for each in records])
    return b"%b%b}" % (head, _addressed(joined, base))


def _addressed(marked: bytes, base: str) -> bytes:
    """Return the text with the address at its marks; splitting is faster than ``replace``."""
    return base.encode().join(marked.split(_BASE_BYTES))


def _plain(schema: Schema, record: Record) -> bytes:
    """Return the body with links, and the mark where the address belongs."""
    if record.rendered is None:
        record.rendered = msgspec.json.encode(_linked(schema, record, _BASE_MARK))
    return record.rendered


def _linked(schema: Schema, record: Record, base: str | None) -> Document:
    """Return the body with name and, unless base is None, links."""
    whole = dict(record.body)
    whole["name"] = record.name
    if base is None:
        return whole
    whole["href"] = f"{base}/{record.type_name}/{record.uuid}"
    if record.parent_uuid is not None:
        whole["parent_href"] = f"{base}/{record.parent_type}/{record.parent_uuid}"
    references = schema.resources[record.type_name].references
    for name in {field for field, _ in record.targets}:
        target = references[name].target
        whole[name] = [
            {**item, "href": f"{base}/{target}/{item['uuid']}"}
            for item in documents.sections(record.body, name)
        ]
    return whole


def _inverse(schema: Schema, view: View, record: Record, shape: Shape, base: str) -> Document:
    found: Document = {}
    if shape.fields is None and not (shape.back_references or shape.children):
        return found
    link_base = base if shape.links else None
    for kind in view.referrer_types(record.uuid):
        for name in schema.back_names.get((record.type_name, kind), ()):
            if _wanted(shape, name, whole=shape.back_references):
                items = _back_references(schema, view, record, kind, (link_base, shape))
                if items:
                    found[name] = items
    for kind in view.child_types(record.uuid):
        for name in schema.child_names.get((record.type_name, kind), ()):
            if _wanted(shape, name, whole=shape.children):
                items = [
                    _item(one, link_base)
                    for one in children(view, record.uuid, kind)
                    if shape.sees is None or shape.sees(one)
                ]
                if items:
                    found[name] = items
    return found


def _wanted(shape: Shape, name: str, *, whole: bool) -> bool:
    if shape.fields is not None:
        return name in shape.fields
    return whole


def _item(record: Record, base: str | None) -> Document:
    item: Document = {"to": list(record.fq_name), "uuid": record.uuid}
    if base is not None:
        item["href"] = f"{base}/{record.type_name}/{record.uuid}"
    return item


def _back_references(
    schema: Schema, view: View, record: Record, kind: str, manner: tuple[str | None, Shape]
) -> list[Document]:
    base, shape = manner
    found = [
        ({**_item(source, base), "attr": source.attribute(place)}, field)
        for source in referrers(view, record.uuid, kind)
        if shape.sees is None or shape.sees(source)
        for place, (field, target) in enumerate(source.targets)
        if target == record.uuid
    ]
    secret = schema.secret_names[kind] if shape.sees is not None else frozenset[str]()
    if not secret:
        return [item for item, _ in found]
    references = schema.resources[kind].references
    return [
        {**item, "attr": schema.masks.typed(references[field].attr_type, item["attr"])}
        for item, field in found
    ]


def summary(
    record: Record, fields: frozenset[str], shape: Shape, base: str, *, parts: Document
) -> Document:
    """Return a list item: identity, link and the asked fields; ``parts`` holds these."""
    item: Document = {"uuid": record.uuid, "fq_name": list(record.fq_name)}
    if shape.links:
        item["href"] = f"{base}/{record.type_name}/{record.uuid}"
    for name in fields:
        if name in parts:
            item[name] = parts[name]
        elif name == "name":
            item["name"] = record.name
    return item


def created(record: Record, base: str) -> Document:
    """Return the reply to a create."""
    reply: Document = {
        "name": record.name,
        "fq_name": list(record.fq_name),
        "uuid": record.uuid,
        "href": f"{base}/{record.type_name}/{record.uuid}",
    }
    if record.parent_uuid is not None:
        reply["parent_type"] = record.parent_type
        reply["parent_uuid"] = record.parent_uuid
        reply["parent_href"] = f"{base}/{record.parent_type}/{record.parent_uuid}"
    return reply
