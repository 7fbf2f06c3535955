"""AS numbers of four bytes (RFC 6793): with BIRD and FRR of such an AS, and a peer that has none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import BIRD, FRR, OURS, RAW, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router, inet_route, instance_of, routing_instance
from skytrail.testing.raw_peer import RawPeer
from skytrail.testing.router_configs import bird_config, frr_config
from skytrail.wire.bgp import AS_TRANS, BgpFamily, MessageType
from skytrail.wire.bgp.attributes import AttributeCode

OUR_AS, FRR_AS, BIRD_AS, OLD_AS = 4_200_000_007, 4_200_000_001, 4_200_000_002, 65001
VPN = BgpFamily.INET_VPN
FRR_CONFIG = frr_config(
    process=["no bgp ebgp-requires-policy"],
    neighbour=["ebgp-multihop"],
    network="20.1.1.0/24 rd 65001:7 label 700",
    asn=FRR_AS,
    our_asn=OUR_AS,
)
BIRD_CONFIG = bird_config(asn=BIRD_AS, our_asn=OUR_AS)


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        made.start_frr(FRR_CONFIG)
        made.start_bird(BIRD_CONFIG)
        yield made


@pytest.fixture(scope="module")
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers) as made:
        made.configure(
            bgp_router(
                "control1",
                OURS,
                asn=OUR_AS,
                peers=[("frr", {}), ("bird", {}), ("old", {"passive": True})],
            ),
            bgp_router("frr", FRR, asn=FRR_AS),
            bgp_router("bird", BIRD, asn=BIRD_AS),
            bgp_router("old", RAW, asn=OLD_AS),
            routing_instance("red", both=[101]),
        )
        made.publish("compute1", instance_of("red"), inet_route("10.1.1.3/32", "172.16.0.7", 34))
        yield made


def test_long_numbers_pass_between_routers_that_have_them(routers: Bench, node: Node) -> None:
    text = eventually(
        lambda: next(
            (t for t in [routers.bird("show route table v4 all")] if "20.1.1.0/24" in t), ""
        ),
        "FRR's route in BIRD",
    )

    assert f"{OUR_AS} {FRR_AS}" in text


def test_a_peer_without_long_numbers_gets_both_forms(routers: Bench, node: Node) -> None:
    with RawPeer(routers, RAW, VPN, asn=OLD_AS) as peer:
        peer.offer(four_byte_as=False)
        peer.connect()
        eventually(lambda: len(peer.routes(VPN)) == 2, "our route and FRR's")

        opened = peer.heard(MessageType.OPEN)[-1]
        assert int.from_bytes(opened[1:3]) == AS_TRANS
        paths = [
            [number for segment in attributes.as_path for number in segment.numbers]
            for _, _, attributes in peer.routes(VPN).values()
        ]
        assert sorted(paths) == [[OUR_AS], [OUR_AS, FRR_AS]]
        bodies = [
            body
            for body in peer.heard(MessageType.UPDATE)
            if bytes((0xC0, AttributeCode.AS4_PATH)) in body
        ]
        assert len(bodies) == 2
