"""Generates the Go binding: a struct per object and complex type, and the entry type.

How structs travel is written by hand in `bindings/go`. A comment before every field keeps the
columns of gofmt out of the text, so that a new long name does not change its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skytrail.model.catalog_types import Catalog, ComplexType, Field, ObjectType, ReferenceField
from skytrail.model.generate.identifiers import capitalised, check_unique, comment_lines
from skytrail.model.generate.python_text import HEADER

# The exact words by which Go's tools know generated files, then ours.
_NOTE = f"// Code generated from the data model; DO NOT EDIT.\n// {HEADER}\n\npackage skytrail\n"
_WIDTH = 96
_CHOICES_MAX = 12
_SCALARS: Mapping[str, str] = {
    "string": "string",
    "boolean": "bool",
    "integer": "int64",
    "unsignedLong": "uint64",
}
_IDENTITY = (
    ("uuid", "string", "Unique over all types; empty for an object that was not stored yet."),
    ("fq_name", "[]string", "The full path of names, unique per type."),
    ("parent_type", "string", "The parent's type; empty below the root."),
    ("parent_uuid", "string", "Set by the API."),
)


def go_files(catalog: Catalog) -> dict[str, str]:
    """File name -> source, formatted as gofmt would."""
    files = {
        f"generated_{family}.go": _NOTE + _family(catalog, family) for family in catalog.families
    }
    files["generated_api.go"] = _NOTE + _api(catalog)
    return files


def _family(catalog: Catalog, family: str) -> str:
    objects = (o for o in catalog.objects.values() if o.family == family)
    types = (t for t in catalog.types.values() if t.family == family)
    return "".join(_object(entry, catalog) for entry in objects) + "".join(
        _complex_type(entry, catalog) for entry in types
    )


def _object(entry: ObjectType, catalog: Catalog) -> str:
    identity = [name for name, _, _ in _IDENTITY]
    check_unique(
        entry.name, [*identity, *entry.properties, *entry.references], capitalised, taken=()
    )
    head = f"{entry.class_name} is the object type {entry.name}. {entry.description}"
    return _struct(
        entry.class_name,
        head,
        [
            *(_member(name, kind, text) for name, kind, text in _IDENTITY),
            *(_field(field, catalog) for field in entry.properties.values()),
            *(_reference(reference) for reference in entry.references.values()),
        ],
    )


def _complex_type(entry: ComplexType, catalog: Catalog) -> str:
    check_unique(entry.name, entry.fields, capitalised, taken=())
    fields = [_field(field, catalog) for field in entry.fields.values()]
    return _struct(entry.name, f"{entry.name}: {entry.description}", fields)


def _struct(name: str, text: str, members: Iterable[str]) -> str:
    body = "".join(members)
    shape = f"struct {{\n{body}}}" if body else "struct{}"
    return f"\n{_comment(text, '')}type {name} {shape}\n"


def _field(field: Field, catalog: Catalog) -> str:
    simple = catalog.simple_types.get(field.type)
    wire_base = simple.wire_base if simple else field.type
    kind = field.type if field.is_compound else _SCALARS.get(wire_base, _SCALARS.get(field.base))
    text = field.description
    if 0 < len(field.enum) <= _CHOICES_MAX:
        text += f" One of: {', '.join(field.enum)}."
    return _member(field.name, f"[]{kind}" if field.is_list else f"*{kind}", text)


def _reference(reference: ReferenceField) -> str:
    kind = f"[]Reference[{reference.attr_type or 'NoAttribute'}]"
    return _member(reference.name, kind, reference.description)


def _member(wire_name: str, kind: str, text: str) -> str:
    line = f'\t{capitalised(wire_name)} {kind} `json:"{wire_name},omitempty"`\n'
    return _comment(text, "\t") + line


def _api(catalog: Catalog) -> str:
    head = (
        "\n// Api is every object type by its collection.\ntype Api struct {\n\tclient *Client\n}\n\n"
        "// NewApi makes calls through the client.\n"
        "func NewApi(client *Client) *Api {\n\treturn &Api{client: client}\n}\n"
    )
    return head + "".join(_collection(entry) for entry in catalog.objects.values())


def _collection(entry: ObjectType) -> str:
    name, method = entry.class_name, capitalised(entry.collection)
    return (
        f"\n{_comment(f'{method} are the {entry.name} objects. {entry.description}', '')}"
        f"func (api *Api) {method}() Resources[{name}] {{\n"
        f'\treturn Resources[{name}]{{client: api.client, typeName: "{entry.name}"}}\n}}\n'
    )


def _comment(text: str, indent: str) -> str:
    return "".join(f"{indent}// {line}\n" for line in comment_lines(text, _WIDTH))
