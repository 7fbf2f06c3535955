"""Paths told to BGP peers and heard from them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from skytrail.control.adj_in import Heard
from skytrail.control.bgp_config import BgpPeerConfig, Speaker
from skytrail.control.bgp_export import Exporter, ExportPolicy, withdrawals
from skytrail.control.bgp_import import Importer, name_of
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.path import (
    VPN_INSTANCE,
    InstanceName,
    Learned,
    Made,
    Path,
    PathSlot,
    PeerName,
)
from skytrail.control.vpn import VpnEntry, VpnTable, family_of_name
from skytrail.net import Label, Mac, RouteDistinguisher, RouteTarget, Vni, router_mac
from skytrail.wire.bgp import (
    AsSegment,
    AsSegmentKind,
    Attributes,
    BgpFamily,
    MacIp,
    Negotiated,
    communities,
    decode_update,
    encode_update,
)
from skytrail.wire.bgp.attributes import NO_ADVERTISE, NO_EXPORT
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.bgp.nlri import NO_SEGMENT
from skytrail.wire.xmpp import EnetKey, Family, NextHop, RouteAttributes, RouteKey

OWN = Speaker("control1", 64512, IPv4Address("10.0.0.1"))
INTERNAL = ExportPolicy(is_external=False, local_asn=64512)
EXTERNAL = ExportPolicy(is_external=True, local_asn=64512)
TO_ROUTER = replace(INTERNAL, tells_prefix_routes=True)
FAMILIES = frozenset((BgpFamily.INET_VPN, BgpFamily.INET6_VPN, BgpFamily.EVPN))
RED = "default-domain:p:red"
TARGETS = frozenset({RouteTarget.parse("target:64512:7"), RouteTarget.parse("target:64512:8")})
DISTINGUISHER = RouteDistinguisher.parse("172.16.0.7:5")
HOP = NextHop(
    IPv4Address("172.16.0.7"),
    Label(34),
    Vni(5001),
    l3_label=Label(35),
    encapsulations=("udp", "gre", "vxlan"),
    tags=(0x20001,),
)
INET, INET6 = ip_network("10.1.1.3/32"), ip_network("fd00::3/128")
ENET = EnetKey(Mac.parse("02:00:00:00:00:0a"), ip_network("10.1.1.3/32"))


def networks() -> NetworkIds:
    found = NetworkIds()
    found.put(RED, 42)
    return found


def agents_path(key: RouteKey, hop: NextHop = HOP, **changes: object) -> Path:
    attributes = {
        "local_preference": 200,
        "security_groups": (8000004,),
        "sequence_number": 3,
        "load_balance_fields": ("l3-source-address",),
    }
    return Path(
        slot=PathSlot(PeerName("compute7"), InstanceName(f"{RED}:red"), key),
        distinguisher=DISTINGUISHER,
        next_hops=(hop,),
        attributes=replace(RouteAttributes(), **{**attributes, **changes}),  # type: ignore[arg-type]
        targets=TARGETS,
        virtual_network=RED,
    )


def learned_path(attributes: Attributes, *, is_external: bool = False) -> Path:
    return replace(
        agents_path(INET, replace(HOP, vni=Vni(0))),
        slot=PathSlot(PeerName("peer"), VPN_INSTANCE, INET),
        learned=Learned(attributes, is_external, IPv4Address("10.0.0.9")),
    )


def told(
    path: Path, policy: ExportPolicy, speaker: Speaker = OWN, receiver_asn: int = 0
) -> list[Path]:
    """What a control node, of another AS if one is given, makes of the path, over the wire."""
    entry = VpnEntry.of(path.distinguisher, path.key)
    peer_as = policy.local_asn if policy.is_external else 64512
    negotiated = Negotiated(FAMILIES, 64512, peer_as, IPv4Address("10.0.0.1"))
    negotiated = replace(negotiated, extended_next_hop=frozenset({BgpFamily.INET_VPN}))
    receiver = Speaker("control2", receiver_asn or speaker.asn, IPv4Address("10.0.0.2"))
    peer = BgpPeerConfig("control1", IPv4Address("10.0.0.1"), 64512, 64512, loop_count=9)
    importer = Importer(receiver, peer, negotiated, networks())
    heard: list[Path] = []
    for offer in Exporter(speaker, networks()).offers(entry, path, policy):
        (message,) = encode_update(
            offer.family, offer.next_hop, offer.attributes, [offer.nlri], negotiated
        )
        update = decode_update(message[HEADER_BYTES:], negotiated)
        assert update.problems == ()
        (reach,) = update.reach
        (nlri,) = reach.nlri
        name = name_of(nlri)
        assert name is not None
        entry = VpnEntry(family_of_name(name), name)
        slot = Heard(PeerName("control1"), VPN_INSTANCE, None, entry)
        heard.append(importer.path(slot, reach.family, reach.next_hop, nlri, update.attributes))
    return heard


def attributes_told(path: Path, policy: ExportPolicy) -> Attributes:
    entry = VpnEntry.of(path.distinguisher, path.key)
    return next(iter(Exporter(OWN, networks()).offers(entry, path, policy))).attributes


@pytest.mark.parametrize("key", [INET, INET6, ENET], ids=["inet", "inet6", "enet"])
def test_another_control_node_hears_what_the_agent_said(key: RouteKey) -> None:
    path = agents_path(key)

    (heard,) = told(path, INTERNAL)

    (hop,) = heard.next_hops
    assert (heard.key, heard.distinguisher, heard.targets) == (key, DISTINGUISHER, TARGETS)
    assert (hop.address, hop.label, hop.encapsulations) == (HOP.address, HOP.label, ("udp", "gre"))
    assert hop.tags == HOP.tags
    assert hop.l3_label == (HOP.l3_label if key is ENET else 0)
    assert heard.virtual_network == RED
    assert heard.attributes.local_preference == 200
    assert heard.attributes.security_groups == (8000004,)
    assert heard.attributes.sequence_number == 3
    assert heard.attributes.load_balance_fields == ("l3-source-address",)


@pytest.mark.parametrize("asn", [64512, 4_200_000_001])
def test_another_installations_networks_groups_and_tags_are_not_taken_for_ours(asn: int) -> None:
    path = agents_path(INET, security_groups=(8000004, 1007))
    receiver_asn = asn + 1

    (heard,) = told(path, replace(EXTERNAL, local_asn=asn), replace(OWN, asn=asn), receiver_asn)

    assert heard.virtual_network == ""
    assert heard.next_hops[0].tags == ()
    assert heard.attributes.security_groups == (1007,), "groups users number are the same for all"


@pytest.mark.parametrize("asn", [64512, 4_200_000_001])
def test_numbers_that_are_long_are_told_whatever_the_as(asn: int) -> None:
    (heard,) = told(agents_path(INET), INTERNAL, replace(OWN, asn=asn))

    assert heard.attributes.security_groups == (8000004,)
    assert heard.virtual_network == RED


def test_networks_a_chain_led_a_route_through_are_told_and_only_ours_are_believed() -> None:
    path = replace(agents_path(INET), made=Made("service-chain", (RED, "unnumbered")))

    (ours,) = told(path, INTERNAL)
    (theirs,) = told(path, EXTERNAL, OWN, receiver_asn=64513)

    assert ours.learned is not None
    assert ours.learned.networks == (RED,)
    assert theirs.learned is not None
    assert theirs.learned.networks == ()


def test_as_path_a_chain_retained_is_told() -> None:
    path = replace(agents_path(INET), as_path=(AsSegment(AsSegmentKind.SEQUENCE, (64600,)),))

    assert attributes_told(path, INTERNAL).as_path == path.as_path
    numbers = [segment.numbers for segment in attributes_told(path, EXTERNAL).as_path]
    assert numbers == [(64512, 64600)]


@pytest.mark.parametrize("key", [INET, INET6, ENET], ids=["inet", "inet6", "enet"])
@pytest.mark.parametrize("policy", [INTERNAL, TO_ROUTER], ids=["control-node", "router"])
def test_hosts_over_an_ipv6_underlay_are_told_of_by_their_address(
    key: RouteKey, policy: ExportPolicy
) -> None:
    far = IPv6Address("2001:db8::7")

    heard = told(agents_path(key, replace(HOP, address=far)), policy)

    assert heard
    for path in heard:
        (hop,) = path.next_hops
        assert path.is_feasible
        assert hop.address == far
        assert hop.label == HOP.label or hop.vni == HOP.vni


def test_a_host_over_an_ipv6_underlay_is_a_router_by_a_mac_of_its_own() -> None:
    far = IPv6Address("2001:db8::7")

    (_, routed) = told(agents_path(INET, replace(HOP, address=far)), TO_ROUTER)

    assert routed.next_hops[0].mac == router_mac(far) != router_mac(IPv6Address("2001:db8::8"))


def test_gateways_prefix_route_is_told_on_to_control_nodes_with_vni_and_router_mac() -> None:
    mac = Mac.parse("02:67:0a:00:00:09")
    extended = (communities.RouterMac(mac).packed, communities.Encapsulation(8).packed)
    path = learned_path(Attributes(extended_communities=extended), is_external=True)
    assert path.learned is not None
    gateways = replace(
        path,
        next_hops=(NextHop(IPv4Address("172.16.0.9"), vni=Vni(5001), encapsulations=("vxlan",)),),
        learned=replace(path.learned, is_prefix_route=True),
    )

    (heard,) = told(gateways, INTERNAL)

    (hop,) = heard.next_hops
    assert (hop.address, hop.vni, hop.mac) == (IPv4Address("172.16.0.9"), Vni(5001), mac)
    table = VpnTable(Family.INET)
    table.put(gateways, [])
    (entry,) = table.entries.values()
    table.remove(gateways.slot, [])
    taken_back = [family for family, _ in withdrawals(entry, INTERNAL, FAMILIES)]
    assert taken_back == [BgpFamily.INET_VPN, BgpFamily.EVPN]


def test_external_neighbour_cannot_name_our_networks_groups_and_tags() -> None:
    # A neighbour of AS 65001 that writes our AS number into communities.
    (heard,) = told(agents_path(INET), replace(EXTERNAL, local_asn=65001))

    assert heard.virtual_network == ""
    assert heard.next_hops[0].tags == ()
    assert heard.attributes.security_groups == ()


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.5", "240.0.0.1", "255.255.255.255"]
)
@pytest.mark.parametrize("key", [INET, ENET], ids=["inet", "enet"])
def test_next_hop_no_host_can_have_makes_a_route_unusable(key: RouteKey, address: str) -> None:
    path = agents_path(key, replace(HOP, address=IPv4Address(address)))

    (heard,) = told(path, INTERNAL)

    assert not heard.is_feasible
    assert not heard.is_tellable


def test_router_is_told_a_vpn_route_and_a_prefix_route() -> None:
    plain, routed = told(agents_path(INET), TO_ROUTER)

    assert plain.next_hops[0].encapsulations == ("udp", "gre")
    assert routed.next_hops == (
        NextHop(
            HOP.address,
            vni=Vni(5001),
            mac=Mac.parse("02:5e:ac:10:00:07"),
            encapsulations=("vxlan",),
            tags=HOP.tags,
        ),
    )
    entry = VpnEntry.of(DISTINGUISHER, INET)
    forms = [family for family, _ in withdrawals(entry, TO_ROUTER, FAMILIES)]
    assert forms == [BgpFamily.INET_VPN, BgpFamily.EVPN]


def test_hop_bgp_has_no_words_for_is_not_told() -> None:
    hop = NextHop(HOP.address, vni=Vni(7), encapsulations=("vxlan",))

    assert told(agents_path(INET, hop), INTERNAL) == []


def test_external_peer_gets_our_as_and_none_of_our_preferences() -> None:
    attributes = attributes_told(agents_path(INET), EXTERNAL)

    assert attributes.as_path == (AsSegment(AsSegmentKind.SEQUENCE, (64512,)),)
    assert attributes.local_preference is None
    assert attributes.med == 100


def test_our_as_joins_the_first_sequence_of_a_path() -> None:
    heard = Attributes(as_path=(AsSegment(AsSegmentKind.SEQUENCE, (65001,)),), med=7)

    attributes = attributes_told(learned_path(heard, is_external=True), EXTERNAL)

    assert attributes.as_path == (AsSegment(AsSegmentKind.SEQUENCE, (64512, 65001)),)
    assert attributes.med is None


def test_as_override_and_private_numbers() -> None:
    heard = Attributes(as_path=(AsSegment(AsSegmentKind.SEQUENCE, (65001, 174)),))
    path = learned_path(heard, is_external=True)

    def numbers(policy: ExportPolicy) -> tuple[int, ...]:
        return attributes_told(path, policy).as_path[0].numbers

    assert numbers(replace(EXTERNAL, overridden_asn=65001)) == (64512, 64512, 174)
    assert numbers(replace(EXTERNAL, private_as_action="remove")) == (64512, 174)
    assert numbers(replace(EXTERNAL, private_as_action="replace-all")) == (64512, 64512, 174)


def test_internal_routes_go_to_internal_peers_through_a_reflector_only() -> None:
    path = learned_path(Attributes(local_preference=100))
    cluster = IPv4Address("10.0.0.1")
    reflecting = replace(INTERNAL, cluster_id=cluster)

    assert not INTERNAL.admits(path)
    assert EXTERNAL.admits(path)
    assert reflecting.admits(path)
    reflected = attributes_told(path, reflecting)
    assert reflected.originator == IPv4Address("10.0.0.9")
    assert reflected.cluster_list == (cluster,)


@pytest.mark.parametrize(
    ("community", "internal", "external"), [(NO_ADVERTISE, False, False), (NO_EXPORT, True, False)]
)
def test_communities_hold_routes_back(community: int, internal: bool, external: bool) -> None:
    path = learned_path(Attributes(communities=(community,)), is_external=True)

    assert INTERNAL.admits(path) is internal
    assert EXTERNAL.admits(path) is external


def test_route_in_a_loop_is_kept_and_infeasible() -> None:
    speaker = replace(OWN, cluster_id=IPv4Address("10.0.0.1"))
    peer = BgpPeerConfig("peer", IPv4Address("10.0.0.9"), 65001, 64512)
    negotiated = Negotiated(FAMILIES, 64512, 65001, IPv4Address("10.0.0.9"))
    entry = VpnEntry.of(DISTINGUISHER, INET)
    (offer,) = Exporter(OWN, networks()).offers(entry, agents_path(INET), INTERNAL)
    slot = PathSlot(PeerName("peer"), VPN_INSTANCE, INET)

    def is_feasible(**changes: object) -> bool:
        attributes = replace(offer.attributes, **changes)  # type: ignore[arg-type]
        importer = Importer(speaker, peer, negotiated, networks())
        path = importer.path(slot, offer.family, offer.next_hop, offer.nlri, attributes)
        return path.is_feasible

    sequence = AsSegmentKind.SEQUENCE
    assert is_feasible(as_path=(AsSegment(sequence, (65001,)),))
    assert not is_feasible(as_path=(AsSegment(sequence, (65001, 64512)),))
    assert not is_feasible(originator=OWN.router_id)
    assert not is_feasible(cluster_list=(IPv4Address("10.0.0.1"),))


def test_routes_in_a_loop_or_over_a_link_local_address_share_nothing_hosts_could_use() -> None:
    peer = BgpPeerConfig("peer", IPv4Address("10.0.0.9"), 64512, 64512)
    negotiated = Negotiated(FAMILIES, 64512, 64512, IPv4Address("10.0.0.9"))
    importer = Importer(OWN, peer, negotiated, networks())
    looped = Attributes(originator=OWN.router_id)

    hop = IPv4Address("172.16.0.7")
    assert importer.shared(BgpFamily.INET_VPN, hop, Attributes()) is not None
    assert importer.shared(BgpFamily.INET_VPN, IPv6Address("fd00::9"), Attributes()) is not None
    assert importer.shared(BgpFamily.INET_VPN, IPv6Address("fe80::9"), Attributes()) is None
    assert importer.shared(BgpFamily.INET_VPN, hop, looped) is None


@pytest.mark.parametrize(("default", "vni", "label"), [(("vxlan",), 5001, 0), ((), 0, 5001 >> 4)])
def test_a_label_is_a_vni_where_the_peer_s_default_says_vxlan(
    default: tuple[str, ...], vni: int, label: int
) -> None:
    """Some routers that know VXLAN alone do not say so in their EVPN routes."""
    peer = BgpPeerConfig(
        "tor", IPv4Address("10.0.0.9"), 64512, 64512,
        default_encapsulations=((BgpFamily.EVPN, default),) if default else (),
    )  # fmt: skip
    negotiated = Negotiated(FAMILIES, 64512, 64512, IPv4Address("10.0.0.9"))
    importer = Importer(OWN, peer, negotiated, networks())
    nlri = MacIp(DISTINGUISHER, NO_SEGMENT, 0, ENET.mac, None, 5001)
    name = name_of(nlri)
    assert name is not None
    slot = Heard(PeerName("tor"), VPN_INSTANCE, None, VpnEntry(Family.ENET, name))

    path = importer.path(slot, BgpFamily.EVPN, IPv4Address("10.0.0.9"), nlri, Attributes())

    (hop,) = path.next_hops
    assert (hop.vni, hop.label) == (vni, label)


@pytest.mark.parametrize(
    ("changes", "is_used"),
    [({}, False), ({"originator": IPv4Address("10.0.0.3")}, True)],
    ids=["said by the router itself", "reflected"],
)
def test_a_router_has_no_routes_of_our_networks_of_its_own(
    changes: dict[str, object], is_used: bool
) -> None:
    peer = BgpPeerConfig("mx", IPv4Address("10.0.0.9"), 64512, 64512, is_router=True)
    importer = Importer(
        OWN, peer, Negotiated(FAMILIES, 64512, 64512, IPv4Address("10.0.0.9")), networks()
    )
    ours = (communities.OriginVn(64512, 42).packed,)
    attributes = replace(Attributes(extended_communities=ours), **changes)  # type: ignore[arg-type]

    shared = importer.shared(BgpFamily.INET_VPN, IPv4Address("10.0.0.9"), attributes)

    assert (shared is not None) == is_used
