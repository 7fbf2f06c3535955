"""What routes are about: one immutable type per form of NLRI, without its encoding.

Plain prefixes are ``ipaddress`` networks. A label is part of the VPN and labelled types because
the wire puts it there, but not of a route's identity: ``key`` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from skytrail.net import Mac, RouteDistinguisher
from skytrail.net.late_slots import fill_late
from skytrail.wire.bgp.prefixes import network4, network6, prefix_bytes

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network
SEGMENT_BYTES = 10
NO_SEGMENT = bytes(SEGMENT_BYTES)
"""The Ethernet segment identifier of what is attached to one place only (RFC 7432 section 5)."""


@dataclass(frozen=True, slots=True)
class LabelledNlri:
    """RFC 8277. ``labels`` are 20-bit values, top first; empty when withdrawn."""

    prefix: IpNetwork
    labels: tuple[int, ...] = ()

    @property
    def key(self) -> LabelledNlri:
        return LabelledNlri(self.prefix)


@dataclass(frozen=True, slots=True, eq=False)
class VpnNlri:
    """RFC 4364 section 4.3.4. ``labels`` are 20-bit values, top first; empty when withdrawn.

    ``key`` names the route in a few bytes and is what tables should be indexed by. A decoded
    route starts as key and ``wire``, or labels where it has not just one; distinguisher, prefix
    and labels are made when first asked for, which a reflector of many routes never does.
    """

    distinguisher: RouteDistinguisher
    prefix: IpNetwork
    labels: tuple[int, ...] = ()
    key: bytes = field(init=False, repr=False)
    """Prefix length (plus 64 for IPv6), distinguisher, the bytes of the prefix."""
    wire: bytes = field(init=False, repr=False)
    """The NLRI of a route with one label, as whoever passes it on sends it; empty for others."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VpnNlri):
            return NotImplemented
        return self.key == other.key and self.labels == other.labels

    def __hash__(self) -> int:
        return hash(self.key)

    def __post_init__(self) -> None:
        _set_key(self, vpn_key(self.distinguisher, self.prefix))
        _set_wire(self, b"")


def vpn_key(distinguisher: RouteDistinguisher, prefix: IpNetwork) -> bytes:
    """Return the key of a VPN route without making the route."""
    mark = 0 if isinstance(prefix, IPv4Network) else VPN_KEY_IPV6
    return bytes((mark + prefix.prefixlen,)) + distinguisher.packed + prefix_bytes(prefix)


def distinguisher_of_key(key: bytes) -> RouteDistinguisher:
    """Return the distinguisher a key begins with."""
    return _distinguisher(key[1:9])


def prefix_of_key(key: bytes) -> IpNetwork:
    """Return the prefix a key ends with."""
    mark, chunk = key[0], key[9:]
    if mark >= VPN_KEY_IPV6:
        return network6(chunk, mark - VPN_KEY_IPV6)
    return network4(chunk, mark)


def label_of_wire(wire: bytes) -> int:
    """Return the label of an NLRI with one label."""
    return wire[1] << 12 | wire[2] << 4 | wire[3] >> 4


VPN_KEY_IPV6 = 64
_DISTINGUISHERS_MAX = 65_536
# Routes by the hundred share a distinguisher: one object for all of them, found without making it.
_distinguisher = lru_cache(_DISTINGUISHERS_MAX)(RouteDistinguisher)
_new = object.__new__
_set_key: Callable[[VpnNlri, bytes], None] = VpnNlri.__dict__["key"].__set__
_set_labels: Callable[[VpnNlri, tuple[int, ...]], None] = VpnNlri.__dict__["labels"].__set__
_set_wire: Callable[[VpnNlri, bytes], None] = VpnNlri.__dict__["wire"].__set__
fill_late(VpnNlri, "distinguisher", lambda nlri: distinguisher_of_key(nlri.key))
fill_late(VpnNlri, "prefix", lambda nlri: prefix_of_key(nlri.key))
fill_late(VpnNlri, "labels", lambda nlri: (label_of_wire(nlri.wire),))


def vpn_from_key(key: bytes, labels: tuple[int, ...] = ()) -> VpnNlri:
    """Return the route of a valid key; host bits of its prefix are zero."""
    # Frozen classes set their fields by a slow detour; this is the hottest constructor there is.
    nlri = _new(VpnNlri)
    _set_key(nlri, key)
    _set_labels(nlri, labels)
    _set_wire(nlri, b"")
    return nlri


def vpn_from_wire(key: bytes, wire: bytes) -> VpnNlri:
    """Return the route of a valid key and the NLRI it was read from, in its usual form."""
    nlri = _new(VpnNlri)
    _set_key(nlri, key)
    _set_wire(nlri, wire)
    return nlri


@dataclass(frozen=True, slots=True)
class EthernetAutoDiscovery:
    """EVPN type 1 (RFC 7432 section 7.1). ``label`` is the raw 24-bit field."""

    distinguisher: RouteDistinguisher
    segment: bytes
    ethernet_tag: int
    label: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        return 1, self.distinguisher, self.segment, self.ethernet_tag


@dataclass(frozen=True, slots=True)
class MacIp:
    """EVPN type 2 (RFC 7432 section 7.2). Labels are raw 24-bit fields: a VNI with VXLAN
    encapsulation, otherwise an MPLS label in the high 20 bits.
    """

    distinguisher: RouteDistinguisher
    segment: bytes
    ethernet_tag: int
    mac: Mac
    address: IpAddress | None = None
    label: int = 0
    label2: int | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """Segment and labels are attributes of the route, not identity (RFC 7432 section 7.2)."""
        return 2, self.distinguisher, self.ethernet_tag, self.mac, self.address


@dataclass(frozen=True, slots=True)
class InclusiveMulticast:
    """EVPN type 3 (RFC 7432 section 7.3)."""

    distinguisher: RouteDistinguisher
    ethernet_tag: int
    originator: IpAddress

    @property
    def key(self) -> tuple[object, ...]:
        return 3, self.distinguisher, self.ethernet_tag, self.originator


@dataclass(frozen=True, slots=True)
class EthernetSegment:
    """EVPN type 4 (RFC 7432 section 7.4)."""

    distinguisher: RouteDistinguisher
    segment: bytes
    originator: IpAddress

    @property
    def key(self) -> tuple[object, ...]:
        return 4, self.distinguisher, self.segment, self.originator


@dataclass(frozen=True, slots=True)
class IpPrefixRoute:
    """EVPN type 5 (RFC 9136 section 3). ``label`` is the raw 24-bit field; gateway 0 is none."""

    distinguisher: RouteDistinguisher
    segment: bytes
    ethernet_tag: int
    prefix: IpNetwork
    gateway: IpAddress
    label: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        return 5, self.distinguisher, self.ethernet_tag, self.prefix


@dataclass(frozen=True, slots=True)
class SelectiveMulticast:
    """EVPN type 6 (RFC 9251 section 9.1). ``source`` and ``group`` None stand for all of them."""

    distinguisher: RouteDistinguisher
    ethernet_tag: int
    source: IpAddress | None
    group: IpAddress | None
    originator: IpAddress
    flags: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        """The flags are no identity (RFC 9251 section 9.1)."""
        return 6, self.distinguisher, self.ethernet_tag, self.source, self.group, self.originator


EvpnNlri: TypeAlias = (
    EthernetAutoDiscovery
    | MacIp
    | InclusiveMulticast
    | EthernetSegment
    | IpPrefixRoute
    | SelectiveMulticast
)


@dataclass(frozen=True, slots=True)
class RouteTargetNlri:
    """Membership (RFC 4684 section 4): who wants routes with which targets.

    ``bits`` counts origin AS and target: 0 asks for everything (then ``asn`` is 0), 32 for all
    targets of that origin, 96 names one target. ``target`` is eight bytes, zero beyond ``bits``.
    """

    asn: int = 0
    target: bytes = bytes(8)
    bits: int = 96

    @property
    def key(self) -> RouteTargetNlri:
        return self


ERMVPN_NATIVE = 0
ERMVPN_LOCAL = 1
ERMVPN_GLOBAL = 2


@dataclass(frozen=True, slots=True)
class ErmvpnNlri:
    """A route of an overlay tree (private SAFI 243). BGP carries kinds local and global only."""

    kind: int
    distinguisher: RouteDistinguisher
    router_id: IPv4Address
    source: IPv4Address
    group: IPv4Address

    @property
    def key(self) -> ErmvpnNlri:
        return self


@dataclass(frozen=True, slots=True)
class MvpnNlri:
    """A multicast VPN route (RFC 6514 section 4). What a type does not carry is ``None``.

    ==== ============================ =========================================================
    kind name                         carries
    ==== ============================ =========================================================
    1    intra-AS I-PMSI AD           distinguisher, originator
    2    inter-AS I-PMSI AD           distinguisher, source_as
    3    S-PMSI AD                    distinguisher, source, group, originator
    4    leaf AD                      route_key (the NLRI it answers, with type), originator
    5    source active AD             distinguisher, source, group
    6, 7 shared, source tree join     distinguisher, source_as, source, group
    ==== ============================ =========================================================
    """

    kind: int
    distinguisher: RouteDistinguisher | None = None
    source_as: int | None = None
    source: IpAddress | None = None
    group: IpAddress | None = None
    originator: IpAddress | None = None
    route_key: bytes = b""

    @property
    def key(self) -> MvpnNlri:
        return self


Nlri: TypeAlias = (
    IPv4Network
    | IPv6Network
    | LabelledNlri
    | VpnNlri
    | EvpnNlri
    | RouteTargetNlri
    | ErmvpnNlri
    | MvpnNlri
)


def route_key(nlri: Nlri) -> object:
    """Return what identifies the route in its family's table: labels and the like left out."""
    if isinstance(nlri, IPv4Network | IPv6Network):
        return nlri
    return nlri.key


def without_labels(nlri: Nlri) -> Nlri:
    """Return the route as its withdrawal names it."""
    match nlri:
        case VpnNlri():
            return vpn_from_key(nlri.key)
        case LabelledNlri(prefix):
            return LabelledNlri(prefix)
        case _:
            return nlri
