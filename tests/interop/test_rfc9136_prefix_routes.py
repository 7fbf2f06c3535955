"""EVPN prefix routes (RFC 9136) with FRR: a data-center gateway that speaks VXLAN."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.path import InstanceName
from skytrail.control.plane import ControlPlane
from skytrail.net import Label, Mac, Vni
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, GOBGP, OURS, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router, instance_of, routing_instance
from skytrail.testing.router_configs import EVPN as FRR_EVPN
from skytrail.testing.router_configs import frr_config
from skytrail.wire.xmpp import Family, NextHop, Route, RouteAttributes

RED = instance_of("red")
TARGET = 105
ROUTER_MAC = "02:00:5e:10:00:01"

FRR_CONFIG = frr_config(FRR_EVPN)


def workload(prefix: str) -> Route:
    hop = NextHop(
        IPv4Address("172.16.0.7"), Label(34), Vni(5001), encapsulations=("udp", "gre", "vxlan")
    )
    return Route(ip_network(prefix), (hop,), RouteAttributes(local_preference=200))


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
            bgp_router("control1", OURS, peers=[("frr", {}), ("gobgp", {})]),
            bgp_router("frr", FRR),
            bgp_router("gobgp", GOBGP),
            routing_instance("red", both=[TARGET]),
        )
        made.publish("compute1", RED, workload("10.1.1.3/32"))
        yield made


def test_frr_learns_a_workload_as_prefix_route_with_vni_and_router_mac(
    routers: Bench, node: Node
) -> None:
    text = str(
        eventually(
            lambda: routers.frr("show bgp l2vpn evpn route type prefix json").get("172.16.0.7:1"),
            "the prefix route in FRR",
        )
    )

    assert "[5]:[0]:[32]:[10.1.1.3]" in text
    assert f"RT:64512:{TARGET}" in text
    assert "Rmac:02:5e:ac:10:00:07" in text
    assert "ET:8" in text


def test_route_without_vni_is_no_longer_told_as_prefix_route(routers: Bench, node: Node) -> None:
    def known() -> bool:
        return "10.1.1.9" in str(routers.frr("show bgp l2vpn evpn route type prefix json"))

    route = workload("10.1.1.9/32")
    node.publish("compute1", RED, route)
    eventually(known, "the prefix route in FRR")

    (hop,) = route.next_hops
    plain = NextHop(hop.address, hop.label, encapsulations=("udp",))
    node.publish("compute1", RED, Route(route.key, (plain,), route.attributes))

    eventually(lambda: not known(), "the prefix route gone from FRR")


def test_gateways_prefix_route_is_reached_by_vxlan_through_its_mac(
    routers: Bench, node: Node
) -> None:
    eventually(lambda: node.state("gobgp") == "established", "a session with GoBGP")
    routers.gobgp(
        f"global rib add -a evpn prefix 0.0.0.0/0 esi 0 etag 0 gw 0.0.0.0 label 5001 rd 64512:77 "
        f"rt 64512:{TARGET} encap vxlan router-mac {ROUTER_MAC} nexthop {GOBGP}"
    )

    def look(plane: ControlPlane) -> NextHop | None:
        rib = plane.replicator.vrfs[InstanceName(RED)].ribs[Family.INET]
        best = rib.best(ip_network("0.0.0.0/0"))
        return best[0].next_hops[0] if best else None

    hop = eventually(lambda: node.do(look), "the default route in the instance")
    assert hop == NextHop(
        IPv4Address(GOBGP), vni=Vni(5001), mac=Mac.parse(ROUTER_MAC), encapsulations=("vxlan",)
    )
