"""Routes this node makes out of others: service chains, static and aggregate routes.

```
 configure --> one Maker per chain, static route and aggregate; each names the tables it looks at
 a table's destination changed --> Maker.touched: which of its own destinations may change
 settle --> Maker.make for each of these --> Replicator; what is no longer made is removed
```
What is made is a function of the tables as they are, so the order of events does not matter: changes
are only noted when they happen, and worked off before anybody is told anything, in slices where
there are many. What is made may
itself be what another maker looks at; the networks a path was led through end such rounds.

Every path that is made leads where another one does, its *anchor*: the route to the service or next
hop. It is there as long as its anchor is selected, so nothing is ever led to a next hop that is gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from itertools import repeat
from typing import Protocol

from skytrail.control.path import InstanceName, Made, Path, PathSlot, PeerName
from skytrail.control.route_target import Replicator
from skytrail.control.vrf import Vrf
from skytrail.net import RouteDistinguisher, RouteTarget
from skytrail.wire.bgp import AsSegment
from skytrail.wire.bgp.attributes import AS_TRANS
from skytrail.wire.xmpp import Family, NextHop, RouteAttributes, RouteKey, family_of

_STEPS_OF_MAKING = 20
"""What making or removing a destination counts in the slices of chores: as many looks at a route."""

IpPrefix = IPv4Network | IPv6Network
Table = tuple[InstanceName, Family]
Best = Callable[[Table, RouteKey], tuple[Path, ...]]
"""Selected paths of a destination; none when the instance or the destination is not there."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A path as its maker means it; targets, distinguisher and slot follow from its place."""

    anchor: Path
    made: Made
    next_hops: tuple[NextHop, ...]
    attributes: RouteAttributes
    virtual_network: str
    as_path: tuple[AsSegment, ...] = ()
    targets: frozenset[RouteTarget] = frozenset()
    """Beside those of its instance."""


class Maker(Protocol):
    """Makes destinations of one table; equal ``spec`` means that it does the same."""

    @property
    def spec(self) -> object: ...

    @property
    def table(self) -> Table:
        """The table it makes destinations of."""
        ...

    @property
    def watched(self) -> tuple[Table, ...]:
        """The tables it looks at."""
        ...

    def touched(self, table: Table, key: RouteKey, best: Best) -> Iterable[RouteKey]:
        """Take note of a destination it looks at; return those of its own that may change."""
        ...

    def make(self, key: RouteKey, best: Best) -> Iterator[Draft]:
        """Yield what there is to be for one destination now."""
        ...

    @property
    def stands_for(self) -> Collection[RouteKey]:
        """Destinations of its table that are not told beside what it makes."""
        ...


_Name = tuple[str, object]
"""Owner and spec."""


@dataclass(slots=True)
class _Running:
    """A maker at work; ``made`` has, per destination, the slot for each anchor's distinguisher."""

    maker: Maker
    made: dict[RouteKey, dict[RouteDistinguisher, PathSlot]] = field(
        default_factory=dict[RouteKey, dict[RouteDistinguisher, PathSlot]]
    )


class Origination:
    """All makers of a control node."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self._running: dict[_Name, _Running] = {}
        self._owned: dict[str, dict[object, None]] = {}
        """Specs by what they were configured by."""
        self._watchers: dict[Table, dict[_Name, _Running]] = {}
        self._concerned: dict[InstanceName, dict[_Name, _Running]] = {}
        """Makers by the instances they make routes of or look at."""
        self._watch_changes: dict[InstanceName, None] = {}
        self._touched: dict[tuple[Table, RouteKey], None] = {}
        self._dirty: dict[tuple[_Name, RouteKey], None] = {}
        self._is_settling = False
        replicator.on_table_change.append(self._table_changed)

    def configure(self, owner: str, makers: Iterable[Maker]) -> None:
        """Let ``owner``, a uuid, have exactly these makers."""
        wanted = {maker.spec: maker for maker in makers}
        before = self._owned.pop(owner, {})
        for spec in before:
            if spec not in wanted:
                self._stop((owner, spec))
        for spec, maker in wanted.items():
            if spec not in before:
                self._start((owner, spec), maker)
        if wanted:
            self._owned[owner] = dict.fromkeys(wanted)

    def remake(self, owner: str, spec: object, keys: Iterable[RouteKey]) -> None:
        """Make destinations again, because their maker means something else by now."""
        self._dirty.update((((owner, spec), key), None) for key in keys)

    def instance_changed(self, name: InstanceName) -> None:
        """The instance appeared, or exports other targets: make its destinations again."""
        for running_name, running in self._concerned.get(name, {}).items():
            if running.maker.table[0] == name:
                self._dirty.update(((running_name, key), None) for key in running.made)
            self._look_at_everything(running)

    def is_watched(self, name: InstanceName) -> bool:
        """Whether anything is made out of an instance's routes."""
        return any((name, family) in self._watchers for family in Family)

    def take_watch_changes(self) -> list[InstanceName]:
        """Return the instances that may be watched, or not, only since the last call."""
        changes, self._watch_changes = self._watch_changes, {}
        return list(changes)

    def settle(self) -> None:
        """Work off what was noted and what follows from it: a chore, as it may be very much."""
        if not self._is_settling and (self._touched or self._dirty):
            self._is_settling = True
            self._replicator.chores.add(self._settling())

    def _settling(self) -> Iterator[None]:
        # Tenants choose how many destinations hang on one next hop.
        while self._touched or self._dirty:
            touched, self._touched = self._touched, {}
            for table, key in touched:
                for name, running in list(self._watchers.get(table, {}).items()):
                    for own in running.maker.touched(table, key, self._best):
                        self._dirty[name, own] = None
                yield
            dirty, self._dirty = self._dirty, {}
            for name, key in dirty:
                running = self._running.get(name)
                if running is not None:
                    self._make(running, key)
                    yield from repeat(None, _STEPS_OF_MAKING)
        self._is_settling = False

    def rows(self) -> Iterator[Mapping[str, object]]:
        """Yield every maker for introspection, with what it makes now."""
        for running in self._running.values():
            maker = running.maker
            yield {
                "instance": maker.table[0],
                "family": maker.table[1].name.lower(),
                "spec": str(maker.spec),
                "watches": [f"{name} {family.name.lower()}" for name, family in maker.watched],
                "makes": sorted(str(key) for key, slots in running.made.items() if slots),
            }

    def _table_changed(self, name: InstanceName, family: Family, key: RouteKey) -> None:
        table = (name, family)
        if table in self._watchers:
            self._touched[table, key] = None

    def _start(self, name: _Name, maker: Maker) -> None:
        running = self._running[name] = _Running(maker)
        for instance in _instances(maker):
            self._concerned.setdefault(instance, {})[name] = running
        for table in maker.watched:
            self._watchers.setdefault(table, {})[name] = running
            self._watch_changes[table[0]] = None
        self._look_at_everything(running)

    def _stop(self, name: _Name) -> None:
        running = self._running.pop(name)
        for instance in _instances(running.maker):
            concerned = self._concerned[instance]
            del concerned[name]
            if not concerned:
                del self._concerned[instance]
        for table in dict.fromkeys(running.maker.watched):
            watchers = self._watchers[table]
            del watchers[name]
            if not watchers:
                del self._watchers[table]
                self._watch_changes[table[0]] = None
        self._replicator.chores.add(self._unmaking(running))
        self._withhold(running.maker)

    def _unmaking(self, running: _Running) -> Iterator[None]:
        for slots in list(running.made.values()):
            for slot in slots.values():
                self._replicator.remove(slot)
                yield from repeat(None, _STEPS_OF_MAKING)

    def _look_at_everything(self, running: _Running) -> None:
        for name, family in running.maker.watched:
            vrf = self._replicator.vrfs.get(name)
            if vrf is not None:
                self._touched.update(
                    (((name, family), key), None) for key in vrf.ribs[family].entries
                )

    def _best(self, table: Table, key: RouteKey) -> tuple[Path, ...]:
        vrf = self._replicator.vrfs.get(table[0])
        return vrf.ribs[table[1]].best(key) if vrf is not None else ()

    def _make(self, running: _Running, key: RouteKey) -> None:
        maker, replicator = running.maker, self._replicator
        vrf = replicator.vrfs.get(maker.table[0])
        drafts = list(maker.make(key, self._best)) if vrf is not None else []
        slots = running.made.setdefault(key, {})
        wanted = {draft.anchor.distinguisher: draft for draft in drafts}
        for anchor in [anchor for anchor in slots if anchor not in wanted]:
            replicator.remove(slots.pop(anchor))
        for anchor, draft in wanted.items():
            slot = slots.get(anchor)
            if slot is None:
                source = PeerName(f"{draft.made.kind} via {anchor}")
                slot = slots[anchor] = PathSlot(source, maker.table[0], key)
            if vrf is not None:
                self._put(vrf, slot, draft)
        if not slots:
            del running.made[key]
        self._withhold(maker)

    def _put(self, vrf: Vrf, slot: PathSlot, draft: Draft) -> None:
        self._replicator.put(
            Path(
                slot=slot,
                distinguisher=made_distinguisher(vrf.name, draft.anchor.distinguisher),
                next_hops=draft.next_hops,
                attributes=draft.attributes,
                targets=vrf.config.exports | draft.targets,
                virtual_network=draft.virtual_network,
                made=draft.made,
                as_path=draft.as_path,
            )
        )

    def _withhold(self, changed: Maker) -> None:
        """Let what others stand for be exported if, and only if, these are not there."""
        name, family = changed.table
        vrf = self._replicator.vrfs.get(name)
        if vrf is None or not (changed.stands_for or vrf.withheld):
            return
        wanted = {
            key: None
            for running in self._concerned.get(name, {}).values()
            if running.maker.table == changed.table and running.made
            for key in running.maker.stands_for
        }
        for key in [key for key in vrf.withheld if family_of(key) is family and key not in wanted]:
            self._replicator.withhold(name, key, withheld=False)
        for key in wanted:
            self._replicator.withhold(name, key, withheld=True)


def _instances(maker: Maker) -> dict[InstanceName, None]:
    return dict.fromkeys(name for name, _ in (maker.table, *maker.watched))


def made_distinguisher(name: InstanceName, anchor: RouteDistinguisher) -> RouteDistinguisher:
    """Return the distinguisher of what an instance makes with the help of an anchor (ADR 0162).

    Every control node must name it alike, and no two instances may: the same service is the anchor
    of every chain through it.
    """
    digest = hashlib.blake2b(f"{name}\n{anchor}".encode(), digest_size=4).digest()
    return RouteDistinguisher.parse(f"{AS_TRANS}:{int.from_bytes(digest)}")
