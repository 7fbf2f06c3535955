"""What the web console reads: of the data model what a form, a list or a check needs; tables of UVEs.

One line per type, so that a change of the schema is a readable change here.
"""

from __future__ import annotations

import msgspec

from skytrail.model.catalog_types import (
    Catalog,
    ComplexType,
    Field,
    Guard,
    ObjectType,
    Property,
    ReferenceField,
)
from skytrail.model.uve_tables import TABLES

_ENFORCED_PATTERNS = frozenset({"ServiceInterfaceType"})
"""As the server: other patterns are advice."""


def console_files(catalog: Catalog) -> dict[str, str]:
    """File name -> content."""
    parts = [
        _section("families", {name: each.title for name, each in catalog.families.items()}),
        _section("objects", {name: _object(each) for name, each in catalog.objects.items()}),
        _section("types", {name: _complex(each) for name, each in catalog.types.items()}),
    ]
    tables = ",\n".join(f"  {_text(word)}: {_text(table)}" for word, table in TABLES.items())
    return {
        "model.json": "{\n" + ",\n".join(parts) + "\n}\n",
        "uveTables.json": f"{{\n{tables}\n}}\n",
    }


def _section(name: str, entries: dict[str, object]) -> str:
    lines = ",\n".join(f'  "{key}": {_text(value)}' for key, value in entries.items())
    return f'"{name}": {{\n{lines}\n}}'


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _object(entry: ObjectType) -> object:
    return _given(
        {
            "family": entry.family,
            "description": entry.description,
            "origin": entry.origin if entry.origin != "user" else None,
            "guard": _guard(entry.guard),
            "short": list(entry.short_names),
            "parents": list(entry.parents),
            "children": {each.name: each.type for each in entry.children.values()},
            "backReferences": {each.name: each.source for each in entry.back_references.values()},
            "references": {each.name: _reference(each) for each in entry.references.values()},
            "properties": {each.name: _field(each) for each in entry.properties.values()},
        }
    )


def _reference(entry: ReferenceField) -> object:
    return _given(
        {
            "target": entry.target,
            "attr": entry.attr_type,
            "presence": entry.presence if entry.presence != "optional" else None,
            "operations": entry.operations if entry.operations != "CRUD" else None,
            "guard": _guard(entry.guard),
            "description": entry.description,
        }
    )


def _complex(entry: ComplexType) -> object:
    fields = {each.name: _field(each) for each in entry.fields.values()}
    return _given({"description": entry.description, "fields": fields}, keep=("fields",))


def _field(entry: Field) -> object:
    found: dict[str, object] = {
        "type": entry.type,
        "base": entry.base,
        "list": entry.is_list,
        "maxItems": entry.max_items,
        "presence": entry.presence if entry.presence != "optional" else None,
        "operations": entry.operations if entry.operations != "CRUD" else None,
        "default": entry.default,
        "enum": list(entry.enum),
        "minimum": entry.minimum,
        "maximum": entry.maximum,
        "pattern": entry.pattern if entry.type in _ENFORCED_PATTERNS else None,
        "hint": entry.pattern if entry.type not in _ENFORCED_PATTERNS else None,
        "deprecated": entry.deprecated,
        "secret": entry.secret,
        "guard": _guard(entry.guard),
        "description": entry.description,
    }
    if isinstance(entry, Property) and entry.kind != "simple":
        found |= {
            "kind": entry.kind,
            "wrapper": entry.wrapper_field,
            "mapKey": entry.map_key,
        }
    if entry.form is not None:
        found["form"] = entry.form
    return _given(found, keep=("default", "minimum", "maximum"))


def _guard(guard: Guard | None) -> object:
    if guard is None:
        return None
    return _given({"by": guard.by, "keys": list(guard.keys), "beside": guard.beside})


def _given(entry: dict[str, object], keep: tuple[str, ...] = ()) -> dict[str, object]:
    """Leave out what says nothing; a default or bound of 0 says something."""
    empty: tuple[object, ...] = (None, "", [], {}, False)
    return {
        key: value
        for key, value in entry.items()
        if (value is not None if key in keep else not any(value is e or value == e for e in empty))
    }
