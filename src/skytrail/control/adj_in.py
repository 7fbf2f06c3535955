"""Adj-RIB-in: what a BGP peer said, across its sessions, and how tables follow when it goes.

```
 heard, forget          one route, at once
 drop, age, sweep       all routes of a family: noted at once, done by ``work`` in slices
```
Losing a session with a million routes must not hold up anybody, so nothing here walks a family
but :meth:`AdjIn.work`. A route heard again while it waits to be removed keeps its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from itertools import repeat
from typing import TypeAlias

from skytrail.control.path import (
    VPN_INSTANCE,
    Path,
    PathSlot,
    PeerName,
    Shared,
    learned_paths,
    long_lived_path,
    stale_path,
)
from skytrail.control.relay import NO_DESTINATION, RelayKey, RelayTable
from skytrail.control.route_target import Replicator
from skytrail.control.vpn import Fresh, VpnEntry, VpnName
from skytrail.wire.bgp import BgpFamily
from skytrail.wire.bgp.nlri import VPN_KEY_IPV6
from skytrail.wire.bgp.vpn_block import VpnBlock
from skytrail.wire.xmpp import EnetKey, Family

HeardName: TypeAlias = VpnName | RelayKey
"""A destination within a family: of the VPN tables, or of the table that is passed on only."""


class Heard(PathSlot, eq=False):
    """A route as its peer said it; its path is in the tables as long as this is known here."""

    generation: int = 0
    """When it was last said; grows when all routes of its family are in doubt."""
    relay_key: RelayKey | None = None
    """Where it is in the table of routes that are passed on only."""

    @property
    def name(self) -> HeardName:
        if self.relay_key is not None:
            return self.relay_key
        assert self.entry is not None
        return self.entry.name


class AdjIn:
    """The routes of one peer, by family and destination."""

    def __init__(self, source: PeerName, replicator: Replicator, relay: RelayTable) -> None:
        self.tables: dict[BgpFamily, dict[HeardName, Heard]] = {}
        self._generations: dict[BgpFamily, int] = {}
        self._source = source
        self._replicator = replicator
        self._inet, self._inet6 = replicator.vpn[Family.INET], replicator.vpn[Family.INET6]
        self._relay = relay
        self._aged: set[BgpFamily] = set()
        """Families that may hold routes of an earlier generation."""
        self._gone: deque[tuple[BgpFamily, dict[HeardName, Heard]]] = deque()
        self._walks: deque[_Walk] = deque()

    def __len__(self) -> int:
        return sum(map(len, self.tables.values()))

    @property
    def stale_count(self) -> int:
        return sum(
            heard.generation != self.generation(family)
            for family in self._aged
            for heard in self.tables.get(family, {}).values()
        )

    def generation(self, family: BgpFamily) -> int:
        """Return what routes that are said now get."""
        return self._generations.get(family, 0)

    def table(self, family: BgpFamily) -> dict[HeardName, Heard]:
        """Return a family's routes, to be looked up in."""
        return self.tables.setdefault(family, {})

    def note(self, family: BgpFamily, names: Iterable[HeardName], limit: float) -> list[Heard]:
        """Note routes the peer says, up to a limit of the family; return those noted, in order.

        The path of a new one has to be put into the tables next.
        """
        table, generation = self.table(family), self.generation(family)
        noted: list[Heard] = []
        for name in names:
            heard = table.get(name)
            if heard is None:
                if len(table) >= limit:
                    break
                heard = self._found_again(family, name) if self._gone else None
                if heard is None:
                    heard = self._new(name)
                table[name] = heard
            heard.generation = generation
            noted.append(heard)
        return noted

    def learn(self, family: BgpFamily, block: VpnBlock, shared: Shared, limit: float) -> bool:
        """Note VPN routes with usable labels that nobody said before, and put them into the tables.

        False, and nothing done, if that is not what they are. No step is taken for each that can
        be one for all: a full table is as fast as this.
        """
        table = self.table(family)
        vpn = self._inet if family is BgpFamily.INET_VPN else self._inet6
        keys = block.keys
        if (
            self._gone
            or len(table) + len(keys) > limit
            or not table.keys().isdisjoint(keys)
            or not vpn.entries.keys().isdisjoint(keys)
        ):
            return False
        entries = list(map(VpnEntry, repeat(vpn.family), keys))
        new: Callable[..., Heard] = Heard
        generation = repeat(self.generation(family))
        noted = list(
            map(new, repeat(self._source), repeat(VPN_INSTANCE), repeat(None), entries, generation)
        )
        by_name: dict[HeardName, Heard] = dict(zip(keys, noted, strict=True))
        if len(by_name) != len(keys):
            # Said twice: the last one counts.
            return False
        table.update(by_name)
        paths = learned_paths(noted, shared, block.wires)
        vpn.put_fresh(keys, entries, paths)
        self._replicator.follow_fresh(Fresh(self._source, shared, entries, paths, block.wires))
        return True

    def _new(self, name: HeardName) -> Heard:
        if isinstance(name, bytes):
            table = self._inet if name[0] < VPN_KEY_IPV6 else self._inet6
            entry = table.entries.get(name)
            if entry is None:
                entry = VpnEntry(table.family, name)
            return Heard(self._source, VPN_INSTANCE, None, entry)
        kind, key = name
        if isinstance(kind, BgpFamily):
            return Heard(self._source, VPN_INSTANCE, NO_DESTINATION, relay_key=(kind, key))
        assert isinstance(key, EnetKey)
        entry = self._replicator.vpn[Family.ENET].entry((kind, key))
        return Heard(self._source, VPN_INSTANCE, None, entry)

    def _found_again(self, family: BgpFamily, name: HeardName) -> Heard | None:
        for lost_family, lost in self._gone:
            if lost_family is family and name in lost:
                return lost.pop(name)
        return None

    def forget(self, family: BgpFamily, name: HeardName) -> bool:
        """Remove a route everywhere; False if it was not known."""
        heard = self.tables.get(family, {}).pop(name, None)
        if heard is None:
            return False
        self._remove([heard])
        return True

    def drop(self, families: Iterable[BgpFamily]) -> None:
        """Forget all routes of some families."""
        for family in families:
            lost = self.tables.pop(family, None)
            self._aged.discard(family)
            if lost:
                self._gone.append((family, lost))

    def age(self) -> None:
        """The session is over, its routes stay: each is stale until it is said again."""
        for family, table in self.tables.items():
            self.doubt(family)
            self._walk(_Walk(family, table, self.generation(family), is_sweep=False))

    def outlive(self, family: BgpFamily) -> None:
        """Keep what is stale for longer, as what it is (RFC 9494)."""
        table = self.tables.get(family, {})
        walk = _Walk(family, table, self.generation(family), is_sweep=False)
        walk.long_lived = {}
        self._walk(walk)

    def doubt(self, family: BgpFamily) -> None:
        """The peer will say all routes of a family again: what it leaves out is to be swept."""
        self._generations[family] = self.generation(family) + 1
        self._aged.add(family)

    def sweep(self, family: BgpFamily) -> None:
        """Forget what is stale."""
        if family in self._aged:
            self._aged.discard(family)
            table = self.tables.get(family, {})
            self._walk(_Walk(family, table, self.generation(family), is_sweep=True))

    def sweep_again(self, kept: Container[BgpFamily]) -> None:
        """Forget what was stale already: the session is over once more before it was all said again.

        RFC 4724 section 4.2: or a peer that comes and goes would keep its routes for ever. Families
        in ``kept`` have a time of their own.
        """
        for family in [each for each in self._aged if each not in kept]:
            self.sweep(family)

    def _walk(self, walk: _Walk) -> None:
        """Begin a walk, or let one that has not begun stand for it: peers may ask for very many."""
        for waiting in self._walks:
            if waiting.may_stand_for(walk):
                waiting.generation = walk.generation
                return
        self._walks.append(walk)

    @property
    def walks_count(self) -> int:
        """How many walks over routes wait."""
        return len(self._walks)

    @property
    def has_work(self) -> bool:
        return bool(self._gone or self._walks)

    def work(self, count: int) -> None:
        """Let tables follow, about ``count`` routes."""
        while count > 0 and self._gone:
            lost = self._gone[0][1]
            if not lost:
                self._gone.popleft()
                continue
            removed = [lost.popitem()[1] for _ in range(min(count, len(lost)))]
            self._remove(removed)
            count -= len(removed)
        while count > 0 and self._walks:
            walk = self._walks[0]
            for heard in walk.begin():
                count -= 1
                self._visit(walk, heard)
                if count <= 0:
                    break
            else:
                self._walks.popleft()

    def _visit(self, walk: _Walk, heard: Heard) -> None:
        name = heard.name
        if heard.generation >= walk.generation or walk.table.get(name) is not heard:
            return
        if self.tables.get(walk.family) is not walk.table:
            # Dropped since: on its way out already.
            return
        if walk.is_sweep:
            self.forget(walk.family, name)
            return
        path = self._path(heard)
        if path is None:
            return
        if walk.long_lived is None:
            after = None if path.is_stale else stale_path(path)
        else:
            after = long_lived_path(path, walk.long_lived)
            if after is None:
                self.forget(walk.family, name)
        if after is None:
            return
        if heard.relay_key is not None:
            self._relay.put(heard.relay_key, after)
        else:
            self._replicator.put(after)

    def _path(self, heard: Heard) -> Path | None:
        if heard.relay_key is not None:
            return self._relay.path(heard.relay_key, heard.source)
        return heard.entry.path(heard) if heard.entry is not None else None

    def _remove(self, gone: list[Heard]) -> None:
        for heard in gone:
            if heard.relay_key is not None:
                self._relay.remove(heard.relay_key, heard.source)
        self._replicator.remove_learned([each for each in gone if each.relay_key is None])


class _Walk:
    """Looks at every route of a family that is there when it begins."""

    __slots__ = ("_rest", "family", "generation", "is_sweep", "long_lived", "table")

    def __init__(
        self,
        family: BgpFamily,
        table: dict[HeardName, Heard],
        generation: int,
        *,
        is_sweep: bool,
    ) -> None:
        self.family = family
        self.table = table
        self.generation = generation
        """Routes of an earlier one are concerned."""
        self.is_sweep = is_sweep
        self.long_lived: dict[Shared, Shared] | None = None
        """Set: routes become long-lived stale ones; what they had in common, and have now."""
        self._rest: Iterator[Heard] | None = None

    def begin(self) -> Iterator[Heard]:
        """Return what is still to be looked at."""
        if self._rest is None:
            # A copy of pointers: a few milliseconds for a million.
            self._rest = iter(list(self.table.values()))
        return self._rest

    def may_stand_for(self, later: _Walk) -> bool:
        """Tell whether this walk, not begun yet, can do what a later one is to do."""
        return (
            self._rest is None
            and self.table is later.table
            and self.is_sweep == later.is_sweep
            and (self.long_lived is None) == (later.long_lived is None)
        )
