"""Peers that send what they should not (RFC 7606) or do not play along: nobody else notices."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from skytrail.testing.bgp import AS_PATH, LOCAL_PREF, ORIGIN, attribute, mp_reach, update_body
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import OURS, RAW, RAW2, Bench, eventually
from skytrail.testing.control_plane import bgp_router, inet_route, instance_of, routing_instance
from skytrail.testing.raw_peer import INTERNAL, RawPeer, vpn_route, with_target
from skytrail.wire.bgp import (
    BgpFamily,
    Demarcation,
    MessageType,
    RouteRefresh,
    RouteTargetNlri,
    encode_end_of_rib,
    encode_nlri,
    encode_open,
    encode_route_refresh,
    encode_update,
    encode_withdraw,
)
from skytrail.wire.bgp.attributes import AttributeCode
from skytrail.wire.bgp.framing import framed

VPN = BgpFamily.INET_VPN
RED = instance_of("red")
ROUTES_OF_FLOOD = 2000
FLOOD_COUNT = 1000
HOP = bytes(8) + bytes((10, 9, 0, 7))
TARGET = attribute(0xC0, 16, with_target().extended_communities[0])
GOOD = ORIGIN + AS_PATH + LOCAL_PREF + TARGET


@pytest.fixture
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers) as made:
        made.configure(
            bgp_router(
                "control1",
                OURS,
                cluster_id=0x0A090001,
                peers=[("bad", {"passive": True}), ("good", {"passive": True})],
            ),
            bgp_router("bad", RAW),
            bgp_router("good", RAW2),
            routing_instance("red", both=[101]),
        )
        made.publish("compute1", RED, inet_route("10.1.1.3/32"))
        yield made


@pytest.fixture
def bad(routers: Bench, node: Node) -> Iterator[RawPeer]:
    with RawPeer(routers, RAW, VPN) as made:
        made.connect()
        yield made


@pytest.fixture
def good(routers: Bench, node: Node) -> Iterator[RawPeer]:
    """A peer that stays through the test and is told every change at its end."""
    with RawPeer(routers, RAW2, VPN) as made:
        made.connect()
        eventually(lambda: VPN in made.ends(), "our routes")
        yield made
        node.publish("compute1", RED, inet_route("10.1.1.77/32"))
        eventually(
            lambda: any("10.1.1.77" in str(nlri) for nlri, _, _ in made.routes(VPN).values()),
            "news for the good peer",
        )
        assert made.notification() is None
        assert node.peer("good").counters.sessions == 1


def reach(octet: int, *, hop: bytes = HOP) -> bytes:
    return mp_reach(VPN, hop, encode_nlri(VPN, vpn_route(octet)))


WITHDRAWN = {
    "origin out of range": b"\x40\x01\x01\x07" + AS_PATH + LOCAL_PREF + TARGET,
    "origin missing": AS_PATH + LOCAL_PREF + TARGET,
    "AS path with an unknown segment": ORIGIN
    + b"\x40\x02\x06\x09\x01\0\0\0\1"
    + LOCAL_PREF
    + TARGET,
    "AS path longer than its field": ORIGIN + b"\x40\x02\x06\x02\x05\0\0\0\1" + LOCAL_PREF + TARGET,
    "local preference of two bytes": ORIGIN + AS_PATH + b"\x40\x05\x02\0\0" + TARGET,
    "MED of three bytes": GOOD + b"\x80\x04\x03\0\0\0",
    "communities of five bytes": GOOD + attribute(0xC0, 8, bytes(5)),
    "empty extended communities": ORIGIN + AS_PATH + LOCAL_PREF + b"\xc0\x10\0",
    "originator of three bytes": GOOD + attribute(0x80, 9, bytes(3)),
    "cluster list of five bytes": GOOD + attribute(0x80, 10, bytes(5)),
    "wrong flags of origin": b"\xc0\x01\x01\0" + AS_PATH + LOCAL_PREF + TARGET,
}


@pytest.mark.parametrize("name", WITHDRAWN)
def test_a_malformed_attribute_withdraws_its_routes_and_keeps_the_session(
    node: Node, bad: RawPeer, good: RawPeer, name: str
) -> None:
    bad.announce(VPN, with_target(), vpn_route(1), vpn_route(2))
    eventually(lambda: {vpn_route(1).key, vpn_route(2).key} <= set(good.routes(VPN)), "both routes")

    bad.say(MessageType.UPDATE, update_body(reach(1) + WITHDRAWN[name]))

    eventually(lambda: vpn_route(1).key not in good.routes(VPN), "the route withdrawn")
    assert vpn_route(2).key in good.routes(VPN)
    assert node.state("bad") == "established"
    assert node.peer("bad").counters.problems == 1
    assert node.peer("bad").last_problem


@pytest.mark.parametrize(
    "extra",
    [
        attribute(0xC0, 7, bytes(5)),
        attribute(0x40, 6, b"\1"),
        attribute(0xC0, 99, b"what is this"),
        LOCAL_PREF,
        mp_reach(BgpFamily.EVPN, b"\x0a\x09\0\7", b"\2\0"),
    ],
    ids=[
        "aggregator of five bytes",
        "atomic aggregate with a value",
        "unknown optional transitive",
        "an attribute twice",
        "routes of a family that was not negotiated",
    ],
)
def test_what_can_be_ignored_costs_neither_route_nor_session(
    node: Node, bad: RawPeer, good: RawPeer, extra: bytes
) -> None:
    if extra[1] == AttributeCode.MP_REACH_NLRI:
        # Two of these reset (section 3 g), so the one that was not negotiated comes alone.
        bad.say(MessageType.UPDATE, update_body(extra + ORIGIN + AS_PATH + LOCAL_PREF))
        extra = b""
    bad.say(MessageType.UPDATE, update_body(reach(1) + GOOD + extra))

    eventually(lambda: vpn_route(1).key in good.routes(VPN), "the route")
    assert node.state("bad") == "established"


RESETS = {
    "a message of unknown type": (b"\xff" * 16 + b"\0\x13\x09", (1, 3)),
    "a bad marker": (b"\0" * 16 + b"\0\x13\x04", (1, 1)),
    "a length below the header": (b"\xff" * 16 + b"\0\x12\x04", (1, 2)),
    "attributes longer than the message": (
        framed(MessageType.UPDATE, b"\0\0\xff\xff" + ORIGIN),
        (3, 1),
    ),
    "MP_REACH twice": (
        framed(MessageType.UPDATE, update_body(reach(1) + reach(2) + GOOD)),
        (3, 1),
    ),
    "a VPN route of wrong length": (
        framed(MessageType.UPDATE, update_body(mp_reach(VPN, HOP, b"\x70" + bytes(20)) + GOOD)),
        (3, None),
    ),
    "an OPEN in an established session": (b"", (5, 3)),
}


@pytest.mark.parametrize("name", RESETS)
def test_what_leaves_routes_unknown_resets_that_session_only(
    node: Node, bad: RawPeer, good: RawPeer, name: str
) -> None:
    chunk, (code, subcode) = RESETS[name]
    bad.announce(VPN, with_target(), vpn_route(1))
    eventually(lambda: vpn_route(1).key in good.routes(VPN), "the route")

    bad.send(chunk or encode_open(bad.open))

    eventually(lambda: bad.heard(MessageType.NOTIFICATION), "a notification")
    said = bad.notification()
    assert said is not None
    assert said.code == code
    if subcode is not None:
        assert said.subcode == subcode
    eventually(lambda: vpn_route(1).key not in good.routes(VPN), "its route gone")


def test_a_peer_that_does_not_read_holds_up_nobody(node: Node, bad: RawPeer, good: RawPeer) -> None:
    bad.stop_reading()
    for turn in range(30):
        routes = [inet_route(f"10.{turn}.{octet}.3/32") for octet in range(256)]
        node.publish("compute1", RED, *routes)

    eventually(lambda: len(good.routes(VPN)) >= 30 * 256, "all routes at the good peer")


def test_a_flood_of_changes_is_heard_to_its_end(node: Node, bad: RawPeer, good: RawPeer) -> None:
    for turn in range(40):
        for octet in range(100):
            if (turn + octet) % 2:
                bad.announce(VPN, with_target(), vpn_route(octet))
            else:
                bad.withdraw(VPN, vpn_route(octet))
    bad.announce(VPN, with_target(), vpn_route(200))

    eventually(lambda: vpn_route(200).key in good.routes(VPN), "the last change")
    left = {vpn_route(octet).key for octet in range(100) if (39 + octet) % 2}
    assert set(good.routes(VPN)) >= left
    assert len(set(good.routes(VPN)) & {vpn_route(octet).key for octet in range(100)}) == len(left)


def test_a_flapping_peer_costs_the_others_only_its_own_routes(
    routers: Bench, node: Node, good: RawPeer
) -> None:
    for _ in range(8):
        with RawPeer(routers, RAW, VPN) as bad:
            bad.connect()
            bad.announce(VPN, INTERNAL, vpn_route(1))
            eventually(lambda: vpn_route(1).key in good.routes(VPN), "its route")
        eventually(lambda: vpn_route(1).key not in good.routes(VPN), "its route gone")


@pytest.mark.parametrize("seed", range(4))
def test_noise_never_stops_the_node(routers: Bench, node: Node, good: RawPeer, seed: int) -> None:
    noise = random.Random(seed)
    for _ in range(12):
        with RawPeer(routers, RAW, VPN) as bad:
            bad.dial()
            if noise.random() < 0.7:
                bad.send(encode_open(bad.open))
            bodies = [noise.randbytes(noise.randrange(80)) for _ in range(20)]
            kinds = [noise.choice(list(MessageType)) for _ in bodies]
            try:
                bad.send(
                    b"".join(framed(kind, body) for kind, body in zip(kinds, bodies, strict=True))
                )
                bad.send(noise.randbytes(200))
            except OSError:
                continue


@pytest.mark.parametrize("kind", ["refreshes", "marks", "ends of RIB", "memberships"])
def test_a_flood_of_short_messages_piles_up_nothing_and_holds_up_nobody(
    routers: Bench, node: Node, good: RawPeer, kind: str
) -> None:
    """Each is a few bytes of the peer's and, one by one, would be a walk over all routes."""
    members = BgpFamily.ROUTE_TARGET
    for number in range(ROUTES_OF_FLOOD):
        node.publish("compute1", RED, inet_route(f"10.1.{2 + number // 250}.{number % 250}/32"))
    with RawPeer(routers, RAW, VPN, members) as flooding:
        flooding.offer(enhanced_refresh=True)
        flooding.connect()
        flooding.announce(VPN, with_target(), *map(vpn_route, range(1, 200)))
        pair = {
            "refreshes": [RouteRefresh(VPN, Demarcation.REQUEST)],
            "marks": [RouteRefresh(VPN, Demarcation.BEGIN), RouteRefresh(VPN, Demarcation.END)],
        }
        if kind in pair:
            chunk = b"".join(map(encode_route_refresh, pair[kind]))
        elif kind == "ends of RIB":
            chunk = encode_end_of_rib(VPN)
        else:
            wanted = RouteTargetNlri(64512, with_target().extended_communities[0])
            assert members in flooding.negotiated.families
            told = encode_update(members, flooding.address, INTERNAL, [wanted], flooding.negotiated)
            chunk = b"".join([*told, *encode_withdraw(members, [wanted], flooding.negotiated)])

        flooding.send(chunk * FLOOD_COUNT)
        waiting = [node.do(lambda plane: len(plane.replicator.chores)) for _ in range(20)]

        assert max(waiting) <= 8
        eventually(lambda: node.state("bad") == "established", "the session goes on")
