"""MAC mobility (RFC 7432 sections 7.7 and 15): FRR sees moves, sticky MACs, and no more of one that is held."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.net import Label, Mac, RouteDistinguisher, RouteTarget
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, OURS, RAW, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router, instance_of, routing_instance
from skytrail.testing.raw_peer import RawPeer
from skytrail.testing.router_configs import EVPN as FRR_EVPN
from skytrail.testing.router_configs import frr_config
from skytrail.wire.bgp import NO_SEGMENT, Attributes, BgpFamily, MacIp
from skytrail.wire.bgp.communities import Encapsulation, MacMobility, TunnelKind
from skytrail.wire.xmpp import EnetKey, NextHop, Route, RouteAttributes

EVPN = BgpFamily.EVPN
RED = instance_of("red")
HOST = IPv4Address("10.1.1.3")
MAC = Mac.parse("02:00:00:00:00:0a")
KEY = EnetKey(MAC, ip_network(f"{HOST}/32"))
FRR_CONFIG = frr_config(FRR_EVPN)


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        made.start_frr(FRR_CONFIG)
        yield made


@pytest.fixture
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers) as made:
        made.configure(
            bgp_router("control1", OURS, peers=[("frr", {}), ("other", {"passive": True})]),
            bgp_router("frr", FRR),
            bgp_router("other", RAW),
            routing_instance("red", both=[101]),
        )
        eventually(lambda: made.state("frr") == "established", "FRR is up")
        yield made


def publish(node: Node, sequence: int, *, sticky: bool = False) -> None:
    hop = NextHop(IPv4Address("172.16.0.7"), Label(34), encapsulations=("udp", "gre"))
    attributes = RouteAttributes(local_preference=100, sequence_number=sequence, sticky=sticky)
    node.publish("compute1", RED, Route(KEY, (hop,), attributes))


def claim(peer: RawPeer, sequence: int) -> None:
    route = MacIp(RouteDistinguisher.parse("64512:9"), NO_SEGMENT, 0, MAC, HOST, 35 << 4)
    communities = (
        RouteTarget.parse("target:64512:101").packed,
        Encapsulation(TunnelKind.MPLS_OVER_UDP).packed,
        MacMobility(sequence).packed,
    )
    attributes = Attributes(0, local_preference=100, extended_communities=communities)
    peer.announce(EVPN, attributes, route)


def in_frr(routers: Bench) -> str:
    """Return what FRR has of the MAC from our host."""
    routes = routers.frr("show bgp l2vpn evpn route json").get("172.16.0.7:1", {})
    return str(routes)


def used(node: Node) -> str:
    rows = [row for row in node.table("routes") if "02:00" in str(row["prefix"]) and row["best"]]
    return str(rows[0]["next_hops"]) if rows else ""


def test_frr_reads_the_number_of_moves_and_that_a_mac_is_sticky(routers: Bench, node: Node) -> None:
    publish(node, 3)
    eventually(lambda: "MM:3" in in_frr(routers), "three moves in FRR")

    publish(node, 3, sticky=True)

    eventually(lambda: "sticky MAC" in in_frr(routers), "a sticky MAC in FRR")


def test_a_sticky_mac_is_not_given_to_a_peer_that_claims_it(routers: Bench, node: Node) -> None:
    publish(node, 0, sticky=True)
    with RawPeer(routers, RAW, EVPN) as peer:
        peer.connect()
        claim(peer, 7)
        eventually(lambda: len(node.table("vpn")) == 2, "the claim")

        assert "172.16.0.7" in used(node)


def test_a_mac_that_two_hosts_claim_in_turn_is_held_at_one_and_its_other_route_taken_back(
    routers: Bench, node: Node
) -> None:
    with RawPeer(routers, RAW, EVPN) as peer:
        peer.connect()
        for number in range(1, 6):
            if number % 2:
                claim(peer, number)
                eventually(lambda: RAW in used(node), "the peer has it")
            else:
                publish(node, number)
                eventually(lambda: "172.16.0.7" in used(node), "the host has it")
            node.do(lambda plane: plane.mac_moves.tick(node.clock.now()))
        (row,) = eventually(lambda: node.table("duplicate_macs"), "a duplicate MAC")
        assert (row["mac"], row["held_at"]) == (str(MAC), [RAW])
        eventually(lambda: "MM:" not in in_frr(routers), "our host's route taken back")

        publish(node, 6)

        assert RAW in used(node)
        assert "MM:6" not in in_frr(routers)
