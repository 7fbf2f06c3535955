"""What of an object reaches beyond its project: the values of fields that the schema guards. Pure.

The schema alone says which those are (``guard:``). What means the same as nothing (null, an empty
list, a default) is no value, so clients that send whole objects may say it or leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import msgspec

from skytrail.model.catalog_types import Catalog, Field, Guard, ObjectType, ReferenceField

_NOTHING: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a guarded value stands."""

    path: str
    """Names of members, as users write them; ``[]`` stands for any element of a list."""
    guard: Guard
    is_of_many: bool = False
    """One of a list, or under a key: others come and go beside it, and it may go with them."""


class Guards:
    """Finds the guarded values of objects of one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._types = catalog.types
        self._holders = _types_with_guards(catalog)
        self.names: dict[str, frozenset[str]] = {
            entry.name: frozenset(self._names(entry)) for entry in catalog.objects.values()
        }
        """By type: its properties and references that are guarded, or hold what is."""

    def _names(self, entry: ObjectType) -> Iterator[str]:
        for prop in entry.properties.values():
            if prop.guard or prop.type in self._holders:
                yield prop.name
        for reference in entry.references.values():
            if reference.guard or reference.attr_type in self._holders:
                yield reference.name

    def values(self, entry: ObjectType, body: Mapping[str, object]) -> dict[Place, list[str]]:
        """Return what is said at each guarded place, as JSON text; of a reference, to whom it is."""
        found: dict[Place, list[str]] = {}
        for name in sorted(self.names[entry.name].intersection(body)):
            prop = entry.properties.get(name)
            pairs = (
                self._field(prop, body[name], Place(name, Guard(by="network")), {})
                if prop is not None
                else self._references(entry.references[name], body[name])
            )
            for place, said in pairs:
                found.setdefault(place, []).append(said)
        return found

    def _references(self, field: ReferenceField, value: object) -> Iterator[tuple[Place, str]]:
        for item in _list(value):
            if not isinstance(item, dict):
                continue
            reference = cast("dict[str, object]", item)
            attribute = reference.get("attr")
            if field.guard is not None:
                said = {
                    "uuid": reference.get("uuid"),
                    "attr": self._meant(field.attr_type, attribute),
                }
                yield Place(field.name, field.guard, is_of_many=True), _text(said)
            elif field.attr_type in self._holders:
                place = Place(f"{field.name}[].attr", Guard(by="network"), is_of_many=True)
                yield from self._inside(field.attr_type, attribute, place)

    def _field(
        self, field: Field, value: object, place: Place, beside: Mapping[str, object]
    ) -> Iterator[tuple[Place, str]]:
        """Yield guarded values; of ``place`` only path and number count."""
        guard = field.guard
        if guard is None:
            if field.type in self._holders:
                yield from self._inside(field.type, value, place)
            return
        here = Place(place.path, guard, place.is_of_many)
        if guard.keys:
            yield from self._pairs(guard, value, place)
        elif not (guard.beside and beside.get(guard.beside)):
            meant = self._meant(field.type, value, field)
            if meant not in _NOTHING:
                yield here, _text(meant)

    def _inside(self, kind: str, value: object, place: Place) -> Iterator[tuple[Place, str]]:
        if isinstance(value, list):
            each_place = Place(f"{place.path}[]", place.guard, is_of_many=True)
            for each in _list(value):
                yield from self._inside(kind, each, each_place)
        elif isinstance(value, dict):
            held = cast("dict[str, object]", value)
            for name, field in self._types[kind].fields.items():
                if name in held:
                    inner = Place(f"{place.path}.{name}", place.guard, place.is_of_many)
                    yield from self._field(field, held[name], inner, held)

    def _pairs(self, guard: Guard, value: object, place: Place) -> Iterator[tuple[Place, str]]:
        """Yield the values under guarded keys of a map, in their order."""
        held = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        for pairs in held.values():
            for pair in _list(pairs):
                known = cast("dict[str, object]", pair) if isinstance(pair, dict) else {}
                key = known.get("key")
                if key in guard.keys and known.get("value") not in (None, "", "null"):
                    path = f"{place.path}.{key}"
                    yield Place(path, guard, is_of_many=True), _text(known["value"])

    def _meant(self, kind: str, value: object, field: Field | None = None) -> object:
        """Return a value without what says nothing; None where all of it does."""
        if field is not None and (value == field.default or (value is False and not field.default)):
            return None
        if isinstance(value, list):
            return [self._meant(kind, each) for each in _list(value)]
        if not isinstance(value, dict):
            return value
        known = self._types[kind].fields if kind in self._types else {}
        members = {
            name: self._meant(known[name].type if name in known else "", part, known.get(name))
            for name, part in cast("dict[str, object]", value).items()
        }
        return {name: part for name, part in members.items() if part not in _NOTHING}


def _types_with_guards(catalog: Catalog) -> frozenset[str]:
    """Return the complex types with a guarded field in them, at whatever depth."""
    found: set[str] = set()
    while True:
        more = {
            name
            for name, kind in catalog.types.items()
            if name not in found and any(f.guard or f.type in found for f in kind.fields.values())
        }
        if not more:
            return frozenset(found)
        found |= more


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _text(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
