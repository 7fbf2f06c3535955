"""Who wants copies of a group, as agents and BGP tell it (EVPN type 6, RFC 9251)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from skytrail.control.bgp_config import BgpPeerConfig, Speaker
from skytrail.control.bgp_export import Exporter, ExportPolicy, for_peers, is_told, withdrawals
from skytrail.control.bgp_import import Importer, name_of
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.path import VPN_INSTANCE, InstanceName, Path, PathSlot, PeerName
from skytrail.control.relay import RelayEntry
from skytrail.control.selective import is_selective, key_of_selective, nlri_of_selective
from skytrail.control.vpn import VpnEntry
from skytrail.net import BROADCAST_MAC, IpAddress, Label, RouteDistinguisher, RouteTarget, Vni
from skytrail.testing.control_plane import Bench, instance_of, routing_instance
from skytrail.wire.bgp import (
    BgpFamily,
    InclusiveMulticast,
    Negotiated,
    SelectiveMulticast,
    communities,
    decode_update,
    encode_update,
)
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.xmpp import (
    EnetKey,
    ItemsEvent,
    Message,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    Subscribe,
    WithdrawRoute,
)

RED = "default-domain:p:red"
HOST = ip_network("172.16.0.7/32")
GROUP, SOURCE = ip_address("239.1.2.3"), ip_address("10.1.1.5")
HOP = NextHop(
    IPv4Address("172.16.0.7"), Label(34), Vni(5001), encapsulations=("udp", "gre", "vxlan")
)
DISTINGUISHER = RouteDistinguisher.parse("172.16.0.7:5")
TO_NODE = ExportPolicy(is_external=False, local_asn=64512)
TO_ROUTER = replace(TO_NODE, tells_prefix_routes=True)
NEGOTIATED = Negotiated(frozenset({BgpFamily.EVPN}), 64512, 64512, IPv4Address("10.0.0.1"))


def key_of(group: IpAddress = GROUP, source: IpAddress | None = None) -> EnetKey:
    return EnetKey(BROADCAST_MAC, HOST, 0, group, source)


def told(key: EnetKey, policy: ExportPolicy, flags: int) -> tuple[object, Path]:
    """The NLRI a peer gets, and what a node of ours makes of it."""
    networks = NetworkIds()
    networks.put(RED, 42)
    path = Path(
        slot=PathSlot(PeerName("compute7"), InstanceName(f"{RED}:red"), key),
        distinguisher=DISTINGUISHER,
        next_hops=(HOP,),
        attributes=RouteAttributes(local_preference=200, multicast_flags=flags),
        targets=frozenset({RouteTarget.parse("target:64512:7")}),
        virtual_network=RED,
    )
    entry = VpnEntry.of(DISTINGUISHER, key)
    speaker = Speaker("control1", 64512, IPv4Address("10.0.0.1"))
    (offer,) = Exporter(speaker, networks).offers(entry, path, policy)
    (message,) = encode_update(
        offer.family, offer.next_hop, offer.attributes, [offer.nlri], NEGOTIATED
    )
    update = decode_update(message[HEADER_BYTES:], NEGOTIATED)
    assert update.problems == ()
    (nlri,) = update.reach[0].nlri
    ((family, taken_back),) = withdrawals(entry, policy, frozenset((BgpFamily.EVPN,)))
    assert family is BgpFamily.EVPN
    assert taken_back.key == nlri.key
    peer = BgpPeerConfig("control1", IPv4Address("10.0.0.1"), 64512, 64512)
    name = name_of(nlri)
    assert name is not None
    slot = PathSlot(PeerName("control1"), VPN_INSTANCE, name[1])
    importer = Importer(
        Speaker("control2", 64512, IPv4Address("10.0.0.2")), peer, NEGOTIATED, networks
    )
    heard = importer.path(slot, BgpFamily.EVPN, update.reach[0].next_hop, nlri, update.attributes)
    return nlri, heard


@pytest.mark.parametrize("policy", [TO_NODE, TO_ROUTER], ids=["MPLS", "VXLAN"])
@pytest.mark.parametrize(
    ("group", "source", "flags"),
    [
        (GROUP, None, 0x04),
        (GROUP, SOURCE, 0x0C),
        (ip_address("ff05::7"), ip_address("fd00::5"), 0x02),
        (IPv4Address(0), None, 0x04),
    ],
    ids=["(*,G)", "(S,G) unwanted", "(S,G) of IPv6", "(*,*)"],
)
def test_listeners_cross_bgp_with_group_source_and_versions(
    policy: ExportPolicy, group: IpAddress, source: IpAddress | None, flags: int
) -> None:
    nlri, heard = told(key_of(group, source), policy, flags)

    named = group if int(group) else None
    assert nlri == SelectiveMulticast(
        DISTINGUISHER, 0, source, named, IPv4Address("172.16.0.7"), flags
    )
    assert heard.key == key_of(group, source)
    assert heard.is_feasible
    assert heard.attributes.multicast_flags == flags
    assert heard.virtual_network == RED
    assert heard.relay is not None
    assert heard.relay.nlri == nlri


def test_who_tells_of_listeners_says_so_with_its_inclusive_route() -> None:
    nlri, heard = told(EnetKey(BROADCAST_MAC, HOST), TO_NODE, 0x03)

    assert isinstance(nlri, InclusiveMulticast)
    assert heard.attributes.multicast_flags == 0x03
    assert heard.learned is not None
    told_flags = communities.first(
        heard.learned.attributes.extended_communities, communities.MulticastFlags
    )
    assert told_flags == communities.MulticastFlags(0x03)
    _, silent = told(EnetKey(BROADCAST_MAC, HOST), TO_NODE, 0)
    assert silent.attributes.multicast_flags == 0
    # Who is not told of listeners would send nothing to anybody if it believed that it was.
    not_told = replace(TO_ROUTER, takes_groups=False)
    _, unaware = told(EnetKey(BROADCAST_MAC, HOST), not_told, 0x03)
    assert unaware.attributes.multicast_flags == 0
    passed_on = for_peers(heard.learned.attributes, heard, not_told)
    assert communities.first(passed_on.extended_communities, communities.MulticastFlags) is None


@pytest.mark.parametrize(
    ("group", "source"),
    [
        (SOURCE, None),
        (GROUP, ip_address("239.7.7.7")),
        (GROUP, ip_address("fd00::5")),
        (None, SOURCE),
    ],
    ids=["no group", "a group as source", "two families", "a source without group"],
)
def test_what_nobody_can_listen_to_is_in_no_instance_and_passed_on_all_the_same(
    group: IpAddress | None, source: IpAddress | None
) -> None:
    nlri = SelectiveMulticast(DISTINGUISHER, 0, source, group, IPv4Address("172.16.0.7"), 4)

    assert key_of_selective(nlri) is None
    assert name_of(nlri) is None


def test_a_listener_of_ipv6_tunnel_ends_has_a_key_too() -> None:
    nlri = SelectiveMulticast(DISTINGUISHER, 0, None, GROUP, IPv6Address("fd00::7"), 4)
    key = key_of_selective(nlri)

    assert key is not None
    assert is_selective(key)
    assert nlri_of_selective(DISTINGUISHER, key, 4) == nlri


def listening(router: str, group: str, flags: int = 4) -> Route:
    hop = NextHop(IPv4Address(router), Label(16), encapsulations=("udp",))
    key = EnetKey(BROADCAST_MAC, ip_network(router), 0, ip_address(group))
    return Route(key, (hop,), RouteAttributes(local_preference=200, multicast_flags=flags))


def groups_heard(messages: list[Message]) -> set[tuple[str, str, int]]:
    return {
        (str(route.key.address), str(route.key.group), route.attributes.multicast_flags)
        for event in messages
        if isinstance(event, ItemsEvent)
        for route in event.routes
        if isinstance(route.key, EnetKey)
    }


def test_members_of_a_network_hear_of_each_other_s_listeners_and_of_no_connected_network_s() -> (
    None
):
    bench = Bench(
        routing_instance("red", both=[1], connected=["blue"]), routing_instance("blue", both=[2])
    )
    bench.up("c1", "c2", "c3")
    for name, network in (("c1", "red"), ("c2", "red"), ("c3", "blue")):
        bench.say(name, Subscribe(instance_of(network), 1))
    bench.say("c1", PublishRoute(instance_of("red"), listening("172.16.0.1", "239.1.1.1")))
    bench.say("c3", PublishRoute(instance_of("blue"), listening("172.16.0.3", "239.1.1.3")))

    assert groups_heard(bench.hear("c1")) == set()
    assert groups_heard(bench.hear("c2")) == {("172.16.0.1/32", "239.1.1.1", 4)}
    assert groups_heard(bench.hear("c3")) == set()

    bench.say("c1", PublishRoute(instance_of("red"), listening("172.16.0.1", "239.1.1.1", 6)))
    assert groups_heard(bench.hear("c2")) == {("172.16.0.1/32", "239.1.1.1", 6)}

    key = listening("172.16.0.1", "239.1.1.1").key
    bench.say("c1", WithdrawRoute(instance_of("red"), key))
    gone = [
        key for event in bench.hear("c2") if isinstance(event, ItemsEvent) for key in event.retracts
    ]
    assert gone == [key]


def test_listeners_of_a_lost_agent_stay_until_it_had_time_to_come_back() -> None:
    bench = Bench(routing_instance("red", both=[1]))
    bench.up("c1", "c2")
    for name in ("c1", "c2"):
        bench.say(name, Subscribe(instance_of("red"), 1))
    bench.say("c1", PublishRoute(instance_of("red"), listening("172.16.0.1", "239.1.1.1")))
    bench.hear("c2")

    bench.down("c1")
    assert [m for m in bench.hear("c2") if isinstance(m, ItemsEvent)] == []

    bench.up("c1")
    bench.say("c1", Subscribe(instance_of("red"), 1))
    bench.say("c1", PublishRoute(instance_of("red"), listening("172.16.0.1", "239.1.1.1")))
    assert [m for m in bench.hear("c2") if isinstance(m, ItemsEvent)] == []


def test_a_router_that_may_not_be_told_of_groups_hears_neither_of_them_nor_of_their_end() -> None:
    silent = replace(TO_ROUTER, takes_groups=False)
    nlri, heard = told(key_of(), TO_NODE, 4)
    assert isinstance(nlri, SelectiveMulticast)
    families = frozenset((BgpFamily.EVPN,))

    assert is_told(heard, TO_ROUTER, families)
    assert not is_told(heard, silent, families)
    own = replace(heard, relay=None, learned=None, next_hops=(HOP,))
    assert not is_told(own, silent, families)
    entry = VpnEntry.of(DISTINGUISHER, key_of())
    assert list(withdrawals(entry, silent, families)) == []
    assert list(withdrawals(RelayEntry(BgpFamily.EVPN, nlri), silent, families)) == []
