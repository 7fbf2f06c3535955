"""Inclusive multicast routes (RFC 7432 section 7.3) with FRR and GoBGP, by ingress replication."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.path import InstanceName
from skytrail.control.plane import ControlPlane
from skytrail.net import BROADCAST_MAC, Label, Vni
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, GOBGP, OURS, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router, instance_of, routing_instance
from skytrail.testing.router_configs import EVPN as FRR_EVPN
from skytrail.testing.router_configs import frr_config
from skytrail.wire.xmpp import EnetKey, Family, NextHop, Route, RouteAttributes

RED = instance_of("red")
TARGET = 106
FRR_CONFIG = frr_config(FRR_EVPN)


def key_of(router: str) -> EnetKey:
    return EnetKey(BROADCAST_MAC, ip_network(router))


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
        yield made


def wants_copies(router: str) -> Route:
    hop = NextHop(IPv4Address(router), Label(34), Vni(5001), encapsulations=("udp", "gre", "vxlan"))
    return Route(key_of(router), (hop,), RouteAttributes(local_preference=200))


def test_frr_learns_to_which_vrouters_copies_go_and_no_longer(routers: Bench, node: Node) -> None:
    def known() -> str:
        shown = routers.frr("show bgp l2vpn evpn route type multicast json")
        return str(shown.get("172.16.0.7:1", ""))

    node.publish("compute1", RED, wants_copies("172.16.0.7"))
    text = eventually(known, "the inclusive multicast route in FRR")
    assert "[3]:[0]:[32]:[172.16.0.7]" in text
    assert f"RT:64512:{TARGET}" in text
    assert "ET:8" in text

    node.withdraw("compute1", RED, key_of("172.16.0.7"))
    eventually(lambda: not known(), "the route gone from FRR")


def test_a_router_s_request_becomes_a_member_of_the_network_by_vxlan(
    routers: Bench, node: Node
) -> None:
    eventually(lambda: node.state("gobgp") == "established", "a session with GoBGP")
    command = (
        f"global rib {{}} -a evpn multicast {GOBGP} etag 0 rd 64512:78 rt 64512:{TARGET} "
        f"encap vxlan pmsi ingress-repl 5001 {GOBGP}"
    )
    routers.gobgp(command.format("add"))

    def look(plane: ControlPlane) -> NextHop | None:
        rib = plane.replicator.vrfs[InstanceName(RED)].ribs[Family.ENET]
        best = rib.best(key_of(GOBGP))
        return best[0].next_hops[0] if best else None

    hop = eventually(lambda: node.do(look), "the member in the instance")
    assert hop == NextHop(IPv4Address(GOBGP), vni=Vni(5001), encapsulations=("vxlan",))

    routers.gobgp(command.format("del"))
    eventually(lambda: node.do(look) is None, "the member gone")
