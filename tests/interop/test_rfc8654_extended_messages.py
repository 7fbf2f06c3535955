"""Messages of more than 4,096 bytes (RFC 8654): to BIRD that takes them, to peers that do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import BIRD, OURS, RAW, RAW2, Bench, eventually
from skytrail.testing.control_plane import bgp_router, routing_instance
from skytrail.testing.raw_peer import RawPeer, vpn_route, with_target
from skytrail.testing.router_configs import bird_config
from skytrail.wire.bgp import BgpFamily

VPN = BgpFamily.INET_VPN
BIRD_CONFIG = bird_config("enable extended messages yes")
LONG = replace(with_target(), communities=tuple(64512 << 16 | number for number in range(1500)))
"""6,000 bytes of communities."""


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


def test_long_attributes_reach_bird_and_a_peer_with_short_messages_is_spared(
    routers: Bench, node: Node
) -> None:
    routers.start_bird(BIRD_CONFIG)
    with RawPeer(routers, RAW, VPN) as one, RawPeer(routers, RAW2, VPN) as two:
        one.connect()
        two.offer(extended_message=False)
        two.connect()
        one.announce(VPN, with_target(), vpn_route(1), vpn_route(2))
        eventually(lambda: len(two.routes(VPN)) == 2, "both routes with short attributes")

        one.announce(VPN, LONG, vpn_route(1))

        # What it knew is no longer true and cannot be said anew, so it is taken back (section 4).
        eventually(lambda: list(two.routes(VPN)) == [vpn_route(2).key], "the long one taken back")
        text = eventually(
            lambda: next(
                (t for t in [routers.bird("show route table v4 all")] if "(64512,1499)" in t), ""
            ),
            "all communities in BIRD",
        )
        assert "20.1.0.0/16" in text
        assert {node.state(name) for name in ("bird", "one", "two")} == {"established"}
