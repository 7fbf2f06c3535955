"""Route refresh (RFC 2918) asked by FRR, and with marks around it (RFC 7313) either way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, OURS, RAW, Bench, eventually
from skytrail.testing.control_plane import bgp_router, inet_route, instance_of, routing_instance
from skytrail.testing.raw_peer import RawPeer, vpn_route, with_target
from skytrail.testing.router_configs import frr_config
from skytrail.wire.bgp import (
    BgpFamily,
    Demarcation,
    MessageType,
    RouteRefresh,
    encode_route_refresh,
)
from skytrail.wire.bgp.update_encode import encode_end_of_rib

VPN, EVPN, MEMBERSHIP = BgpFamily.INET_VPN, BgpFamily.EVPN, BgpFamily.ROUTE_TARGET
RED = instance_of("red")
FRR_CONFIG = frr_config(end=["route-map none deny 10"])


@pytest.fixture
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers) as made:
        made.configure(
            bgp_router("control1", OURS, peers=[("frr", {}), ("raw", {"passive": True})]),
            bgp_router("frr", FRR),
            bgp_router("raw", RAW),
            routing_instance("red", both=[101]),
        )
        made.publish("compute1", RED, inet_route("10.1.1.3/32"), inet_route("10.1.1.4/32"))
        yield made


def refresh(family: BgpFamily, mark: Demarcation = Demarcation.REQUEST) -> bytes:
    return encode_route_refresh(RouteRefresh(family, mark))


def test_frr_that_asks_gets_every_route_again(routers: Bench, node: Node) -> None:
    """FRR forgets what its policy refused, so it must ask when the policy changes."""
    routers.start_frr(FRR_CONFIG)
    eventually(lambda: routers.frr("show bgp ipv4 vpn 10.1.1.3/32 json"), "our route")
    family = ("router bgp 64512", "address-family ipv4 vpn")
    routers.frr_configure(*family, f"neighbor {OURS} route-map none in")
    eventually(lambda: not routers.frr("show bgp ipv4 vpn 10.1.1.3/32 json"), "it is refused")

    routers.frr_configure(*family, f"no neighbor {OURS} route-map none in")
    routers.frr("clear bgp ipv4 vpn * in")

    eventually(lambda: routers.frr("show bgp ipv4 vpn 10.1.1.3/32 json"), "our route again")


def test_the_answer_has_marks_around_every_route_of_the_family(routers: Bench, node: Node) -> None:
    with RawPeer(routers, RAW, VPN) as peer:
        peer.offer(enhanced_refresh=True)
        peer.connect()
        eventually(lambda: VPN in peer.ends(), "our routes")
        before = len(peer.messages)
        peer.send(refresh(VPN))

        eventually(lambda: len(peer.heard(MessageType.ROUTE_REFRESH)) == 2, "both marks")
        begin, *updates, end = peer.messages[before:]
        assert (begin[1][2], end[1][2]) == (Demarcation.BEGIN, Demarcation.END)
        assert {kind for kind, _ in updates} == {MessageType.UPDATE}
        assert b"".join(body for _, body in updates).count(b"\x0a\x01\x01\x03") == 1
        assert b"".join(body for _, body in updates).count(b"\x0a\x01\x01\x04") == 1


def test_a_peer_without_the_capability_gets_routes_and_no_marks(routers: Bench, node: Node) -> None:
    with RawPeer(routers, RAW, VPN) as peer:
        peer.connect()
        eventually(lambda: VPN in peer.ends(), "our routes")
        before = len(peer.messages)
        peer.send(refresh(VPN))

        eventually(lambda: len(peer.messages) > before, "our routes again")
        assert {kind for kind, _ in peer.messages[before:]} == {MessageType.UPDATE}


def test_memberships_are_repeated_as_well(routers: Bench, node: Node) -> None:
    with RawPeer(routers, RAW, VPN, MEMBERSHIP) as peer:
        peer.connect()
        eventually(lambda: MEMBERSHIP in peer.ends(), "our memberships")
        before = len(peer.heard(MessageType.UPDATE))
        peer.send(refresh(MEMBERSHIP))

        eventually(lambda: len(peer.heard(MessageType.UPDATE)) > before, "our memberships again")


def test_what_a_peer_does_not_repeat_between_its_marks_is_gone(routers: Bench, node: Node) -> None:
    with RawPeer(routers, RAW, VPN) as peer:
        peer.offer(enhanced_refresh=True)
        peer.connect()
        peer.announce(VPN, with_target(), vpn_route(1), vpn_route(2))
        eventually(lambda: len(learned(node)) == 2, "both routes")

        peer.send(refresh(VPN, Demarcation.BEGIN))
        peer.announce(VPN, with_target(), vpn_route(2))
        peer.send(refresh(VPN, Demarcation.END))

        eventually(lambda: learned(node) == {"20.2.0.0/16"}, "the other route gone")
        assert node.state("raw") == "established"


def test_a_request_for_a_family_that_was_not_negotiated_is_ignored(
    routers: Bench, node: Node
) -> None:
    with RawPeer(routers, RAW, VPN) as peer:
        peer.connect()
        eventually(lambda: VPN in peer.ends(), "our routes")
        before = len(peer.messages)
        peer.send(refresh(EVPN))
        peer.send(b"".join((encode_end_of_rib(VPN), refresh(VPN))))

        eventually(lambda: len(peer.messages) > before, "an answer to the good request")
        assert node.state("raw") == "established"


def learned(node: Node) -> set[str]:
    rows = node.table("vpn")
    return {str(row["prefix"]) for row in rows if str(row["source"]).endswith(":raw")}
