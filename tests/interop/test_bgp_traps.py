"""What FRR, BIRD and GoBGP do beside the RFCs, and what becomes of our routes there."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.path import InstanceName
from skytrail.control.plane import ControlPlane
from skytrail.net import RouteDistinguisher, RouteTarget
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import (
    BIRD,
    FRR,
    GOBGP,
    OURS,
    OURS2,
    RAW,
    RAW2,
    Bench,
    Neighbour,
    bench,
    eventually,
)
from skytrail.testing.control_plane import (
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
)
from skytrail.testing.raw_peer import RawPeer, with_target
from skytrail.wire.bgp import BgpFamily, VpnNlri
from skytrail.wire.bgp.communities import Encapsulation, OriginVn, SecurityGroup, Tag, TunnelKind
from skytrail.wire.xmpp import Family, NextHop, Route, RouteAttributes

RED = instance_of("red")
VPN = BgpFamily.INET_VPN
REFLECTORS = {"frr": (FRR, RAW), "bird": (BIRD, RAW2), "gobgp": (GOBGP, OURS2)}
"""Where each is, and the peer it reflects to."""
FRR_CONFIG = f"""
router bgp 64512
 bgp router-id {FRR}
 no bgp default ipv4-unicast
 neighbor {OURS} remote-as 64512
 neighbor {OURS} update-source {FRR}
 neighbor {OURS} timers connect 1
 neighbor {RAW} remote-as 64512
 neighbor {RAW} update-source {FRR}
 neighbor {RAW} passive
 address-family ipv4 unicast
  network 20.10.0.0/16
  rd vpn export 64512:10
  rt vpn both 64512:101
  label vpn export 100
  export vpn
 exit-address-family
 address-family ipv4 vpn
  neighbor {OURS} activate
  neighbor {RAW} activate
  neighbor {RAW} route-reflector-client
 exit-address-family
"""
ROUTES_COUNT = 60
BIRD_CONFIG = f"""
router id {BIRD};
vpn4 table v4;
protocol device {{}}
template bgp ours {{
  local {BIRD} as 64512;
  multihop;
  strict bind yes;
  connect retry time 1;
  vpn4 mpls {{ table v4; import all; export all; next hop keep; }};
}}
protocol bgp node from ours {{ neighbor {OURS} as 64512; }}
protocol bgp behind from ours {{ neighbor {RAW2} as 64512; rr client; passive; }}
"""


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        made.start_frr(FRR_CONFIG, with_zebra=True)
        made.start_bird(BIRD_CONFIG)
        reflecting = (
            "\n  [neighbors.route-reflector.config]\n    route-reflector-client = true\n"
            f'    route-reflector-cluster-id = "{GOBGP}"\n'
        )
        made.start_gobgp_with(
            Neighbour(OURS, ("l3vpn-ipv4-unicast",)),
            Neighbour(OURS2, ("l3vpn-ipv4-unicast",), sections=reflecting),
        )
        yield made


@pytest.fixture(scope="module")
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers) as made:
        made.configure(
            bgp_router("control1", OURS, peers=[(name, {}) for name in REFLECTORS]),
            *(bgp_router(name, at, router_type="router") for name, (at, _) in REFLECTORS.items()),
            routing_instance("red", both=[101]),
            build("virtual-network", ["default-domain", "p", "red"], fields={
                "virtual_network_network_id": 42,
            }),
        )  # fmt: skip
        yield made


def tunnel_ends(node: Node, prefix: str) -> list[str]:
    """Return where hosts send what is for a prefix."""

    def look(plane: ControlPlane) -> list[str]:
        rib = plane.replicator.vrfs[InstanceName(RED)].ribs[Family.INET]
        best = rib.best(ip_network(prefix))
        return [str(hop.address) for path in best for hop in path.next_hops]

    return node.do(look)


@pytest.mark.parametrize("reflector", REFLECTORS)
def test_trap_8_routers_pass_on_tunnel_kinds_and_our_own_communities_untouched(
    routers: Bench, node: Node, reflector: str
) -> None:
    hop = NextHop(
        IPv4Address("172.16.0.7"), label=inet_route("10.1.1.3/32").next_hops[0].label,
        encapsulations=("udp", "gre"), tags=(0x20001,),
    )  # fmt: skip
    attributes = RouteAttributes(local_preference=200, security_groups=(8000004,))
    address, client = REFLECTORS[reflector]
    node.publish("compute1", RED, Route(ip_network("10.1.1.8/32"), (hop,), attributes))

    with RawPeer(routers, client, VPN, to=address) as peer:
        # GoBGP gives up at once on a peer without a hold time.
        peer.offer(hold_time_s=90)
        peer.connect()
        (_, _, heard) = eventually(
            lambda: next((r for r in peer.routes(VPN).values() if "10.1.1.8" in str(r[0])), None),
            f"the route by way of {reflector}",
        )

    assert set(heard.extended_communities) == {
        RouteTarget.parse("target:64512:101").packed,
        Encapsulation(TunnelKind.GRE).packed,
        Encapsulation(TunnelKind.MPLS_OVER_GRE).packed,
        Encapsulation(TunnelKind.MPLS_OVER_UDP).packed,
        SecurityGroup(64512, 8000004).packed,
        Tag(64512, 0x20001).packed,
        OriginVn(64512, 42).packed,
    }


@pytest.mark.parametrize("preference", [100, 200])
def test_trap_9_what_a_router_leads_back_to_us_gets_no_traffic_of_the_workload(
    routers: Bench, node: Node, preference: int
) -> None:
    """FRR exports what EVPN brought into a VRF into VPN, with itself as next hop and its label."""
    led_back = VpnNlri(RouteDistinguisher.parse("64512:300"), ip_network("10.1.1.9/32"), (100,))
    attributes = RouteAttributes(local_preference=preference)
    route = inet_route("10.1.1.9/32", "172.16.0.7", attributes=attributes)
    others = [bgp_router(name, at, router_type="router") for name, (at, _) in REFLECTORS.items()]
    node.configure(
        bgp_router("control1", OURS, peers=[*((name, {}) for name in REFLECTORS), ("vrf", {})]),
        *others,
        bgp_router("vrf", RAW, router_type="router"),
        routing_instance("red", both=[101]),
        build("virtual-network", ["default-domain", "p", "red"], fields={
            "virtual_network_network_id": 42,
        }),
    )  # fmt: skip
    node.publish("compute1", RED, route)
    with RawPeer(routers, RAW, VPN) as peer:
        peer.connect()
        (_, _, ours) = eventually(
            lambda: next((r for r in peer.routes(VPN).values() if "10.1.1.9" in str(r[0])), None),
            "our route",
        )
        peer.announce(VPN, ours, led_back)
        peer.announce(VPN, with_target(), VpnNlri(led_back.distinguisher, NOT_OURS, (101,)))
        eventually(lambda: tunnel_ends(node, str(NOT_OURS)) == [RAW], "what it says of itself")

        assert tunnel_ends(node, "10.1.1.9/32") == ["172.16.0.7"]
        node.withdraw("compute1", RED, ip_network("10.1.1.9/32"))
        assert tunnel_ends(node, "10.1.1.9/32") == []


NOT_OURS = ip_network("20.30.0.0/16")


def test_trap_10_frr_exports_a_network_it_has_no_route_to_only_while_it_cannot_ask_the_kernel(
    routers: Bench, node: Node
) -> None:
    eventually(lambda: node.state("frr") == "established", "a session with FRR")
    eventually(lambda: VPN in node.peer("frr").ends_received, "FRR's routes")
    assert tunnel_ends(node, "20.10.0.0/16") == []

    for daemon in ("frr", "zebra"):
        routers.kill(daemon)
    routers.start_frr(FRR_CONFIG)

    eventually(lambda: tunnel_ends(node, "20.10.0.0/16") == [FRR], "the network by way of FRR")


@pytest.mark.parametrize("reflector", ["bird", "gobgp"])
def test_trap_11_a_full_update_that_becomes_one_for_each_route_on_its_way_is_heard(
    routers: Bench, node: Node, reflector: str
) -> None:
    address, client = REFLECTORS[reflector]
    counters = node.peer(reflector).counters
    place = "20.20" if reflector == "bird" else "20.21"
    routes = [
        VpnNlri(
            RouteDistinguisher.parse("64512:8"), ip_network(f"{place}.{each}.0/24"), (1000 + each,)
        )
        for each in range(ROUTES_COUNT)
    ]
    with RawPeer(routers, client, VPN, to=address) as peer:
        peer.offer(hold_time_s=90)
        peer.connect()
        before = counters.updates_in
        peer.announce(VPN, with_target(), *routes)
        eventually(lambda: held(node, place) == ROUTES_COUNT, f"all routes by way of {reflector}")

        # Were they packed on the way, this would not try what it is here to try.
        assert counters.updates_in - before >= ROUTES_COUNT


def held(node: Node, place: str) -> int:
    return sum(str(row["prefix"]).startswith(place) for row in node.table("vpn"))
