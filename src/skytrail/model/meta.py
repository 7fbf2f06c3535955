"""The meta-schema of the data model: which keys a schema file may hold, and a strict loader.

An unknown key, a wrong value type, a duplicate name, a dangling type name or a missing
description is a `SchemaError` that names the file and the entry.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import yaml

from skytrail.model.catalog_types import Form, Guard, Kind, Origin, Presence, Scalar

SCHEMA_DIRECTORY = Path(__file__).parent / "schema"
# A shorter text cannot say what the thing does.
DESCRIPTION_LENGTH_MIN = 15
PRIMITIVES: Mapping[str, str] = {
    "string": "string",
    "integer": "integer",
    "boolean": "boolean",
    "dateTime": "string",
    "time": "string",
    "unsignedLong": "integer",
    "unsignedShort": "integer",
}
EntryT = TypeVar("EntryT", bound=msgspec.Struct)


class SchemaError(ValueError):
    """A schema file breaks the meta-schema; the text starts with file and entry."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every entry says about itself: meaning, origin document (RFC), life cycle."""

    description: str = ""
    source: str = ""
    since: str = ""
    deprecated: str = ""


class FieldEntry(Entry, frozen=True, kw_only=True):
    """A member of a complex type; `type` is a primitive, a simple or a complex type name."""

    type: str
    list: bool = False
    max_items: int | None = None
    presence: Presence = "optional"
    operations: str = "CRUD"
    default: Scalar | None = None
    secret: bool = False
    """Shown to administrators and components of the system only."""
    form: Form | None = None
    guard: Guard | None = None


class PropertyEntry(Entry, frozen=True, kw_only=True):
    """A property of an object type; `key` is required for, and only for, maps."""

    type: str
    kind: Kind = "simple"
    key: str = ""
    presence: Presence = "optional"
    operations: str = "CRUD"
    default: Scalar | None = None
    form: Form | None = None
    guard: Guard | None = None


class ReferenceEntry(Entry, frozen=True, kw_only=True):
    """A reference to the type it is filed under; `link` defaults to `<source>-<target>`."""

    attr: str = ""
    weak: bool = False
    link: str = ""
    presence: Presence = "optional"
    operations: str = "CRUD"
    guard: Guard | None = None


class ParentEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An allowed parent; `implicit` when the root is the parent only for want of another."""

    weak: bool = False
    implicit: bool = False
    link: str = ""
    presence: Presence = "optional"
    operations: str = "CRUD"


class SimpleTypeEntry(Entry, frozen=True, kw_only=True):
    """A named scalar restricted by `enum`, an inclusive integer `range` or a `pattern`."""

    base: str
    enum: list[str] = []
    range: tuple[int, int] | None = None
    pattern: str = ""


class ObjectEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An object type as written in its file; `short` are names for the command line."""

    family: str
    parents: dict[str, ParentEntry]
    references: dict[str, ReferenceEntry]
    properties: dict[str, PropertyEntry]
    short: tuple[str, ...] = ()
    origin: Origin = "user"
    guard: Guard | None = None
    description: str = ""
    source: str = ""


class ComplexTypeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A complex type as written in its file."""

    family: str
    fields: dict[str, FieldEntry]
    description: str = ""
    source: str = ""


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """All schema files together, entries by name in file order."""

    families: dict[str, tuple[str, str]]
    every_object: ObjectEntry
    objects: dict[str, ObjectEntry]
    types: dict[str, ComplexTypeEntry]
    simple_types: dict[str, tuple[str, SimpleTypeEntry]]


class _CarriedByAll(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    references: dict[str, object] = {}
    properties: dict[str, object] = {}


class _ObjectShape(Entry, frozen=True, kw_only=True):
    short: list[str] = []
    origin: Origin = "user"
    guard: Guard | None = None
    parents: dict[str, object] = {}
    references: dict[str, object] = {}
    properties: dict[str, object] = {}


class _TypeShape(Entry, frozen=True, kw_only=True):
    fields: dict[str, object]


class _FileShape(Entry, frozen=True, kw_only=True):
    family: str
    title: str
    every_object: object = None
    objects: dict[str, object] = {}
    types: dict[str, object] = {}
    simple_types: dict[str, object] = {}


def load_schema(directory: Path = SCHEMA_DIRECTORY) -> Schema:
    """Read and check every `*.yaml` of a directory, in file-name order; raises `SchemaError`."""
    schema = Schema(
        families={},
        every_object=ObjectEntry(family="", parents={}, references={}, properties={}),
        objects={},
        types={},
        simple_types={},
    )
    for path in sorted(directory.glob("*.yaml")):
        schema = _with_file(schema, path)
    _check_names(schema)
    return schema


def _with_file(schema: Schema, path: Path) -> Schema:
    shape = _entry(_read_yaml(path), _FileShape, path.name)
    if shape.family != path.stem:
        raise SchemaError(f"{path.name}: family is {shape.family!r}, must equal the file's name")
    schema.families[shape.family] = (shape.title, shape.description)
    for name, raw in shape.objects.items():
        where = f"{path.name}: objects.{name}"
        _refuse_duplicate(name, schema.objects, where)
        schema.objects[name] = _object(raw, shape.family, where)
    for name, raw in shape.types.items():
        where = f"{path.name}: types.{name}"
        _refuse_duplicate(name, schema.types, where)
        schema.types[name] = _complex_type(raw, shape.family, where)
    for name, raw in shape.simple_types.items():
        where = f"{path.name}: simple_types.{name}"
        _refuse_duplicate(name, schema.simple_types, where)
        schema.simple_types[name] = (shape.family, _entry(raw, SimpleTypeEntry, where))
    if shape.every_object is not None:
        every = _carried_by_all(shape.every_object, shape.family, f"{path.name}: every_object")
        return msgspec.structs.replace(schema, every_object=every)
    return schema


def _object(raw: object, family: str, where: str) -> ObjectEntry:
    shape = _entry(raw, _ObjectShape, where)
    return ObjectEntry(
        family=family,
        short=tuple(shape.short),
        origin=shape.origin,
        guard=shape.guard,
        description=shape.description,
        source=shape.source,
        parents=_entries(shape.parents, ParentEntry, f"{where}.parents"),
        references=_entries(shape.references, ReferenceEntry, f"{where}.references"),
        properties=_entries(shape.properties, PropertyEntry, f"{where}.properties"),
    )


def _carried_by_all(raw: object, family: str, where: str) -> ObjectEntry:
    shape = _entry(raw, _CarriedByAll, where)
    return ObjectEntry(
        family=family,
        parents={},
        references=_entries(shape.references, ReferenceEntry, f"{where}.references"),
        properties=_entries(shape.properties, PropertyEntry, f"{where}.properties"),
    )


def _complex_type(raw: object, family: str, where: str) -> ComplexTypeEntry:
    shape = _entry(raw, _TypeShape, where)
    return ComplexTypeEntry(
        family=family,
        description=shape.description,
        source=shape.source,
        fields=_entries(shape.fields, FieldEntry, f"{where}.fields"),
    )


def _entries(raw: Mapping[str, object], kind: type[EntryT], where: str) -> dict[str, EntryT]:
    return {name: _entry(value, kind, f"{where}.{name}") for name, value in raw.items()}


def _entry(raw: object, kind: type[EntryT], where: str) -> EntryT:
    try:
        entry = msgspec.convert({} if raw is None else raw, kind)
    except msgspec.ValidationError as error:
        raise SchemaError(f"{where}: {error}") from error
    if isinstance(entry, Entry) and len(entry.description) < DESCRIPTION_LENGTH_MIN:
        raise SchemaError(f"{where}: needs a description that says what it does")
    return entry


def _refuse_duplicate(name: str, seen: Mapping[str, object], where: str) -> None:
    if name in seen:
        raise SchemaError(f"{where}: {name!r} is already described elsewhere")


def _check_names(schema: Schema) -> None:
    """Every type, parent and target that is named must exist."""
    known = set(PRIMITIVES) | set(schema.types) | set(schema.simple_types)
    for name, (family, simple) in schema.simple_types.items():
        if simple.base not in PRIMITIVES:
            raise SchemaError(f"{family}.yaml: simple_types.{name}: unknown base {simple.base!r}")
    for name, complex_type in schema.types.items():
        for field_name, field in complex_type.fields.items():
            where = f"{complex_type.family}.yaml: types.{name}.fields.{field_name}"
            _require(field.type, known, where)
    for name, entry in [("every_object", schema.every_object), *schema.objects.items()]:
        where = f"{entry.family}.yaml: objects.{name}"
        _check_object(entry, schema, where)


def _check_object(entry: ObjectEntry, schema: Schema, where: str) -> None:
    known = set(PRIMITIVES) | set(schema.types) | set(schema.simple_types)
    for name in entry.parents:
        _require(name, schema.objects, f"{where}.parents.{name}")
    for name, reference in entry.references.items():
        _require(name, schema.objects, f"{where}.references.{name}")
        if reference.attr:
            _require(reference.attr, schema.types, f"{where}.references.{name}.attr")
    for name, entry_property in entry.properties.items():
        here = f"{where}.properties.{name}"
        _require(entry_property.type, known, here)
        if (entry_property.kind == "map") != bool(entry_property.key):
            raise SchemaError(f"{here}: `key` belongs to maps, and maps need one")
        if entry_property.kind != "simple":
            _check_wrapper(entry_property, schema, here)


def _check_wrapper(entry: PropertyEntry, schema: Schema, where: str) -> None:
    wrapper = schema.types.get(entry.type)
    fields = list(wrapper.fields.values()) if wrapper else []
    if len(fields) != 1 or not fields[0].list:
        raise SchemaError(f"{where}: {entry.type} must be a complex type with one list field")


def _require(name: str, known: Mapping[str, object] | set[str], where: str) -> None:
    if name not in known:
        raise SchemaError(f"{where}: unknown type {name!r}")


class _StrictLoader(yaml.CSafeLoader):
    """The safe YAML loader, except that a repeated key is an error instead of an overwrite."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        keys = [cast("str", key.value) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise SchemaError(f"key {key!r} is given twice in line {node.start_mark.line + 1}")
        return cast("dict[Hashable, object]", super().construct_mapping(node, deep))


def _read_yaml(path: Path) -> object:
    try:
        return cast("object", yaml.load(path.read_text(encoding="utf-8"), _StrictLoader))  # noqa: S506
    except (yaml.YAMLError, SchemaError) as error:
        raise SchemaError(f"{path.name}: {error}") from error
