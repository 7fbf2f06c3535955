"""VPN routes (RFC 4364) with FRR, BIRD and GoBGP: ours reach them, theirs reach our agents."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path as FilePath

import pytest

from skytrail.control.path import InstanceName, Path
from skytrail.control.plane import ControlPlane
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import BIRD, FRR, GOBGP, OURS, Bench, bench, eventually
from skytrail.testing.control_plane import (
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
)
from skytrail.testing.router_configs import BIRD_ROUTE, FRR_NETWORK, bird_config, frr_config
from skytrail.wire.xmpp import Family, Route

RED = instance_of("red")
TARGET = 101
PEERS = {"frr": FRR, "bird": BIRD, "gobgp": GOBGP}

FRR_CONFIG = frr_config(network=FRR_NETWORK)
BIRD_CONFIG = bird_config(channel="next hop self; ", routes=[BIRD_ROUTE])


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: FilePath = tmp_path_factory.mktemp("routers")
    with bench(folder) as made:
        made.start_frr(FRR_CONFIG)
        made.start_bird(BIRD_CONFIG)
        made.start_gobgp("l3vpn-ipv4-unicast")
        yield made


@pytest.fixture(scope="module")
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers) as made:
        made.configure(
            bgp_router("control1", OURS, peers=[(name, {}) for name in PEERS]),
            *(bgp_router(name, address) for name, address in PEERS.items()),
            routing_instance("red", both=[TARGET]),
            build("virtual-network", ["default-domain", "p", "red"], fields={
                "virtual_network_network_id": 42,
            }),
        )  # fmt: skip
        made.publish("compute1", RED, inet_route("10.1.1.3/32", "172.16.0.7", 34))
        yield made


@pytest.mark.parametrize("name", PEERS)
def test_session_is_established(node: Node, name: str) -> None:
    eventually(lambda: node.state(name) == "established", f"a session with {name}")


def test_frr_learns_the_agents_route_with_label_target_and_encapsulation(
    routers: Bench, node: Node
) -> None:
    def route() -> object:
        found = routers.frr("show bgp ipv4 vpn 10.1.1.3/32 json")
        return found or None

    text = str(eventually(route, "the route in FRR"))
    assert "172.16.0.7" in text
    assert f"RT:64512:{TARGET}" in text
    assert "34" in text


def test_bird_learns_the_agents_route(routers: Bench, node: Node) -> None:
    text = eventually(
        lambda: next(
            (t for t in [routers.bird("show route table v4 all")] if "10.1.1.3/32" in t), ""
        ),
        "the route in BIRD",
    )
    assert f"(rt, 64512, {TARGET})" in text
    assert "172.16.0.7" in text


def test_gobgp_learns_the_agents_route(routers: Bench, node: Node) -> None:
    text = eventually(
        lambda: next((t for t in [routers.gobgp("global rib -a vpnv4")] if "10.1.1.3/32" in t), ""),
        "the route in GoBGP",
    )
    assert f"64512:{TARGET}" in text
    assert "[34]" in text.replace(" ", "") or "34" in text


@pytest.mark.parametrize(
    ("prefix", "label", "router"),
    [("20.1.1.0/24", 700, FRR), ("20.3.3.0/24", 900, GOBGP)],
)
def test_their_routes_enter_the_instances_that_import_their_target(
    routers: Bench, node: Node, prefix: str, label: int, router: str
) -> None:
    if router == GOBGP:
        routers.gobgp(
            f"global rib add -a vpnv4 {prefix} label {label} rd 64512:9 rt 64512:{TARGET} "
            f"nexthop {GOBGP}"
        )

    route = eventually(lambda: selected(node, prefix), f"{prefix} in the instance")

    (hop,) = route.next_hops
    assert (str(hop.address), hop.label) == (router, label)
    assert hop.encapsulations == ("gre",)


def test_a_reserved_label_is_kept_and_used_by_nobody(routers: Bench, node: Node) -> None:
    """BIRD, next hop itself, offers the implicit null: nothing that leads to a workload."""
    path = eventually(lambda: held(node, "20.2.2.0/24"), "BIRD's route")

    assert not path.is_feasible
    assert selected(node, "20.2.2.0/24") is None


def test_withdrawn_route_leaves_every_peer(routers: Bench, node: Node) -> None:
    node.publish("compute1", RED, inet_route("10.1.1.9/32", "172.16.0.7", 35))
    probes = {
        "frr": lambda: routers.frr("show bgp ipv4 vpn 10.1.1.9/32 json"),
        "bird": lambda: "10.1.1.9/32" in routers.bird("show route table v4"),
        "gobgp": lambda: "10.1.1.9/32" in routers.gobgp("global rib -a vpnv4"),
    }
    for name, probe in probes.items():
        eventually(probe, f"10.1.1.9/32 in {name}")

    node.withdraw("compute1", RED, ip_network("10.1.1.9/32"))

    for name, probe in probes.items():
        eventually(lambda probe=probe: not probe(), f"10.1.1.9/32 gone from {name}")


def held(node: Node, prefix: str) -> Path | None:
    """Return a path of the VPN table, used or not."""

    def look(plane: ControlPlane) -> Path | None:
        paths = plane.replicator.vpn[Family.INET].paths()
        return next((path for path in paths if path.key == ip_network(prefix)), None)

    return node.do(look)


def selected(node: Node, prefix: str) -> Route | None:
    def look(plane: ControlPlane) -> Route | None:
        rib = plane.replicator.vrfs[InstanceName(RED)].ribs[Family.INET]
        entry = rib.entries.get(ip_network(prefix))
        if entry is None or not entry.best:
            return None
        best = entry.best[0]
        return Route(best.key, best.next_hops, best.attributes)

    return node.do(look)
