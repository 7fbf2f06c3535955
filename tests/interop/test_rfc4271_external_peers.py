"""External peers (RFC 4271 section 5.1, RFC 7705): AS paths as FRR and BIRD see them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import BIRD, FRR, OURS, RAW, Bench, eventually
from skytrail.testing.control_plane import bgp_router, inet_route, instance_of, routing_instance
from skytrail.testing.raw_peer import RawPeer, vpn_route, with_target
from skytrail.testing.router_configs import bird_config, frr_config
from skytrail.wire.bgp import AsSegment, AsSegmentKind, Attributes, BgpFamily

VPN = BgpFamily.INET_VPN
RED = instance_of("red")
OUR_ROUTE = "10.1.1.3/32"
FRR_AS, BIRD_AS, RAW_AS = 65001, 4_200_000_001, 65001
FRR_CONFIG = frr_config(
    process=["no bgp ebgp-requires-policy"],
    neighbour=["ebgp-multihop"],
    network="20.1.1.0/24 rd 65001:7 label 700",
    asn=FRR_AS,
    our_asn="OUR_AS",
)
BIRD_CONFIG = bird_config(asn=BIRD_AS)


def configure(node: Node, **frr_session: object) -> None:
    """Configure FRR (its session so), BIRD and a raw peer, and publish a route of our own."""
    node.configure(
        bgp_router(
            "control1",
            OURS,
            peers=[("frr", frr_session), ("bird", {}), ("raw", {"passive": True})],
        ),
        bgp_router("frr", FRR, asn=FRR_AS),
        bgp_router("bird", BIRD, asn=BIRD_AS),
        bgp_router("raw", RAW, asn=RAW_AS),
        routing_instance("red", both=[101]),
    )
    node.publish("compute1", RED, inet_route(OUR_ROUTE, "172.16.0.7", 34))


def start_frr(routers: Bench, our_as: int = 64512) -> None:
    routers.start_frr(FRR_CONFIG.replace("OUR_AS", str(our_as)))


def path_in_frr(routers: Bench, prefix: str) -> str | None:
    """Return the AS path of a VPN route in FRR."""
    found = routers.frr(f"show bgp ipv4 vpn {prefix} json")
    text = str(found)
    if "'paths'" not in text:
        return None
    return text.split("'aspath': {'string': '")[1].split("'", maxsplit=1)[0]


def heard(*numbers: int) -> Attributes:
    """Return attributes as an external peer sends them."""
    path = (AsSegment(AsSegmentKind.SEQUENCE, numbers),)
    return replace(with_target(), local_preference=None, as_path=path)


def test_external_routers_see_our_as_and_we_theirs(routers: Bench, node: Node) -> None:
    start_frr(routers)
    routers.start_bird(BIRD_CONFIG)
    configure(node)

    assert eventually(lambda: path_in_frr(routers, OUR_ROUTE), "our route in FRR") == "64512"
    eventually(lambda: OUR_ROUTE in routers.bird("show route table v4"), "our route in BIRD")
    assert "[AS64512" in routers.bird("show route table v4")
    rows = eventually(
        lambda: [row for row in node.table("vpn") if row["prefix"] == "20.1.1.0/24"], "FRR's route"
    )
    assert rows[0]["as_path"] == [FRR_AS]
    # FRR's route goes on to BIRD, with both on the path.
    eventually(lambda: "20.1.1.0/24" in routers.bird("show route table v4"), "FRR's in BIRD")
    assert f"64512 {FRR_AS}" in routers.bird("show route table v4 all")


@pytest.mark.parametrize("overrides", [False, True])
def test_as_override_lets_sites_of_one_as_see_each_other(
    routers: Bench, node: Node, overrides: bool
) -> None:
    start_frr(routers)
    configure(node, as_override=overrides)
    with RawPeer(routers, RAW, VPN, asn=RAW_AS) as site:
        site.connect()
        site.announce(VPN, heard(RAW_AS), vpn_route(5))
        site.announce(VPN, heard(RAW_AS, 3356), vpn_route(6))
        eventually(lambda: len(node.table("vpn")) >= 3, "the site's routes")
        eventually(lambda: path_in_frr(routers, OUR_ROUTE), "our route in FRR")

        if overrides:
            path = eventually(lambda: path_in_frr(routers, "20.6.0.0/16"), "the other site's route")
            assert path == "64512 64512 3356"
        else:
            assert path_in_frr(routers, "20.6.0.0/16") is None


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("", "64512 65010 3356 65020"),
        ("remove", "64512 3356 65020"),
        ("remove-all", "64512 3356"),
        ("replace-all", "64512 64512 3356 64512"),
    ],
)
def test_private_numbers_are_removed_or_replaced(
    routers: Bench, node: Node, action: str, expected: str
) -> None:
    start_frr(routers)
    node.configure(
        bgp_router(
            "control1",
            OURS,
            peers=[
                ("frr", {"private_as_action": action} if action else {}),
                ("raw", {"passive": True}),
            ],
        ),
        bgp_router("frr", FRR, asn=FRR_AS),
        bgp_router("raw", RAW, asn=65010),
        routing_instance("red", both=[101]),
    )
    with RawPeer(routers, RAW, VPN, asn=65010) as peer:
        peer.connect()
        peer.announce(VPN, heard(65010, 3356, 65020), vpn_route(5))

        path = eventually(lambda: path_in_frr(routers, "20.5.0.0/16"), "the route in FRR")

    assert path == expected


def test_a_local_as_is_all_that_its_peer_sees(routers: Bench, node: Node) -> None:
    start_frr(routers, our_as=65099)
    configure(node, local_autonomous_system=65099)

    assert eventually(lambda: path_in_frr(routers, OUR_ROUTE), "our route in FRR") == "65099"


@pytest.mark.parametrize(("loops", "is_used"), [(0, False), (1, True)])
def test_our_own_as_in_a_path_is_allowed_as_often_as_configured(
    routers: Bench, node: Node, loops: int, is_used: bool
) -> None:
    session = {"passive": True, "loop_count": loops} if loops else {"passive": True}
    node.configure(
        bgp_router("control1", OURS, peers=[("raw", session)]),
        bgp_router("raw", RAW, asn=RAW_AS),
        routing_instance("red", both=[101]),
    )
    with RawPeer(routers, RAW, VPN, asn=RAW_AS) as peer:
        peer.connect()
        peer.announce(VPN, heard(RAW_AS, 64512), vpn_route(5))

        (row,) = eventually(lambda: node.table("vpn"), "the route")
        assert row["feasible"] is is_used


def test_preferences_stay_inside_the_as(routers: Bench, node: Node) -> None:
    configure(node)
    with RawPeer(routers, RAW, VPN, asn=RAW_AS) as peer:
        peer.connect()
        eventually(lambda: peer.routes(VPN), "our route")
        ((_, hop, attributes),) = peer.routes(VPN).values()

        assert attributes.local_preference is None
        assert attributes.originator is None
        assert str(hop) == "172.16.0.7"
