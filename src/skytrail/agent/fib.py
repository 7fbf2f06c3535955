"""Routes learnt from control nodes, merged: several sources, stale marks, one answer per key.

A source's routes survive the loss of its session as stale ones (headless operation). They count
only while no live source offers the key, and are swept when the source, or another live one that
has told everything, does not repeat them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from skytrail.agent.branches import LearntBranches
from skytrail.agent.share import omitted_of
from skytrail.wire.xmpp import Family, ItemsEvent, NextHop, Route, RouteKey

InstanceFamily = tuple[str, Family]
JOURNAL_COUNT_MAX = 65536


@dataclass(slots=True)
class _Entry:
    key: RouteKey
    """The first object that named this key: the same one all along, which tables find sooner."""
    route: Route
    stale: bool = False


@dataclass(slots=True)
class _Source:
    live: bool = False
    end_of_rib: bool = False
    tables: dict[InstanceFamily, dict[RouteKey, _Entry]] = field(
        default_factory=dict[InstanceFamily, dict[RouteKey, _Entry]]
    )


@dataclass(frozen=True, slots=True)
class LearntRoute:
    """The winner of one key."""

    key: RouteKey
    next_hops: tuple[NextHop, ...]
    """Every equally good next hop, ordered, without repetition."""
    security_groups: tuple[int, ...]
    local_preference: int
    sequence_number: int
    sources: tuple[str, ...]
    stale: bool
    communities: tuple[str, ...] = ()
    replicates: bool = False
    """Of an inclusive multicast route: who is sent a copy there makes those for all others."""
    multicast_flags: int = 0
    """As ``RouteAttributes`` has them."""
    omitted: int = 0
    """Fields that do not count when one of its next hops is chosen (``share``): of any of its sources."""
    sticky: bool = False
    """Of a MAC: nobody else may claim it."""


class LearntRoutes:
    """Adj-RIB-In of an agent. ``version`` changes with every change of content.

    ``journal_count_max``: so many changes are remembered; who missed more looks at all routes.
    """

    def __init__(self, journal_count_max: int = JOURNAL_COUNT_MAX) -> None:
        self.version = 0
        self.branches = LearntBranches()
        self._sources: dict[str, _Source] = {}
        self._best: dict[InstanceFamily, dict[RouteKey, LearntRoute]] = {}
        self._dirty: dict[InstanceFamily, set[RouteKey]] = {}
        """Keys whose winner must be chosen again."""
        self._journal: deque[tuple[InstanceFamily, RouteKey]] = deque(maxlen=journal_count_max)
        """The last changes; ``version`` counts all there ever were."""

    def session_up(self, name: str) -> None:
        """The source will now repeat everything; what it offered before is stale."""
        source = self._sources.setdefault(name, _Source())
        source.live, source.end_of_rib = True, False
        self._mark_stale(source)
        self.branches.mark_stale(name)

    def session_down(self, name: str) -> None:
        source = self._sources.setdefault(name, _Source())
        source.live = source.end_of_rib = False
        self._mark_stale(source)
        self.branches.mark_stale(name)

    def end_of_rib(self, name: str) -> None:
        self._sources.setdefault(name, _Source()).end_of_rib = True

    def in_sync(self) -> bool:
        """True when a live source has told everything it knew."""
        return any(source.live and source.end_of_rib for source in self._sources.values())

    def apply(self, name: str, event: ItemsEvent) -> None:
        """Take over an event of a source."""
        source = self._sources.setdefault(name, _Source())
        slot = (event.instance, event.family)
        table = source.tables.setdefault(slot, {})
        changed: list[RouteKey] = []
        for route in event.routes:
            entry = table.get(route.key)
            if entry is None:
                table[route.key] = _Entry(route.key, route)
                changed.append(route.key)
            elif entry.stale or entry.route != route:
                entry.route, entry.stale = route, False
                changed.append(entry.key)
        gone = [table.pop(key, None) for key in event.retracts]
        changed += [entry.key for entry in gone if entry is not None]
        if changed:
            self._keys_changed(slot, changed)
        if not table:
            del source.tables[slot]

    def sweep_stale(self) -> int:
        """Delete every stale route; for the caller to do when a live source is in sync."""
        count = 0
        self.branches.sweep_stale()
        for source in self._sources.values():
            for slot in list(source.tables):
                table = source.tables[slot]
                stale = [key for key, entry in table.items() if entry.stale]
                for key in stale:
                    del table[key]
                count += len(stale)
                if stale:
                    self._keys_changed(slot, stale)
                if not table:
                    del source.tables[slot]
        return count

    def forget_instance(self, instance: str) -> None:
        """Drop the tables of an instance this agent is no longer subscribed to."""
        self.branches.forget_instance(instance)
        for source in self._sources.values():
            for slot in [slot for slot in source.tables if slot[0] == instance]:
                self._keys_changed(slot, source.tables.pop(slot))

    def instances(self) -> set[str]:
        named = {slot[0] for source in self._sources.values() for slot in source.tables}
        return named | self.branches.instances()

    def best(self, instance: str, family: Family) -> Collection[LearntRoute]:
        """Return the winner of every key of a table, in no particular order.

        A route that did not change is the same object as in the last call.
        """
        slot = (instance, family)
        winners = self._best.setdefault(slot, {})
        dirty = self._dirty.pop(slot, None)
        if dirty:
            tables = [
                (name, table)
                for name, source in sorted(self._sources.items())
                if (table := source.tables.get(slot))
            ]
            for key in dirty:
                offers = [
                    (name, entry) for name, table in tables if (entry := table.get(key)) is not None
                ]
                if len(offers) == 1:
                    winners[key] = _unrivalled(key, *offers[0])
                elif offers:
                    winners[key] = _winner(key, offers)
                else:
                    winners.pop(key, None)
        return winners.values()

    def winner(self, instance: str, family: Family, key: RouteKey) -> LearntRoute | None:
        """Return the winner of one key."""
        slot = (instance, family)
        winners = self._best.get(slot)
        if winners is None or slot in self._dirty:
            self.best(instance, family)
            winners = self._best[slot]
        return winners.get(key)

    def changes_since(self, version: int) -> set[tuple[InstanceFamily, RouteKey]] | None:
        """Return the keys that may have changed since then; None: it is too long ago to tell."""
        count = self.version - version
        if not 0 <= count <= len(self._journal):
            return None
        return set(islice(reversed(self._journal), count))

    def _keys_changed(self, slot: InstanceFamily, keys: Iterable[RouteKey]) -> None:
        changed = list(keys)
        self.version += len(changed)
        self._journal.extend([(slot, key) for key in changed])
        self._dirty.setdefault(slot, set()).update(changed)

    def statistics(self) -> Iterable[Mapping[str, object]]:
        for name, source in sorted(self._sources.items()):
            entries = [entry for table in source.tables.values() for entry in table.values()]
            yield {
                "source": name,
                "live": source.live,
                "end_of_rib": source.end_of_rib,
                "routes": len(entries),
                "stale": sum(entry.stale for entry in entries),
            }

    def _mark_stale(self, source: _Source) -> None:
        for slot, table in source.tables.items():
            for entry in table.values():
                entry.stale = True
            self._keys_changed(slot, table)


def _unrivalled(key: RouteKey, name: str, entry: _Entry) -> LearntRoute:
    """Return the winner where one source alone offers the key."""
    route, attributes = entry.route, entry.route.attributes
    hops = route.next_hops
    return LearntRoute(
        key=key,
        next_hops=hops if len(hops) == 1 else _ordered(hops),
        security_groups=_numbers(attributes.security_groups),
        local_preference=attributes.local_preference,
        sequence_number=attributes.sequence_number,
        sources=(name,),
        stale=entry.stale,
        communities=attributes.communities,
        replicates=attributes.replicates,
        multicast_flags=attributes.multicast_flags,
        omitted=omitted_of(attributes.load_balance_fields),
        sticky=attributes.sticky,
    )


def _winner(key: RouteKey, offers: list[tuple[str, _Entry]]) -> LearntRoute:
    fresh = [offer for offer in offers if not offer[1].stale]
    candidates = fresh or offers

    def rank(offer: tuple[str, _Entry]) -> tuple[int, int]:
        attributes = offer[1].route.attributes
        return attributes.local_preference, attributes.sequence_number

    top = max(rank(offer) for offer in candidates)
    best = [offer for offer in candidates if rank(offer) == top]
    next_hops: list[NextHop] = []
    groups: list[int] = []
    omitted = 0
    for _, entry in best:
        omitted |= omitted_of(entry.route.attributes.load_balance_fields)
        next_hops += entry.route.next_hops
        groups += entry.route.attributes.security_groups
    return LearntRoute(
        key=key,
        next_hops=_ordered(next_hops),
        security_groups=_numbers(groups),
        local_preference=top[0],
        sequence_number=top[1],
        sources=tuple(name for name, _ in best),
        stale=not fresh,
        communities=best[0][1].route.attributes.communities,
        replicates=best[0][1].route.attributes.replicates,
        multicast_flags=best[0][1].route.attributes.multicast_flags,
        omitted=omitted,
        sticky=best[0][1].route.attributes.sticky,
    )


def _ordered(next_hops: Iterable[NextHop]) -> tuple[NextHop, ...]:
    return tuple(sorted(dict.fromkeys(next_hops), key=_next_hop_order))


def _numbers(groups: Collection[int]) -> tuple[int, ...]:
    return tuple(sorted(set(groups))) if groups else ()


def _next_hop_order(next_hop: NextHop) -> tuple[int, int, int, int, str]:
    address = next_hop.address
    return address.version, int(address), next_hop.label, next_hop.vni, next_hop.virtual_network
