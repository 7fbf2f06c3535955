"""Values of the model with masks in place of their secrets: what logs, errors and users may see. Pure.

The schema alone says which fields are secret (``secret: true``). Inside a type that holds a secret
the doubtful is masked too: members it does not have and values that are no objects may be a
misspelt or misplaced password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from skytrail.model.catalog_types import Catalog, Field, ObjectType

MASK = "***"


def types_with_secrets(catalog: Catalog) -> frozenset[str]:
    """Return the complex types that have a secret in them, at whatever depth."""
    found: set[str] = set()
    while True:
        more = {
            name
            for name, kind in catalog.types.items()
            if name not in found and any(f.secret or f.type in found for f in kind.fields.values())
        }
        if not more:
            return frozenset(found)
        found |= more


def names_with_secrets(entry: ObjectType, holders: frozenset[str]) -> frozenset[str]:
    """Return the properties and references of a type that hold secrets."""
    properties = (p.name for p in entry.properties.values() if p.secret or p.type in holders)
    references = (r.name for r in entry.references.values() if r.attr_type in holders)
    return frozenset((*properties, *references))


class Masks:
    """Masks values by the types of one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._types = catalog.types
        self.holders = types_with_secrets(catalog)

    def field(self, field: Field, value: object) -> object:
        """Return the value of a field or property, or one of its elements, masked."""
        if field.secret:
            return None if value is None else MASK
        return self.typed(field.type, value)

    def typed(self, type_name: str, value: object) -> object:
        """Return a value of a type, or a list of such values, masked; others as they are."""
        if type_name not in self.holders or value is None:
            return value
        if isinstance(value, list):
            return [self.typed(type_name, each) for each in cast("list[object]", value)]
        if not isinstance(value, dict):
            return MASK
        fields = self._types[type_name].fields
        return {
            name: self.field(fields[name], part) if name in fields else MASK
            for name, part in cast("dict[str, object]", value).items()
        }

    def reference(self, attr_type: str, item: object) -> object:
        """Return an item of a reference list with its attribute masked."""
        if attr_type not in self.holders or item is None:
            return item
        if not isinstance(item, dict):
            return MASK
        mapping = cast("dict[str, object]", item)
        if "attr" not in mapping:
            return mapping
        return {**mapping, "attr": self.typed(attr_type, mapping["attr"])}

    def member(self, entry: ObjectType, name: str, value: object) -> object:
        """Return the value of a property or a reference list of an object, masked."""
        prop = entry.properties.get(name)
        if prop is not None:
            return self.field(prop, value)
        reference = entry.references.get(name)
        if reference is None or not isinstance(value, list):
            return value
        items = cast("list[object]", value)
        return [self.reference(reference.attr_type, item) for item in items]

    def at(self, entry: ObjectType, path: tuple[str, ...], value: object) -> object:
        """Return the value at a path of an object (names of members, no indexes), masked."""
        field: Field | None = entry.properties.get(path[0])
        if field is None or len(path) == 1:
            return self.member(entry, path[0], value)
        for key in path[1:]:
            if field.secret:
                return MASK
            if field.type not in self.holders:
                return value
            inner = self._types[field.type].fields.get(key)
            if inner is None:
                return MASK
            field = inner
        return self.field(field, value)

    def is_secret(self, fields: Mapping[str, Field], path: tuple[str, ...]) -> bool:
        """Whether a path, in these fields and down, ends in or leads through a secret."""
        for key in path:
            field = fields.get(key)
            if field is None:
                return False
            if field.secret:
                return True
            kind = self._types.get(field.type)
            fields = {} if kind is None else kind.fields
        return False


def holds_mask(value: object) -> bool:
    """Whether there is a mask in a document or value, at whatever depth."""
    if isinstance(value, dict):
        return any(map(holds_mask, cast("dict[str, object]", value).values()))
    if isinstance(value, list):
        return any(map(holds_mask, cast("list[object]", value)))
    return value == MASK
