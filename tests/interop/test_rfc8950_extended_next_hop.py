"""IPv6 next hops of IPv4 VPN routes (RFC 8950): passed on to BIRD, kept from who cannot read them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import BIRD, OURS, RAW, RAW2, Bench, eventually
from skytrail.testing.control_plane import bgp_router, routing_instance
from skytrail.testing.raw_peer import RawPeer, vpn_route, with_target
from skytrail.testing.router_configs import bird_config
from skytrail.wire.bgp import BgpFamily

VPN = BgpFamily.INET_VPN
HOP = IPv6Address("fd00::9")
BIRD_CONFIG = bird_config(channel="extended next hop yes; ")


@pytest.fixture
def node(routers: Bench) -> Iterator[Node]:
    peers = {"bird": BIRD, "one": RAW, "two": RAW2}
    with Node(routers) as made:
        made.configure(
            bgp_router(
                "control1",
                OURS,
                cluster_id=0x0A090001,
                peers=[(name, {"passive": name != "bird"}) for name in peers],
            ),
            *(bgp_router(name, address) for name, address in peers.items()),
            routing_instance("red", both=[101]),
        )
        yield made


def test_a_route_over_ipv6_reaches_bird_and_not_a_peer_without_the_capability(
    routers: Bench, node: Node
) -> None:
    routers.start_bird(BIRD_CONFIG)
    with RawPeer(routers, RAW, VPN) as one, RawPeer(routers, RAW2, VPN) as two:
        one.offer(extended_next_hop=(VPN,))
        one.connect()
        two.connect()
        one.announce(VPN, with_target(), vpn_route(1), hop=HOP)
        one.announce(VPN, with_target(), vpn_route(2))

        eventually(lambda: list(two.routes(VPN)) == [vpn_route(2).key], "the route over IPv4")
        text = eventually(
            lambda: next(
                (t for t in [routers.bird("show route table v4 all")] if "20.1.0.0/16" in t), ""
            ),
            "the route over IPv6 in BIRD",
        )
        assert str(HOP) in text


def test_hosts_are_given_next_hops_over_ipv6(routers: Bench, node: Node) -> None:
    with RawPeer(routers, RAW, VPN) as one:
        one.offer(extended_next_hop=(VPN,))
        one.connect()
        one.announce(VPN, with_target(), vpn_route(1), hop=HOP)

        (row,) = eventually(lambda: node.table("vpn"), "the route")
        assert row["feasible"]


def test_a_route_that_moves_to_ipv6_is_taken_back_from_who_cannot_read_it(
    routers: Bench, node: Node
) -> None:
    with RawPeer(routers, RAW, VPN) as one, RawPeer(routers, RAW2, VPN) as two:
        one.offer(extended_next_hop=(VPN,))
        one.connect()
        two.connect()
        one.announce(VPN, with_target(), vpn_route(1))
        eventually(lambda: two.routes(VPN), "the route over IPv4")

        one.announce(VPN, with_target(), vpn_route(1), hop=HOP)

        eventually(lambda: two.routes(VPN) == {}, "the route taken back")
