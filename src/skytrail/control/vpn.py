"""The VPN tables: what agents export and what BGP peers say, told apart by route distinguisher.

A destination here is (route distinguisher, key). The distinguisher names one VRF of one host, so
several paths of a destination are one and the same route heard from several places: from its agent
and, when that agent talks to two control nodes, from the other node too. Only the best is imported
into VRFs and advertised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from skytrail.control.best_path import select_one
from skytrail.control.path import Path, PathSlot, PeerName, Shared
from skytrail.net import RouteDistinguisher
from skytrail.wire.bgp.nlri import VPN_KEY_IPV6, distinguisher_of_key, prefix_of_key, vpn_key
from skytrail.wire.xmpp import EnetKey, Family, RouteKey

VpnName: TypeAlias = bytes | tuple[RouteDistinguisher, EnetKey]
"""A destination: for prefixes the key of a VPN route, which names it in a few bytes."""


def vpn_name(distinguisher: RouteDistinguisher, key: RouteKey) -> VpnName:
    """Return the name of a destination."""
    return (distinguisher, key) if isinstance(key, EnetKey) else vpn_key(distinguisher, key)


def family_of_name(name: VpnName) -> Family:
    """Return the family of the table a destination belongs to."""
    if not isinstance(name, bytes):
        return Family.ENET
    return Family.INET if name[0] < VPN_KEY_IPV6 else Family.INET6


class VpnEntry(msgspec.Struct, eq=False):
    """A destination: every path, and the one that counts. Compared by identity.

    Without a path (``best`` is None) it is in no table.
    """

    family: Family
    name: VpnName
    best: Path | None = None
    others: tuple[Path, ...] = ()
    """The paths beside the best."""
    has_prefix_routes: bool = False
    """Whether a path was ever heard as an EVPN prefix route, and may be told as one."""

    @classmethod
    def of(cls, distinguisher: RouteDistinguisher, key: RouteKey) -> VpnEntry:
        """Return a destination without paths."""
        name = vpn_name(distinguisher, key)
        return cls(family_of_name(name), name)

    @property
    def distinguisher(self) -> RouteDistinguisher:
        name = self.name
        return distinguisher_of_key(name) if isinstance(name, bytes) else name[0]

    @property
    def key(self) -> RouteKey:
        name = self.name
        return prefix_of_key(name) if isinstance(name, bytes) else name[1]

    @property
    def paths(self) -> tuple[Path, ...]:
        return () if self.best is None else (self.best, *self.others)

    def path(self, slot: PathSlot) -> Path | None:
        """Return the path of a slot, if it is here."""
        best = self.best
        if best is None or best.slot is slot:
            return best
        return next((path for path in self.others if path.slot is slot), None)


Selection: TypeAlias = tuple[VpnEntry, Path | None]
"""A destination whose best path changed, and the best path before."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Destinations that a BGP peer was the first to name, all told alike."""

    source: PeerName
    shared: Shared
    entries: list[VpnEntry]
    paths: list[Path]
    wires: list[bytes]


class VpnTable:
    """One family's destinations of all distinguishers."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.entries: dict[VpnName, VpnEntry] = {}
        self._count = 0

    def entry(self, name: VpnName) -> VpnEntry:
        """Return a destination, a new one if it has no path yet."""
        return self.entries.get(name) or VpnEntry(self.family, name)

    def put(self, path: Path, changes: list[Selection]) -> None:
        """Add a path, or replace the one of its slot, whose distinguisher may have changed.

        What that selects goes into ``changes``.
        """
        slot = path.slot
        entry = slot.entry
        if path.shared is None and (entry is None or entry.distinguisher != path.distinguisher):
            self.remove(slot, changes)
            entry = slot.entry = self.entry(vpn_name(path.distinguisher, slot.key))
        assert entry is not None
        best = entry.best
        if best is None:
            known = self.entries.setdefault(entry.name, entry)
            if known is not entry:
                slot.entry = entry = known
                best = known.best
        if best is None:
            self._count += 1
            entry.best = path
        elif best.slot is slot:
            if entry.others:
                self._select(entry, (path, *entry.others))
            else:
                entry.best = path
        else:
            others = tuple([each for each in entry.others if each.slot is not slot])
            self._count += len(others) == len(entry.others)
            self._select(entry, (best, *others, path))
        if path.shared is None and path.learned is not None and path.learned.is_prefix_route:
            entry.has_prefix_routes = True
        if entry.best is not best:
            changes.append((entry, best))

    def put_fresh(self, names: list[bytes], entries: list[VpnEntry], paths: list[Path]) -> None:
        """Add the first paths of destinations that are in no table."""
        for entry, path in zip(entries, paths, strict=True):
            entry.best = path
        self.entries.update(zip(names, entries, strict=True))
        self._count += len(paths)

    def remove(self, slot: PathSlot, changes: list[Selection]) -> None:
        """Remove a path; unknown ones are ignored."""
        entry = slot.entry
        best = entry.best if entry is not None else None
        if entry is None or best is None:
            return
        if best.slot is slot:
            if entry.others:
                self._select(entry, entry.others)
            else:
                entry.best = None
                del self.entries[entry.name]
            self._count -= 1
            changes.append((entry, best))
        elif entry.others:
            others = tuple([each for each in entry.others if each.slot is not slot])
            self._count -= len(entry.others) - len(others)
            entry.others = others

    def remove_all(self, slots: Iterable[PathSlot], changes: list[Selection]) -> None:
        """Remove paths that are here, most of which are the only ones of their destinations."""
        entries, count = self.entries, 0
        for slot in slots:
            entry = slot.entry
            best = entry.best if entry is not None else None
            if entry is None or best is None:
                continue
            if entry.others or best.slot is not slot:
                self.remove(slot, changes)
                continue
            entry.best = None
            del entries[entry.name]
            count += 1
            changes.append((entry, best))
        self._count -= count

    def path(self, slot: PathSlot) -> Path | None:
        """Return what a slot holds now."""
        return slot.entry.path(slot) if slot.entry is not None else None

    def paths(self) -> Iterator[Path]:
        """Yield every path."""
        for entry in self.entries.values():
            yield from entry.paths

    def __len__(self) -> int:
        """Return the number of paths."""
        return self._count

    def _select(self, entry: VpnEntry, paths: tuple[Path, ...]) -> None:
        best = entry.best = select_one(paths)
        entry.others = tuple([path for path in paths if path is not best])
