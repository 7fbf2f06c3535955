"""Generates the typed Python clients: changes and filters per type, and the two entry classes.

Structs are not generated again: the clients use those of `model/generated/objects.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skytrail.model.catalog_types import Catalog, ObjectType, Property, ReferenceField
from skytrail.model.generate.python_text import HEADER, docstring
from skytrail.model.generate.structs import attribute_name, python_type

# Written by the server alone; permissions may be changed although they are not created.
_NEVER_CHANGED = frozenset({"id_perms"})
_ALWAYS_CHANGED = frozenset({"perms2"})


@dataclass(frozen=True, slots=True)
class _Style:
    """What differs between the blocking and the asyncio entry class."""

    title: str
    class_name: str
    resources: str
    resources_module: str
    native: str
    native_module: str


_BLOCKING = _Style(
    title="Every object type by its collection, blocking.",
    class_name="Api",
    resources="Resources",
    resources_module="blocking_resources",
    native="NativeApi",
    native_module="blocking_native",
)
_ASYNC = _Style(
    title="Every object type by its collection, for asyncio.",
    class_name="AsyncApi",
    resources="AsyncResources",
    resources_module="async_resources",
    native="AsyncNativeApi",
    native_module="async_native",
)


def client_modules(catalog: Catalog) -> dict[str, str]:
    """Module name -> source."""
    return {
        "__init__": "",
        "changes": _changes_module(catalog),
        "filters": _filters_module(catalog),
        "blocking_api": _api_module(catalog, _BLOCKING),
        "async_api": _api_module(catalog, _ASYNC),
    }


def collection_attribute(entry: ObjectType) -> str:
    """`virtual-DNSs` -> `virtual_dnss`: the collection of the REST path as an identifier."""
    return entry.collection.replace("-", "_").lower()


def changeable(entry: ObjectType) -> tuple[list[Property], list[ReferenceField]]:
    """The properties and references a client may change after creation."""
    return (
        [p for p in entry.properties.values() if _is_changeable(p)],
        [r for r in entry.references.values() if "U" in r.operations],
    )


def filterable(entry: ObjectType) -> list[Property]:
    """The properties with a single scalar value."""
    return [p for p in entry.properties.values() if not p.is_compound and not p.is_list]


def _is_changeable(entry: Property) -> bool:
    if entry.name in _NEVER_CHANGED:
        return False
    return "U" in entry.operations or entry.name in _ALWAYS_CHANGED


def _changes_module(catalog: Catalog) -> str:
    objects = list(catalog.objects.values())
    body = "".join(_changes(entry) for entry in objects)
    used = sorted(set[str]().union(*map(_types_of_changes, objects)))
    return (
        f'"""What may be changed of each object type; None clears.\n\n{HEADER}\n"""\n\n'
        "from __future__ import annotations\n\n"
        "from collections.abc import Sequence\nfrom typing import TypedDict\n\n"
        "from skytrail.model.base import Reference\n"
        + _import("skytrail.model.generated.types", used)
        + body
    )


def _types_of_changes(entry: ObjectType) -> set[str]:
    properties, references = changeable(entry)
    attributes = {r.attr_type for r in references if r.attr_type}
    return attributes | {p.type for p in properties if p.is_compound}


def _changes(entry: ObjectType) -> str:
    properties, references = changeable(entry)
    lines = [_dictionary_head(f"{entry.class_name}Changes", f"Changes of a {entry.name}.")]
    lines.extend(f"    {attribute_name(p.name)}: {python_type(p)} | None\n" for p in properties)
    lines.extend(
        f"    {r.name}: Sequence[Reference[{r.attr_type or 'None'}]] | None\n" for r in references
    )
    return "".join(lines)


def _filters_module(catalog: Catalog) -> str:
    return (
        f'"""What lists of each object type can be filtered by.\n\n{HEADER}\n"""\n\n'
        "from __future__ import annotations\n\nfrom typing import TypedDict\n\n"
        + _import("skytrail.client.selecting", ["ReferenceTest", "Comparison"])
        + "".join(_filters(entry) for entry in catalog.objects.values())
    )


def _filters(entry: ObjectType) -> str:
    head = _dictionary_head(
        f"{entry.class_name}Filters", f"Filters of a list of {entry.name} objects."
    )
    return (
        head
        + "".join(
            f"    {attribute_name(f.name)}: {python_type(f)} | Comparison[{python_type(f)}] | None\n"
            for f in filterable(entry)
        )
        + "".join(f"    {name}: ReferenceTest\n" for name in entry.references)
    )


def _dictionary_head(name: str, text: str) -> str:
    return f"\n\nclass {name}(TypedDict, total=False):\n{docstring(text, 4)}\n"


def _api_module(catalog: Catalog, style: _Style) -> str:
    objects = list(catalog.objects.values())
    imports = {
        f"skytrail.client.{style.native_module}": [style.native],
        f"skytrail.client.{style.resources_module}": [style.resources],
        "skytrail.client.generated.changes": sorted(f"{o.class_name}Changes" for o in objects),
        "skytrail.client.generated.filters": sorted(f"{o.class_name}Filters" for o in objects),
        "skytrail.model.generated.objects": sorted(o.class_name for o in objects),
    }
    return (
        f'"""{style.title}\n\n{HEADER}\n"""\n\nfrom __future__ import annotations\n\n'
        + _imports(imports)
        + f"\n\nclass {style.class_name}({style.native}):\n"
        + f'    """{style.title}"""\n'
        + "".join(_collection(entry, style) for entry in objects)
    )


def _collection(entry: ObjectType, style: _Style) -> str:
    name = entry.class_name
    return (
        "\n    @property\n"
        f"    def {collection_attribute(entry)}(\n        self,\n"
        f"    ) -> {style.resources}[{name}, {name}Changes, {name}Filters]:\n"
        + docstring(entry.description, 8)
        + f"        return {style.resources}(self.client, {name})\n"
    )


def _imports(names: Mapping[str, list[str]]) -> str:
    return "".join(_import(module, listed) for module, listed in names.items())


def _import(module: str, names: list[str]) -> str:
    if len(names) == 1:
        return f"from {module} import {names[0]}\n"
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"
