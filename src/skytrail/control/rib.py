"""One table: the destinations of one family in one routing instance, with all their paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from skytrail.control.best_path import select
from skytrail.control.path import InstanceName, Path, PathSlot
from skytrail.net import IpAddress, Label
from skytrail.wire.xmpp import Family, NextHop, Route, RouteKey
from skytrail.wire.xmpp.route_codec import NEXT_HOPS_MAX


@dataclass(slots=True)
class RibEntry:
    """A destination: every path, and those selected."""

    paths: dict[PathSlot, Path] = field(default_factory=dict[PathSlot, Path])
    best: tuple[Path, ...] = ()


class Rib:
    """Holds paths and keeps the selection true.

    ``on_change(key, best)`` is called after the selection of a destination changed in a way that
    receivers can see; an empty ``best`` means that it is gone.
    """

    __slots__ = ("_on_table_change", "entries", "family", "instance", "on_change")

    def __init__(
        self,
        instance: InstanceName,
        family: Family,
        on_table_change: Callable[[InstanceName, Family, RouteKey], None] | None = None,
    ) -> None:
        self.instance = instance
        self.family = family
        self._on_table_change = on_table_change
        self.entries: dict[RouteKey, RibEntry] = {}
        self.on_change: Callable[[RouteKey, tuple[Path, ...]], None] | None = None

    def put(self, path: Path) -> None:
        """Add a path or replace the one in its slot."""
        key = path.slot.key
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = RibEntry()
        entry.paths[path.slot] = path
        self._reselect(key, entry)

    def remove(self, slot: PathSlot) -> None:
        """Remove a path; unknown ones are ignored."""
        key = slot.key
        entry = self.entries.get(key)
        if entry is None or entry.paths.pop(slot, None) is None:
            return
        if not entry.paths:
            del self.entries[key]
        self._reselect(key, entry)

    def best(self, key: RouteKey) -> tuple[Path, ...]:
        """Return the selected paths, best first."""
        entry = self.entries.get(key)
        return entry.best if entry else ()

    def _reselect(self, key: RouteKey, entry: RibEntry) -> None:
        before = entry.best
        entry.best = select(entry.paths.values(), self.family, self.instance)
        if _same_offer(before, entry.best):
            return
        if self.on_change is not None:
            self.on_change(key, entry.best)
        if self._on_table_change is not None:
            self._on_table_change(self.instance, self.family, key)


def _same_offer(before: tuple[Path, ...], after: tuple[Path, ...]) -> bool:
    # A path that only became stale, or was confirmed unchanged, is not worth a message.
    if len(before) != len(after):
        return False
    return all(
        old is path
        or (
            old.slot is path.slot
            and old.next_hops == path.next_hops
            and old.attributes == path.attributes
            and old.made == path.made
        )
        for old, path in zip(before, after, strict=True)
    )


def offer(best: tuple[Path, ...], network: str = "") -> Route:
    """Return the route receivers are told: next hops of all selected paths, the best's attributes.

    A route that names no network, as routers' do not, is taken to belong to ``network``.

    ``best`` must not be empty. Next hops beyond what a receiver takes are left out, best path's
    first: agents that each stay within the bound may exceed it together.
    """
    first = best[0]
    hops: dict[tuple[IpAddress, Label, str], NextHop] = {}
    for path in best:
        for hop in path.next_hops:
            named = (
                hop if hop.virtual_network else _name_network(hop, path.virtual_network or network)
            )
            hops.setdefault((named.address, named.label, named.virtual_network), named)
    return Route(first.key, tuple(islice(hops.values(), NEXT_HOPS_MAX)), first.attributes)


def _name_network(hop: NextHop, virtual_network: str) -> NextHop:
    return NextHop(
        address=hop.address,
        label=hop.label,
        vni=hop.vni,
        l3_label=hop.l3_label,
        mac=hop.mac,
        encapsulations=hop.encapsulations,
        virtual_network=virtual_network,
        tags=hop.tags,
    )


def only_source(best: tuple[Path, ...], instance: str) -> str:
    """Return the one peer all selected paths come from, empty when there are several.

    That peer is not told its own route back (split horizon). A path imported from another instance
    is news even to the peer it came from: only so does it learn which of its own workloads in
    other networks this one may reach.
    """
    if not best:
        return ""
    first = best[0].source
    own = all(path.source == first and path.instance == instance for path in best)
    return first if own else ""
