"""From schema entries to the catalog: resolves names, adds what can be derived.

Derived are JSON names, collections, class names, wrapper fields, children, back references and
the lengths a fully qualified name may have.
"""

from __future__ import annotations

from collections.abc import Mapping

from skytrail.model.catalog_types import (
    BackReferenceField,
    Base,
    Catalog,
    ChildField,
    ComplexType,
    Family,
    Field,
    ObjectType,
    ParentLink,
    Property,
    ReferenceField,
    SimpleType,
)
from skytrail.model.meta import PRIMITIVES, FieldEntry, ObjectEntry, PropertyEntry, Schema

_BASES: Mapping[str, Base] = {"string": "string", "integer": "integer", "boolean": "boolean"}


def build_catalog(schema: Schema) -> Catalog:
    """The complete catalog of a checked schema, objects and types in schema order."""
    simple_types = {name: _simple_type(name, schema) for name in schema.simple_types}
    types = {
        name: ComplexType(
            name=name,
            fields={
                field_name: _field(field_name, field, simple_types)
                for field_name, field in entry.fields.items()
            },
            source=entry.source,
            family=entry.family,
            description=entry.description,
        )
        for name, entry in schema.types.items()
    }
    objects = {name: _object(name, schema, types, simple_types) for name in schema.objects}
    return Catalog(
        families={
            name: Family(name=name, title=title, description=description)
            for name, (title, description) in schema.families.items()
        },
        objects=objects,
        types=types,
        simple_types=simple_types,
    )


def class_name(type_name: str) -> str:
    """`virtual-DNS-record` -> `VirtualDnsRecord`."""
    return "".join(part.capitalize() for part in type_name.split("-"))


def _simple_type(name: str, schema: Schema) -> SimpleType:
    family, entry = schema.simple_types[name]
    low, high = entry.range or (None, None)
    return SimpleType(
        name=name,
        base=_BASES[PRIMITIVES[entry.base]],
        wire_base=entry.base,
        enum=tuple(entry.enum),
        minimum=low,
        maximum=high,
        pattern=entry.pattern,
        source=entry.source,
        family=family,
        description=entry.description,
    )


def _field(name: str, entry: FieldEntry, simple_types: Mapping[str, SimpleType]) -> Field:
    simple = simple_types.get(entry.type)
    return Field(
        name=name,
        type=entry.type,
        base=_base(entry.type, simple),
        is_list=entry.list,
        max_items=entry.max_items,
        presence=entry.presence,
        operations=entry.operations,
        default=entry.default,
        enum=simple.enum if simple else (),
        minimum=simple.minimum if simple else None,
        maximum=simple.maximum if simple else None,
        pattern=simple.pattern if simple else "",
        source=entry.source,
        since=entry.since,
        deprecated=entry.deprecated,
        secret=entry.secret,
        form=entry.form,
        guard=entry.guard,
        description=entry.description,
    )


def _property(
    name: str,
    entry: PropertyEntry,
    types: Mapping[str, ComplexType],
    simple_types: Mapping[str, SimpleType],
) -> Property:
    simple = simple_types.get(entry.type)
    wrapper = None if entry.kind == "simple" else next(iter(types[entry.type].fields.values()))
    return Property(
        name=name,
        kind=entry.kind,
        type=entry.type,
        base=_base(entry.type, simple),
        wrapper_field=wrapper.name if wrapper else "",
        element_type=wrapper.type if wrapper else "",
        map_key=entry.key,
        presence=entry.presence,
        operations=entry.operations,
        default=entry.default,
        enum=simple.enum if simple else (),
        minimum=simple.minimum if simple else None,
        maximum=simple.maximum if simple else None,
        pattern=simple.pattern if simple else "",
        source=entry.source,
        since=entry.since,
        deprecated=entry.deprecated,
        form=entry.form,
        guard=entry.guard,
        description=entry.description,
    )


def _base(type_name: str, simple: SimpleType | None) -> Base:
    if simple:
        return simple.base
    return _BASES[PRIMITIVES[type_name]] if type_name in PRIMITIVES else "compound"


def _object(
    name: str,
    schema: Schema,
    types: Mapping[str, ComplexType],
    simple_types: Mapping[str, SimpleType],
) -> ObjectType:
    entry = schema.objects[name]
    properties = {**entry.properties, **schema.every_object.properties}
    references = {**_references(name, entry), **_references("object", schema.every_object)}
    return ObjectType(
        name=name,
        json_name=_json(name),
        class_name=class_name(name),
        collection=f"{name}s",
        family=entry.family,
        short_names=entry.short,
        origin=entry.origin,
        guard=entry.guard,
        parents={
            parent: ParentLink(
                type=parent,
                link=link.link or f"{parent}-{name}",
                weak=link.weak,
                implicit=link.implicit,
                presence=link.presence,
                operations=link.operations,
            )
            for parent, link in entry.parents.items()
        },
        children=_children(name, schema),
        references=references,
        back_references=_back_references(name, schema),
        properties={
            field: _property(field, value, types, simple_types)
            for field, value in properties.items()
        },
        fq_name_lengths=_fq_name_lengths(name, schema, frozenset()),
        source=entry.source,
        description=entry.description,
    )


def _references(source: str, entry: ObjectEntry) -> dict[str, ReferenceField]:
    return {
        f"{_json(target)}_refs": ReferenceField(
            name=f"{_json(target)}_refs",
            target=target,
            link=reference.link or f"{source}-{target}",
            attr_type=reference.attr,
            weak=reference.weak,
            presence=reference.presence,
            operations=reference.operations,
            guard=reference.guard,
            description=reference.description,
        )
        for target, reference in entry.references.items()
    }


def _children(name: str, schema: Schema) -> dict[str, ChildField]:
    return {
        f"{_json(child)}s": ChildField(
            name=f"{_json(child)}s", type=child, weak=entry.parents[name].weak
        )
        for child, entry in schema.objects.items()
        if name in entry.parents and not entry.parents[name].implicit
    }


def _back_references(name: str, schema: Schema) -> dict[str, BackReferenceField]:
    found: dict[str, BackReferenceField] = {}
    for source, entry in schema.objects.items():
        reference = entry.references.get(name) or schema.every_object.references.get(name)
        if reference:
            field = f"{_json(source)}_back_refs"
            found[field] = BackReferenceField(
                name=field, source=source, attr_type=reference.attr, weak=reference.weak
            )
    return found


def _fq_name_lengths(name: str, schema: Schema, seen: frozenset[str]) -> tuple[int, ...]:
    lengths: set[int] = set()
    for parent in schema.objects[name].parents:
        if parent == "config-root":
            lengths.add(1)
        elif parent not in seen:
            lengths |= {n + 1 for n in _fq_name_lengths(parent, schema, seen | {name})}
    return tuple(sorted(lengths))


def _json(name: str) -> str:
    return name.replace("-", "_")
