"""Graceful restart (RFC 4724): routers restart and nobody loses a route; so may we."""

from __future__ import annotations

import time

from skytrail.control.io.bgp import PeerLink
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import (
    BIRD,
    FRR,
    GOBGP,
    OURS,
    RAW,
    Bench,
    Neighbour,
    eventually,
)
from skytrail.testing.control_plane import (
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.testing.raw_peer import RawPeer, vpn_route, with_target
from skytrail.testing.router_configs import BIRD_ROUTE, FRR_NETWORK, bird_config, frr_config
from skytrail.wire.bgp import BgpFamily, GracefulRestart

VPN = BgpFamily.INET_VPN
RED = instance_of("red")
OUR_ROUTE = "10.1.1.3/32"
FRR_CONFIG = frr_config(
    process=[
        "bgp graceful-restart",
        "bgp graceful-restart preserve-fw-state",
        "bgp graceful-restart restart-time 60",
    ],
    network=FRR_NETWORK,
)
BIRD_CONFIG = bird_config(
    "graceful restart yes",
    "graceful restart time 60",
    channel="next hop keep; ",
    routes=[BIRD_ROUTE],
)
GOBGP_RESTART = """
  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = 60
"""
GOBGP_FAMILY_RESTART = """
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
"""
PEERS = {"frr": FRR, "bird": BIRD, "gobgp": GOBGP, "watcher": RAW}


def started(routers: Bench, *peers: str, deferral_time_s: float = 0.5) -> Node:
    node = Node(routers, restart_time_s=60, deferral_time_s=deferral_time_s)
    node.start()
    node.configure(
        bgp_router(
            "control1",
            OURS,
            cluster_id=0x0A090001,
            peers=[(name, {"passive": name == "watcher"}) for name in peers],
        ),
        *(bgp_router(name, PEERS[name]) for name in peers),
        virtual_router("compute1"),
        routing_instance("red", both=[101]),
    )
    return node


def start_gobgp(routers: Bench) -> None:
    routers.start_gobgp_with(
        Neighbour(
            OURS,
            ("l3vpn-ipv4-unicast",),
            sections=GOBGP_RESTART,
            family_sections=GOBGP_FAMILY_RESTART,
        )
    )


def test_a_router_that_is_back_in_time_costs_nobody_a_withdrawal(routers: Bench) -> None:
    """Not FRR 8.4, which ends its RIB seconds before it says its own VPN routes again."""
    name = "bird"
    routers.start_bird(BIRD_CONFIG)
    node = started(routers, name, "watcher")
    try:
        with RawPeer(routers, RAW, VPN) as watcher:
            watcher.connect()
            eventually(lambda: len(watcher.routes(VPN)) == 1, f"the route of {name}")

            routers.kill(name)
            eventually(lambda: node.state(name) != "established", "the session is lost")
            eventually(lambda: node.table("vpn")[0]["stale"], "its route is stale")
            routers.start_bird(BIRD_CONFIG, "-R")
            eventually(lambda: node.state(name) == "established", f"{name} is back")
            eventually(lambda: not node.table("vpn")[0]["stale"], "its route confirmed")

            assert len(watcher.routes(VPN)) == 1
            assert watcher.withdrawals() == 0
    finally:
        node.close()


def test_what_a_restarted_router_does_not_repeat_goes_with_its_end_of_rib(routers: Bench) -> None:
    routers.start_frr(FRR_CONFIG)
    node = started(routers, "frr", "watcher")
    try:
        with RawPeer(routers, RAW, VPN) as watcher:
            watcher.connect()
            eventually(lambda: len(watcher.routes(VPN)) == 1, "the route of FRR")

            routers.kill("frr")
            eventually(lambda: node.state("frr") != "established", "the session is lost")
            routers.start_frr(FRR_CONFIG.replace("20.1.1.0", "20.1.7.0"))

            eventually(lambda: node.state("frr") == "established", "FRR is back")
            eventually(
                lambda: (
                    [str(n.prefix) for n, _, _ in watcher.routes(VPN).values()]  # type: ignore[union-attr]
                    == ["20.1.7.0/24"]
                ),
                "the old route gone, the new one there",
            )
    finally:
        node.close()


def test_routers_keep_our_routes_while_we_restart(routers: Bench) -> None:
    routers.start_frr(FRR_CONFIG)
    routers.start_bird(BIRD_CONFIG)
    start_gobgp(routers)
    probes = {
        "frr": lambda: bool(routers.frr(f"show bgp ipv4 vpn {OUR_ROUTE} json")),
        "bird": lambda: OUR_ROUTE in routers.bird("show route table v4"),
        "gobgp": lambda: OUR_ROUTE in routers.gobgp("global rib -a vpnv4"),
    }
    node = started(routers, *probes, deferral_time_s=30)
    node.publish("compute1", RED, inet_route(OUR_ROUTE, "172.16.0.7", 34))
    node.end_rib("compute1")
    for name, probe in probes.items():
        eventually(probe, f"our route in {name}")

    node.close()
    for probe in probes.values():
        assert probe()
    node = started(routers, *probes, deferral_time_s=30)
    try:
        for name, probe in probes.items():
            eventually(lambda name=name: node.state(name) == "established", f"{name} is back")
            assert probe()
        node.publish("compute1", RED, inet_route(OUR_ROUTE, "172.16.0.7", 34))
        node.end_rib("compute1")
        eventually(lambda: node.plane.is_settled, "the end of the deferral")
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert all(probe() for probe in probes.values())
    finally:
        node.close()


def test_we_say_that_we_restarted_until_our_routes_are_complete(routers: Bench) -> None:
    node = started(routers, "watcher")
    try:
        eventually(lambda: node.plane.is_settled, "the end of the deferral")
        with RawPeer(routers, RAW, VPN) as watcher:
            watcher.connect()
            eventually(lambda: VPN in watcher.ends(), "the end of our RIB")
            assert not watcher.heard_open().graceful_restart.restarting  # type: ignore[union-attr]
    finally:
        node.close()
    node = Node(routers, deferral_time_s=60)
    node.start()
    try:
        node.configure(
            bgp_router("control1", OURS, peers=[("watcher", {"passive": True})]),
            bgp_router("watcher", RAW),
            virtual_router("compute9"),
        )
        with RawPeer(routers, RAW, VPN) as watcher:
            watcher.connect()
            assert watcher.heard_open().graceful_restart.restarting  # type: ignore[union-attr]
            assert watcher.ends() == []
    finally:
        node.close()


def test_a_peer_that_stays_away_loses_its_routes_when_its_time_is_over(routers: Bench) -> None:
    node = started(routers, "watcher")
    try:
        with RawPeer(routers, RAW, VPN) as peer:
            peer.offer(graceful_restart=GracefulRestart(1, families=((VPN, True),)))
            peer.connect()
            peer.announce(VPN, with_target(), vpn_route(1))
            eventually(lambda: node.table("vpn"), "its route")
        eventually(lambda: node.table("vpn")[0]["stale"], "its route is stale")
        eventually(lambda: not node.table("vpn"), "its route is gone")
    finally:
        node.close()


def configure_times(node: Node, **parameters: object) -> None:
    node.configure(
        bgp_router("control1", OURS, peers=[("watcher", {"passive": True}), ("frr", {})]),
        bgp_router("watcher", RAW),
        bgp_router("frr", FRR),
        virtual_router("compute1"),
        routing_instance("red", both=[101]),
        build(
            "global-system-config",
            ["default-global-system-config"],
            fields={"graceful_restart_parameters": parameters},
        ),
    )


def test_the_restart_time_we_ask_for_is_that_of_the_configuration(routers: Bench) -> None:
    routers.start_frr(FRR_CONFIG)
    node = started(routers, "watcher", "frr")
    try:
        links = node.bgp.links
        configure_times(node, enable=True, restart_time=77)
        eventually(
            lambda: {offered(each) for each in links.values()} == {77}, "sessions with that time"
        )
        with RawPeer(routers, RAW, VPN) as watcher:
            watcher.connect()
            restart = watcher.heard_open().graceful_restart
            assert restart is not None
            assert restart.restart_time_s == 77
        eventually(lambda: "77" in str(restart_times(routers)), "FRR shows the time we ask for")

        configure_times(node, enable=False)
        eventually(lambda: {offered(each) for each in links.values()} == {None}, "sessions without")

        with RawPeer(routers, RAW, VPN) as watcher:
            watcher.connect()
            assert watcher.heard_open().graceful_restart is None
            assert watcher.heard_open().long_lived == ()
    finally:
        node.close()


def offered(link: PeerLink) -> int | None:
    restart = link.session.settings.graceful_restart
    return None if restart is None else restart.restart_time_s


def restart_times(routers: Bench) -> object:
    shown = routers.frr(f"show bgp neighbors {OURS} json").get(OURS, {})
    assert isinstance(shown, dict)
    return shown.get("gracefulRestartInfo", {})


def test_a_node_that_is_no_helper_drops_the_routes_of_a_router_that_goes(routers: Bench) -> None:
    routers.start_frr(FRR_CONFIG)
    node = started(routers, "watcher", "frr")
    try:
        configure_times(node, enable=True, restart_time=60, bgp_helper_enable=False)
        eventually(lambda: node.table("vpn"), "FRR's route")

        routers.kill("frr")

        eventually(lambda: not node.table("vpn"), "its route gone")
        assert node.peer("frr").negotiated is None
    finally:
        node.close()
