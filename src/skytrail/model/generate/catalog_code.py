"""Generates the catalog as Python literals, one module per schema family."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from skytrail.model.catalog_types import Catalog, ObjectType
from skytrail.model.generate.python_text import HEADER, literal

_STRUCTS = (
    "BackReferenceField",
    "ChildField",
    "ComplexType",
    "Family",
    "Field",
    "Form",
    "Guard",
    "ObjectType",
    "ParentLink",
    "Property",
    "ReferenceField",
    "SimpleType",
)


def catalog_modules(catalog: Catalog) -> dict[str, str]:
    """Module name -> source: `catalog_shared`, `catalog_<family>` and the index `catalog`."""
    shared = _shared_fields(catalog)
    modules = {
        f"catalog_{family}": _family_module(catalog, family, shared) for family in catalog.families
    }
    modules["catalog_shared"] = _shared_module(catalog, shared)
    modules["catalog"] = _index_module(catalog)
    return modules


def _shared_fields(catalog: Catalog) -> frozenset[str]:
    """Names of the properties and references that every object type has."""
    names = [set(entry.properties) | set(entry.references) for entry in catalog.objects.values()]
    return frozenset(set.intersection(*names)) if names else frozenset()


def _family_module(catalog: Catalog, family: str, shared: frozenset[str]) -> str:
    entry = catalog.families[family]
    objects = {n: o for n, o in catalog.objects.items() if o.family == family}
    types = {n: t for n, t in catalog.types.items() if t.family == family}
    simple_types = {n: t for n, t in catalog.simple_types.items() if t.family == family}
    body = (
        f"FAMILY = {literal(entry)}\n\n"
        + _table("OBJECTS", "ObjectType", {n: _object(o, shared) for n, o in objects.items()})
        + _table("TYPES", "ComplexType", {n: literal(t, 4) for n, t in types.items()})
        + _table("SIMPLE_TYPES", "SimpleType", {n: literal(t, 4) for n, t in simple_types.items()})
    )
    head = f'"""Catalog of the family "{entry.title}".\n\n{HEADER}\n"""\n\n'
    if objects:
        body = (
            "from skytrail.model.generated.catalog_shared import "
            "EVERY_PROPERTY, EVERY_REFERENCE\n\n" + body
        )
    return head + _imports(body) + body.rstrip() + "\n"


def _object(entry: ObjectType, shared: frozenset[str]) -> str:
    own = msgspec.structs.replace(
        entry,
        properties={n: p for n, p in entry.properties.items() if n not in shared},
        references={n: r for n, r in entry.references.items() if n not in shared},
    )
    text = literal(own, 4)
    marks = {"properties": "EVERY_PROPERTY", "references": "EVERY_REFERENCE"}
    for field, constant in marks.items():
        text = _with_spread(text, field, constant)
    return text


def _with_spread(text: str, field: str, constant: str) -> str:
    """Ends the mapping argument `field` of a printed object with `**constant`."""
    lines = text.split("\n")
    start = f"        {field}={{"
    if start not in lines:
        lines.insert(len(lines) - 1, f"        {field}={{**{constant}}},")
    else:
        end = lines.index("        },", lines.index(start))
        lines.insert(end, f"            **{constant},")
    return "\n".join(lines)


def _table(name: str, kind: str, rows: Mapping[str, str]) -> str:
    body = "".join(f'    "{key}": {row},\n' for key, row in rows.items())
    return (
        f"{name}: dict[str, {kind}] = {{\n{body}}}\n\n"
        if rows
        else (f"{name}: dict[str, {kind}] = {{}}\n\n")
    )


def _shared_module(catalog: Catalog, shared: frozenset[str]) -> str:
    first = next(iter(catalog.objects.values()))
    properties = {n: literal(p, 4) for n, p in first.properties.items() if n in shared}
    references = {n: literal(r, 4) for n, r in first.references.items() if n in shared}
    body = _table("EVERY_PROPERTY", "Property", properties) + _table(
        "EVERY_REFERENCE", "ReferenceField", references
    )
    head = f'"""What every object type has in the catalog.\n\n{HEADER}\n"""\n\n'
    return head + _imports(body) + body.rstrip() + "\n"


def _imports(body: str) -> str:
    used = [name for name in _STRUCTS if f"{name}(" in body or f", {name}]" in body]
    names = "".join(f"    {name},\n" for name in used)
    return f"from skytrail.model.catalog_types import (\n{names})\n"


def _index_module(catalog: Catalog) -> str:
    names = sorted(f"catalog_{family}" for family in catalog.families)
    imports = "".join(f"    {name},\n" for name in names)
    rows = "".join(f"    {name},\n" for name in names)
    return (
        f'"""The families of the catalog, in the order of their schema files.\n\n{HEADER}\n"""\n\n'
        "from skytrail.model.catalog_types import Catalog\n"
        f"from skytrail.model.generated import (\n{imports})\n\n"
        f"_MODULES = (\n{rows})\n\n"
        "CATALOG = Catalog(\n"
        "    families={module.FAMILY.name: module.FAMILY for module in _MODULES},\n"
        "    objects={name: entry for m in _MODULES for name, entry in m.OBJECTS.items()},\n"
        "    types={name: entry for m in _MODULES for name, entry in m.TYPES.items()},\n"
        "    simple_types={name: entry for m in _MODULES for name, entry in m.SIMPLE_TYPES.items()},\n"
        ")\n"
    )
