"""Route reflection (RFC 4456): FRR, BIRD and GoBGP as clients of our node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import (
    BIRD,
    FRR,
    GOBGP,
    OURS,
    RAW,
    RAW2,
    Bench,
    bench,
    eventually,
)
from skytrail.testing.control_plane import bgp_router, routing_instance
from skytrail.testing.raw_peer import RawPeer, vpn_route, with_target
from skytrail.testing.router_configs import BIRD_ROUTE, FRR_NETWORK, bird_config, frr_config
from skytrail.wire.bgp import BgpFamily

VPN = BgpFamily.INET_VPN
CLUSTER = IPv4Address("10.255.0.1")
PEERS = {"frr": FRR, "bird": BIRD, "gobgp": GOBGP, "one": RAW, "two": RAW2}
FRR_CONFIG = frr_config(network=FRR_NETWORK)
BIRD_CONFIG = bird_config(channel="next hop self; ", routes=[BIRD_ROUTE])


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        made.start_frr(FRR_CONFIG)
        made.start_bird(BIRD_CONFIG)
        made.start_gobgp("l3vpn-ipv4-unicast")
        yield made


def configure(node: Node, **settings: object) -> None:
    node.configure(
        bgp_router(
            "control1",
            OURS,
            peers=[(name, {"passive": address in {RAW, RAW2}}) for name, address in PEERS.items()],
            **settings,
        ),
        *(bgp_router(name, address) for name, address in PEERS.items()),
        routing_instance("red", both=[101]),
    )
    for name in ("frr", "bird", "gobgp"):
        eventually(lambda name=name: node.state(name) == "established", f"{name} is up")


def test_clients_learn_each_others_routes_with_originator_and_cluster(
    routers: Bench, node: Node
) -> None:
    configure(node, cluster_id=int(CLUSTER))
    routers.gobgp(
        f"global rib add -a vpnv4 20.3.3.0/24 label 900 rd 64512:9 rt 64512:101 nexthop {GOBGP}"
    )

    for prefix in ("20.2.2.0/24", "20.3.3.0/24"):
        eventually(
            lambda prefix=prefix: routers.frr(f"show bgp ipv4 vpn {prefix} json"),
            f"{prefix} in FRR",
        )
    for prefix in ("20.1.1.0/24", "20.3.3.0/24"):
        eventually(
            lambda prefix=prefix: prefix in routers.bird("show route table v4"), f"{prefix} in BIRD"
        )
    text = eventually(
        lambda: next(
            (
                t
                for t in [routers.gobgp("global rib -a vpnv4")]
                if "20.1.1.0" in t and "20.2.2" in t
            ),
            "",
        ),
        "both routes in GoBGP",
    )
    assert f"{{Originator: {FRR}}} {{ClusterList: [{CLUSTER}]}}" in text
    assert f"{{Originator: {BIRD}}} {{ClusterList: [{CLUSTER}]}}" in text


def test_a_node_without_cluster_passes_no_internal_route_to_an_internal_peer(
    routers: Bench, node: Node
) -> None:
    configure(node)
    eventually(lambda: len(node.table("vpn")) >= 2, "routes of FRR and BIRD")
    with RawPeer(routers, RAW, VPN) as peer:
        peer.connect()
        eventually(lambda: VPN in peer.ends(), "the end of our RIB")

        assert peer.routes(VPN) == {}


@pytest.mark.parametrize(
    "changes",
    [{"originator": IPv4Address(OURS)}, {"cluster_list": (IPv4Address("10.255.0.7"), CLUSTER)}],
    ids=["our router id as originator", "our cluster in the list"],
)
def test_a_route_that_has_been_here_is_not_passed_on(
    routers: Bench, node: Node, changes: dict[str, object]
) -> None:
    configure(node, cluster_id=int(CLUSTER))
    with RawPeer(routers, RAW, VPN) as one, RawPeer(routers, RAW2, VPN) as two:
        one.connect()
        two.connect()
        looping = replace(with_target(), **changes)  # type: ignore[arg-type]
        one.announce(VPN, looping, vpn_route(50))
        one.announce(VPN, with_target(), vpn_route(51))

        eventually(lambda: vpn_route(51).key in two.routes(VPN), "the good route")
        assert vpn_route(50).key not in two.routes(VPN)


def test_the_first_originator_and_every_cluster_on_the_way_stay(routers: Bench, node: Node) -> None:
    configure(node, cluster_id=int(CLUSTER))
    with RawPeer(routers, RAW, VPN) as one, RawPeer(routers, RAW2, VPN) as two:
        one.connect()
        two.connect()
        other = IPv4Address("10.255.0.7")
        seen = replace(with_target(), originator=IPv4Address(GOBGP), cluster_list=(other,))
        one.announce(VPN, seen, vpn_route(52))

        eventually(lambda: vpn_route(52).key in two.routes(VPN), "the route")
        _, hop, attributes = two.routes(VPN)[vpn_route(52).key]
        assert (str(attributes.originator), attributes.cluster_list) == (GOBGP, (CLUSTER, other))
        assert str(hop) == RAW
