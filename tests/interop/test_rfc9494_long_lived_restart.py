"""Long-lived graceful restart (RFC 9494) with BIRD, and the send hold timer (RFC 9687)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import BIRD, OURS, RAW, RAW2, Bench, eventually
from skytrail.testing.control_plane import (
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.testing.raw_peer import RawPeer, vpn_route, with_target
from skytrail.testing.router_configs import BIRD_ROUTE, bird_config
from skytrail.wire.bgp import LLGR_STALE, NO_LLGR, BgpFamily, GracefulRestart, LongLivedFamily
from skytrail.wire.xmpp import RouteAttributes

VPN = BgpFamily.INET_VPN
RED = instance_of("red")
OUR_ROUTE = "10.1.1.3/32"
PEERS = {"bird": BIRD, "one": RAW, "two": RAW2}
BIRD_CONFIG = bird_config(
    "graceful restart yes",
    "graceful restart time 1",
    "long lived graceful restart yes",
    "long lived stale time 120",
    channel="next hop keep; ",
    routes=[BIRD_ROUTE],
)


def started(routers: Bench, *peers: str, restart_time_s: float = 30) -> Node:
    node = Node(routers, restart_time_s=restart_time_s)
    node.start()
    settings = {"enable": True, "restart_time": 1, "long_lived_restart_time": 120}
    node.configure(
        bgp_router(
            "control1",
            OURS,
            cluster_id=0x0A090001,
            peers=[(name, {"passive": name != "bird"}) for name in peers],
        ),
        *(bgp_router(name, PEERS[name]) for name in peers),
        routing_instance("red", both=[101]),
        virtual_router("compute1"),
        build(
            "global-system-config",
            ["default-global-system-config"],
            fields={"graceful_restart_parameters": settings},
        ),
    )
    return node


@pytest.fixture
def node(routers: Bench) -> Iterator[Node]:
    made = started(routers, *PEERS)
    try:
        yield made
    finally:
        made.close()


def keeps_long(peer: RawPeer, *, time_s: int = 120) -> None:
    peer.offer(
        graceful_restart=GracefulRestart(0, families=((VPN, True),)),
        long_lived=(LongLivedFamily(VPN, preserved=True, stale_time_s=time_s),),
    )


def test_routes_of_a_router_that_stays_away_are_marked_and_kept_from_who_cannot_tell(
    routers: Bench, node: Node
) -> None:
    routers.start_bird(BIRD_CONFIG)
    with RawPeer(routers, RAW, VPN) as able, RawPeer(routers, RAW2, VPN) as unable:
        keeps_long(able)
        able.connect()
        unable.connect()
        for peer in (able, unable):
            eventually(lambda peer=peer: len(peer.routes(VPN)) == 1, "BIRD's route")

        routers.kill("bird")

        def is_marked() -> bool:
            return any(LLGR_STALE in each.communities for _, _, each in able.routes(VPN).values())

        eventually(is_marked, "the route marked")
        eventually(lambda: unable.routes(VPN) == {}, "the route taken back")
        assert able.withdrawals() == 0

        routers.start_bird(BIRD_CONFIG, "-R")
        eventually(lambda: not is_marked(), "the mark is gone")
        eventually(lambda: len(unable.routes(VPN)) == 1, "the route is back")
        assert able.withdrawals() == 0


def test_routes_go_when_the_long_time_is_over_or_is_not_wanted(routers: Bench, node: Node) -> None:
    with RawPeer(routers, RAW, VPN) as one:
        keeps_long(one, time_s=2)
        one.connect()
        one.announce(VPN, with_target(), vpn_route(1))
        one.announce(VPN, replace(with_target(), communities=(NO_LLGR,)), vpn_route(2))
        eventually(lambda: len(node.table("vpn")) == 2, "both routes")

    eventually(
        lambda: [row["prefix"] for row in node.table("vpn")] == ["20.1.0.0/16"],
        "the route that is not to be kept is gone",
    )
    eventually(lambda: not node.table("vpn"), "the other one as well")


def test_a_route_that_is_marked_loses_to_any_other(routers: Bench, node: Node) -> None:
    with RawPeer(routers, RAW, VPN) as one, RawPeer(routers, RAW2, VPN) as two:
        one.connect()
        two.connect()
        better = replace(with_target(), local_preference=500, communities=(LLGR_STALE,))
        one.announce(VPN, better, vpn_route(1))
        two.announce(VPN, with_target(), vpn_route(1))

        rows = eventually(
            lambda: rows if len(rows := node.table("vpn")) == 2 else None, "both copies"
        )
        assert {str(row["source"]).rpartition(":")[2]: row["why_not_best"] for row in rows} == {
            "one": "long-lived stale",
            "two": "",
        }


def test_bird_keeps_our_routes_for_as_long_as_the_configuration_asks(routers: Bench) -> None:
    routers.start_bird(BIRD_CONFIG)
    node = started(routers, "bird", restart_time_s=1)
    node.publish("compute1", RED, inet_route(OUR_ROUTE, "172.16.0.7", 34))
    eventually(lambda: OUR_ROUTE in routers.bird("show route table v4"), "our route in BIRD")

    node.close()

    eventually(lambda: "(65535, 6)" in routers.bird("show route table v4 all") or (
        "(65535,6)" in routers.bird("show route table v4 all")), "our route marked in BIRD")  # fmt: skip
    assert OUR_ROUTE in routers.bird("show route table v4")


def test_a_peer_that_never_reads_is_cut_off_by_the_send_hold_timer(
    routers: Bench, node: Node
) -> None:
    node.bgp.send_hold_time_s = 1.0
    with RawPeer(routers, RAW, VPN) as peer:
        peer.receive_buffer_bytes = 4096
        peer.connect()
        eventually(lambda: node.state("one") == "established", "a session")
        peer.stop_reading()
        for turn in range(50):
            # Attributes of its own for each, so that they are a message each: more than sockets hold.
            routes = [
                inet_route(
                    f"10.{turn}.{octet}.3/32",
                    attributes=RouteAttributes(communities=(f"{turn + 1}:{octet + 1}",)),
                )
                for octet in range(256)
            ]
            node.publish("compute1", RED, *routes)

        eventually(lambda: not node.peer("one").is_up, "the session is over")
