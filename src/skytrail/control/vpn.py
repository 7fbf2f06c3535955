"""The VPN tables: what agents export and what BGP peers say, told apart by route distinguisher.

A destination here is (route distinguisher, key). The distinguisher names one VRF of one host, so
several paths of a destination are one and the same route heard from several places: from its agent
and, when that agent talks to two control nodes, from the other node too. Only the best is imported
into VRFs and advertised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from skytrail.control.best_path import select_one
from skytrail.control.path import Path, PathSlot
from skytrail.net import RouteDistinguisher
from skytrail.wire.xmpp import Family, RouteKey


class VpnEntry:
    """A destination: every path, and the one that counts. Compared by identity."""

    __slots__ = ("best", "distinguisher", "family", "has_prefix_routes", "key", "paths")

    def __init__(self, family: Family, distinguisher: RouteDistinguisher, key: RouteKey) -> None:
        self.family = family
        self.distinguisher = distinguisher
        self.key = key
        self.paths: dict[PathSlot, Path] = {}
        self.best: Path | None = None
        self.has_prefix_routes = False
        """Whether a path was ever heard as an EVPN prefix route, and may be told as one."""


OnSelection = Callable[[VpnEntry, Path | None], None]
"""Called with an entry whose best path changed, and the best path before."""


class VpnTable:
    """One family's destinations of all distinguishers."""

    def __init__(self, family: Family, on_selection: OnSelection) -> None:
        self.family = family
        self.entries: dict[tuple[RouteDistinguisher, RouteKey], VpnEntry] = {}
        self._entry_of: dict[PathSlot, VpnEntry] = {}
        self._on_selection = on_selection

    def put(self, path: Path) -> None:
        """Add a path, or replace the one of its slot, whose distinguisher may have changed."""
        slot = path.slot
        entry = self._entry_of.get(slot)
        if entry is None or entry.distinguisher != path.distinguisher:
            if entry is not None:
                self.remove(slot)
            name = (path.distinguisher, slot.key)
            entry = self.entries.get(name)
            if entry is None:
                entry = self.entries[name] = VpnEntry(self.family, *name)
            self._entry_of[slot] = entry
        entry.paths[slot] = path
        if path.learned is not None and path.learned.is_prefix_route:
            entry.has_prefix_routes = True
        self._select(entry)

    def remove(self, slot: PathSlot) -> None:
        """Remove a path; unknown ones are ignored."""
        entry = self._entry_of.pop(slot, None)
        if entry is None:
            return
        del entry.paths[slot]
        if not entry.paths:
            del self.entries[entry.distinguisher, entry.key]
        self._select(entry)

    def path(self, slot: PathSlot) -> Path | None:
        """Return what a slot holds now."""
        entry = self._entry_of.get(slot)
        return entry.paths[slot] if entry is not None else None

    def paths(self) -> Iterator[Path]:
        """Yield every path."""
        for entry in self.entries.values():
            yield from entry.paths.values()

    def __len__(self) -> int:
        """Return the number of paths."""
        return len(self._entry_of)

    def _select(self, entry: VpnEntry) -> None:
        before = entry.best
        entry.best = select_one(entry.paths.values())
        if before is not entry.best:
            self._on_selection(entry, before)
