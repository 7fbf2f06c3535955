"""Routes of BGP peers that no instance here has a use for: held, told on, shown.

Plain and labelled prefixes, EVPN types 1, 4 and 6 and multicast pass through a node as its peers
said them; so do routes of overlay trees and plain IPv4 routes, which ``trees`` and ``underlay``
read as well, and add their own to. A destination is (family, key of the NLRI); the best path among
the peers that offer it is told to the others, by the same groups and rules as VPN routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network

from skytrail.control.best_path import select_one
from skytrail.control.path import Path, PeerName
from skytrail.wire.bgp import BgpFamily, EthernetSegment, IpPrefixRoute, LabelledNlri, Nlri, VpnNlri
from skytrail.wire.bgp.nlri import route_key

RelayKey = tuple[BgpFamily, object]
NO_DESTINATION = IPv4Network("0.0.0.0/32")
"""What stands in the slots of these paths, which are in no table of an instance."""
VPN_FAMILIES = frozenset(
    (BgpFamily.INET_VPN, BgpFamily.INET6_VPN, BgpFamily.EVPN, BgpFamily.ERMVPN)
)
"""Families in which route target constraint decides who gets what."""


class RelayEntry:
    """A destination: every peer's path, and the one that counts. Compared by identity."""

    __slots__ = ("best", "family", "nlri", "paths")

    def __init__(self, family: BgpFamily, nlri: Nlri) -> None:
        self.family = family
        self.nlri = nlri
        """Any peer's way of naming it; good for taking it back."""
        self.paths: dict[PeerName, Path] = {}
        self.best: Path | None = None

    @property
    def is_constrained(self) -> bool:
        """Ethernet segments have targets of another kind (RFC 7432 section 7.6)."""
        return self.family in VPN_FAMILIES and not isinstance(self.nlri, EthernetSegment)


OnTree = Callable[[object, RelayEntry | None], None]
"""Of a route's key and what there is of it now."""
OnRelaySelection = Callable[[list[tuple[RelayEntry, Path | None]]], None]


class RelayTable:
    """All families in one; ``on_selection`` is told of changed best paths and the one before."""

    def __init__(self, on_selection: OnRelaySelection) -> None:
        self.entries: dict[RelayKey, RelayEntry] = {}
        self.on_tree: OnTree | None = None
        """Told of routes of overlay trees, whoever says them and whether or not they are best."""
        self.on_inet: Callable[[RelayEntry], None] | None = None
        """Told likewise of plain IPv4 routes; of one that is gone, without paths."""
        self._on_selection = on_selection

    def put(self, key: RelayKey, path: Path) -> None:
        """Add a peer's path or replace it. It must have ``relay`` unless it is in a loop."""
        entry = self.entries.get(key)
        if entry is None:
            if path.relay is None:
                return
            entry = self.entries[key] = RelayEntry(key[0], path.relay.nlri)
        entry.paths[path.source] = path
        self._select(entry)

    def remove(self, key: RelayKey, source: PeerName) -> None:
        """Remove a peer's path; unknown ones are ignored."""
        entry = self.entries.get(key)
        if entry is None or entry.paths.pop(source, None) is None:
            return
        if not entry.paths:
            del self.entries[key]
        self._select(entry)

    def path(self, key: RelayKey, source: PeerName) -> Path | None:
        entry = self.entries.get(key)
        return None if entry is None else entry.paths.get(source)

    def constrained(self) -> Iterable[RelayEntry]:
        """Yield destinations for which it matters who wants what."""
        return (entry for entry in self.entries.values() if entry.is_constrained)

    def _select(self, entry: RelayEntry) -> None:
        before = entry.best
        candidates = [path for path in entry.paths.values() if path.relay is not None]
        entry.best = select_one(candidates)
        if entry.best is not before:
            self._on_selection([(entry, before)])
        if entry.family is BgpFamily.ERMVPN and self.on_tree is not None:
            self.on_tree(route_key(entry.nlri), entry if entry.paths else None)
        elif entry.family is BgpFamily.INET and self.on_inet is not None:
            self.on_inet(entry)


def is_tellable(nlri: Nlri) -> bool:
    """Tell whether one label at most is needed to pass the route on (RFC 8277 section 2.1)."""
    return not isinstance(nlri, VpnNlri | LabelledNlri) or len(nlri.labels) <= 1


def is_prefix_route(nlri: Nlri) -> bool:
    return isinstance(nlri, IpPrefixRoute)
