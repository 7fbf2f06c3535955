"""Path selection."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.best_path import (
    ECMP_COUNT_MAX,
    SERVICE_INTERFACE,
    select,
    select_one,
    why_best,
    why_not_best,
    why_not_told,
)
from skytrail.control.path import (
    FABRIC_INSTANCE,
    VPN_INSTANCE,
    InstanceName,
    Interner,
    Learned,
    Path,
    PathSlot,
    PeerName,
    effective_med,
    usable_next_hops,
)
from skytrail.control.vpn import VpnEntry
from skytrail.net import Label, Mac, RouteDistinguisher
from skytrail.testing.control_plane import inet_route
from skytrail.wire.bgp import Attributes
from skytrail.wire.xmpp import EnetKey, Family, RouteAttributes

RED = InstanceName("red")


def path(source: str, instance: str = RED, **changes: object) -> Path:
    route = inet_route("10.1.1.3/32")
    attributes = {key: value for key, value in changes.items() if key != "is_stale"}
    return Path(
        slot=PathSlot(PeerName(source), InstanceName(instance), route.key),
        distinguisher=RouteDistinguisher.parse("10.0.0.1:1"),
        next_hops=route.next_hops,
        attributes=replace(RouteAttributes(), **attributes),
        targets=frozenset(),
        is_stale=bool(changes.get("is_stale")),
    )


@pytest.mark.parametrize(
    ("loser", "winner", "reason"),
    [
        (
            path("a", local_preference=100),
            path("b", local_preference=200),
            "lower local preference",
        ),
        (path("a", etree_leaf=True), path("b"), "etree leaf"),
        (path("a"), path("b", sticky=True), "not sticky"),
        (path("a", sequence_number=1), path("b", sequence_number=2), "older mobility sequence"),
        (path("a", is_stale=True), path("b"), "stale"),
        (path("a", med=7), path("b", med=6), "higher MED"),
        (path("a", "blue"), path("b"), "imported from another network"),
    ],
)
def test_each_step_decides_and_names_itself(loser: Path, winner: Path, reason: str) -> None:
    best = select([loser, winner], Family.INET, RED)

    assert best == (winner,)
    assert why_not_best(loser, best, RED) == reason
    assert why_not_best(winner, best, RED) == ""


def test_earlier_step_outweighs_all_later_ones() -> None:
    high = path("z", local_preference=200, is_stale=True, etree_leaf=True, med=9)
    low = path("a", local_preference=100, sticky=True, sequence_number=5)

    assert select([low, high], Family.INET, RED) == (high,)


def test_equal_paths_are_used_together_in_the_same_order_everywhere() -> None:
    one, two = path("a"), path("b")

    assert select([two, one], Family.INET, RED) == (one, two)
    assert select([one, two], Family.INET, RED) == (one, two)


def test_a_mac_goes_to_one_place_only() -> None:
    one, two = path("a"), path("b")

    best = select([two, one], Family.ENET, RED)

    assert best == (one,)
    assert why_not_best(two, best, RED) == "later name"


SERVICE = {"sub_protocol": SERVICE_INTERFACE}


def with_mac(given: Path, mac: str) -> Path:
    hops = tuple([replace(hop, mac=Mac.parse(mac)) for hop in given.next_hops])
    return replace(given, next_hops=hops)


def test_stale_copy_of_a_service_goes_on_sharing_with_fresh_ones() -> None:
    stale = with_mac(path("a", is_stale=True, **SERVICE), "02:00:00:00:00:01")
    fresh = with_mac(path("b", **SERVICE), "02:00:00:00:00:02")

    assert select([fresh, stale], Family.INET, RED) == (stale, fresh)
    assert why_not_best(stale, (stale, fresh), RED) == ""


def test_stale_copy_loses_where_its_port_is_announced_from_elsewhere() -> None:
    stale = with_mac(path("a", is_stale=True, **SERVICE), "02:00:00:00:00:01")
    moved = with_mac(path("b", **SERVICE), "02:00:00:00:00:01")
    other = with_mac(path("c", **SERVICE), "02:00:00:00:00:02")

    best = select([stale, moved, other], Family.INET, RED)

    assert best == (moved, other)
    assert why_not_best(stale, best, RED) == "stale"


def test_stale_copy_loses_to_the_same_route_heard_from_another_control_node() -> None:
    entry = VpnEntry.of(RouteDistinguisher.parse("10.0.0.1:1"), inet_route("10.1.1.3/32").key)
    stale, heard = path("a", is_stale=True, **SERVICE), path("node2", **SERVICE)
    stale.slot.entry = heard.slot.entry = entry

    assert select([stale, heard], Family.INET, RED) == (heard,)


def test_stale_copy_with_worse_med_is_not_said_to_lose_for_being_stale() -> None:
    stale, fresh = path("a", is_stale=True, med=9, **SERVICE), path("b", med=1, **SERVICE)

    assert select([stale, fresh], Family.INET, RED) == (fresh,)
    assert why_not_best(stale, (fresh,), RED) == "higher MED"


def test_mac_of_a_stale_service_port_loses_to_a_fresh_one() -> None:
    key = EnetKey(Mac.parse("02:00:00:00:00:01"), ip_network("10.1.1.3/32"))
    stale, fresh = [
        replace(given, slot=PathSlot(given.source, RED, key))
        for given in (path("a", is_stale=True, **SERVICE), path("b", **SERVICE))
    ]

    assert select([stale, fresh], Family.ENET, RED) == (fresh,)


def test_stale_copy_shares_with_equally_preferred_ones_only() -> None:
    stale = path("a", is_stale=True, local_preference=100, **SERVICE)
    fresh = path("b", local_preference=200, **SERVICE)

    assert select([stale, fresh], Family.INET, RED) == (fresh,)


def test_ecmp_is_bounded() -> None:
    paths = [path(f"{number:02}") for number in range(ECMP_COUNT_MAX + 1)]

    best = select(paths, Family.INET, RED)

    assert len(best) == ECMP_COUNT_MAX
    assert why_not_best(paths[-1], best, RED) == "beyond the ECMP bound"


def test_infeasible_path_is_never_selected() -> None:
    hollow = replace(path("a", local_preference=300), next_hops=())

    usable = path("b")

    assert select([hollow], Family.INET, RED) == ()
    assert select([hollow, usable], Family.INET, RED) == (usable,)
    assert why_not_best(hollow, (usable,), RED) == "not feasible"


def test_next_hop_without_label_is_usable_in_the_fabric_only() -> None:
    hop = replace(inet_route("10.1.1.3/32").next_hops[0], label=Label(0))

    assert usable_next_hops((hop,), "red") == ()
    assert usable_next_hops((hop,), FABRIC_INSTANCE) == (hop,)
    assert usable_next_hops((replace(hop, encapsulations=("native",)),), "red") != ()


def test_next_hop_with_unknown_encapsulations_only_is_unusable() -> None:
    hop = replace(inet_route("10.1.1.3/32").next_hops[0], encapsulations=("carrier-pigeon",))

    assert usable_next_hops((hop,), "red") == ()
    assert usable_next_hops((replace(hop, encapsulations=()),), "red") != ()


@pytest.mark.parametrize(
    ("preference", "med", "expected"),
    [(100, 0, 200), (200, 0, 100), (150, 0, 0xFFFFFFFF - 150), (100, 7, 7)],
)
def test_missing_med_follows_the_local_preference(preference: int, med: int, expected: int) -> None:
    assert effective_med(RouteAttributes(local_preference=preference, med=med)) == expected


def test_interner_shares_equal_values_within_its_bound() -> None:
    interner = Interner(bound=2)
    first = RouteAttributes(med=1)

    assert interner.intern(RouteAttributes(med=1)) == first
    assert interner.intern(first) is interner.intern(RouteAttributes(med=1))
    for med in range(5):
        interner.intern(RouteAttributes(med=med))
    assert len(interner) <= 2


TAKEN_OVER = [{"local_preference": 0xFFFF_FFFF}, {"med": 1}, {"local_preference": 500, "med": 1}]


@pytest.mark.parametrize("changes", TAKEN_OVER, ids=str)
def test_a_connected_network_cannot_take_over_a_workloads_address(
    changes: dict[str, object],
) -> None:
    mine, theirs = path("a", local_preference=100), path("b", "blue", **changes)

    best = select([theirs, mine], Family.INET, RED)

    assert best == (mine,)
    assert why_not_best(theirs, best, RED) == "imported from another network"


def test_a_default_route_from_elsewhere_may_still_be_preferred() -> None:
    def default(source: str, instance: str, preferred: int) -> Path:
        made = path(source, instance, local_preference=preferred)
        slot = PathSlot(made.source, made.instance, ip_network("0.0.0.0/0"))
        return replace(made, slot=slot)

    theirs = default("b", "blue", 200)

    assert select([default("a", RED, 100), theirs], Family.INET, RED) == (theirs,)


def test_a_workload_that_moved_into_another_cluster_is_found_there() -> None:
    """Its own host may be lost and say nothing."""
    moved = path("b", "blue", sequence_number=2)

    assert select([path("a", sequence_number=1), moved], Family.INET, RED) == (moved,)
    fresh = path("b", "blue")
    assert select([path("a", is_stale=True), fresh], Family.INET, RED) == (fresh,)


NET = "default-domain:p:net"


def learned(source: str, **changes: object) -> Path:
    return replace(
        path(source, VPN_INSTANCE, **changes),
        virtual_network=NET,
        learned=Learned(Attributes(origin=0), is_external=False, router_id=IPv4Address("10.0.0.9")),
    )


@pytest.mark.parametrize("own", [f"{NET}:net", f"{NET}:service-1"])
def test_routes_of_agents_and_of_other_control_nodes_count_alike_in_a_network(own: str) -> None:
    """Also in the instances of its services, which import both."""
    here, there = path("a", f"{NET}:net"), learned("node2")

    assert select([here, there], Family.INET, InstanceName(own)) == (here, there)


def copies(**changes: object) -> tuple[Path, Path]:
    own, copy = path("a", is_stale=True, local_preference=200), learned("node2", **changes)
    return own, copy


def test_stale_route_that_another_control_node_says_afresh_stays_the_best_copy() -> None:
    own, copy = copies(local_preference=200, med=100)

    assert select_one([copy, own]) is own
    assert why_not_told(copy, own) == "learned by BGP"


def test_of_several_next_hops_bgp_tells_one_and_confirms_them() -> None:
    own, copy = copies(local_preference=200)
    second = replace(own.next_hops[0], label=Label(77))

    assert select_one([copy, both := replace(own, next_hops=(*own.next_hops, second))]) is both


@pytest.mark.parametrize(
    "changes",
    [{"local_preference": 200, "sequence_number": 1}, {"local_preference": 200, "med": 7},
     {"local_preference": 200, "security_groups": (8000001,)}, {"local_preference": 200, "sticky": True}],
)  # fmt: skip
def test_stale_route_loses_to_what_its_agent_says_elsewhere_now(changes: dict[str, object]) -> None:
    own, copy = copies(**changes)

    assert select_one([own, copy]) is copy


def test_used_path_says_what_it_wins_by():
    first, second = path("a"), path("b")
    weak, old = path("c", local_preference=50), path("d", is_stale=True)
    paths = [weak, first, old, second]
    best = select(paths, Family.INET, RED)

    assert best == (first, second)
    assert why_best(first, best, paths, RED) == (
        "shares with 1; the others: lower local preference, stale"
    )
    assert why_best(weak, best, paths, RED) == ""
    assert why_best(first, (first,), [first], RED) == "the only path"
    assert why_best(first, (first, second), [first, second], RED) == "shares with 1"
