"""Who gets copies of broadcasts, as BGP tells it, and whose copies an instance takes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.bgp_config import BgpPeerConfig, Speaker
from skytrail.control.bgp_export import Exporter, ExportPolicy, withdrawals
from skytrail.control.bgp_import import Importer, name_of
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.inclusive import hop_of, key_of_inclusive
from skytrail.control.path import VPN_INSTANCE, InstanceName, Path, PathSlot, PeerName
from skytrail.control.vpn import VpnEntry
from skytrail.net import BROADCAST_MAC, Label, RouteDistinguisher, RouteTarget, Vni
from skytrail.testing.control_plane import Bench, instance_of, routing_instance
from skytrail.wire.bgp import (
    BgpFamily,
    InclusiveMulticast,
    Negotiated,
    PmsiTunnel,
    decode_update,
    encode_update,
)
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.xmpp import (
    EnetKey,
    Family,
    ItemsEvent,
    Message,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    Subscribe,
)

RED = "default-domain:p:red"
KEY = EnetKey(BROADCAST_MAC, ip_network("172.16.0.7/32"))
HOP = NextHop(
    IPv4Address("172.16.0.7"), Label(34), Vni(5001), encapsulations=("udp", "gre", "vxlan")
)
DISTINGUISHER = RouteDistinguisher.parse("172.16.0.7:5")
TO_NODE = ExportPolicy(is_external=False, local_asn=64512)
TO_ROUTER = replace(TO_NODE, tells_prefix_routes=True)
NEGOTIATED = Negotiated(frozenset({BgpFamily.EVPN}), 64512, 64512, IPv4Address("10.0.0.1"))


def path_of(hop: NextHop, **roles: bool) -> Path:
    return Path(
        slot=PathSlot(PeerName("compute7"), InstanceName(f"{RED}:red"), KEY),
        distinguisher=DISTINGUISHER,
        next_hops=(hop,),
        attributes=replace(RouteAttributes(local_preference=200), **roles),
        targets=frozenset({RouteTarget.parse("target:64512:7")}),
        virtual_network=RED,
    )


def told(hop: NextHop, policy: ExportPolicy, **roles: bool) -> tuple[InclusiveMulticast, Path]:
    """The NLRI a peer gets, and what a node of ours makes of it."""
    networks = NetworkIds()
    networks.put(RED, 42)
    path = path_of(hop, **roles)
    entry = VpnEntry.of(DISTINGUISHER, KEY)
    speaker = Speaker("control1", 64512, IPv4Address("10.0.0.1"))
    (offer,) = Exporter(speaker, networks).offers(entry, path, policy)
    (message,) = encode_update(
        offer.family, offer.next_hop, offer.attributes, [offer.nlri], NEGOTIATED
    )
    update = decode_update(message[HEADER_BYTES:], NEGOTIATED)
    assert update.problems == ()
    (nlri,) = update.reach[0].nlri
    assert isinstance(nlri, InclusiveMulticast)
    assert list(withdrawals(entry, policy, frozenset((BgpFamily.EVPN,)))) == [
        (BgpFamily.EVPN, nlri)
    ]
    peer = BgpPeerConfig("control1", IPv4Address("10.0.0.1"), 64512, 64512)
    receiver = Speaker("control2", 64512, IPv4Address("10.0.0.2"))
    key = name_of(nlri)
    assert key is not None
    slot = PathSlot(PeerName("control1"), VPN_INSTANCE, key[1])
    importer = Importer(receiver, peer, NEGOTIATED, networks)
    return nlri, importer.path(
        slot, BgpFamily.EVPN, update.reach[0].next_hop, nlri, update.attributes
    )


def test_another_control_node_hears_who_wants_copies_and_by_which_label() -> None:
    nlri, heard = told(HOP, TO_NODE)

    assert nlri == InclusiveMulticast(DISTINGUISHER, 0, IPv4Address("172.16.0.7"))
    assert (heard.key, heard.virtual_network) == (KEY, RED)
    (hop,) = heard.next_hops
    assert (hop.address, hop.label, hop.encapsulations) == (HOP.address, 34, ("udp", "gre"))


def test_a_vxlan_router_is_told_the_vni() -> None:
    _, heard = told(HOP, TO_ROUTER)

    (hop,) = heard.next_hops
    assert (hop.vni, hop.label, hop.encapsulations) == (5001, 0, ("vxlan",))


@pytest.mark.parametrize(
    "tunnel",
    [
        None,
        PmsiTunnel(0, 1, 34 << 4, bytes(8)),
        PmsiTunnel(0, 6, 3 << 4, IPv4Address("172.16.0.7").packed),
        PmsiTunnel(0, 6, 0, IPv4Address("172.16.0.7").packed),
    ],
    ids=["none", "RSVP-TE", "reserved label", "no label"],
)
def test_ways_to_copy_we_do_not_know_are_kept_without_next_hop(tunnel: PmsiTunnel | None) -> None:
    assert hop_of(tunnel, IPv4Address("172.16.0.7"), ("udp",)) is None


@pytest.mark.parametrize("policy", [TO_NODE, TO_ROUTER], ids=["MPLS", "VXLAN"])
@pytest.mark.parametrize(
    ("roles", "kind", "flags"),
    [
        ({}, 6, 0x00),
        ({"replicates": True}, 10, 0x08),
        ({"replication_leaf": True}, 6, 0x10),
    ],
    ids=["neither", "replicator", "leaf"],
)
def test_parts_in_assisted_replication_cross_bgp_in_the_tunnel_attribute(
    policy: ExportPolicy, roles: dict[str, bool], kind: int, flags: int
) -> None:
    _, heard = told(HOP, policy, **roles)

    assert heard.learned is not None
    pmsi = heard.learned.attributes.pmsi
    assert pmsi is not None
    assert (pmsi.tunnel_type, pmsi.flags, pmsi.address) == (kind, flags, HOP.address)
    assert heard.is_feasible
    attributes = heard.attributes
    assert {
        "replicates": attributes.replicates,
        "replication_leaf": attributes.replication_leaf,
    } == {"replicates": False, "replication_leaf": False, **roles}


@pytest.mark.parametrize(
    ("flags", "kind", "is_used"),
    [
        (0x08, 10, True),
        (0x09, 10, False),
        (0x00, 10, False),
        (0x18, 10, False),
        (0x08, 6, True),
        (0x02, 6, True),
        (0x04, 6, False),
        (0x14, 6, False),
    ],
    ids=[
        "replicator", "selective replicator", "without a role", "reserved role",
        "a replicator's own copies", "no unknown unicast", "no broadcasts", "leaf without broadcasts",
    ],
)  # fmt: skip
def test_copies_go_where_they_are_wanted_and_understood(
    flags: int, kind: int, is_used: bool
) -> None:
    address = IPv4Address("172.16.0.7")
    tunnel = PmsiTunnel(flags, kind, 34 << 4, address.packed)

    assert (hop_of(tunnel, address, ("udp",)) is not None) == is_used


def inclusive(router: str, label: int) -> Route:
    hop = NextHop(IPv4Address(router), Label(label), encapsulations=("udp",))
    key = key_of_inclusive(InclusiveMulticast(DISTINGUISHER, 0, IPv4Address(router)))
    return Route(key, (hop,), RouteAttributes(local_preference=200))


def routers_heard(messages: list[Message]) -> set[str]:
    return {
        str(route.next_hops[0].address)
        for event in messages
        if isinstance(event, ItemsEvent) and event.family is Family.ENET
        for route in event.routes
    }


def test_members_of_one_network_hear_of_each_other_and_of_no_connected_network() -> None:
    bench = Bench(
        routing_instance("red", both=[1], connected=["blue"]), routing_instance("blue", both=[2])
    )
    bench.up("c1", "c2", "c3")
    for name, network in (("c1", "red"), ("c2", "red"), ("c3", "blue")):
        bench.say(name, Subscribe(instance_of(network), 1))
    bench.say("c1", PublishRoute(instance_of("red"), inclusive("172.16.0.1", 16)))
    bench.say("c2", PublishRoute(instance_of("red"), inclusive("172.16.0.2", 17)))
    bench.say("c3", PublishRoute(instance_of("blue"), inclusive("172.16.0.3", 18)))

    assert routers_heard(bench.hear("c1")) == {"172.16.0.2"}
    assert routers_heard(bench.hear("c2")) == {"172.16.0.1"}
    assert routers_heard(bench.hear("c3")) == set()


def test_copies_a_router_asks_for_belong_to_the_network_that_exports_its_target() -> None:
    bench = Bench(
        routing_instance("red", both=[1], connected=["blue"]), routing_instance("blue", both=[2])
    )
    slot = PathSlot(PeerName("router"), VPN_INSTANCE, KEY)
    path = replace(
        path_of(HOP), slot=slot, targets=frozenset({RouteTarget.parse("target:64512:1")}),
        virtual_network="",
    )  # fmt: skip
    bench.plane.replicator.put(path)
    held = {
        name: KEY
        in bench.plane.replicator.vrfs[InstanceName(instance_of(name))].ribs[Family.ENET].entries
        for name in ("red", "blue")
    }
    assert held == {"red": True, "blue": False}

    # An instance that comes later asks the same.
    bench.put(routing_instance("green", both=[3], connected=["red"]))
    green = bench.plane.replicator.vrfs[InstanceName(instance_of("green"))]
    assert KEY not in green.ribs[Family.ENET].entries


def test_a_replicator_whose_agent_is_lost_is_offered_to_nobody_while_its_own_route_stays() -> None:
    bench = Bench(routing_instance("red", both=[1]))
    bench.up("c1", "c2")
    for name in ("c1", "c2"):
        bench.say(name, Subscribe(instance_of("red"), 1))
    offer = replace(inclusive("172.16.0.101", 16), attributes=RouteAttributes(replicates=True))
    bench.say("c1", PublishRoute(instance_of("red"), inclusive("172.16.0.1", 16)))
    bench.say("c1", PublishRoute(instance_of("red"), offer))
    assert routers_heard(bench.hear("c2")) == {"172.16.0.1", "172.16.0.101"}

    bench.down("c1")

    gone = [m.retracts for m in bench.hear("c2") if isinstance(m, ItemsEvent)]
    assert [key for keys in gone for key in keys] == [offer.key]

    bench.up("c1")
    bench.say("c1", Subscribe(instance_of("red"), 1), PublishRoute(instance_of("red"), offer))
    assert "172.16.0.101" in routers_heard(bench.hear("c2"))
