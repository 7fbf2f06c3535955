"""A path: one offer of one agent or BGP peer for one destination.

The same ``Path`` object stands in its own VRF, in the VPN table and in every VRF that imports it:
replication never copies. Paths are immutable; any change is a fresh path in the same slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NewType, TypeVar, cast

from skytrail.net import IpAddress, RouteDistinguisher, RouteTarget
from skytrail.wire.bgp import AsSegment, Attributes, BgpFamily, Nlri
from skytrail.wire.xmpp import NextHop, RouteAttributes, RouteKey

PeerName = NewType("PeerName", str)
"""The name an agent gives itself when it opens its session."""

InstanceName = NewType("InstanceName", str)
"""Colon-joined fully qualified name of a routing instance."""

# TF agents publish their fabric routes here without a label; the underlay carries them.
VPN_INSTANCE = InstanceName("")
"""Where paths of BGP peers live: in no instance, only in the VPN tables."""

FABRIC_INSTANCE = InstanceName("default-domain:default-project:ip-fabric:__default__")

KNOWN_ENCAPSULATIONS = frozenset({"gre", "udp", "vxlan", "mpls", "native"})
_MED_OF_STANDBY = 200
_MED_OF_ACTIVE = 100
_ACTIVE = 200
_STANDBY = 100
_U32_MAX = 0xFFFF_FFFF


class PathSlot:
    """Where a source's path for one destination goes, for as long as it offers one.

    Compared and hashed by identity: there is one slot per (agent, instance, destination) or
    (BGP peer, distinguisher, destination), or (maker, destination, next hop), and tables are indexed by it at the cost of a pointer, where hashing a prefix costs a microsecond.
    """

    __slots__ = ("instance", "key", "source")

    def __init__(self, source: PeerName, instance: InstanceName, key: RouteKey) -> None:
        self.source = source
        self.instance = instance
        self.key = key


@dataclass(frozen=True, slots=True)
class Learned:
    """What a BGP peer's path has beside what an agent's has."""

    attributes: Attributes
    is_external: bool
    """The peer is of another AS."""
    router_id: IPv4Address
    """The peer's, or the originator's when a route reflector passed the route on."""
    as_path_length: int = 0
    is_prefix_route: bool = False
    """From an EVPN prefix route (RFC 9136): reached by VXLAN through the router's MAC."""


@dataclass(frozen=True, slots=True)
class Relay:
    """How a BGP peer said a route, for passing it on in the same words."""

    family: BgpFamily
    next_hop: IpAddress
    nlri: Nlri


@dataclass(frozen=True, slots=True)
class Made:
    """What a path has that this node makes out of others: it is led on, not heard."""

    kind: str
    """``service-chain``, ``static`` or ``aggregate``."""
    networks: tuple[str, ...] = ()
    """Networks it was led through, nearest first, before it came into its own instance."""


@dataclass(frozen=True, slots=True)
class Path:
    """``next_hops`` holds only usable ones; without any the path is kept but infeasible."""

    slot: PathSlot
    distinguisher: RouteDistinguisher
    next_hops: tuple[NextHop, ...]
    attributes: RouteAttributes
    targets: frozenset[RouteTarget]
    """Route targets it is exported with."""
    virtual_network: str = ""
    """The network it was born in, for next hops that do not name one."""
    is_stale: bool = False
    """Its source's session is gone or has not yet confirmed it."""
    learned: Learned | None = None
    """From a BGP peer."""
    relay: Relay | None = None
    """Set where the next hop does not hold all that the peer said, or nobody here can use it."""
    made: Made | None = None
    """By this node; neither this nor ``learned``: from an agent."""
    as_path: tuple[AsSegment, ...] = ()
    """Of a path that is not learned; those have theirs among their attributes."""

    @property
    def is_feasible(self) -> bool:
        return bool(self.next_hops)

    @property
    def is_tellable(self) -> bool:
        """Whether BGP peers may be told of it: routes we cannot use may be good for them."""
        return bool(self.next_hops) or self.relay is not None

    @property
    def source(self) -> PeerName:
        return self.slot.source

    @property
    def instance(self) -> InstanceName:
        """The instance it was published in; ``VPN_INSTANCE`` for a BGP peer's."""
        return self.slot.instance

    @property
    def key(self) -> RouteKey:
        return self.slot.key


def usable_next_hops(next_hops: tuple[NextHop, ...], instance: str) -> tuple[NextHop, ...]:
    """Drop next hops nobody could send to: no known encapsulation, or neither label nor VNI."""
    return tuple([hop for hop in next_hops if _is_usable(hop, instance)])


def _is_usable(hop: NextHop, instance: str) -> bool:
    kinds = hop.encapsulations
    if kinds and KNOWN_ENCAPSULATIONS.isdisjoint(kinds):
        return False
    return bool(hop.label or hop.vni) or "native" in kinds or instance == FABRIC_INSTANCE


def effective_med(attributes: RouteAttributes) -> int:
    """Return the MED, derived from the local preference when absent (0)."""
    if attributes.med:
        return attributes.med
    match attributes.local_preference:
        case preference if preference == _STANDBY:
            return _MED_OF_STANDBY
        case preference if preference == _ACTIVE:
            return _MED_OF_ACTIVE
        case preference:
            return _U32_MAX - preference


T = TypeVar("T")


class Interner:
    """Keeps one object per distinct value, so that equal attributes are shared.

    A pool that outgrows its bound is emptied: objects in use live on in their paths, and only the
    sharing with later ones is lost.
    """

    __slots__ = ("_bound", "_pool")

    def __init__(self, bound: int = 65_536) -> None:
        self._pool: dict[object, object] = {}
        self._bound = bound

    def intern(self, value: T) -> T:
        """Return the pooled equal of ``value``, which must be hashable and immutable."""
        found = cast("T", self._pool.setdefault((type(value), value), value))
        if len(self._pool) > self._bound:
            self._pool = {}
        return found

    def __len__(self) -> int:
        return len(self._pool)
