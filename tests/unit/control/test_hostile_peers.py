"""Peers and hosts that ask for the same again and again: what that costs is bounded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.path import PeerName
from skytrail.control.plane import CONFIG_RESTARTS_COUNT_MAX, RESTARTS_COUNT_MAX, PeerRefused
from skytrail.control.restart_timers import LONG_LIVED_S_MAX
from skytrail.net import RouteDistinguisher, RouteTarget
from skytrail.testing.control_plane import (
    BGP_PLACE,
    SYSTEM,
    Bench,
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
)
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    Demarcation,
    GracefulRestart,
    LongLivedFamily,
    Negotiated,
    Reach,
    RouteRefresh,
    RouteTargetNlri,
    Unreach,
    Update,
    VpnNlri,
    decode_update,
)
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    EndOfRib,
    PublishRoute,
    Subscribe,
)

RED = instance_of("red")
PEER = PeerName(":".join((*BGP_PLACE, "gateway")))
VPN, MEMBERS = BgpFamily.INET_VPN, BgpFamily.ROUTE_TARGET
RESTART = GracefulRestart(restart_time_s=60, families=((VPN, True), (MEMBERS, True)))
NEGOTIATED = Negotiated(
    frozenset((VPN,)), 64512, 64512, IPv4Address("10.0.0.2"), graceful_restart=RESTART
)
ROUTES_COUNT = 20
FLOOD_COUNT = 200


def bench(negotiated: Negotiated = NEGOTIATED, routes: int = ROUTES_COUNT) -> Bench:
    """A node with a peer to which a table of some routes is large."""
    families = {"family": ["inet-vpn", "route-target"]}
    made = Bench(
        bgp_router("control1", "10.0.0.1", peers=[("gateway", {})], address_families=families),
        bgp_router("gateway", "10.0.0.2", address_families=families),
        routing_instance("red", both=[1]),
        node="control1",
    )
    made.plane.bgp.session_up(PEER, negotiated, made.now)
    made.up("a")
    made.say("a", Subscribe(RED, 1))
    for number in range(routes):
        made.say("a", PublishRoute(RED, inet_route(f"10.1.1.{number}/32")))
    made.wait(61)
    told(made)
    made.plane.replicator.chores.at_once = 1
    return made


def told(made: Bench) -> list[str]:
    """Return the routes the peer is told once all is done."""
    bgp, routes = made.plane.bgp, list[str]()
    is_over = False
    while not is_over:
        is_over = not bgp.work() and not bgp.take_ready()
        while messages := bgp.collect(PEER, 1 << 20):
            updates = [
                decode_update(message[HEADER_BYTES:], NEGOTIATED)
                for message in messages
                if message[18] == 2
            ]
            routes += [str(nlri) for each in updates for reach in each.reach for nlri in reach.nlri]
            is_over = False
    return routes


def vpn_update(numbers: Iterable[int]) -> Update:
    distinguisher = RouteDistinguisher.parse("10.0.0.9:1")
    attributes = Attributes(
        0,
        local_preference=100,
        extended_communities=(RouteTarget.parse("target:64512:7").packed,),
    )
    nlri = [VpnNlri(distinguisher, ip_network(f"10.2.1.{each}/32"), (20,)) for each in numbers]
    return Update(attributes, (Reach(VPN, IPv4Address("172.16.0.9"), tuple(nlri)),))


def held(made: Bench) -> int:
    return len(made.plane.bgp.peers[PEER].adj_in)


def test_flood_of_route_refreshes_is_answered_twice_at_most() -> None:
    made = bench()
    for _ in range(FLOOD_COUNT):
        made.plane.bgp.refresh(PEER, RouteRefresh(VPN, Demarcation.REQUEST))
    assert len(made.plane.replicator.chores) <= 1

    assert len(told(made)) == 2 * ROUTES_COUNT
    made.plane.bgp.refresh(PEER, RouteRefresh(VPN, Demarcation.REQUEST))
    assert len(told(made)) == ROUTES_COUNT


def test_flood_of_marks_and_ends_of_rib_makes_two_walks_at_most() -> None:
    made = bench()
    made.plane.bgp.receive(PEER, vpn_update(range(ROUTES_COUNT)))
    adj_in = made.plane.bgp.peers[PEER].adj_in
    for number in range(FLOOD_COUNT):
        made.plane.bgp.refresh(PEER, RouteRefresh(VPN, Demarcation.BEGIN))
        made.plane.bgp.refresh(PEER, RouteRefresh(VPN, Demarcation.END))
        made.plane.bgp.receive(PEER, Update(Attributes(), (), end_of_rib=VPN))
        if not number:
            adj_in.work(1)
    assert adj_in.walks_count <= 2

    told(made)
    assert held(made) == 0


def test_route_said_between_floods_of_marks_stays() -> None:
    made = bench()
    made.plane.bgp.receive(PEER, vpn_update(range(ROUTES_COUNT)))
    for _ in range(3):
        made.plane.bgp.refresh(PEER, RouteRefresh(VPN, Demarcation.BEGIN))
        made.plane.bgp.receive(PEER, vpn_update([3]))
        made.plane.bgp.refresh(PEER, RouteRefresh(VPN, Demarcation.END))
    told(made)

    assert held(made) == 1


def test_flood_of_changed_memberships_is_followed_one_at_a_time() -> None:
    made = bench(replace(NEGOTIATED, families=frozenset((VPN, MEMBERS))))
    wanted = RouteTargetNlri(64512, RouteTarget.parse("target:64512:1").packed)
    hop = IPv4Address("10.0.0.2")
    asks = Update(Attributes(0, local_preference=100), (Reach(MEMBERS, hop, (wanted,)),))
    no_more = Update(Attributes(), (), withdrawn=(Unreach(MEMBERS, (wanted,)),))
    for _ in range(FLOOD_COUNT):
        for update in (asks, no_more):
            made.plane.bgp.receive(PEER, update)
            made.plane.bgp.take_ready()
    made.plane.bgp.receive(PEER, asks)
    made.plane.bgp.take_ready()
    assert len(made.plane.replicator.chores) <= 3

    told(made)
    group = made.plane.bgp.peers[PEER].group
    assert group is not None
    assert len(list(group.known(PEER, VPN))) == ROUTES_COUNT


def test_peer_that_restarts_every_second_does_not_keep_what_it_never_says_again() -> None:
    made = bench()
    made.plane.bgp.receive(PEER, vpn_update(range(ROUTES_COUNT)))
    for _ in range(3):
        made.plane.bgp.session_down(PEER, "test", made.now, graceful=True)
        made.wait(1)
        made.plane.bgp.session_up(PEER, NEGOTIATED, made.now)
    told(made)

    assert held(made) == 0


def test_one_restart_keeps_routes_and_what_is_said_again_survives_the_next() -> None:
    made = bench()
    made.plane.bgp.receive(PEER, vpn_update(range(ROUTES_COUNT)))
    made.plane.bgp.session_down(PEER, "test", made.now, graceful=True)
    made.plane.bgp.session_up(PEER, NEGOTIATED, made.now)
    told(made)
    assert held(made) == ROUTES_COUNT

    made.plane.bgp.receive(PEER, vpn_update([1, 2]))
    made.plane.bgp.session_down(PEER, "test", made.now, graceful=True)
    told(made)

    assert held(made) == 2


@pytest.mark.parametrize(("configured", "longest"), [(0, LONG_LIVED_S_MAX), (600, 600)])
def test_long_lived_routes_stay_as_long_as_configuration_lets_them(
    configured: int, longest: int
) -> None:
    forever = (1 << 24) - 1
    long_lived = (LongLivedFamily(VPN, preserved=True, stale_time_s=forever),)
    made = bench(replace(NEGOTIATED, long_lived=long_lived))
    if configured:
        kept = {"enable": True, "restart_time": 60, "long_lived_restart_time": configured}
        made.put(
            build("global-system-config", [SYSTEM], fields={"graceful_restart_parameters": kept})
        )
    made.plane.bgp.receive(PEER, vpn_update(range(ROUTES_COUNT)))
    made.plane.bgp.session_down(PEER, "test", made.now, graceful=True)
    made.wait(60)
    told(made)
    made.wait(longest - 1)
    told(made)
    assert held(made) == ROUTES_COUNT
    made.wait(2)
    told(made)

    assert held(made) == 0


def test_agent_that_comes_and_goes_for_long_without_ending_its_rib_loses_what_it_does_not_say() -> (
    None
):
    made = bench()
    restart_s = made.plane.limits.restart_time_s
    for _ in range(2 * RESTARTS_COUNT_MAX):
        made.down("a")
        made.wait(restart_s - 1)
        made.up("a")
    made.plane.replicator.chores.finish()

    assert made.plane.peers[PeerName("a")].routes_count == 0


def test_flood_of_an_agent_s_ends_of_rib_and_numbers_of_an_instance_piles_up_nothing() -> None:
    made = bench()
    for number in range(FLOOD_COUNT):
        made.say("a", EndOfRib(), Subscribe(RED, 2 + number))
    assert len(made.plane.replicator.chores) <= 1

    made.plane.replicator.chores.finish()
    numbers = {
        str(entry.distinguisher).rpartition(":")[2]
        for table in made.plane.replicator.vpn.values()
        for entry in table.entries.values()
    }
    assert numbers == {str(1 + FLOOD_COUNT)}


def test_agent_that_asks_for_everything_over_and_over_is_refused() -> None:
    made = bench()
    router = ConfigKey("virtual-router", f"{SYSTEM}:a")
    for _ in range(CONFIG_RESTARTS_COUNT_MAX):
        made.say("a", ConfigSubscribe(router), ConfigUnsubscribe(router))
    made.say("a", ConfigSubscribe(router))

    with pytest.raises(PeerRefused, match="over and over"):
        made.say("a", ConfigUnsubscribe(router))

    made.down("a")
    made.up("a")
    made.say("a", ConfigSubscribe(router), ConfigUnsubscribe(router))
