"""Who contributes what to the desired state, and who must be asked again when something changes.

A *unit* is a piece of the desired state that is computed at once: a port, a route, a policy set.
It claims values under keys; where several units claim a key, the highest one's value counts, so
that the result does not depend on the order units were computed in. While it is computed it notes
the *things* (numbers, next hops, identities) it uses: whoever changes a thing finds its users, and
a thing that lost its last user can be given back.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from skytrail.agent.tables import ROW_TYPES, Row
from skytrail.wire.xmpp import JoinTree, Route, RouteKey, TreeKey

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
L = TypeVar("L")
PublishKey = tuple[str, RouteKey | TreeKey]
"""Instance, and the key of a route or tree."""
Published = Route | JoinTree
"""What control nodes are told under such a key."""
Unit = tuple[int, str, object]
"""Rank, name and further names. The rank decides first who wins a key."""
Thing = tuple[str, str]
"""Kind and name."""


_NOTHING: frozenset[Thing] = frozenset()


class Rank(enum.IntEnum):
    """Kinds of units; of those that claim the same row, the last wins."""

    UNDERLAY = 0
    PORT = 1
    SERVICE = 2
    SHARED = 3
    ROUTE = 4
    MAC = 5
    NEXT_HOP = 6
    POLICIES = 7
    FLOOD = 8
    QOS = 9
    GROUPS = 10
    FLOW_SHARE = 11


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys whose values differ between the desired state ``version`` and the one before it."""

    version: int = 0
    rows: Mapping[type[Row], Sequence[object]] = field(
        default_factory=dict[type[Row], Sequence[object]]
    )
    published: Sequence[PublishKey] = ()
    ports: Sequence[str] = ()
    whole: bool = True
    """The state was computed from nothing: anything may differ."""

    def follow(self, version: int | None) -> bool:
        """True when these are all differences to that version."""
        return not self.whole and self.version - 1 == version


class Claims(Generic[K, V]):
    """A mapping units write to. ``values`` is replaced by :meth:`settle`, never changed."""

    def __init__(self) -> None:
        self.values: dict[K, V] = {}
        self._sole: dict[K, tuple[Unit, V]] = {}
        """Claims of keys that one unit claims: nearly all."""
        self._contested: dict[K, dict[Unit, V]] = {}
        """Those of keys that several do."""
        self._touched: dict[K, None] = {}

    def claim(self, unit: Unit, key: K, value: V) -> None:
        self._touched[key] = None
        contested = self._contested.get(key)
        if contested is not None:
            contested[unit] = value
            return
        sole = self._sole.get(key)
        if sole is None or sole[0] == unit:
            self._sole[key] = unit, value
        else:
            del self._sole[key]
            self._contested[key] = {sole[0]: sole[1], unit: value}

    def release(self, unit: Unit, key: K) -> None:
        contested = self._contested.get(key)
        if contested is None:
            sole = self._sole.get(key)
            if sole is not None and sole[0] == unit:
                self._touched[key] = None
                del self._sole[key]
        elif contested.pop(unit, None) is not None:
            self._touched[key] = None
            if len(contested) == 1:
                (self._sole[key],) = contested.items()
                del self._contested[key]

    def is_claimed(self, key: K) -> bool:
        return key in self._sole or key in self._contested

    def settle(self) -> list[K]:
        """Choose the winners of what was touched; return the keys whose value changed, in the
        order they were touched.
        """
        changed: list[K] = []
        fresh: dict[K, V] | None = None
        for key in self._touched:
            sole, old = self._sole.get(key), self.values.get(key)
            if sole is not None:
                new = sole[1]
            elif (claims := self._contested.get(key)) is not None:
                new = claims[max(claims, key=lambda unit: unit[:2])]
            else:
                new = None
            if new is old or new == old:
                continue
            fresh = fresh if fresh is not None else dict(self.values)
            changed.append(key)
            if new is None:
                del fresh[key]
            else:
                fresh[key] = new
        self._touched = {}
        if fresh is not None:
            self.values = fresh
        return changed


class RowClaims:
    """The claims of every row table."""

    def __init__(self) -> None:
        self._tables: dict[type[Row], Claims[object, Row]] = {kind: Claims() for kind in ROW_TYPES}
        self._kept: dict[Unit, tuple[Row, ...]] = {}

    def put(self, unit: Unit, rows: Iterable[Row]) -> None:
        """These are the rows of ``unit`` now; no rows: it is gone."""
        new, old = tuple(rows), self._kept.get(unit, ())
        if new == old:
            return
        keys = [(type(row), row.key) for row in new]
        if old:
            wanted = set(keys)
            for row in old:
                where = (type(row), row.key)
                if where not in wanted:
                    self._tables[where[0]].release(unit, where[1])
        for (kind, key), row in zip(keys, new, strict=True):
            self._tables[kind].claim(unit, key, row)
        if new:
            self._kept[unit] = new
        else:
            del self._kept[unit]

    def settle(self) -> dict[type[Row], list[object]]:
        return {kind: table.settle() for kind, table in self._tables.items()}

    def values(self) -> dict[type[Row], dict[object, Row]]:
        return {kind: table.values for kind, table in self._tables.items()}


@dataclass(slots=True)
class Uses:
    """Which unit uses which thing."""

    _by_unit: dict[Unit, set[Thing]] = field(default_factory=dict[Unit, set[Thing]])
    _users: dict[Thing, set[Unit]] = field(default_factory=dict[Thing, set[Unit]])
    _noted: set[Thing] = field(default_factory=set[Thing])
    _left: set[Thing] = field(default_factory=set[Thing])

    def note(self, kind: str, name: str) -> None:
        """The unit that is being computed uses this."""
        self._noted.add((kind, name))

    def keep(self, unit: Unit) -> None:
        """What was noted since the last call is all that ``unit`` uses now."""
        old = self._by_unit.get(unit, _NOTHING)
        if self._noted == old:
            self._noted.clear()
            return
        new, self._noted = self._noted, set()
        for thing in old - new:
            users = self._users[thing]
            users.discard(unit)
            if not users:
                del self._users[thing]
                self._left.add(thing)
        for thing in new - old:
            self._users.setdefault(thing, set()).add(unit)
        if new:
            self._by_unit[unit] = new
        else:
            self._by_unit.pop(unit, None)

    def users(self, kind: str, name: str) -> set[Unit]:
        return set(self._users.get((kind, name), ()))

    def take_idle(self) -> list[Thing]:
        """Return what lost its last user since the last call, in a stable order."""
        idle = sorted(thing for thing in self._left if thing not in self._users)
        self._left = set()
        return idle


def leave(index: dict[K, dict[L, V]], key: K, member: L) -> None:
    """Take a member out of an index, and the key with its last one."""
    members = index.get(key)
    if members is not None:
        members.pop(member, None)
        if not members:
            del index[key]
