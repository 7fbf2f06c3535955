"""A path: one offer of one agent or BGP peer for one destination.

The same ``Path`` object stands in its own VRF, in the VPN table and in every VRF that imports it:
replication never copies. Paths are immutable; any change is a fresh path in the same slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import lru_cache
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NewType, TypeAlias, TypeVar, cast

import msgspec

from skytrail.net import IpAddress, Label, RouteDistinguisher, RouteTarget
from skytrail.net.late_slots import fill_late
from skytrail.wire.bgp import AsSegment, Attributes, BgpFamily, Nlri
from skytrail.wire.bgp.attributes import LLGR_STALE, NO_LLGR
from skytrail.wire.bgp.nlri import label_of_wire
from skytrail.wire.xmpp import NextHop, RouteAttributes, RouteKey

if TYPE_CHECKING:
    from skytrail.control.vpn import VpnEntry

PeerName = NewType("PeerName", str)
"""The name an agent gives itself when it opens its session."""

InstanceName = NewType("InstanceName", str)
"""Colon-joined fully qualified name of a routing instance."""

# TF agents publish their fabric routes here without a label; the underlay carries them.
VPN_INSTANCE = InstanceName("")
"""Where paths of BGP peers live: in no instance, only in the VPN tables."""

FABRIC_INSTANCE = InstanceName("default-domain:default-project:ip-fabric:__default__")

DUPLICATE_MAC = " duplicate MAC"
"""Stands where a policy's name would; no such name begins with a space."""

KNOWN_ENCAPSULATIONS = frozenset({"gre", "udp", "vxlan", "mpls", "native"})
_MED_OF_STANDBY = 200
_MED_OF_ACTIVE = 100
_ACTIVE = 200
_STANDBY = 100
_U32_MAX = 0xFFFF_FFFF


class PathSlot(msgspec.Struct, eq=False):
    """Where a source's path for one destination goes, for as long as it offers one.

    Compared and hashed by identity: there is one slot per (agent, instance, destination) or
    (BGP peer, distinguisher, destination), or (maker, destination, next hop), and tables are indexed by it at the cost of a pointer, where hashing a prefix costs a microsecond.
    """

    source: PeerName
    instance: InstanceName
    known_key: RouteKey | None
    """None: the route of a BGP peer, whose key nobody has asked for."""
    entry: VpnEntry | None = None
    """Where its path stands, or last stood, in the VPN tables."""

    @property
    def key(self) -> RouteKey:
        key = self.known_key
        if key is None:
            # A BGP peer's route: read from its bytes when first asked for, often never.
            assert self.entry is not None
            key = self.known_key = self.entry.key
        return key


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
    networks: tuple[str, ...] = ()
    """Of our own installation, those that service chains led it through, nearest first."""
    is_long_lived: bool = False
    """Its source has been away longer than a restart takes (RFC 9494): better than nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What VPN routes of one BGP peer with the same attributes and next hop have in common.

    Compared by identity: what follows from it is worked out once and found by it again.
    """

    family: BgpFamily
    hop: NextHop
    """Without the label, which each route has for itself."""
    attributes: RouteAttributes
    targets: frozenset[RouteTarget]
    virtual_network: str
    learned: Learned
    ranks: dict[bool, Rank] = field(default_factory=dict[bool, "Rank"], repr=False)
    """How its paths rank among copies, stale or not, where that was asked before."""


Rank: TypeAlias = tuple[tuple[int, ...], tuple[tuple[int, ...], str, str]]


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
    """``service-chain``, ``static``, ``aggregate`` or ``bgpaas``."""
    networks: tuple[str, ...] = ()
    """Networks it was led through, nearest first, before it came into its own instance."""


@dataclass(frozen=True, slots=True)
class Path:
    """``next_hops`` holds only usable ones; without any the path is kept but infeasible.

    A full table of VPN routes is as fast as the making of these: :func:`learned_path` leaves out
    what can be read from the route's bytes, and it is filled in when first asked for.
    """

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
    rejected_by: str = ""
    """What keeps it from being used in this table: a routing policy, or ``DUPLICATE_MAC``."""
    original: Path | None = None
    """As it was before this table changed or rejected it; None: untouched."""
    shared: Shared | None = field(default=None, init=False, compare=False, repr=False)
    """Set: the path is as its peer told it, and ``wire`` is how. A replaced path has neither."""
    wire: bytes = field(default=b"", init=False, compare=False, repr=False)

    @property
    def is_feasible(self) -> bool:
        return self.shared is not None or (bool(self.next_hops) and not self.rejected_by)

    @property
    def is_tellable(self) -> bool:
        """Whether BGP peers may be told of it: routes we cannot use may be good for them."""
        return self.is_feasible or self.relay is not None

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


def _hops_of_wire(path: Path) -> tuple[NextHop, ...]:
    assert path.shared is not None
    return (replace(path.shared.hop, label=Label(label_of_wire(path.wire))),)


def _distinguisher_of_name(path: Path) -> RouteDistinguisher:
    entry = path.slot.entry
    assert entry is not None
    return entry.distinguisher


def learned_path(slot: PathSlot, shared: Shared, wire: bytes, *, is_stale: bool = False) -> Path:
    """Return the feasible path of a VPN route with one usable label, read from ``wire``."""
    path = _new(Path)
    _set_slot(path, slot)
    _set_shared(path, shared)
    _set_wire(path, wire)
    if is_stale:
        _set_is_stale(path, True)
    return path


def learned_paths(slots: Iterable[PathSlot], shared: Shared, wires: Iterable[bytes]) -> list[Path]:
    """Return the path of each slot, as :func:`learned_path` does."""
    paths: list[Path] = []
    add = paths.append
    for slot, wire in zip(slots, wires, strict=True):
        path = _new(Path)
        _set_slot(path, slot)
        _set_shared(path, shared)
        _set_wire(path, wire)
        add(path)
    return paths


def stale_path(path: Path) -> Path:
    """Return the path as one that its source no longer confirms."""
    if path.shared is not None:
        return learned_path(path.slot, path.shared, path.wire, is_stale=True)
    return replace(path, is_stale=True)


def long_lived_path(path: Path, made: dict[Shared, Shared]) -> Path | None:
    """Return a stale path that stays beyond the restart time (RFC 9494 section 4.2).

    ``None`` where its source does not want that. ``made`` remembers what routes have in common.
    """
    learned = path.learned
    if learned is None or NO_LLGR in learned.attributes.communities:
        return None
    shared = path.shared
    known = made.get(shared) if shared is not None else None
    if known is not None:
        return learned_path(path.slot, known, path.wire, is_stale=True)
    said = learned.attributes
    if LLGR_STALE not in said.communities:
        said = replace(said, communities=(*said.communities, LLGR_STALE))
    learned = replace(learned, attributes=said, is_long_lived=True)
    names = path.attributes.communities
    attributes = replace(path.attributes, communities=(*names, _LLGR_STALE_NAME))
    if shared is None:
        return replace(path, learned=learned, attributes=attributes, is_stale=True)
    made[shared] = known = Shared(
        shared.family, shared.hop, attributes, shared.targets, shared.virtual_network, learned
    )
    return learned_path(path.slot, known, path.wire, is_stale=True)


_LLGR_STALE_NAME = "llgr-stale"
# Frozen classes set their fields by a slow detour; a full table makes a path for each route.
_SET_EARLY = {"shared", "wire"}
_SHARED = ("attributes", "targets", "virtual_network", "learned")
_new = object.__new__
_set_slot: Callable[[Path, PathSlot], None] = Path.__dict__["slot"].__set__
_set_shared: Callable[[Path, Shared], None] = Path.__dict__["shared"].__set__
_set_wire: Callable[[Path, bytes], None] = Path.__dict__["wire"].__set__
_set_is_stale: Callable[[Path, bool], None] = Path.__dict__["is_stale"].__set__
fill_late(Path, "next_hops", _hops_of_wire)
fill_late(Path, "distinguisher", _distinguisher_of_name)
for _field in fields(Path):
    if _field.name in _SHARED:
        fill_late(Path, _field.name, lambda path, name=_field.name: getattr(path.shared, name))
    # What learned paths do not have has its default; a new field needs no thought here.
    elif _field.name not in _SET_EARLY and _field.default is not MISSING:
        fill_late(Path, _field.name, lambda _, default=_field.default: default)


@lru_cache(maxsize=4096)
def is_martian(next_hop: IpAddress) -> bool:
    """Tell whether no host can have the address: the route is not to be used (RFC 4271 6.3)."""
    return (
        next_hop.is_loopback
        or next_hop.is_unspecified
        or next_hop.is_multicast
        # A link-local address of IPv6 means something on one link only.
        or (next_hop.version == 6 and next_hop.is_link_local)
        or (next_hop.version == 4 and (next_hop.is_reserved or next_hop.packed[0] == 0))
    )


def usable_next_hops(next_hops: tuple[NextHop, ...], instance: str) -> tuple[NextHop, ...]:
    """Drop next hops nobody could send to, or no host has: a host's tunnels must not end in a
    broadcast of the underlay because another host said so.
    """
    return tuple([hop for hop in next_hops if _is_usable(hop, instance)])


def _is_usable(hop: NextHop, instance: str) -> bool:
    kinds = hop.encapsulations
    if kinds and KNOWN_ENCAPSULATIONS.isdisjoint(kinds):
        return False
    if is_martian(hop.address):
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
