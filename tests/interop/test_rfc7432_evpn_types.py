"""EVPN types 1 to 4 (RFC 7432) from GoBGP through our node to FRR, and type 6 (RFC 9251)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.path import InstanceName
from skytrail.control.plane import ControlPlane
from skytrail.net import BROADCAST_MAC, Label, RouteDistinguisher, RouteTarget, Vni
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, GOBGP, OURS, RAW, RAW2, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router, instance_of, routing_instance
from skytrail.testing.raw_peer import RawPeer, with_target
from skytrail.testing.router_configs import EVPN as FRR_EVPN
from skytrail.testing.router_configs import frr_config
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    InclusiveMulticast,
    IpAddress,
    SelectiveMulticast,
    communities,
)
from skytrail.wire.xmpp import EnetKey, Family, NextHop, Route, RouteAttributes

EVPN = BgpFamily.EVPN
RED = instance_of("red")
SEGMENT = "01:aa:bb:cc:dd:ee:ff:00:64:00"
NAMES = "rd 64512:9 rt 64512:101 encap vxlan"
FRR_CONFIG = frr_config(FRR_EVPN)
ROUTES = {
    "type 1": (
        f"a-d esi LACP aa:bb:cc:dd:ee:ff 100 etag 20 label 30 {NAMES}",
        f"1:64512:9:{SEGMENT}:20 label 30",
        f"[1]:[20]:[{SEGMENT}]",
    ),
    "type 2": (
        f"macadv aa:bb:cc:00:00:01 10.1.1.5 esi LACP aa:bb:cc:dd:ee:ff 100 etag 0 label 300 {NAMES}",
        "aa:bb:cc:00:00:01,10.1.1.5/32",
        "[2]:[0]:[48]:[aa:bb:cc:00:00:01]:[32]:[10.1.1.5]",
    ),
    "type 3": (
        f"multicast {GOBGP} etag 10 {NAMES}",
        f"10-ff:ff:ff:ff:ff:ff,{GOBGP}/32",
        f"[3]:[10]:[32]:[{GOBGP}]",
    ),
    "type 4": (
        f"esi {GOBGP} esi LACP aa:bb:cc:dd:ee:ff 100 {NAMES}",
        f"4:64512:9:{SEGMENT}:{GOBGP}",
        f"[4]:[{SEGMENT}]:[32]:[{GOBGP}]",
    ),
}


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        made.start_frr(FRR_CONFIG)
        made.start_gobgp("l2vpn-evpn")
        yield made


@pytest.fixture(scope="module")
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers) as made:
        made.configure(
            bgp_router(
                "control1",
                OURS,
                cluster_id=0x0A090001,
                peers=[
                    ("frr", {}),
                    ("gobgp", {}),
                    ("one", {"passive": True}),
                    ("two", {"passive": True}),
                ],
            ),
            bgp_router("frr", FRR),
            bgp_router("gobgp", GOBGP),
            bgp_router("one", RAW, notes={"bgp-selective-multicast": "1"}),
            bgp_router("two", RAW2, notes={"bgp-selective-multicast": "1"}),
            routing_instance("red", both=[101]),
        )
        for name in ("frr", "gobgp"):
            eventually(lambda name=name: made.state(name) == "established", f"{name} is up")
        yield made


def shown(node: Node) -> set[str]:
    relayed = {str(row["route"]) for row in node.table("relayed")}
    return relayed | {str(row["prefix"]) for row in node.table("vpn")}


def in_frr(routers: Bench) -> dict[str, object]:
    routes = routers.frr("show bgp l2vpn evpn route json").get("64512:9", {})
    assert isinstance(routes, dict)
    # Type 1 has further parts behind what names it.
    return {key.split(":[32]:[0.0.0.0]")[0]: route for key, route in routes.items()}


@pytest.mark.parametrize("kind", ROUTES)
def test_route_is_shown_and_passed_on_and_taken_back(routers: Bench, node: Node, kind: str) -> None:
    command, ours, theirs = ROUTES[kind]

    routers.gobgp(f"global rib add -a evpn {command}")
    eventually(lambda: ours in shown(node), f"{ours} in our tables")
    route = str(eventually(lambda: in_frr(routers).get(theirs), f"{theirs} in FRR"))
    assert "RT:64512:101" in route
    assert GOBGP in route
    if kind == "type 2":
        assert SEGMENT in route

    routers.gobgp(f"global rib del -a evpn {command}")
    eventually(lambda: ours not in shown(node), f"{ours} gone from our tables")
    eventually(lambda: theirs not in in_frr(routers), f"{theirs} gone from FRR")


def test_selective_multicast_with_and_without_source_passes_between_clients(
    routers: Bench, node: Node
) -> None:
    """Neither FRR 8.4 nor GoBGP 3.10 makes type 6."""
    with RawPeer(routers, RAW, EVPN) as one, RawPeer(routers, RAW2, EVPN) as two:
        one.connect()
        two.connect()
        group: IpAddress = one.address + 7
        distinguisher = RouteDistinguisher.parse("64512:9")
        routes = [
            SelectiveMulticast(distinguisher, 10, source, group, one.address, 2)
            for source in (None, one.address)
        ]
        one.announce(EVPN, with_target(), *routes)

        eventually(lambda: {route.key for route in routes} <= two.routes(EVPN).keys(), "type 6")
        nlri, hop, attributes = two.routes(EVPN)[routes[0].key]
        assert nlri == routes[0]
        assert (str(hop), str(attributes.originator)) == (RAW, RAW)
        one.withdraw(EVPN, *routes)
        eventually(lambda: routes[0].key not in two.routes(EVPN), "type 6 taken back")


def listening(router: str, group: str | None, flags: int) -> Route:
    hop = NextHop(IPv4Address(router), Label(34), Vni(5001), encapsulations=("udp", "gre", "vxlan"))
    key = EnetKey(BROADCAST_MAC, ip_network(router))
    if group is not None:
        key = replace(key, group=IPv4Address(group))
    return Route(key, (hop,), RouteAttributes(local_preference=200, multicast_flags=flags))


def test_hosts_listeners_are_told_to_routers_and_theirs_reach_the_network(
    routers: Bench, node: Node
) -> None:
    """GoBGP 3.10 would give up EVPN, silently, and takes multicast flags for a withdrawal."""
    for route in (listening("172.16.0.7", None, 3), listening("172.16.0.7", "239.1.2.3", 4)):
        node.publish("compute1", RED, route)

    with RawPeer(routers, RAW, EVPN) as one:
        one.connect()

        def told(kind: type[object]) -> tuple[object, Attributes] | None:
            found = [(n, a) for n, _, a in one.routes(EVPN).values() if isinstance(n, kind)]
            return found[0] if found else None

        nlri, attributes = eventually(lambda: told(SelectiveMulticast), "type 6")
        assert isinstance(nlri, SelectiveMulticast)
        assert (str(nlri.originator), str(nlri.group)) == ("172.16.0.7", "239.1.2.3")
        assert (nlri.source, nlri.flags) == (None, 4)
        assert RouteTarget.parse("target:64512:101").packed in attributes.extended_communities
        _, attributes = eventually(lambda: told(InclusiveMulticast), "type 3")
        flags = communities.first(attributes.extended_communities, communities.MulticastFlags)
        assert flags == communities.MulticastFlags(3)

        group = IPv4Address("239.1.2.9")
        theirs = SelectiveMulticast(
            RouteDistinguisher.parse("64512:9"), 0, None, group, one.address, 4
        )
        key = EnetKey(BROADCAST_MAC, ip_network(RAW), 0, group)

        def heard(plane: ControlPlane) -> int | None:
            best = plane.replicator.vrfs[InstanceName(RED)].ribs[Family.ENET].best(key)
            return best[0].attributes.multicast_flags if best else None

        one.announce(EVPN, with_target(), theirs)
        assert eventually(lambda: node.do(heard), "their listener in the network") == 4
        one.withdraw(EVPN, theirs)
        eventually(lambda: node.do(heard) is None, "their listener gone")
    frr = "show bgp l2vpn evpn route json"
    eventually(lambda: "172.16.0.7" in str(routers.frr(frr)), "what came beside type 6 in FRR")
    eventually(lambda: "172.16.0.7" in routers.gobgp("global rib -a evpn"), "and in GoBGP")
    for name in ("frr", "gobgp"):
        assert node.state(name) == "established"
        assert node.peer(name).counters.sessions == 1
