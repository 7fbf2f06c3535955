"""Route target constraint (RFC 4684) with GoBGP, and our node reflecting memberships."""

from __future__ import annotations

import pytest

from skytrail.control.membership import EVERYTHING
from skytrail.net import RouteDistinguisher, RouteTarget
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import GOBGP, OURS, RAW, RAW2, Bench, eventually
from skytrail.testing.control_plane import bgp_router, inet_route, instance_of, routing_instance
from skytrail.testing.raw_peer import RawPeer
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    GracefulRestart,
    MessageType,
    RouteTargetNlri,
    VpnNlri,
)
from skytrail.wire.bgp.prefixes import network4
from skytrail.wire.xmpp import Unsubscribe

VPN, MEMBERSHIP = BgpFamily.INET_VPN, BgpFamily.ROUTE_TARGET
RED, BLUE = instance_of("red"), instance_of("blue")
RED_ROUTE, BLUE_ROUTE = "10.1.1.3/32", "10.2.1.3/32"
PASSIVE = {"passive": True}


def target(number: int) -> RouteTarget:
    return RouteTarget.parse(f"target:64512:{number}")


def membership(number: int) -> RouteTargetNlri:
    return RouteTargetNlri(64512, target(number).packed)


def vpn_route(octet: int, number: int) -> tuple[Attributes, VpnNlri]:
    route = VpnNlri(
        RouteDistinguisher.parse(f"64512:{number}"), network4(bytes((20, octet, 0)), 24), (77,)
    )
    attributes = Attributes(0, local_preference=100, extended_communities=(target(number).packed,))
    return attributes, route


def configure(node: Node, *peers: str, **settings: object) -> None:
    addresses = {"gobgp": GOBGP, "one": RAW, "two": RAW2}
    node.configure(
        bgp_router(
            "control1",
            OURS,
            peers=[(name, {} if name == "gobgp" else PASSIVE) for name in peers],
            **settings,
        ),
        *(
            bgp_router(name, addresses[name], vendor="gobgp" if name == "gobgp" else "raw")
            for name in peers
        ),
        routing_instance("red", both=[101]),
        routing_instance("blue", both=[102]),
    )
    node.publish("compute1", RED, inet_route(RED_ROUTE))
    node.publish("compute1", BLUE, inet_route(BLUE_ROUTE), number=2)


def vpn_in_gobgp(routers: Bench) -> set[str]:
    text = routers.gobgp("global rib -a vpnv4")
    return {route for route in (RED_ROUTE, BLUE_ROUTE) if route in text}


def test_gobgp_is_sent_only_what_its_vrfs_import_and_loses_what_they_do_not(
    routers: Bench, node: Node
) -> None:
    routers.start_gobgp("l3vpn-ipv4-unicast", "rtc")
    configure(node, "gobgp")
    eventually(lambda: "64512:102" in routers.gobgp("global rib -a rtc"), "our memberships")
    assert vpn_in_gobgp(routers) == set()

    routers.gobgp("vrf add red rd 64512:9 rt both 64512:101")
    eventually(lambda: vpn_in_gobgp(routers) == {RED_ROUTE}, "the red route only")
    routers.gobgp("vrf add blue rd 64512:10 rt both 64512:102")
    eventually(lambda: vpn_in_gobgp(routers) == {RED_ROUTE, BLUE_ROUTE}, "both routes")
    routers.gobgp("vrf del red")
    eventually(lambda: vpn_in_gobgp(routers) == {BLUE_ROUTE}, "the blue route only")


def test_gobgp_sends_us_only_what_our_instances_with_readers_import(
    routers: Bench, node: Node
) -> None:
    routers.start_gobgp("l3vpn-ipv4-unicast", "rtc")
    for octet, number in ((1, 101), (2, 102)):
        routers.gobgp(
            f"global rib add -a vpnv4 20.{octet}.0.0/24 label 900 rd 64512:9 rt 64512:{number} "
            f"nexthop {GOBGP}"
        )
    configure(node, "gobgp")

    def heard() -> set[str]:
        rows = node.table("vpn")
        return {str(row["prefix"]) for row in rows if str(row["source"]).endswith("gobgp")}

    eventually(lambda: heard() == {"20.1.0.0/24", "20.2.0.0/24"}, "both routes")
    node.do(lambda plane: plane.receive("compute1", Unsubscribe(BLUE), 0.0))

    eventually(lambda: heard() == {"20.1.0.0/24"}, "the blue route withdrawn")


def test_a_membership_that_both_sides_name_alike_counts_for_each_side(
    routers: Bench, node: Node
) -> None:
    """GoBGP names the same origin AS and target as we do, and takes its own back (trap 5)."""
    routers.start_gobgp("l3vpn-ipv4-unicast", "rtc")
    configure(node, "gobgp")
    routers.gobgp("vrf add red rd 64512:9 rt both 64512:101")
    eventually(lambda: vpn_in_gobgp(routers) == {RED_ROUTE}, "the red route")

    (row,) = [
        row for row in node.table("memberships") if row["membership"] == "64512:target:64512:101"
    ]
    assert row["wanted_here"]
    assert len(row["wanted_by"]) == len(row["told_to"]) == 1  # type: ignore[arg-type]


def test_the_default_membership_is_not_sent_to_gobgp_which_ends_on_it(
    routers: Bench, node: Node
) -> None:
    """Trap 4: a peer that cannot say what it wants makes us want everything, of others."""
    routers.start_gobgp("l3vpn-ipv4-unicast", "rtc")
    configure(node, "gobgp", "one", cluster_id=0x0A090001)
    with RawPeer(routers, RAW, VPN) as mute:
        mute.connect()
        eventually(lambda: "64512:102" in routers.gobgp("global rib -a rtc"), "our memberships")
        routers.gobgp("vrf add red rd 64512:9 rt both 64512:101")
        eventually(lambda: vpn_in_gobgp(routers) == {RED_ROUTE}, "the red route")

        (row,) = [row for row in node.table("memberships") if row["membership"] == "everything"]
        assert [str(name).rpartition(":")[2] for name in row["wanted_by"]] == ["one"]  # type: ignore[attr-defined]
        assert row["told_to"] == []
        assert node.state("gobgp") == "established"
        eventually(lambda: len(mute.routes(VPN)) == 2, "everything for who cannot say")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (EVERYTHING, {RED_ROUTE, BLUE_ROUTE}),
        (RouteTargetNlri(64512, bits=32), {RED_ROUTE, BLUE_ROUTE}),
        (RouteTargetNlri(64512, target(101).packed[:4] + bytes(4), 64), {RED_ROUTE, BLUE_ROUTE}),
        (membership(101), {RED_ROUTE}),
        (RouteTargetNlri(65001, target(102).packed), {BLUE_ROUTE}),
        (membership(7), set[str]()),
    ],
    ids=["everything", "origin only", "two-byte AS only", "one", "of another AS", "unknown"],
)
def test_memberships_of_every_length_are_honoured(
    routers: Bench, node: Node, asked: RouteTargetNlri, expected: set[str]
) -> None:
    configure(node, "one")
    with RawPeer(routers, RAW, VPN, MEMBERSHIP) as peer:
        peer.connect()
        peer.announce(MEMBERSHIP, Attributes(0, local_preference=100), asked)
        peer.end_rib(MEMBERSHIP)
        eventually(lambda: VPN in peer.ends(), "the end of our RIB")

        assert {str(nlri.prefix) for nlri, _, _ in peer.routes(VPN).values()} == expected  # type: ignore[union-attr]
        assert peer.withdrawals() == 0


def test_our_end_of_vpn_routes_waits_for_the_peers_end_of_memberships(
    routers: Bench, node: Node
) -> None:
    configure(node, "one")
    with RawPeer(routers, RAW, VPN, MEMBERSHIP) as peer:
        peer.connect()
        eventually(lambda: MEMBERSHIP in peer.ends(), "the end of our memberships")
        assert peer.ends() == [MEMBERSHIP]

        peer.end_rib(MEMBERSHIP)

        eventually(lambda: VPN in peer.ends(), "the end of our VPN routes")


def test_reflector_passes_memberships_on_and_clients_get_each_others_routes(
    routers: Bench, node: Node
) -> None:
    configure(node, "one", "two", cluster_id=0x0A090001)
    with (
        RawPeer(routers, RAW, VPN, MEMBERSHIP) as one,
        RawPeer(routers, RAW2, VPN, MEMBERSHIP) as two,
    ):
        one.connect()
        two.connect()
        plain = Attributes(0, local_preference=100)
        one.announce(MEMBERSHIP, plain, membership(7))
        eventually(lambda: membership(7) in two.routes(MEMBERSHIP), "one's membership at two")
        _, hop, attributes = two.routes(MEMBERSHIP)[membership(7)]
        assert str(attributes.originator) == OURS
        assert [str(each) for each in attributes.cluster_list] == [OURS]
        assert str(hop) == OURS
        assert membership(7) not in one.routes(MEMBERSHIP)

        two.announce(VPN, *vpn_route(7, 7))
        two.announce(VPN, *vpn_route(8, 8))
        eventually(lambda: len(one.routes(VPN)) == 1, "two's route at one")
        assert two.routes(VPN) == {}
        two.announce(MEMBERSHIP, plain, membership(7))
        eventually(lambda: membership(7) in one.routes(MEMBERSHIP), "two's membership at one")
        one.withdraw(MEMBERSHIP, membership(7))
        eventually(lambda: one.routes(VPN) == {}, "the route taken back")
        eventually(lambda: membership(7) not in two.routes(MEMBERSHIP), "told two")


def test_a_client_that_restarts_in_time_costs_nobody_a_withdrawal(
    routers: Bench, node: Node
) -> None:
    configure(node, "one", "two", cluster_id=0x0A090001)
    with RawPeer(routers, RAW2, VPN, MEMBERSHIP) as two:
        two.connect()
        two.announce(MEMBERSHIP, Attributes(0, local_preference=100), membership(7))
        for turn in range(2):
            with RawPeer(routers, RAW, VPN, MEMBERSHIP) as one:
                one.offer(graceful_restart=restart(is_back=turn > 0))
                one.connect()
                one.announce(MEMBERSHIP, Attributes(0, local_preference=100), membership(9))
                one.announce(VPN, *vpn_route(7, 7))
                one.end_rib(MEMBERSHIP, VPN)
                eventually(lambda: len(two.routes(VPN)) == 1, "one's route at two")
                eventually(lambda: membership(9) in two.routes(MEMBERSHIP), "and its membership")
                eventually(lambda: VPN in one.ends(), "our end of RIB")

        assert two.withdrawals() == 0


def restart(*, is_back: bool) -> GracefulRestart:
    return GracefulRestart(30, is_back, families=((VPN, True), (MEMBERSHIP, True)))


def test_more_memberships_than_the_limit_end_the_session(routers: Bench, node: Node) -> None:
    limited = {
        "passive": True,
        "family_attributes": [{"address_family": "route-target", "prefix_limit": {"maximum": 2}}],
    }
    node.configure(bgp_router("control1", OURS, peers=[("one", limited)]), bgp_router("one", RAW))
    with RawPeer(routers, RAW, VPN, MEMBERSHIP) as peer:
        peer.connect()
        asked = [membership(number) for number in range(3)]
        peer.announce(MEMBERSHIP, Attributes(0, local_preference=100), *asked)

        eventually(lambda: peer.heard(MessageType.NOTIFICATION), "the end of the session")
        said = peer.notification()
        assert said is not None
        assert (said.code, said.subcode) == (6, 1)
