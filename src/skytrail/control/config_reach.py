"""What agents may see, kept up to date change by change.

``config_filter.visible`` says what an agent may see by walking everything again. Here every object
counts the steps of the walk that lead to it, so that one change costs what it touches:

```
 commit --> Steps.apply --> Delta (steps and objects that came or went) --> Reach.follow, per agent
```
Counting is exact because what ``WALK`` leads along forms no cycle (its types form none, but for a
network's provider network, which refers to none, and a port's VLANs, which have none): a count is zero if and only if no walk arrives. Counts also include objects that are absent; these are not seen and lead nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias, TypeVar

from skytrail.control.config_filter import WALK, Step
from skytrail.control.config_graph import Change, config_key
from skytrail.control.linked_vlans import LinkedVlans
from skytrail.control.next_servers import NextServers
from skytrail.model.catalog import CATALOG
from skytrail.model.config_object import ConfigObject
from skytrail.model.graph import ObjectGraph, edges_of
from skytrail.wire.xmpp import ConfigKey

Uuids: TypeAlias = dict[str, None]
"""An ordered set, so that equal histories are sent in equal order."""

_NOWHERE = Step()
KeyT = TypeVar("KeyT", str, ConfigKey)


@dataclass(frozen=True, slots=True)
class Delta:
    """What one commit changed for walks. Steps are by the object they start from."""

    appeared: Uuids = field(default_factory=Uuids)
    disappeared: Uuids = field(default_factory=Uuids)
    added: dict[str, Uuids] = field(default_factory=dict[str, Uuids])
    removed: dict[str, Uuids] = field(default_factory=dict[str, Uuids])
    names: dict[ConfigKey, None] = field(default_factory=dict[ConfigKey, None])
    """Names by which a root may have come or gone."""

    @property
    def touched(self) -> set[str]:
        """All objects that came or went, or that steps came to or went from."""
        return {*self.appeared, *self.disappeared, *self.added, *self.removed}


class Steps:
    """Every step a walk may take, whoever walks, as of the last commit."""

    def __init__(self) -> None:
        self.present: Uuids = {}
        self._onward: dict[str, dict[str, int]] = {}
        self._next_servers = NextServers()
        self._linked_vlans = LinkedVlans()

    def onward(self, uuid: str) -> Iterable[str]:
        """Return where the walk goes from an object, absent objects included."""
        return self._onward.get(uuid, ())

    def apply(self, changes: Iterable[Change]) -> Delta:
        """Take over what changed and return it as walks see it."""
        delta = Delta()
        counts_before: dict[tuple[str, str], int] = {}
        changes = list(changes)
        for source, target, amount in chain(
            self._next_servers.follow(changes), self._linked_vlans.follow(changes)
        ):
            self._count(source, target, amount, counts_before)
        for change in changes:
            self._note_presence(change, delta)
            for version, amount in ((change.before, -1), (change.after, 1)):
                if version is None:
                    continue
                delta.names[config_key(version)] = None
                for source, target in _steps_of(version):
                    self._count(source, target, amount, counts_before)
        for (source, target), before in counts_before.items():
            after = self._onward[source][target]
            if not before and after:
                delta.added.setdefault(source, {})[target] = None
            elif before and not after:
                delta.removed.setdefault(source, {})[target] = None
            if not after:
                del self._onward[source][target]
        for source, _ in counts_before:
            if not self._onward.get(source, True):
                del self._onward[source]
        return delta

    def _count(
        self, source: str, target: str, amount: int, before: dict[tuple[str, str], int]
    ) -> None:
        count = self._onward.get(source, {}).get(target, 0)
        before.setdefault((source, target), count)
        self._onward.setdefault(source, {})[target] = count + amount

    def _note_presence(self, change: Change, delta: Delta) -> None:
        if change.before is None and change.after is not None:
            self.present[change.after.uuid] = delta.appeared[change.after.uuid] = None
        elif change.before is not None and change.after is None:
            self.present.pop(change.before.uuid, None)
            delta.disappeared[change.before.uuid] = None


class Reach:
    """What one agent sees: its roots, and how many steps and roots lead to each object."""

    def __init__(self) -> None:
        self.roots: dict[ConfigKey, str | None] = {}
        """The uuid of each root, None while there is no object of that name."""
        self.seen: Uuids = {}
        self._counts: dict[str, int] = {}

    def add_root(self, key: ConfigKey, graph: ObjectGraph, steps: Steps) -> Uuids:
        """Return what may have come into sight."""
        if key in self.roots:
            return {}
        uuid = self.roots[key] = _resolve(graph, key)
        return self._gain([uuid] if uuid else [], steps)

    def remove_root(self, key: ConfigKey, steps: Steps) -> Uuids:
        """Return what has gone out of sight."""
        uuid = self.roots.pop(key, None)
        return self._lose([uuid] if uuid else [], steps, {})

    def is_touched(self, touched: Collection[str], names: Collection[ConfigKey]) -> bool:
        """Tell cheaply whether a commit may concern this agent, by what it touched."""
        return not (self._counts.keys().isdisjoint(touched) and self.roots.keys().isdisjoint(names))

    def follow(self, delta: Delta, graph: ObjectGraph, steps: Steps) -> Uuids:
        """Take over a commit; return the objects that came into sight or went out of it.

        First everything that went is taken back, along the steps that were there before and still
        are; then everything that came is added.
        """
        old_roots, new_roots = self._resolve_again(delta, graph)
        lost_targets = [*old_roots, *self._targets(delta.removed)]
        flipped = self._lose(lost_targets, steps, delta.added, delta.disappeared)
        new_targets = [*new_roots, *self._targets(delta.added)]
        flipped.update(self._gain(new_targets, steps, delta.appeared))
        return flipped

    def _resolve_again(self, delta: Delta, graph: ObjectGraph) -> tuple[list[str], list[str]]:
        """Return the uuids that stopped being roots and those that became one."""
        old: list[str] = []
        new: list[str] = []
        for key in _common(delta.names, self.roots):
            before, after = self.roots[key], _resolve(graph, key)
            self.roots[key] = after
            if before != after:
                old += [before] if before else []
                new += [after] if after else []
        return old, new

    def _targets(self, steps_by_source: Mapping[str, Uuids]) -> Iterator[str]:
        for source in _common(steps_by_source, self.seen):
            yield from steps_by_source[source]

    def _lose(
        self,
        targets: Iterable[str],
        steps: Steps,
        too_new: Mapping[str, Uuids],
        disappeared: Iterable[str] = (),
    ) -> Uuids:
        """Uncount each target once, and what was seen only through it.

        Steps in ``too_new`` have not been counted yet.
        """
        lost: Uuids = {}
        stack = list(disappeared)
        for target in targets:
            self._uncount(target, stack)
        while stack:
            uuid = stack.pop()
            if uuid in self.seen:
                del self.seen[uuid]
                lost[uuid] = None
                uncounted = too_new.get(uuid, ())
                for target in steps.onward(uuid):
                    if target not in uncounted:
                        self._uncount(target, stack)
        return lost

    def _uncount(self, uuid: str, stack: list[str]) -> None:
        self._counts[uuid] -= 1
        if not self._counts[uuid]:
            del self._counts[uuid]
            stack.append(uuid)

    def _gain(self, targets: Iterable[str], steps: Steps, appeared: Iterable[str] = ()) -> Uuids:
        """Count each target once, and what is seen through it."""
        gained: Uuids = {}
        stack = list(appeared)
        for target in targets:
            self._counts[target] = self._counts.get(target, 0) + 1
            stack.append(target)
        while stack:
            uuid = stack.pop()
            if uuid in self._counts and uuid in steps.present and uuid not in self.seen:
                self.seen[uuid] = gained[uuid] = None
                for target in steps.onward(uuid):
                    self._counts[target] = self._counts.get(target, 0) + 1
                    stack.append(target)
        return gained


def _resolve(graph: ObjectGraph, key: ConfigKey) -> str | None:
    found = graph.by_name(key.type_name, key.name.split(":"))
    return found.uuid if found else None


def _common(left: Mapping[KeyT, object], right: Mapping[KeyT, object]) -> list[KeyT]:
    """Return the keys of both in the order of the smaller one, at its cost.

    A change may touch one object or, after a snapshot, all that there are.
    """
    few, many = (left, right) if len(left) <= len(right) else (right, left)
    return [key for key in few if key in many]


def _steps_of(version: ConfigObject) -> list[tuple[str, str]]:
    """Return the steps (from, to) that exist because of this object's parent and references.

    The far end's type is the declared one: the object itself may not be here yet.
    """
    uuid, own_type = version.uuid, version.type_name
    object_type = CATALOG.objects[own_type]
    own = WALK.get(own_type, _NOWHERE)
    steps: list[tuple[str, str]] = []
    if version.parent_uuid and version.parent_type:
        if version.parent_type in own.parent:
            steps.append((uuid, version.parent_uuid))
        if own_type in WALK.get(version.parent_type, _NOWHERE).children:
            steps.append((version.parent_uuid, uuid))
    for edge in edges_of(version):
        target_type = object_type.references[edge.field].target
        if target_type in own.refs:
            steps.append((uuid, edge.target))
        if own_type in WALK.get(target_type, _NOWHERE).back_refs:
            steps.append((edge.target, uuid))
    return steps
