"""The configuration slice of this agent as a graph of objects, in whatever order it arrives.

Nodes and links come and go independently; a link may precede its ends. A new source of
configuration starts a generation: what it does not repeat by its end is swept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skytrail.wire.xmpp import (
    ConfigDelete,
    ConfigKey,
    ConfigLink,
    ConfigNode,
    ConfigUpdate,
    ConfigValue,
)

LinkKey = tuple[ConfigKey, ConfigKey, str]


Change = tuple[ConfigKey, str]
"""An object whose content ("") or whose links to objects of a type changed."""


class ConfigGraph:
    """Objects and undirected links; every change bumps ``version``."""

    def __init__(self) -> None:
        self.version = 0
        self.generation = 0
        self._changes: set[Change] = set()
        self._nodes: dict[ConfigKey, ConfigNode] = {}
        self._keys: dict[str, set[ConfigKey]] = {}
        """Type -> keys of its nodes."""
        self._links: dict[LinkKey, ConfigValue | None] = {}
        self._neighbours: dict[ConfigKey, dict[ConfigKey, set[str]]] = {}
        self._node_marks: dict[ConfigKey, int] = {}
        self._link_marks: dict[LinkKey, int] = {}

    def begin_generation(self) -> None:
        """A new source speaks: what exists is stale until repeated."""
        self.generation += 1

    def sweep(self) -> int:
        """Delete what the current generation did not repeat; return how many."""
        links = [key for key, mark in self._link_marks.items() if mark != self.generation]
        nodes = [key for key, mark in self._node_marks.items() if mark != self.generation]
        for key in links:
            self._remove_link(key)
        for key in nodes:
            self._remove_node(key)
        if links or nodes:
            self.version += 1
        return len(links) + len(nodes)

    def update(self, update: ConfigUpdate) -> None:
        """Add or replace."""
        for node in update.nodes:
            if self._nodes.get(node.key) != node:
                self._nodes[node.key] = node
                self._keys.setdefault(node.key.type_name, set()).add(node.key)
                self._changes.add((node.key, ""))
                self.version += 1
            self._node_marks[node.key] = self.generation
        for link in update.links:
            self._put_link(link)

    def delete(self, delete: ConfigDelete) -> None:
        """Remove links, then nodes; what is absent already is no error."""
        for link in delete.links:
            self._remove_link((link.left, link.right, link.kind))
            self._remove_link((link.right, link.left, link.kind))
        for key in delete.nodes:
            self._remove_node(key)
        self.version += 1

    def node(self, key: ConfigKey) -> ConfigNode | None:
        return self._nodes.get(key)

    def nodes(self, type_name: str | None = None) -> Iterator[ConfigNode]:
        """Yield the objects (of one type), ordered by key."""
        for key in sorted(self._nodes if type_name is None else self._keys.get(type_name, ())):
            yield self._nodes[key]

    def links(self) -> Iterator[ConfigLink]:
        for left, right, kind in sorted(self._links):
            yield ConfigLink(left, right, kind, self._links[(left, right, kind)])

    def neighbours(self, key: ConfigKey, type_name: str) -> list[ConfigKey]:
        """Return the linked keys of one type, sorted; their objects may not have arrived yet."""
        return sorted(
            other for other in self._neighbours.get(key, ()) if other.type_name == type_name
        )

    def linked_nodes(self, key: ConfigKey, type_name: str) -> list[ConfigNode]:
        """Return the linked objects of one type that have arrived, sorted by key."""
        found = (self._nodes.get(other) for other in self.neighbours(key, type_name))
        return [node for node in found if node is not None]

    def link_value(self, one: ConfigKey, other: ConfigKey) -> ConfigValue | None:
        """Return the attribute of the first link between two objects that has one."""
        for kind in sorted(self._neighbours.get(one, {}).get(other, ())):
            for key in ((one, other, kind), (other, one, kind)):
                value = self._links.get(key)
                if value is not None:
                    return value
        return None

    def link_kinds(self, one: ConfigKey, other: ConfigKey) -> frozenset[str]:
        """Return the kinds of the links between two objects."""
        return frozenset(self._neighbours.get(one, {}).get(other, ()))

    def take_changes(self) -> set[Change]:
        """Return what changed since the last call."""
        changes, self._changes = self._changes, set()
        return changes

    def snapshot(self) -> tuple[Iterable[ConfigNode], Iterable[ConfigLink]]:
        """Everything, to be saved and given to :meth:`update` by a later process."""
        return list(self.nodes()), list(self.links())

    def statistics(self) -> dict[str, int]:
        return {
            "nodes": len(self._nodes),
            "links": len(self._links),
            "generation": self.generation,
            "version": self.version,
        }

    def _put_link(self, link: ConfigLink) -> None:
        key = (link.left, link.right, link.kind)
        if key not in self._links or self._links[key] != link.value:
            self._links[key] = link.value
            self._link_changed(key)
            self.version += 1
        self._link_marks[key] = self.generation
        self._neighbours.setdefault(link.left, {}).setdefault(link.right, set()).add(link.kind)
        self._neighbours.setdefault(link.right, {}).setdefault(link.left, set()).add(link.kind)

    def _remove_link(self, key: LinkKey) -> None:
        if key not in self._links:
            return
        del self._links[key]
        self._link_marks.pop(key, None)
        self._link_changed(key)
        left, right, kind = key
        if (right, left, kind) in self._links:
            return
        for one, other in ((left, right), (right, left)):
            around = self._neighbours.get(one, {})
            kinds = around.get(other, set())
            kinds.discard(kind)
            if not kinds:
                around.pop(other, None)
            if not around:
                self._neighbours.pop(one, None)

    def _remove_node(self, key: ConfigKey) -> None:
        self._nodes.pop(key, None)
        self._keys.get(key.type_name, set()).discard(key)
        self._node_marks.pop(key, None)
        self._changes.add((key, ""))

    def _link_changed(self, key: LinkKey) -> None:
        left, right, _ = key
        self._changes.add((left, right.type_name))
        self._changes.add((right, left.type_name))
