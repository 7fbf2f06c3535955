"""What hosts tell each other of listeners (EVPN type 6, RFC 9251). Pure.

Of each VRF a host says which groups its ports listen to, in words that all of a group's listeners
have in common, and with its inclusive route that it says this at all. A host that has ports nobody
asked, or more groups than it may tell of, does not say so, and is sent everything.

What others say is kept by who said it, for the lists of a group (``group_rows``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from skytrail.agent.fib import LearntRoute
from skytrail.agent.ledger import Claims, Published, PublishKey, Unit
from skytrail.agent.membership import NEWEST, Groups, Listening, joined
from skytrail.net import BROADCAST_MAC, IpAddress, IpPrefix
from skytrail.wire.xmpp import EnetKey, NextHop, Route, RouteAttributes

TOLD_COUNT_MAX = 1024
"""Groups and sources that a host tells of one VRF."""
TOLD_OF_HOST_COUNT_MAX = 16384
"""Of all VRFs together; beyond it each has an equal share."""
TELLS_OF_ALL = 3
"""Multicast flags (RFC 9251 section 9.5) of who tells of listeners of both families."""
_EXCLUDES = 8
"""Flag of a source that is unwanted (section 9.1)."""

Told = Mapping[tuple[IpAddress, IpAddress | None], int]
"""(group, source) with the flags of the route that says it."""


def told_of(ports: Iterable[Groups]) -> Told:
    """Return what a host says of what its ports listen to.

    O(what they listen to). Of a group that somebody takes from everybody only those sources are
    said that nobody takes.
    """
    by_group: dict[IpAddress, list[Listening]] = {}
    for groups in ports:
        for group, listening in groups.items():
            by_group.setdefault(group, []).append(listening)
    told: dict[tuple[IpAddress, IpAddress | None], int] = {}
    for group in sorted(by_group, key=_order):
        listening = joined(by_group[group])
        newest = NEWEST[group.version]
        sources, flags = listening.wanted, newest
        if listening.takes_all:
            told[group, None] = listening.versions or newest
            sources, flags = listening.unwanted, newest | _EXCLUDES
        for source in sorted(sources, key=_order):
            told[group, source] = flags
    return told


def _order(address: IpAddress) -> tuple[int, int]:
    return address.version, int(address)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a host says of a VRF: who wants copies, by which next hop, and of which groups."""

    inclusive: Mapping[EnetKey, Route]
    hop: NextHop
    told: Told
    is_whole: bool
    """All of its ports are asked what they listen to."""


class Herald:
    """Publishes the announcements of all VRFs, within what may be told together."""

    def __init__(self, published: Claims[PublishKey, Published]) -> None:
        self._published = published
        self._said: dict[str, Announcement] = {}
        self._claimed: dict[str, set[EnetKey]] = {}
        self._dirty: dict[str, Unit] = {}
        self._units: dict[str, Unit] = {}
        self._share = TOLD_COUNT_MAX

    def put(self, unit: Unit, vrf: str, announcement: Announcement | None) -> None:
        """Say this of a VRF from now on; None: nothing."""
        self._units[vrf] = self._dirty[vrf] = unit
        if announcement is None:
            self._said.pop(vrf, None)
        else:
            self._said[vrf] = announcement

    def settle(self) -> None:
        """Claim the routes of VRFs for which they may have changed."""
        counts = [len(each.told) for each in self._said.values() if each.told]
        total = sum(min(count, TOLD_COUNT_MAX) for count in counts)
        share = TOLD_COUNT_MAX
        if total > TOLD_OF_HOST_COUNT_MAX:
            share = max(TOLD_OF_HOST_COUNT_MAX // len(counts), 1)
        if share != self._share:
            self._share = share
            self._dirty = {vrf: self._units[vrf] for vrf in self._said} | self._dirty
        for vrf, unit in self._dirty.items():
            self._claim(unit, vrf)
            if vrf not in self._said:
                del self._units[vrf]
        self._dirty = {}

    def _claim(self, unit: Unit, vrf: str) -> None:
        routes = self._routes(self._said[vrf]) if vrf in self._said else {}
        for key, route in routes.items():
            self._published.claim(unit, (vrf, key), route)
        for key in self._claimed.get(vrf, set()) - routes.keys():
            self._published.release(unit, (vrf, key))
        if routes:
            self._claimed[vrf] = set(routes)
        else:
            self._claimed.pop(vrf, None)

    def _routes(self, said: Announcement) -> dict[EnetKey, Route]:
        """Return listeners first: nobody may hear that we tell of them before them."""
        routes: dict[EnetKey, Route] = {}
        for key in list(said.inclusive)[:1]:
            for (group, source), flags in list(said.told.items())[: self._share]:
                attributes = RouteAttributes(local_preference=200, multicast_flags=flags)
                about = replace(key, group=group, source=source)
                routes[about] = Route(about, (said.hop,), attributes)
        flags = TELLS_OF_ALL if said.is_whole and len(said.told) <= self._share else 0
        for key, route in said.inclusive.items():
            attributes = replace(route.attributes, multicast_flags=flags)
            routes[key] = replace(route, attributes=attributes)
        return routes


@dataclass(slots=True)
class HeardListeners:
    """What other hosts and routers say, by VRF and who says it."""

    _heard: dict[str, dict[IpPrefix, dict[EnetKey, int]]] = field(
        default_factory=dict[str, dict[IpPrefix, dict[EnetKey, int]]]
    )
    _groups: dict[tuple[str, IpPrefix], Groups | None] = field(
        default_factory=dict[tuple[str, IpPrefix], "Groups | None"]
    )

    def put(self, vrf: str, key: EnetKey, flags: int | None) -> None:
        """Take what somebody says of one group and source; None: no longer."""
        who = key.address
        if who is None:
            return
        self._groups.pop((vrf, who), None)
        said = self._heard.setdefault(vrf, {}).setdefault(who, {})
        if flags is None:
            said.pop(key, None)
            if not said:
                del self._heard[vrf][who]
                if not self._heard[vrf]:
                    del self._heard[vrf]
        else:
            said[key] = flags

    def leave(self, vrf: str) -> None:
        """Forget what was said of a VRF."""
        for who in self._heard.pop(vrf, {}):
            self._groups.pop((vrf, who), None)

    def groups(self, vrf: str, asking: LearntRoute) -> Groups | None:
        """Return what somebody who asks for copies listens to; None: to everything."""
        key = asking.key
        if asking.multicast_flags & TELLS_OF_ALL != TELLS_OF_ALL or not isinstance(key, EnetKey):
            return None
        who = key.address
        if who is None:
            return None
        if (vrf, who) not in self._groups:
            self._groups[vrf, who] = _groups_of(self._heard.get(vrf, {}).get(who, {}))
        return self._groups[vrf, who]


def _groups_of(said: Mapping[EnetKey, int]) -> Groups | None:
    everybody: set[IpAddress] = set()
    wanted: dict[IpAddress, set[IpAddress]] = {}
    unwanted: dict[IpAddress, set[IpAddress]] = {}
    for key, flags in said.items():
        group = key.group
        if group is None:
            continue
        if not int(group):
            return None
        if key.source is None:
            everybody.add(group)
        else:
            newest = NEWEST[group.version]
            # The exclusion counts only in a version that has sources.
            refuses = flags & _EXCLUDES and flags & newest
            (unwanted if refuses else wanted).setdefault(group, set()).add(key.source)
    return {
        group: Listening(
            takes_all=group in everybody,
            wanted=frozenset(wanted.get(group, ())),
            unwanted=frozenset(unwanted.get(group, ())) if group in everybody else frozenset(),
        )
        for group in everybody | wanted.keys()
    }


def is_of_group(key: EnetKey) -> bool:
    """Tell whether a layer 2 route says who listens to a group."""
    return key.mac == BROADCAST_MAC and key.group is not None
