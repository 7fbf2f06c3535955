"""Assisted replication (RFC 9574): roles in the tunnel attribute of EVPN routes of type 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.path import InstanceName, Path
from skytrail.control.plane import ControlPlane
from skytrail.net import BROADCAST_MAC, Label, RouteDistinguisher, Vni
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, GOBGP, OURS, RAW, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router, instance_of, routing_instance
from skytrail.testing.raw_peer import RawPeer, with_target
from skytrail.wire.bgp import BgpFamily, InclusiveMulticast, PmsiTunnel
from skytrail.wire.bgp.attributes import PmsiFlag, TunnelType
from skytrail.wire.bgp.communities import Encapsulation, TunnelKind
from skytrail.wire.xmpp import EnetKey, Family, NextHop, Route, RouteAttributes

EVPN = BgpFamily.EVPN
RED = instance_of("red")
REPLICATOR = IPv4Address("192.0.2.77")
FRR_CONFIG = f"""
router bgp 64512
 bgp router-id {FRR}
 no bgp default ipv4-unicast
 neighbor {OURS} remote-as 64512
 neighbor {OURS} update-source {FRR}
 neighbor {OURS} timers connect 1
 address-family l2vpn evpn
  neighbor {OURS} activate
 exit-address-family
"""


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        made.start_frr(FRR_CONFIG)
        made.start_gobgp("l2vpn-evpn")
        yield made


@pytest.fixture(scope="module")
def node(routers: Bench) -> Iterator[Node]:
    made = Node(routers)
    made.start()
    try:
        made.configure(
            bgp_router(
                "control1", OURS, peers=[("frr", {}), ("gobgp", {}), ("one", {"passive": True})]
            ),
            bgp_router("frr", FRR),
            bgp_router("gobgp", GOBGP, notes={"bgp-assisted-replication": "1"}),
            bgp_router("one", RAW, notes={"bgp-assisted-replication": "1"}),
            routing_instance("red", both=[101]),
        )
        yield made
    finally:
        made.close()


def wants_copies(router: str, **roles: bool) -> Route:
    hop = NextHop(IPv4Address(router), Label(34), Vni(5001), encapsulations=("udp", "gre", "vxlan"))
    attributes = replace(RouteAttributes(local_preference=200), **roles)
    return Route(EnetKey(BROADCAST_MAC, ip_network(router)), (hop,), attributes)


def test_a_router_hears_of_replicators_and_leaves_and_keeps_its_session(
    routers: Bench, node: Node
) -> None:
    for name in ("frr", "gobgp"):
        eventually(lambda name=name: node.state(name) == "established", f"{name} is up")
    node.publish("compute1", RED, wants_copies("172.16.0.7", replicates=True))
    node.publish("compute2", RED, wants_copies("172.16.0.8", replication_leaf=True))

    with RawPeer(routers, RAW, EVPN) as peer:
        peer.connect()
        eventually(lambda: len(peer.routes(EVPN)) >= 2, "both routes")
        tunnels = {
            str(nlri.originator): attributes.pmsi
            for nlri, _, attributes in peer.routes(EVPN).values()
            if isinstance(nlri, InclusiveMulticast)
        }
    assert tunnels["172.16.0.7"] == PmsiTunnel(
        PmsiFlag.REPLICATOR,
        TunnelType.ASSISTED_REPLICATION,
        5001,
        IPv4Address("172.16.0.7").packed,
    )
    leaf = tunnels["172.16.0.8"]
    assert leaf is not None
    assert (leaf.flags, leaf.tunnel_type) == (PmsiFlag.LEAF, TunnelType.INGRESS_REPLICATION)

    eventually(lambda: "172.16.0.7" in routers.gobgp("global rib -a evpn"), "both in GoBGP")

    def in_frr() -> str:
        return str(routers.frr("show bgp l2vpn evpn route type multicast json"))

    eventually(lambda: "172.16.0.8" in in_frr(), "the leaf in FRR")
    # FRR 8.4 ends a session that tells it of a tunnel type it does not know.
    assert "172.16.0.7" not in in_frr()
    for name in ("frr", "gobgp"):
        assert node.state(name) == "established"
        assert node.peer(name).counters.sessions == 1


def test_a_routers_replicator_reaches_the_instance_and_goes_again(
    routers: Bench, node: Node
) -> None:
    route = InclusiveMulticast(RouteDistinguisher.parse("64512:9"), 0, REPLICATOR)
    tunnel = PmsiTunnel(
        PmsiFlag.REPLICATOR, TunnelType.ASSISTED_REPLICATION, 5001, REPLICATOR.packed
    )
    told = with_target()
    attributes = replace(
        told,
        pmsi=tunnel,
        extended_communities=(
            *told.extended_communities,
            Encapsulation(TunnelKind.VXLAN).packed,
        ),
    )
    key = EnetKey(BROADCAST_MAC, ip_network(REPLICATOR))

    def look(plane: ControlPlane) -> Path | None:
        best = plane.replicator.vrfs[InstanceName(RED)].ribs[Family.ENET].best(key)
        return best[0] if best else None

    with RawPeer(routers, RAW, EVPN) as peer:
        peer.connect()
        peer.announce(EVPN, attributes, route)
        path = eventually(lambda: node.do(look), "the replicator in the instance")
        assert path.next_hops == (NextHop(REPLICATOR, vni=Vni(5001), encapsulations=("vxlan",)),)
        assert path.attributes.replicates

        peer.withdraw(EVPN, route)
        eventually(lambda: node.do(look) is None, "the replicator gone")
