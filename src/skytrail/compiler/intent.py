"""The compiler's copy of the configuration, indexed for the passes.

Every lookup has a *read key*; every change tells which read keys it touches. The engine uses the
two to know exactly which units to evaluate again. Iteration orders are fixed (by uuid) so that an
evaluation never depends on the order in which objects arrived.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeVar

from skytrail.model.objects import ConfigObject, Reference

ObjectT = TypeVar("ObjectT", bound=ConfigObject)

ReadKey = tuple[str, ...]
"""("object", type, uuid) | ("name", type, fq) | ("referrers", type, target uuid) |
("children", type, parent uuid) | ("all", type) | ("row", pass, unit) | ("rows", pass)."""


def references(item: ConfigObject) -> Iterator[Reference[object]]:
    """Yield every reference of an object, field by field."""
    for name in item.__struct_fields__:
        if name.endswith("_refs"):
            yield from getattr(item, name)


class Intent:
    """Objects by type and uuid, with name, child and referrer indexes.

    All of them follow :meth:`put` and :meth:`remove` at once. One uuid belongs to one type.
    """

    def __init__(self) -> None:
        self._objects: defaultdict[str, dict[str, ConfigObject]] = defaultdict(dict)
        self._names: dict[tuple[str, tuple[str, ...]], str] = {}
        self._referrers: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._children: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def put(self, item: ConfigObject) -> set[ReadKey]:
        """Store an object and return the read keys this touches; none if nothing changed."""
        known = self._objects[item.type_name].get(item.uuid)
        if known == item:
            return set()
        touched = self._unindex(known) if known is not None else set[ReadKey]()
        self._objects[item.type_name][item.uuid] = item
        return touched | self._index(item)

    def remove(self, type_name: str, uuid: str) -> set[ReadKey]:
        """Forget an object and return the read keys this touches; none if it was unknown."""
        known = self._objects[type_name].pop(uuid, None)
        return set() if known is None else self._unindex(known)

    def get(self, kind: type[ObjectT], uuid: str) -> ObjectT | None:
        item = self._objects[kind.type_name].get(uuid)
        return item if isinstance(item, kind) else None

    def by_name(self, kind: type[ObjectT], fq_name: tuple[str, ...]) -> ObjectT | None:
        uuid = self._names.get((kind.type_name, fq_name))
        return None if uuid is None else self.get(kind, uuid)

    def find(self, type_name: str, fq_name: tuple[str, ...]) -> ConfigObject | None:
        uuid = self._names.get((type_name, fq_name))
        return None if uuid is None else self._objects[type_name].get(uuid)

    def uuids(self, type_name: str) -> list[str]:
        return sorted(self._objects[type_name])

    def objects(self, type_name: str) -> Iterator[ConfigObject]:
        """Yield a type's objects in uuid order."""
        known = self._objects[type_name]
        for uuid in sorted(known):
            yield known[uuid]

    def item(self, type_name: str, uuid: str) -> ConfigObject | None:
        return self._objects[type_name].get(uuid)

    def referrers(self, type_name: str, target_uuid: str) -> list[str]:
        """Return uuids of the type's objects that refer to the target, sorted."""
        return sorted(self._referrers.get((type_name, target_uuid), ()))

    def children(self, type_name: str, parent_uuid: str) -> list[str]:
        return sorted(self._children.get((type_name, parent_uuid), ()))

    def counts(self) -> dict[str, int]:
        return {name: len(found) for name, found in sorted(self._objects.items()) if found}

    def _index(self, item: ConfigObject) -> set[ReadKey]:
        kind = item.type_name
        self._names[(kind, item.fq_name)] = item.uuid
        for reference in references(item):
            self._referrers[(kind, reference.uuid)].add(item.uuid)
        if item.parent_uuid is not None:
            self._children[(kind, item.parent_uuid)].add(item.uuid)
        return self._touched(item)

    def _unindex(self, item: ConfigObject) -> set[ReadKey]:
        kind = item.type_name
        if self._names.get((kind, item.fq_name)) == item.uuid:
            del self._names[(kind, item.fq_name)]
        for reference in references(item):
            self._drop(self._referrers, (kind, reference.uuid), item.uuid)
        if item.parent_uuid is not None:
            self._drop(self._children, (kind, item.parent_uuid), item.uuid)
        return self._touched(item)

    def _touched(self, item: ConfigObject) -> set[ReadKey]:
        kind = item.type_name
        touched: set[ReadKey] = {
            ("object", kind, item.uuid),
            ("name", kind, *item.fq_name),
            ("all", kind),
        }
        touched.update(("referrers", kind, reference.uuid) for reference in references(item))
        if item.parent_uuid is not None:
            touched.add(("children", kind, item.parent_uuid))
        return touched

    @staticmethod
    def _drop(
        index: defaultdict[tuple[str, str], set[str]], key: tuple[str, str], uuid: str
    ) -> None:
        members = index.get(key)
        if members is not None:
            members.discard(uuid)
            if not members:
                del index[key]
