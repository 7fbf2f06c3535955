"""EVPN types 1 to 4 (RFC 7432) from GoBGP through our node to FRR, and type 6 (RFC 9251)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skytrail.net import RouteDistinguisher
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, GOBGP, OURS, RAW, RAW2, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router
from skytrail.testing.raw_peer import RawPeer, with_target
from skytrail.testing.router_configs import EVPN as FRR_EVPN
from skytrail.testing.router_configs import frr_config
from skytrail.wire.bgp import BgpFamily, IpAddress, SelectiveMulticast

EVPN = BgpFamily.EVPN
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
            bgp_router("one", RAW),
            bgp_router("two", RAW2),
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
