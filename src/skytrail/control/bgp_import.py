"""What a BGP peer says as a path: key, distinguisher, next hop and attributes.

Everything that follows from a set of attributes alone is worked out once for the set, because
peers send many routes with the same one, some of them one UPDATE each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network

from skytrail.control.bgp_config import BgpPeerConfig, Speaker
from skytrail.control.bgp_values import (
    UNNAMED_ENCAPSULATION,
    NetworkIds,
    community_text,
    encapsulation_names,
    label_of_raw,
)
from skytrail.control.inclusive import hop_of, is_leaf, key_of_inclusive, replicates
from skytrail.control.load_balance import FIELD_HASH, field_names
from skytrail.control.path import Learned, Path, PathSlot, Relay, Shared, is_martian
from skytrail.control.selective import key_of_selective
from skytrail.control.vpn import VpnName
from skytrail.net import IpAddress, Label, Mac, RouteDistinguisher, RouteTarget, Vni
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    InclusiveMulticast,
    IpPrefixRoute,
    MacIp,
    Negotiated,
    Nlri,
    SelectiveMulticast,
    VpnNlri,
    communities,
)
from skytrail.wire.bgp.attributes import AS_TRANS, DEFAULT_LOCAL_PREFERENCE, LLGR_STALE
from skytrail.wire.bgp.nlri import vpn_key
from skytrail.wire.xmpp import EnetKey, NextHop, RouteAttributes

_CACHE_COUNT_MAX = 65_536
_U16_MAX = 0xFFFF
_LABEL_USABLE_MIN = 16
"""Lower ones are reserved: an explicit null is nothing to send to a workload."""

_OF_INSTANCES = VpnNlri | MacIp | IpPrefixRoute | InclusiveMulticast | SelectiveMulticast

NO_DISTINGUISHER = RouteDistinguisher(bytes(8))


def name_of(nlri: Nlri) -> VpnName | None:
    """Return the destination of an NLRI, ``None`` for kinds without a table here.

    An EVPN prefix route (RFC 9136) and a VPN route of one prefix have one destination.
    """
    if isinstance(nlri, VpnNlri):
        return nlri.key
    match nlri:
        case IpPrefixRoute(distinguisher=distinguisher, prefix=prefix, ethernet_tag=0):
            return vpn_key(distinguisher, prefix)
        case MacIp(distinguisher=distinguisher, ethernet_tag=tag, mac=mac, address=address):
            host = None if address is None else ip_network(address)
            return distinguisher, EnetKey(mac, host, tag)
        case InclusiveMulticast(distinguisher=distinguisher):
            return distinguisher, key_of_inclusive(nlri)
        case SelectiveMulticast(distinguisher=distinguisher):
            key = key_of_selective(nlri)
            return None if key is None else (distinguisher, key)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a set of attributes says of every route that has it."""

    learned: Learned
    as_prefix_route: Learned
    attributes: RouteAttributes
    targets: frozenset[RouteTarget]
    encapsulations: tuple[str, ...]
    virtual_network: str
    tags: tuple[int, ...]
    router_mac: Mac | None
    is_loop: bool


class Importer:
    """Reads the routes of one session."""

    def __init__(
        self,
        speaker: Speaker,
        peer: BgpPeerConfig,
        negotiated: Negotiated,
        networks: NetworkIds,
    ) -> None:
        self._speaker = speaker
        self._peer = peer
        self._negotiated = negotiated
        self._networks = networks
        self._cache: dict[Attributes, _Meaning] = {}
        self._shared: dict[tuple[int, BgpFamily, IpAddress], Shared] = {}
        self._kept: list[Attributes] = []
        self._networks_seen = networks.changes_count
        self._defaults = dict(peer.default_encapsulations)

    def serves(self, speaker: Speaker, peer: BgpPeerConfig, negotiated: Negotiated) -> bool:
        """Tell whether another session of the peer would read routes in the same way."""
        return (self._speaker, self._peer, self._negotiated) == (speaker, peer, negotiated)

    def shared(
        self, family: BgpFamily, next_hop: IpAddress | None, attributes: Attributes
    ) -> Shared | None:
        """Return what routes told like this have in common; ``None``: they cannot be used."""
        if next_hop is None:
            return None
        if (
            self._networks_seen != self._networks.changes_count
            or len(self._kept) > _CACHE_COUNT_MAX
        ):
            self._networks_seen = self._networks.changes_count
            self._cache.clear()
            self._shared.clear()
            self._kept.clear()
        # Equal attributes are one object as long as the decoder remembers them, and hashing all
        # of them would be most of the work of a short UPDATE. Kept, so that no other gets the id.
        key = (id(attributes), family, next_hop)
        found = self._shared.get(key)
        if found is None:
            meaning = self._meaning_of(attributes)
            if meaning.is_loop or is_martian(next_hop):
                return None
            names = meaning.encapsulations or self._defaults.get(family) or UNNAMED_ENCAPSULATION
            found = self._shared[key] = Shared(
                family=family,
                hop=NextHop(next_hop, encapsulations=names, tags=meaning.tags),
                attributes=meaning.attributes,
                targets=meaning.targets,
                virtual_network=meaning.virtual_network,
                learned=meaning.learned,
            )
            self._kept.append(attributes)
        return found

    def path(
        self,
        slot: PathSlot,
        family: BgpFamily,
        next_hop: IpAddress | None,
        nlri: Nlri,
        attributes: Attributes,
    ) -> Path:
        """Return the path; without next hop or usable label, or in a loop, it is infeasible.

        Not for those in a loop, it says how to pass on what a next hop does not hold. VPN routes with
        one usable label need less (``learned_path``).
        """
        meaning = self._meaning_of(attributes)
        if next_hop is not None and is_martian(next_hop):
            next_hop = None
        hop = None
        if next_hop is not None and not meaning.is_loop:
            hop = self._next_hop(family, next_hop, nlri, meaning)
        learned = meaning.learned
        if isinstance(nlri, IpPrefixRoute):
            learned = meaning.as_prefix_route
        relay = None
        is_whole = hop is not None and isinstance(nlri, VpnNlri) and len(nlri.labels) == 1
        if next_hop is not None and not meaning.is_loop and not is_whole:
            relay = Relay(family, next_hop, nlri)
        is_vpn = isinstance(nlri, _OF_INSTANCES)
        attributes_here = meaning.attributes
        if isinstance(nlri, SelectiveMulticast):
            attributes_here = replace(attributes_here, multicast_flags=nlri.flags)
        return Path(
            slot=slot,
            distinguisher=nlri.distinguisher if is_vpn else NO_DISTINGUISHER,
            relay=relay,
            next_hops=(hop,) if hop is not None else (),
            attributes=attributes_here,
            targets=meaning.targets,
            virtual_network=meaning.virtual_network,
            learned=learned,
        )

    def _meaning_of(self, attributes: Attributes) -> _Meaning:
        meaning = self._cache.get(attributes)
        if meaning is None:
            if len(self._cache) >= _CACHE_COUNT_MAX:
                self._cache.clear()
            meaning = self._cache[attributes] = self._meaning(attributes)
        return meaning

    def _next_hop(
        self, family: BgpFamily, next_hop: IpAddress, nlri: Nlri, meaning: _Meaning
    ) -> NextHop | None:
        names = meaning.encapsulations or self._defaults.get(family) or UNNAMED_ENCAPSULATION
        hop = NextHop(next_hop, encapsulations=names, tags=meaning.tags)
        match nlri:
            case VpnNlri(labels=labels) if labels and labels[0] >= _LABEL_USABLE_MIN:
                return replace(hop, label=Label(labels[0]))
            case IpPrefixRoute(label=raw) if raw and meaning.router_mac and "vxlan" in names:
                return replace(hop, vni=Vni(raw), mac=meaning.router_mac, encapsulations=("vxlan",))
            case MacIp(label=raw) if "vxlan" in names and raw:
                return replace(hop, vni=Vni(raw), encapsulations=("vxlan",))
            case MacIp(label=raw, label2=raw2) if label_of_raw(raw) >= _LABEL_USABLE_MIN:
                return replace(
                    hop,
                    label=label_of_raw(raw),
                    l3_label=label_of_raw(raw2 or 0),
                )
            case InclusiveMulticast():
                tunnel = meaning.learned.attributes.pmsi
                return hop_of(tunnel, next_hop, names)
            case SelectiveMulticast():
                # Copies go by the inclusive route of the same router.
                return hop
            case _:
                return None

    def _meaning(self, attributes: Attributes) -> _Meaning:
        extended = attributes.extended_communities
        preference = attributes.local_preference
        mobility = communities.first(extended, communities.MacMobility)
        origin = communities.first(extended, communities.OriginVn)
        router = communities.first(extended, communities.RouterMac)
        balance = communities.first(extended, communities.LoadBalance)
        proxies = communities.first(extended, communities.MulticastFlags)
        learned = Learned(
            attributes=attributes,
            is_external=not self._negotiated.is_internal,
            router_id=attributes.originator or self._negotiated.peer_router_id,
            as_path_length=attributes.as_path_length,
            networks=tuple(self._led_through(attributes)),
            is_long_lived=LLGR_STALE in attributes.communities,
        )
        return _Meaning(
            learned=learned,
            as_prefix_route=replace(learned, is_prefix_route=True),
            attributes=RouteAttributes(
                sequence_number=mobility.sequence if mobility else 0,
                sticky=bool(mobility and mobility.sticky),
                local_preference=DEFAULT_LOCAL_PREFERENCE if preference is None else preference,
                med=attributes.med or 0,
                security_groups=tuple(
                    group.number
                    for group in communities.find(extended, communities.SecurityGroup)
                    if group.is_global or self._is_ours(group.asn, attributes)
                ),
                communities=tuple(map(community_text, attributes.communities)),
                load_balance_fields=field_names(balance.fields) if balance else (),
                load_balance_decision=FIELD_HASH if balance else "",
                multicast_flags=proxies.flags if proxies else 0,
                replicates=replicates(attributes.pmsi),
                replication_leaf=is_leaf(attributes.pmsi),
            ),
            targets=frozenset(communities.route_targets(extended)),
            encapsulations=encapsulation_names(communities.tunnel_kinds(extended)),
            virtual_network=(
                self._networks.name(origin.number)
                if origin and self._is_ours(origin.asn, attributes)
                else ""
            ),
            tags=tuple(
                each.number
                for each in communities.find(extended, communities.Tag)
                if self._is_ours(each.asn, attributes)
            ),
            router_mac=None if router is None else router.mac,
            is_loop=self.is_loop(attributes) or self._is_led_back(origin, attributes),
        )

    def _is_led_back(self, origin: communities.OriginVn | None, attributes: Attributes) -> bool:
        """Tell whether a router offers a way through itself to what it learned from us.

        FRR exports from a VRF into VPN what EVPN brought there, our communities included. Traffic
        would take turns between workload and router. Who only reflects a route says so.
        """
        return (
            self._peer.is_router
            and attributes.originator is None
            and origin is not None
            and self._is_ours(origin.asn, attributes)
        )

    def _led_through(self, attributes: Attributes) -> Iterator[str]:
        """Yield the networks of ours in the route's origin path: it is not led back into them."""
        for each in communities.find(attributes.origin_vn_path, communities.OriginVn):
            name = self._networks.name(each.number)
            if name and self._is_ours(each.asn, attributes):
                yield name

    def _is_ours(self, asn: int, attributes: Attributes) -> bool:
        """Tell whether a number beside this AS number was given by our installation.

        Only our own AS can say so: a neighbour could name any of our networks and groups. Others count their networks, groups and tags from the same start. Long AS numbers are
        told as AS_TRANS, which names ours only inside our AS.
        """
        if not self._negotiated.is_internal:
            return False
        if asn == AS_TRANS and self._speaker.asn > _U16_MAX:
            return not attributes.as_path
        return asn == self._speaker.asn

    def is_loop(self, attributes: Attributes) -> bool:
        """Tell whether a route with these attributes has been here already."""
        own = {self._speaker.asn, self._peer.local_asn}
        times = sum(number in own for number in _numbers(attributes))
        return (
            times > self._peer.loop_count
            or attributes.originator == self._speaker.router_id
            or (
                self._speaker.cluster_id is not None
                and self._speaker.cluster_id in attributes.cluster_list
            )
        )


def _numbers(attributes: Attributes) -> Iterator[int]:
    for segment in attributes.as_path:
        yield from segment.numbers
