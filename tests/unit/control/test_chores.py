"""Chores: a first slice at once, the rest in turn."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from skytrail.control.chores import Chores
from skytrail.control.path import InstanceName, PeerName
from skytrail.control.plane import PULLS_COUNT_MAX
from skytrail.control.routing_policy import Match, RoutePolicy, Term
from skytrail.net import RouteTarget
from skytrail.testing.control_plane import (
    Bench,
    inet_route,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.wire.xmpp import EndOfRib, Family, ItemsEvent, PublishRoute, Subscribe, Unsubscribe

ROUTES_COUNT = 5
RED = instance_of("red")


def steps(count: int, done: list[str], name: str) -> Iterator[None]:
    for number in range(count):
        done.append(f"{name}{number}")
        yield


def test_a_small_chore_is_over_at_once_and_a_large_one_begun() -> None:
    chores, done = Chores(at_once=2), list[str]()

    chores.add(steps(1, done, "a"))
    assert chores.is_idle
    chores.add(steps(5, done, "b"))

    assert done == ["a0", "b0", "b1"]
    assert not chores.is_idle


def test_the_rest_is_done_in_slices_oldest_chore_first() -> None:
    chores, done = Chores(at_once=1), list[str]()
    chores.add(steps(3, done, "a"))
    chores.add(steps(2, done, "b"))

    assert chores.work(10)
    assert done == ["a0", "b0", "a1", "a2"]
    assert not chores.work(10)

    assert done[-1] == "b1"
    assert chores.is_idle


def large(*instances: str) -> Bench:
    """A node to which tables of five routes are large."""
    names = (*instances, "red")
    bench = Bench(*(routing_instance(name, both=[1]) for name in names), virtual_router("a"))
    bench.plane.replicator.chores.at_once = 1
    bench.up("a")
    bench.say("a", Subscribe(instance_of("red"), 1))
    for number in range(ROUTES_COUNT):
        bench.say("a", PublishRoute(instance_of("red"), inet_route(f"10.1.1.{number}/32")))
    return bench


def test_no_end_of_rib_is_sent_while_tables_may_lack_something() -> None:
    bench = large()
    bench.say("a", EndOfRib())
    bench.up("b")
    bench.put(routing_instance("blue", both=[2], imports=[1]))
    bench.say("b", Subscribe(instance_of("blue"), 2), EndOfRib())

    early = bench.hear("b")
    bench.plane.replicator.chores.finish()
    bench.wait(0.5)
    late = bench.hear("b")

    assert EndOfRib() not in early
    assert late[-1] == EndOfRib()
    told = [each for each in (*early, *late) if isinstance(each, ItemsEvent)]
    assert sum(len(each.routes) for each in told) == ROUTES_COUNT


def test_an_instance_made_again_at_once_ends_with_its_routes() -> None:
    bench = large("blue")
    bench.up("b")
    bench.say("b", Subscribe(instance_of("blue"), 2))
    bench.plane.replicator.chores.finish()
    assert len(routes_of(bench, "b")) == ROUTES_COUNT
    blue = routing_instance("blue", both=[1])

    bench.delete(blue)
    bench.put(blue)
    bench.plane.replicator.chores.finish()

    held: set[str] = set()
    for event in bench.hear("b"):
        assert isinstance(event, ItemsEvent)
        held -= set(map(str, event.retracts))
        held |= {str(route.key) for route in event.routes}
    assert len(held) == ROUTES_COUNT


def test_a_target_taken_away_and_given_back_before_anybody_looked_changes_nothing() -> None:
    bench = large("blue")
    bench.plane.replicator.chores.finish()
    name = InstanceName(instance_of("blue"))
    table = bench.plane.replicator.vrfs[name].ribs
    before = {family: dict(rib.entries) for family, rib in table.items()}

    bench.put(routing_instance("blue", both=[2]))
    bench.put(routing_instance("blue", both=[1]))
    bench.plane.replicator.chores.finish()

    after = {family: dict(rib.entries) for family, rib in table.items()}
    assert {f: set(r) for f, r in after.items()} == {f: set(r) for f, r in before.items()}
    assert bench.plane.replicator.vrfs[name].config.imports == {RouteTarget.parse("target:64512:1")}


def routes_of(bench: Bench, name: str) -> set[str]:
    events = [each for each in bench.hear(name) if isinstance(each, ItemsEvent)]
    return {str(route.key) for event in events for route in event.routes}


def test_routes_of_an_agent_back_in_time_are_not_marked_stale_by_a_chore_that_comes_late() -> None:
    bench = large()
    bench.up("b")
    bench.say("b", Subscribe(instance_of("red"), 1))
    bench.plane.replicator.chores.finish()
    assert len(routes_of(bench, "b")) == ROUTES_COUNT

    bench.down("a")
    bench.up("a")
    bench.say("a", Subscribe(instance_of("red"), 1))
    for number in range(ROUTES_COUNT):
        bench.say("a", PublishRoute(instance_of("red"), inet_route(f"10.1.1.{number}/32")))
    bench.say("a", EndOfRib())
    bench.plane.replicator.chores.finish()

    assert bench.hear("b") == []
    assert bench.plane.peers["a"].stale_count == 0  # type: ignore[index]
    paths = bench.plane.replicator.vrfs[InstanceName(instance_of("red"))].ribs.values()
    assert not any(p.is_stale for rib in paths for e in rib.entries.values() for p in e.best)


def many(bench: Bench) -> list[IPv4Network]:
    """Publish so many routes that they are not looked at in one go."""
    prefixes = [IPv4Network((0x0A00_0000 + number, 32)) for number in range(400)]
    bench.up("a")
    bench.say("a", Subscribe(RED, 1))
    bench.say("a", *(PublishRoute(RED, inet_route(str(prefix))) for prefix in prefixes))
    return prefixes


def test_other_targets_of_an_instance_reach_its_routes_in_slices() -> None:
    bench = Bench(routing_instance("red", both=[1]))
    prefixes = many(bench)
    rib = bench.plane.replicator.vrfs[InstanceName(RED)].ribs[Family.INET]

    def counts() -> set[int]:
        return {len(rib.best(prefix)[0].targets) for prefix in prefixes}

    bench.put(routing_instance("red", both=[1], exports=[2]))

    assert counts() == {1, 2}
    bench.plane.replicator.chores.finish()
    assert counts() == {2}


def test_a_routing_policy_judges_what_is_there_in_slices() -> None:
    bench = Bench(routing_instance("red", both=[1]))
    prefixes = many(bench)
    replicator = bench.plane.replicator
    rib = replicator.vrfs[InstanceName(RED)].ribs[Family.INET]
    reject = RoutePolicy("none", (Term(Match(), None, "reject"),))

    replicator.set_policies(InstanceName(RED), (reject,))
    assert {len(rib.best(prefix)) for prefix in prefixes} == {0, 1}
    replicator.chores.finish()
    assert {len(rib.best(prefix)) for prefix in prefixes} == {0}
    # What is taken back while it is under way is judged as it is by then.
    replicator.set_policies(InstanceName(RED), ())
    replicator.set_policies(InstanceName(RED), (reject,))
    replicator.chores.finish()
    assert {len(rib.best(prefix)) for prefix in prefixes} == {0}


def test_routes_said_again_before_they_left_the_tables_stay_with_what_is_said_now() -> None:
    bench = large()
    bench.plane.replicator.chores.finish()
    red = instance_of("red")
    bench.up("b")
    bench.say("b", Subscribe(red, 1))
    routes_of(bench, "b")

    bench.say("a", Unsubscribe(red), Subscribe(red, 2))
    bench.say("a", PublishRoute(red, inet_route("10.1.1.3/32", label=77)))
    bench.plane.replicator.chores.finish()

    held = {
        str(key): [path.next_hops[0].label for path in entry.best]
        for rib in bench.plane.replicator.vrfs[InstanceName(red)].ribs.values()
        for key, entry in rib.entries.items()
    }
    assert held == {"10.1.1.3/32": [77]}
    peer = bench.plane.peers[PeerName("a")]
    assert (peer.routes_count, peer.leaving) == (1, {})


def test_agent_that_unsubscribes_and_is_lost_meanwhile_leaves_nothing() -> None:
    bench = large()
    bench.plane.replicator.chores.finish()
    bench.say("a", Unsubscribe(instance_of("red")))
    bench.down("a")
    bench.plane.replicator.chores.finish()
    bench.wait(61)

    table = bench.plane.replicator.vrfs[InstanceName(instance_of("red"))].ribs
    assert not any(rib.entries for rib in table.values())
    assert not bench.plane.peers


def test_routes_of_a_removed_instance_leave_others_tables_in_slices_and_all_of_them() -> None:
    bench = large("blue")
    bench.plane.replicator.chores.finish()
    bench.up("b")
    bench.say("b", Subscribe(instance_of("blue"), 2))
    bench.plane.replicator.chores.finish()
    assert len(routes_of(bench, "b")) == ROUTES_COUNT

    bench.delete(routing_instance("red", both=[1]))
    left = bench.plane.replicator.vrfs[InstanceName(instance_of("blue"))].ribs.values()
    assert sum(len(rib.entries) for rib in left) == ROUTES_COUNT
    bench.plane.replicator.chores.finish()

    assert sum(len(rib.entries) for rib in left) == 0
    retracts = [event.retracts for event in bench.hear("b") if isinstance(event, ItemsEvent)]
    assert sum(map(len, retracts)) == ROUTES_COUNT
    assert not bench.plane.replicator.by_target


def test_agent_with_many_routes_of_its_own_gives_way_while_it_is_told_others() -> None:
    """Its own routes are no news to it: looking at thousands of them in one go helps nobody."""
    bench = Bench(routing_instance("red", both=[1]))
    bench.wait(31)
    bench.up("a", "b")
    for name in "ab":
        bench.say(name, Subscribe(instance_of("red"), 1))
    for number in range(32 * PULLS_COUNT_MAX + 40):
        route = inet_route(f"10.1.{number >> 8}.{number & 255}/32")
        bench.say("a", PublishRoute(instance_of("red"), route))
    bench.say("b", PublishRoute(instance_of("red"), inet_route("10.2.0.1/32", "172.16.0.2")))
    bench.say("a", EndOfRib())
    bench.plane.take_ready()

    assert bench.plane.collect("a", bench.now, 1 << 20) == []
    assert bench.plane.has_more("a")
    later = bench.hear("a")

    assert isinstance(later[0], ItemsEvent)
    assert [str(route.key) for route in later[0].routes] == ["10.2.0.1/32"]
    assert later[-1] == EndOfRib()
    assert not bench.plane.has_more("a")
