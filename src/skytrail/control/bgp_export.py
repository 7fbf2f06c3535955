"""A path as BGP tells it: NLRI, next hop and attributes, for one kind of peer.

Routes of agents get their attributes here; routes of other BGP peers keep theirs, with what
RFC 4271 section 5.1 and RFC 4456 section 8 ask of whoever passes them on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from itertools import dropwhile

from skytrail.control.bgp_config import Speaker
from skytrail.control.bgp_values import (
    ENCAPSULATION_TYPES,
    MPLS_LABEL_MAX,
    NetworkIds,
    community_number,
    raw_label,
    told_encapsulations,
)
from skytrail.control.inclusive import is_inclusive, nlri_of, tunnel_of
from skytrail.control.load_balance import hash_fields
from skytrail.control.path import Learned, Path, effective_med
from skytrail.control.relay import RelayEntry, is_prefix_route, is_tellable
from skytrail.control.selective import is_selective, nlri_of_selective
from skytrail.control.vpn import VpnEntry
from skytrail.net import IpAddress, RouteDistinguisher, router_mac
from skytrail.wire.bgp import (
    AsSegment,
    AsSegmentKind,
    Attributes,
    BgpFamily,
    InclusiveMulticast,
    IpPrefixRoute,
    MacIp,
    Nlri,
    SelectiveMulticast,
    VpnNlri,
    communities,
)
from skytrail.wire.bgp.attributes import (
    AS_TRANS,
    DEFAULT_LOCAL_PREFERENCE,
    NO_ADVERTISE,
    NO_EXPORT,
    ORIGIN_IGP,
)
from skytrail.wire.bgp.nlri import NO_SEGMENT, vpn_from_key
from skytrail.wire.xmpp import EnetKey, Family, NextHop, RouteKey

_CACHE_COUNT_MAX = 65_536
_SEGMENT_NUMBERS_MAX = 255
_U16_MAX = 0xFFFF
_RFC6514_TUNNEL_TYPE_MAX = 7
_PRIVATE_AS = ((64512, 65534), (4200000000, 4294967294))


@dataclass(frozen=True, slots=True)
class ExportPolicy:
    """How routes are told to peers that are alike."""

    is_external: bool
    local_asn: int
    cluster_id: IPv4Address | None = None
    """Ours, when internal peers are our clients."""
    overridden_asn: int = 0
    """AS number of the peer, replaced by ours in paths; 0: none."""
    private_as_action: str = ""
    takes_long_lived: bool = True
    """May be told routes whose source is long gone, which are marked so (RFC 9494)."""
    tells_prefix_routes: bool = False
    """Routes with a VNI are told as EVPN prefix routes too, as routers that speak VXLAN need."""

    takes_new_tunnels: bool = True
    """May be told of multicast tunnels of later types than RFC 6514 has (ADR 0154)."""
    takes_groups: bool = True
    """May be told who listens to which group, by EVPN routes of type 6 (ADR 0280)."""

    def admits(self, path: Path) -> bool:
        """Tell whether these peers may have the path."""
        if not path.is_tellable or (_has_new_tunnel(path) and not self.takes_new_tunnels):
            return False
        learned = path.learned
        if learned is None:
            named = set(map(community_number, path.attributes.communities))
        else:
            if not (self.is_external or learned.is_external or self.cluster_id):
                # RFC 4271 section 9.2: what one internal peer says is not told to another.
                return False
            if learned.is_long_lived and not self.takes_long_lived:
                return False
            named = set(learned.attributes.communities)
        return NO_ADVERTISE not in named and not (self.is_external and NO_EXPORT in named)


def _has_new_tunnel(path: Path) -> bool:
    pmsi = path.learned.attributes.pmsi if path.learned is not None else None
    return path.attributes.replicates or (
        pmsi is not None and pmsi.tunnel_type > _RFC6514_TUNNEL_TYPE_MAX
    )


@dataclass(frozen=True, slots=True)
class Offer:
    family: BgpFamily
    next_hop: IpAddress
    attributes: Attributes
    nlri: Nlri


@dataclass(frozen=True, slots=True)
class _Form:
    """What sets apart the forms in which one path is told."""

    encapsulations: tuple[str, ...]
    has_router_mac: bool = False


_ROUTED_VXLAN = _Form(("vxlan",), has_router_mac=True)


class Exporter:
    """Makes offers; remembers attribute sets, which many routes share."""

    def __init__(self, speaker: Speaker, networks: NetworkIds) -> None:
        self._speaker = speaker
        self._networks = networks
        self._cache: dict[object, Attributes] = {}

    def offers(
        self, entry: VpnEntry | RelayEntry, path: Path, policy: ExportPolicy
    ) -> Iterator[Offer]:
        """Yield how a path is told; nothing where BGP has no words for its next hop."""
        relay = path.relay
        if relay is not None and path.learned is not None:
            attributes = self._passed_on(path, path.learned, policy)
            yield Offer(relay.family, relay.next_hop, attributes, relay.nlri)
            return
        if isinstance(entry, RelayEntry):
            return
        hop = path.next_hops[0]
        for family, form in _forms(path, policy):
            nlri = _nlri(entry, path, family, form)
            yield Offer(family, hop.address, self._attributes(path, hop, form, policy), nlri)

    def _attributes(
        self, path: Path, hop: NextHop, form: _Form, policy: ExportPolicy
    ) -> Attributes:
        if path.learned is not None:
            return self._passed_on(path, path.learned, policy)
        network = hop.virtual_network or path.virtual_network
        router = hop.address if form.has_router_mac else None
        led, tunnel = (path.made, path.as_path), None
        if is_inclusive(path.key):
            is_vxlan = "vxlan" in form.encapsulations
            tunnel = tunnel_of(hop, path.attributes, is_vxlan=is_vxlan)
        told = (path.attributes, path.targets, network, form, router, hop.tags)
        key = (*told, led, tunnel, policy)
        found = self._cache.get(key)
        if found is None:
            made = self._own(path, hop, form)
            if tunnel is not None:
                made = replace(made, pmsi=tunnel)
            found = self._remember(key, for_peers(made, path, policy))
        return found

    def _passed_on(self, path: Path, learned: Learned, policy: ExportPolicy) -> Attributes:
        key = (learned, policy)
        found = self._cache.get(key)
        if found is None:
            found = self._remember(key, for_peers(learned.attributes, path, policy))
        return found

    def _remember(self, key: object, made: Attributes) -> Attributes:
        if len(self._cache) >= _CACHE_COUNT_MAX:
            self._cache.clear()
        self._cache[key] = made
        return made

    def _own(self, path: Path, hop: NextHop, form: _Form) -> Attributes:
        attributes = path.attributes
        return Attributes(
            origin=ORIGIN_IGP,
            as_path=path.as_path,
            origin_vn_path=tuple(self._led_through(path)),
            med=effective_med(attributes),
            local_preference=attributes.local_preference,
            communities=tuple(sorted(map(community_number, attributes.communities))),
            extended_communities=tuple(self._extended(path, hop, form)),
        )

    def _led_through(self, path: Path) -> Iterator[bytes]:
        for name in path.made.networks if path.made is not None else ():
            network = self._networks.number(name)
            if network:
                yield communities.OriginVn(naming(self._speaker.asn, network), network).packed

    def _extended(self, path: Path, hop: NextHop, form: _Form) -> Iterator[bytes]:
        asn, attributes = self._speaker.asn, path.attributes
        yield from sorted(target.packed for target in path.targets)
        if form.has_router_mac:
            yield communities.RouterMac(router_mac(hop.address)).packed
        for name in form.encapsulations:
            for number in ENCAPSULATION_TYPES.get(name, ()):
                yield communities.Encapsulation(number).packed
        for group in attributes.security_groups:
            yield communities.SecurityGroup(naming(asn, group), group).packed
        for tag in hop.tags:
            yield communities.Tag(naming(asn, tag), tag).packed
        if attributes.sequence_number or attributes.sticky:
            mobility = communities.MacMobility(attributes.sequence_number, attributes.sticky)
            yield mobility.packed
        if attributes.multicast_flags and is_inclusive(path.key):
            yield communities.MulticastFlags(attributes.multicast_flags & _U16_MAX).packed
        if attributes.load_balance_fields:
            yield communities.LoadBalance(hash_fields(attributes.load_balance_fields)).packed
        network = self._networks.number(hop.virtual_network or path.virtual_network)
        if network:
            yield communities.OriginVn(naming(asn, network), network).packed


def is_told(path: Path, policy: ExportPolicy, families: frozenset[BgpFamily]) -> bool:
    """Tell whether peers of these families hear of a path that may be told."""
    relay = path.relay
    if not policy.takes_groups and _is_of_group(path):
        return False
    if relay is not None:
        # Control nodes get VPN routes, and are not told how to forget prefix routes.
        is_known = policy.tells_prefix_routes or not is_prefix_route(relay.nlri)
        return relay.family in families and is_known and is_tellable(relay.nlri)
    return any(family in families for family, _ in _forms(path, policy))


def _is_of_group(path: Path) -> bool:
    if path.relay is not None:
        return isinstance(path.relay.nlri, SelectiveMulticast)
    return is_selective(path.key)


def naming(asn: int, number: int) -> int:
    """Return the AS number to name beside a number: a long one leaves room for two bytes only."""
    return AS_TRANS if asn > _U16_MAX and number > _U16_MAX else asn


def _family(key: RouteKey) -> BgpFamily:
    if isinstance(key, EnetKey):
        return BgpFamily.EVPN
    return BgpFamily.INET_VPN if isinstance(key, IPv4Network) else BgpFamily.INET6_VPN


def withdrawals(
    entry: VpnEntry | RelayEntry, policy: ExportPolicy, families: frozenset[BgpFamily]
) -> Iterator[tuple[BgpFamily, Nlri]]:
    """Yield what takes a destination back in these families, in every form of them it may have."""
    if isinstance(entry, RelayEntry):
        is_sayable = policy.takes_groups or not isinstance(entry.nlri, SelectiveMulticast)
        if entry.family in families and is_sayable:
            yield entry.family, entry.nlri
        return
    name = entry.name
    if not isinstance(name, bytes):
        distinguisher, key = name
        if BgpFamily.EVPN in families:
            if is_selective(key) and not policy.takes_groups:
                return
            copies = _copies(distinguisher, key)
            yield BgpFamily.EVPN, _mac_ip(entry, key) if copies is None else copies
        return
    family = BgpFamily.INET_VPN if entry.family is Family.INET else BgpFamily.INET6_VPN
    if family in families:
        yield family, vpn_from_key(name)
    is_routed = policy.tells_prefix_routes or entry.has_prefix_routes
    if is_routed and BgpFamily.EVPN in families:
        yield BgpFamily.EVPN, _prefix_route(entry, 0)


def _prefix_route(entry: VpnEntry, vni: int) -> IpPrefixRoute:
    """Return the EVPN prefix route of an IP destination (RFC 9136 section 3.1)."""
    key = entry.key
    if isinstance(key, EnetKey):
        raise TypeError("a MAC has no prefix route")
    gateway = IPv4Address(0) if isinstance(key, IPv4Network) else IPv6Address(0)
    return IpPrefixRoute(entry.distinguisher, NO_SEGMENT, 0, key, gateway, vni)


def _forms(path: Path, policy: ExportPolicy) -> list[tuple[BgpFamily, _Form]]:
    """Return the families a feasible path is told in, each in its form."""
    hop, key = path.next_hops[0], path.key
    is_layer2 = isinstance(key, EnetKey)
    is_prefix_route = path.learned is not None and path.learned.is_prefix_route
    by_vxlan = (
        (policy.tells_prefix_routes or is_prefix_route)
        and bool(hop.vni)
        and "vxlan" in hop.encapsulations
    )
    if by_vxlan and is_layer2:
        if is_inclusive(key) or is_selective(key):
            return [(BgpFamily.EVPN, _Form(("vxlan",)))]
        # A VXLAN router that takes part in the VRF routes by MAC/IP routes as well.
        return [(BgpFamily.EVPN, _ROUTED_VXLAN)]
    found: list[tuple[BgpFamily, _Form]] = []
    encapsulations = told_encapsulations(hop, is_layer2=is_layer2)
    if encapsulations:
        found.append((_family(key), _Form(encapsulations)))
    if by_vxlan:
        found.append((BgpFamily.EVPN, _ROUTED_VXLAN))
    return found


def _copies(
    distinguisher: RouteDistinguisher, key: EnetKey, flags: int = 0
) -> InclusiveMulticast | SelectiveMulticast | None:
    """Return the route that asks for copies; None: the key is a workload's."""
    if is_inclusive(key):
        return nlri_of(distinguisher, key)
    return nlri_of_selective(distinguisher, key, flags) if is_selective(key) else None


def _nlri(entry: VpnEntry, path: Path, family: BgpFamily, form: _Form) -> Nlri:
    key, hop = entry.key, path.next_hops[0]
    if not isinstance(key, EnetKey):
        if family is BgpFamily.EVPN:
            return _prefix_route(entry, hop.vni)
        return VpnNlri(entry.distinguisher, key, (hop.label,))
    copies = _copies(entry.distinguisher, key, path.attributes.multicast_flags)
    if copies is not None:
        return copies
    is_vxlan = "vxlan" in form.encapsulations
    label = hop.vni if is_vxlan else raw_label(hop.label)
    is_second = 0 < hop.l3_label <= MPLS_LABEL_MAX and not is_vxlan
    label2 = raw_label(hop.l3_label) if is_second else None
    return _mac_ip(entry, key, label, label2)


def _mac_ip(entry: VpnEntry, key: EnetKey, label: int = 0, label2: int | None = None) -> MacIp:
    address = key.address.network_address if key.address is not None else None
    return MacIp(entry.distinguisher, NO_SEGMENT, key.ethernet_tag, key.mac, address, label, label2)


def for_peers(attributes: Attributes, path: Path, policy: ExportPolicy) -> Attributes:
    """Return attributes as these peers are told them (RFC 4271 section 5.1)."""
    learned = path.learned
    if not policy.takes_groups:
        attributes = _without_proxies(attributes)
    if policy.is_external:
        return replace(
            attributes,
            as_path=prepend(_cleaned(attributes.as_path, policy), policy.local_asn),
            # A neighbour's MED is for us only (RFC 4271 section 5.1.4).
            med=None if learned is not None and learned.is_external else attributes.med,
            local_preference=None,
            originator=None,
            cluster_list=(),
        )
    preference = attributes.local_preference
    if preference is None:
        preference = DEFAULT_LOCAL_PREFERENCE
    if learned is None or learned.is_external or policy.cluster_id is None:
        return replace(attributes, local_preference=preference)
    return replace(
        attributes,
        local_preference=preference,
        originator=attributes.originator or learned.router_id,
        cluster_list=(policy.cluster_id, *attributes.cluster_list),
    )


def _without_proxies(attributes: Attributes) -> Attributes:
    """Who is not told of listeners must not believe that it is: it sends copies of every group."""
    extended = attributes.extended_communities
    kept = tuple([each for each in extended if communities.MulticastFlags.of(each) is None])
    return (
        attributes if len(kept) == len(extended) else replace(attributes, extended_communities=kept)
    )


def _cleaned(path: tuple[AsSegment, ...], policy: ExportPolicy) -> tuple[AsSegment, ...]:
    """Apply AS override and the removal of private numbers."""
    if not policy.overridden_asn and not policy.private_as_action:
        return path
    cleaned: list[AsSegment] = []
    is_leading = True
    for segment in path:
        numbers = [
            policy.local_asn if number == policy.overridden_asn else number
            for number in segment.numbers
        ]
        match policy.private_as_action:
            case "remove" if is_leading:
                # Up to the first public number: what lies behind is not ours to hide.
                kept = list(dropwhile(_is_private, numbers))
                is_leading = not kept
                numbers = kept
            case "remove-all":
                numbers = [number for number in numbers if not _is_private(number)]
            case "replace-all":
                numbers = [policy.local_asn if _is_private(n) else n for n in numbers]
            case _:
                pass
        if numbers:
            cleaned.append(AsSegment(segment.kind, tuple(numbers)))
    return tuple(cleaned)


def _is_private(number: int) -> bool:
    return any(first <= number <= last for first, last in _PRIVATE_AS)


def prepend(path: tuple[AsSegment, ...], number: int) -> tuple[AsSegment, ...]:
    """Return the path with a number in front, in its first sequence where there is room."""
    first = path[0] if path else None
    if (
        first is not None
        and first.kind is AsSegmentKind.SEQUENCE
        and len(first.numbers) < _SEGMENT_NUMBERS_MAX
    ):
        return (AsSegment(AsSegmentKind.SEQUENCE, (number, *first.numbers)), *path[1:])
    return (AsSegment(AsSegmentKind.SEQUENCE, (number,)), *path)
