"""Generates the frozen structs of complex types and of object types."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping

from skytrail.model.catalog_types import Catalog, ComplexType, Field, ObjectType, ReferenceField
from skytrail.model.generate.python_text import HEADER, docstring

_PYTHON_TYPES: Mapping[str, str] = {"string": "str", "integer": "int", "boolean": "bool"}
_EVERY_OBJECT = frozenset({"id_perms", "perms2", "display_name", "annotations", "tag_refs"})


def types_module(catalog: Catalog) -> str:
    """Source of `generated/types.py`: each type after the types it is made of."""
    order = _dependency_order(catalog.types)
    parts = [f'"""Complex types of the data model.\n\n{HEADER}\n"""\n\n']
    parts.append("from skytrail.model.base import Compound\n")
    parts.extend(_complex_type(catalog.types[name]) for name in order)
    return "".join(parts)


def objects_module(catalog: Catalog) -> str:
    """Source of `generated/objects.py`: one struct per object type and `OBJECT_CLASSES`."""
    objects = list(catalog.objects.values())
    imports = ["from __future__ import annotations\n", "from typing import ClassVar\n"]
    imports.append(
        "from skytrail.model.base import Reference\n"
        "from skytrail.model.config_object import ConfigObject\n"
        "from skytrail.model.generated.types import (\n"
        + "".join(f"    {name},\n" for name in sorted(_used_types(objects)))
        + ")\n"
    )
    table = "".join(f'    "{entry.name}": {entry.class_name},\n' for entry in objects)
    return (
        f'"""Object types of the data model.\n\n{HEADER}\n"""\n\n'
        + "\n".join(imports)
        + "".join(_object(entry) for entry in objects)
        + f"\n\nOBJECT_CLASSES: dict[str, type[ConfigObject]] = {{\n{table}}}\n"
    )


def python_type(field: Field) -> str:
    """The annotation of a field that is present."""
    return field.type if field.is_compound else _PYTHON_TYPES[field.base]


def attribute_name(wire_name: str) -> str:
    """The wire name, with an underscore appended when it is a Python keyword."""
    return f"{wire_name}_" if keyword.iskeyword(wire_name) else wire_name


def _complex_type(entry: ComplexType) -> str:
    lines = [_class_line(entry.name, "Compound", entry.fields), docstring(entry.description, 4)]
    if entry.fields:
        lines.append("\n")
    lines.extend(_field(field) for field in entry.fields.values())
    return "\n\n" + "".join(lines)


def _field(field: Field) -> str:
    name = attribute_name(field.name)
    if field.is_list:
        return f"    {name}: tuple[{python_type(field)}, ...] = ()\n"
    return f"    {name}: {python_type(field)} | None = None\n"


def _class_line(name: str, base: str, fields: Iterable[str]) -> str:
    renames = {attribute_name(field): field for field in fields if keyword.iskeyword(field)}
    rename = f", rename={renames!r}" if renames else ""
    return f"class {name}({base}, frozen=True, kw_only=True, omit_defaults=True{rename}):\n"


def _object(entry: ObjectType) -> str:
    properties = [p for p in entry.properties.values() if p.name not in _EVERY_OBJECT]
    references = [r for r in entry.references.values() if r.name not in _EVERY_OBJECT]
    lines = [
        _class_line(entry.class_name, "ConfigObject", entry.properties),
        docstring(entry.description, 4),
        "\n",
        f'    type_name: ClassVar[str] = "{entry.name}"\n',
    ]
    if properties or references:
        lines.append("\n")
    lines.extend(_field(field) for field in properties)
    lines.extend(_reference(reference) for reference in references)
    return "\n\n" + "".join(lines)


def _reference(reference: ReferenceField) -> str:
    return f"    {reference.name}: tuple[Reference[{reference.attr_type or 'None'}], ...] = ()\n"


def _used_types(objects: Iterable[ObjectType]) -> set[str]:
    used: set[str] = set()
    for entry in objects:
        used |= {
            p.type
            for p in entry.properties.values()
            if p.is_compound and p.name not in _EVERY_OBJECT
        }
        used |= {r.attr_type for r in entry.references.values() if r.attr_type}
    return used


def _dependency_order(types: Mapping[str, ComplexType]) -> list[str]:
    """Depth-first order; the schema has no recursive types (a cycle is a ValueError)."""
    order: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"complex types contain each other: {' -> '.join((*path, name))}")
        if name in order:
            return
        for field in types[name].fields.values():
            if field.is_compound:
                visit(field.type, (*path, name))
        order[name] = None

    for name in types:
        visit(name, ())
    return list(order)
