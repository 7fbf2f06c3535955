"""Who is whose parent, and who refers to whom, over any set of objects held in memory.

Pure bookkeeping: put and remove keep the indexes exact at a cost proportional to the object's own
references. Edges to objects that are not (yet) present are kept and reported, so that objects may
arrive in any order. Every answer is ordered by (type, fq_name, uuid).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

import msgspec

from skytrail.model.base import Compound, Reference
from skytrail.model.catalog import CATALOG
from skytrail.model.config_object import ConfigObject

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Edge(msgspec.Struct, frozen=True):
    """One reference: `source` and `target` are uuids, `field` is like `network_ipam_refs`."""

    source: str
    field: str
    target: str
    attr: Compound | None = None


class ObjectGraph:
    """A set of objects with parent, reference and back-reference indexes."""

    def __init__(self, objects: Iterable[ConfigObject] = ()) -> None:
        self._objects: dict[str, ConfigObject] = {}
        self._uuids_by_type: dict[str, dict[str, None]] = {}
        self._uuid_by_name: dict[tuple[str, tuple[str, ...]], str] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._back_edges: dict[str, dict[tuple[str, str], Edge]] = {}
        for config_object in objects:
            self.put(config_object)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, uuid: object) -> bool:
        return uuid in self._objects

    def __iter__(self) -> Iterator[ConfigObject]:
        """All objects in order; a snapshot, so the graph may change meanwhile."""
        return iter(self._ordered(self._objects))

    def put(self, config_object: ConfigObject) -> ConfigObject | None:
        """Adds an object or replaces the one with its uuid; returns what was there before."""
        before = self.remove(config_object.uuid)
        uuid = config_object.uuid
        self._objects[uuid] = config_object
        self._uuids_by_type.setdefault(config_object.type_name, {})[uuid] = None
        self._uuid_by_name[config_object.type_name, config_object.fq_name] = uuid
        if config_object.parent_uuid:
            self._children.setdefault(config_object.parent_uuid, {})[uuid] = None
        for edge in edges_of(config_object):
            self._back_edges.setdefault(edge.target, {})[uuid, edge.field] = edge
        return before

    def remove(self, uuid: str) -> ConfigObject | None:
        """Removes an object and its outgoing edges; None when it was not there."""
        gone = self._objects.pop(uuid, None)
        if gone is None:
            return None
        _discard(self._uuids_by_type, gone.type_name, uuid)
        if self._uuid_by_name.get((gone.type_name, gone.fq_name)) == uuid:
            del self._uuid_by_name[gone.type_name, gone.fq_name]
        if gone.parent_uuid:
            _discard(self._children, gone.parent_uuid, uuid)
        for edge in edges_of(gone):
            _discard(self._back_edges, edge.target, (uuid, edge.field))
        return gone

    def get(self, uuid: str) -> ConfigObject | None:
        """The object of that uuid, if present."""
        return self._objects.get(uuid)

    def by_name(self, type_name: str, fq_name: Iterable[str]) -> ConfigObject | None:
        """The object of that type and fully qualified name, if present."""
        uuid = self._uuid_by_name.get((type_name, tuple(fq_name)))
        return None if uuid is None else self._objects[uuid]

    def of_type(self, type_name: str) -> list[ConfigObject]:
        """All objects of one type."""
        return self._ordered(self._uuids_by_type.get(type_name, {}))

    def parent(self, uuid: str) -> ConfigObject | None:
        """The parent object, if the object and its parent are present."""
        child = self._objects.get(uuid)
        return self._objects.get(child.parent_uuid or "") if child else None

    def children(self, uuid: str, type_name: str | None = None) -> list[ConfigObject]:
        """Present children, optionally of one type only; the parent itself may be absent."""
        found = self._ordered(self._children.get(uuid, {}))
        return [child for child in found if type_name in (None, child.type_name)]

    def refs(self, uuid: str, type_name: str | None = None) -> list[ConfigObject]:
        """Present objects this one refers to, optionally of one type only."""
        source = self._objects.get(uuid)
        targets = dict.fromkeys(edge.target for edge in edges_of(source)) if source else {}
        found = self._ordered(targets)
        return [target for target in found if type_name in (None, target.type_name)]

    def back_refs(self, uuid: str, type_name: str | None = None) -> list[ConfigObject]:
        """Objects that refer to this uuid, optionally of one type only."""
        found = self._ordered(dict.fromkeys(s for s, _ in self._back_edges.get(uuid, {})))
        return [source for source in found if type_name in (None, source.type_name)]

    def edges_to(self, uuid: str) -> list[Edge]:
        """The references to this uuid with their attributes, ordered by (source, field)."""
        edges = self._back_edges.get(uuid, {})
        return [edges[key] for key in sorted(edges)]

    def dangling(self) -> list[Edge]:
        """References whose target is absent, ordered by (target, source, field)."""
        missing = sorted(target for target in self._back_edges if target not in self._objects)
        return [edge for target in missing for edge in self.edges_to(target)]

    def _ordered(self, uuids: Iterable[str]) -> list[ConfigObject]:
        present = (self._objects[uuid] for uuid in uuids if uuid in self._objects)
        return sorted(present, key=lambda item: (item.type_name, item.fq_name, item.uuid))


def edges_of(config_object: ConfigObject) -> Iterator[Edge]:
    """The outgoing references that carry a uuid, in schema and list order."""
    for field in CATALOG.objects[config_object.type_name].references:
        references = cast("tuple[Reference[Compound], ...]", getattr(config_object, field))
        for reference in references:
            if reference.uuid:
                yield Edge(config_object.uuid, field, reference.uuid, reference.attr)


def _discard(index: dict[str, dict[KeyT, ValueT]], outer: str, inner: KeyT) -> None:
    """Removes an entry of a nested index, and the outer entry with its last one."""
    entries = index.get(outer)
    if entries is not None:
        entries.pop(inner, None)
        if not entries:
            del index[outer]
