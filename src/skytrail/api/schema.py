"""The model's catalog, indexed the way requests ask for it.

Paths are looked up in lower case, because one well-known client derives ``virtual-dns`` from a
class name where the model says ``virtual-DNS``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from skytrail.model.catalog_types import Catalog, ComplexType, ObjectType
from skytrail.model.guarded import Guards
from skytrail.model.secret_values import Masks, names_with_secrets


@dataclass(frozen=True, slots=True)
class Schema:
    """All types, by name and by path."""

    catalog: Catalog
    by_path: dict[str, tuple[ObjectType, bool]] = field(init=False)
    """Lower-case first path segment to type and whether it names the collection."""
    back_names: dict[tuple[str, str], tuple[str, ...]] = field(init=False)
    """(target type, source type) to the target's back-reference fields for that source."""
    child_names: dict[tuple[str, str], tuple[str, ...]] = field(init=False)
    """(parent type, child type) to the parent's fields for those children."""

    masks: Masks = field(init=False)
    secret_names: dict[str, frozenset[str]] = field(init=False)
    """Type name to its properties and references that hold secrets, at whatever depth."""
    guards: Guards = field(init=False)

    def __post_init__(self) -> None:
        masks = Masks(self.catalog)
        object.__setattr__(self, "masks", masks)
        secret_names = {
            entry.name: names_with_secrets(entry, masks.holders)
            for entry in self.catalog.objects.values()
        }
        object.__setattr__(self, "secret_names", secret_names)
        object.__setattr__(self, "guards", Guards(self.catalog))
        paths: dict[str, tuple[ObjectType, bool]] = {}
        for resource in self.catalog.objects.values():
            paths[resource.name.lower()] = (resource, False)
            paths[collection_name(resource).lower()] = (resource, True)
        object.__setattr__(self, "by_path", paths)
        back: dict[tuple[str, str], tuple[str, ...]] = {}
        below: dict[tuple[str, str], tuple[str, ...]] = {}
        for resource in self.resources.values():
            for entry in resource.back_references.values():
                key = (resource.name, entry.source)
                back[key] = (*back.get(key, ()), entry.name)
            for child in resource.children.values():
                key = (resource.name, child.type)
                below[key] = (*below.get(key, ()), child.name)
        object.__setattr__(self, "back_names", back)
        object.__setattr__(self, "child_names", below)

    @property
    def resources(self) -> dict[str, ObjectType]:
        return self.catalog.objects

    @property
    def complex_types(self) -> dict[str, ComplexType]:
        return self.catalog.types

    def find(self, type_name: str) -> ObjectType | None:
        """Return the type by any spelling clients use: dashes or underscores, any case."""
        exact = self.catalog.objects.get(type_name)
        if exact is not None:
            return exact
        found = self.by_path.get(type_name.replace("_", "-").lower())
        return None if found is None or found[1] else found[0]

    def guarded_referrers(self, target_type: str) -> Iterator[str]:
        """Yield the types whose references to this one are guarded."""
        for resource in self.resources.values():
            guards = (r.guard for r in resource.references.values() if r.target == target_type)
            if any(guard is not None for guard in guards):
                yield resource.name

    def is_derived_child(self, parent_type: str, child_type: str) -> bool:
        """Whether such children exist only on behalf of the parent and never block its deletion."""
        parent = self.catalog.objects[parent_type]
        return any(c.weak for c in parent.children.values() if c.type == child_type)


def collection_name(resource: ObjectType) -> str:
    """Return the wire name of a list of these: the type name and an s, whatever the word."""
    return resource.name + "s"
