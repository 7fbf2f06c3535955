"""Path attributes as values: what all routes of an UPDATE share, next hop and labels excluded.

``Attributes`` compares and hashes by content, so that equal sets from different peers are one key.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

ORIGIN_IGP = 0
ORIGIN_EGP = 1
ORIGIN_INCOMPLETE = 2
AS_TRANS = 23456
"""Stands for an AS number that does not fit two bytes (RFC 6793 section 9)."""
DEFAULT_LOCAL_PREFERENCE = 100

ACCEPT_OWN = 0xFFFF_0001
LLGR_STALE = 0xFFFF_0006
NO_LLGR = 0xFFFF_0007
NO_REORIGINATE = 0xFFFF_F000
"""Private to Contrail: service chains pass over a route that carries it."""
ON_OVERLAY_TREE = 0xFFFF_F001
"""Private to us: who wants copies of broadcasts gets them by an overlay tree from others on it."""
BUILDS_NO_TREES = 0xFFFF_F002
"""Private to us: the control node that says this route of a tree does not know enough to build."""
NO_EXPORT = 0xFFFF_FF01
NO_ADVERTISE = 0xFFFF_FF02
NO_EXPORT_SUBCONFED = 0xFFFF_FF03


class AttributeCode(enum.IntEnum):
    """Attribute type codes; 241 to 243 are private to Contrail."""

    ORIGIN = 1
    AS_PATH = 2
    NEXT_HOP = 3
    MULTI_EXIT_DISC = 4
    LOCAL_PREF = 5
    ATOMIC_AGGREGATE = 6
    AGGREGATOR = 7
    COMMUNITIES = 8
    ORIGINATOR_ID = 9
    CLUSTER_LIST = 10
    MP_REACH_NLRI = 14
    MP_UNREACH_NLRI = 15
    EXTENDED_COMMUNITIES = 16
    AS4_PATH = 17
    AS4_AGGREGATOR = 18
    PMSI_TUNNEL = 22
    LARGE_COMMUNITIES = 32
    EDGE_DISCOVERY = 241
    EDGE_FORWARDING = 242
    ORIGIN_VN_PATH = 243


class AttributeFlag(enum.IntFlag):
    """RFC 4271 section 4.3."""

    OPTIONAL = 0x80
    TRANSITIVE = 0x40
    PARTIAL = 0x20
    EXTENDED_LENGTH = 0x10


class AsSegmentKind(enum.IntEnum):
    """RFC 4271 section 4.3, RFC 5065 section 3."""

    SET = 1
    SEQUENCE = 2
    CONFED_SEQUENCE = 3
    CONFED_SET = 4


class TunnelType(enum.IntEnum):
    """PMSI tunnel types (RFC 6514 section 5) with a meaning here; others stay numbers."""

    NONE = 0
    INGRESS_REPLICATION = 6
    ASSISTED_REPLICATION = 10
    """RFC 9574: to a replicator, which copies to everybody else."""
    CONTRAIL_ASSISTED_REPLICATION = 252
    """Private to Contrail."""


class PmsiFlag(enum.IntFlag):
    """Flags of tunnels in EVPN (RFC 9574 section 4)."""

    LEAF_INFORMATION_REQUIRED = 0x01
    PRUNE_UNKNOWN = 0x02
    PRUNE_BROADCAST = 0x04
    """Who sets it wants no copies of broadcast and multicast."""
    REPLICATOR = 0x08
    """Both bits of the role set are reserved."""
    LEAF = 0x10


@dataclass(frozen=True, slots=True)
class AsSegment:
    """One to 255 AS numbers of four bytes."""

    kind: AsSegmentKind
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Aggregator:
    asn: int
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class LargeCommunity:
    """RFC 8092: three numbers of four bytes."""

    administrator: int
    data1: int
    data2: int


@dataclass(frozen=True, slots=True)
class PmsiTunnel:
    """RFC 6514 section 5. ``label`` is the raw 24-bit field: a VNI beside a VXLAN encapsulation
    community, otherwise an MPLS label in the high 20 bits.
    """

    flags: int
    tunnel_type: int
    label: int
    identifier: bytes

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The tunnel end point of ingress and assisted replication."""
        match len(self.identifier):
            case 4:
                return IPv4Address(self.identifier)
            case 16:
                return IPv6Address(self.identifier)
            case _:
                return None


@dataclass(frozen=True, slots=True)
class DiscoveryEdge:
    """One free edge of a tree node: where it may be reached, with which ranges of labels."""

    address: IPv4Address | IPv6Address
    labels: tuple[tuple[int, int], ...]
    """(first, last) each, at least one."""


@dataclass(frozen=True, slots=True)
class ForwardingEdge:
    """One edge of the computed tree, seen from its two ends, which have addresses of one IP version."""

    inbound: IPv4Address | IPv6Address
    inbound_label: int
    outbound: IPv4Address | IPv6Address
    outbound_label: int


@dataclass(frozen=True, slots=True)
class RawAttribute:
    """An optional transitive attribute passed through unread.

    ``flags`` has no length bit; the partial bit is set once somebody passed it on unread.
    """

    flags: int
    code: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of a route. ``None`` and empty mean absent, and absent is never encoded."""

    origin: int = ORIGIN_INCOMPLETE
    as_path: tuple[AsSegment, ...] = ()
    med: int | None = None
    local_preference: int | None = None
    """``None`` to or from an external peer; an internal peer is sent 100 for it."""
    atomic_aggregate: bool = False
    aggregator: Aggregator | None = None
    communities: tuple[int, ...] = ()
    large_communities: tuple[LargeCommunity, ...] = ()
    extended_communities: tuple[bytes, ...] = ()
    """Eight bytes each, in the order of the wire; ``communities`` reads and makes them."""
    originator: IPv4Address | None = None
    cluster_list: tuple[IPv4Address, ...] = ()
    pmsi: PmsiTunnel | None = None
    edge_discovery: tuple[DiscoveryEdge, ...] = ()
    edge_forwarding: tuple[ForwardingEdge, ...] = ()
    origin_vn_path: tuple[bytes, ...] = ()
    """Eight bytes each: OriginVn extended communities, nearest network first."""
    unknown: tuple[RawAttribute, ...] = ()
    _hash: int | None = field(default=None, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        # Sets of attributes are dictionary keys wherever routes are packed; hashing all fields
        # anew for each look-up would cost more than the look-up.
        known = self._hash
        if known is None:
            known = hash(
                (
                    self.origin,
                    self.as_path,
                    self.med,
                    self.local_preference,
                    self.atomic_aggregate,
                    self.aggregator,
                    self.communities,
                    self.large_communities,
                    self.extended_communities,
                    self.originator,
                    self.cluster_list,
                    self.pmsi,
                    self.edge_discovery,
                    self.edge_forwarding,
                    self.origin_vn_path,
                    self.unknown,
                )
            )
            object.__setattr__(self, "_hash", known)
        return known

    @property
    def as_path_length(self) -> int:
        """Length for comparison: a set counts one, confederation segments nothing (RFC 5065)."""
        length = 0
        for segment in self.as_path:
            if segment.kind is AsSegmentKind.SEQUENCE:
                length += len(segment.numbers)
            elif segment.kind is AsSegmentKind.SET:
                length += 1
        return length

    @property
    def neighbor_as(self) -> int | None:
        """The AS a route came from: first of the first sequence, confederation segments skipped."""
        for segment in self.as_path:
            if segment.kind is AsSegmentKind.SEQUENCE:
                return segment.numbers[0]
            if segment.kind is AsSegmentKind.SET:
                return None
        return None
