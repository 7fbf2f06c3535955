"""Overlay trees of a control node alone: who is told what, and what failures change."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from skytrail.control.limits import Limits
from skytrail.control.plane import PeerRefused
from skytrail.control.show import tables
from skytrail.net import Label
from skytrail.testing.control_plane import Bench, instance_of, routing_instance, virtual_router
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    EndOfRib,
    JoinTree,
    LeaveTree,
    Message,
    Subscribe,
    TreeBranch,
    TreeEdge,
    TreeItems,
    TreeKey,
    Unsubscribe,
)

RED, BLUE = instance_of("red"), instance_of("blue")
ADDRESSES = {name: IPv4Address("172.16.0.1") + place for place, name in enumerate("abcdefgh")}


ADDRESSES |= {name: IPv6Address("2001:db8::1") + place for place, name in enumerate("rstuv")}


def join(name: str, label: int = 5000, instance: str = RED, last: int | None = None) -> JoinTree:
    return JoinTree(
        instance,
        BROADCAST_TREE,
        ADDRESSES[name],
        Label(label),
        Label(label if last is None else last),
        ("udp", "gre"),
    )


def settled(*names: str, limits: Limits | None = None) -> Bench:
    """A node that knows all there is, and agents that are members of red's tree."""
    bench = Bench(routing_instance("red", both=[1]), limits=limits)
    bench.wait(31)
    for name in names:
        bench.up(name)
        bench.say(name, Subscribe(RED, 5), join(name))
    return bench


def trees(messages: list[Message]) -> list[TreeItems]:
    return [message for message in messages if isinstance(message, TreeItems)]


def test_two_members_are_told_each_other() -> None:
    bench = settled("a", "b")

    edge = TreeEdge(ADDRESSES["b"], Label(5000), ("udp", "gre"))
    told = TreeBranch(BROADCAST_TREE, Label(5000), (edge,))
    assert trees(bench.hear("a")) == [TreeItems(RED, (told,))]


def test_members_of_each_ip_version_are_a_tree_by_themselves() -> None:
    bench = settled("a", "r", "b", "s", "c", "t")

    for members in ("abc", "rst"):
        edges: dict[str, set[str]] = {}
        for name in members:
            told = trees(bench.hear(name))[-1].branches
            edges[name] = {
                each
                for each in ADDRESSES
                for edge in told[-1].edges
                if edge.address == ADDRESSES[each]
            }
        assert set[str]().union(*edges.values()) == set(members)
        assert sum(map(len, edges.values())) == 2 * (len(members) - 1)


def test_a_lone_member_is_told_nothing() -> None:
    assert trees(settled("a").hear("a")) == []


def test_the_last_neighbour_that_leaves_takes_the_tree_away() -> None:
    bench = settled("a", "b")
    bench.hear("a")

    bench.say("b", LeaveTree(RED, BROADCAST_TREE))

    assert trees(bench.hear("a")) == [TreeItems(RED, (), (BROADCAST_TREE,))]


def test_who_leaves_the_instance_is_not_told_what_that_takes_away() -> None:
    bench = settled("a", "b")
    bench.hear("a")

    bench.say("a", Unsubscribe(RED))

    assert trees(bench.hear("a")) == []


def test_what_a_member_says_again_changes_nothing() -> None:
    bench = settled("a", "b")
    bench.hear("a")
    bench.hear("b")

    bench.say("b", join("b"))

    assert trees(bench.hear("a")) == trees(bench.hear("b")) == []


def test_another_label_reaches_the_neighbours() -> None:
    bench = settled("a", "b")
    bench.hear("a")

    bench.say("b", join("b", 6000))

    (event,) = trees(bench.hear("a"))
    assert [edge.label for branch in event.branches for edge in branch.edges] == [6000]


def test_networks_do_not_share_a_tree() -> None:
    bench = settled("a", "b")
    bench.put(routing_instance("blue", both=[2]))
    bench.say("b", Subscribe(BLUE, 6), join("b", 5001, BLUE))
    bench.up("c")
    bench.say("c", Subscribe(BLUE, 6), join("c", 5001, BLUE))

    told = {event.instance: event.branches for event in trees(bench.hear("b"))}
    assert {edge.address for branch in told[RED] for edge in branch.edges} == {ADDRESSES["a"]}
    assert {edge.address for branch in told[BLUE] for edge in branch.edges} == {ADDRESSES["c"]}


def test_groups_of_a_network_have_trees_of_their_own() -> None:
    bench = settled("a", "b", "c")
    key = TreeKey(IPv4Address("239.1.1.1"), IPv4Address("10.1.1.3"))
    for name in "ab":
        offer = JoinTree(RED, key, ADDRESSES[name], Label(7000), Label(7001), ("udp",))
        bench.say(name, offer)

    branches = [branch for event in trees(bench.hear("a")) for branch in event.branches]
    own = next(branch for branch in branches if branch.key == key)
    assert {edge.address for edge in own.edges} == {ADDRESSES["b"]}


def test_an_agent_back_in_time_changes_no_edge_and_is_told_its_own() -> None:
    bench = settled("a", "b", "c")
    before = {name: trees(bench.hear(name)) for name in "abc"}
    bench.down("b")
    bench.wait(30)
    assert trees(bench.hear("a")) == trees(bench.hear("c")) == []

    bench.up("b")
    bench.say("b", Subscribe(RED, 5), join("b"), EndOfRib())

    assert trees(bench.hear("b")) == before["b"]
    assert trees(bench.hear("a")) == trees(bench.hear("c")) == []


def test_an_agent_that_stays_away_is_taken_out_of_the_tree() -> None:
    bench = settled("a", "b")
    bench.hear("a")
    bench.down("b")

    bench.wait(61)

    assert trees(bench.hear("a")) == [TreeItems(RED, (), (BROADCAST_TREE,))]
    assert "b" not in bench.plane.trees.claims


def test_an_instance_that_comes_later_gets_its_tree_then() -> None:
    bench = settled()
    for name in "ab":
        bench.up(name)
        bench.say(name, Subscribe(BLUE, 5), join(name, instance=BLUE))
    assert trees(bench.hear("a")) == []

    bench.put(routing_instance("blue", both=[2]))

    assert len(trees(bench.hear("a"))) == 1
    bench.delete(routing_instance("blue", both=[2]))
    assert trees(bench.hear("a")) == [TreeItems(BLUE, (), (BROADCAST_TREE,))]


def test_nothing_is_built_before_the_node_knows_who_is_there() -> None:
    bench = Bench(routing_instance("red", both=[1]), virtual_router("late"))
    for name in "ab":
        bench.up(name)
        bench.say(name, Subscribe(RED, 5), join(name))
    assert trees(bench.hear("a")) == []

    bench.wait(31)

    assert len(trees(bench.hear("a"))) == 1


def test_a_member_without_a_free_label_is_left_out_and_shown() -> None:
    bench = settled("a", "b")
    bench.put(routing_instance("blue", both=[2]))
    bench.say("a", Subscribe(BLUE, 6), join("a", 5000, BLUE))

    rows = list(tables(bench.plane, lambda: bench.now)["tree_members"]())
    problems = {(row["instance"], row["problem"]) for row in rows if row["problem"]}
    assert problems == {(BLUE, "no free label in its block")}


def test_one_tunnel_address_is_one_member_whoever_says_it() -> None:
    bench = settled("a", "b")
    bench.up("renamed")
    bench.say("renamed", Subscribe(RED, 5), join("a"))
    bench.hear("b")

    bench.down("a")
    bench.wait(61)

    assert trees(bench.hear("b")) == []
    assert len(trees(bench.hear("renamed"))) == 1


def test_a_join_outside_a_subscription_is_counted_and_ignored() -> None:
    bench = settled("a")
    bench.up("b")
    bench.say("b", join("b"))

    assert bench.plane.peers["b"].counters.routes_ignored == 1  # type: ignore[index]
    assert "b" not in bench.plane.trees.claims


def test_trees_of_an_agent_are_bounded() -> None:
    bench = settled("a", limits=Limits(trees_count_max=1))
    another = TreeKey(IPv4Address("239.1.1.1"), IPv4Address(0))

    with pytest.raises(PeerRefused, match="more than 1 trees"):
        bench.say("a", JoinTree(RED, another, ADDRESSES["a"], Label(99), Label(99)))


def test_an_agent_may_not_tell_others_their_branches() -> None:
    bench = settled("a")

    with pytest.raises(PeerRefused, match="TreeItems"):
        bench.say("a", TreeItems(RED))


def test_one_join_among_many_touches_few_members() -> None:
    bench = settled()
    names = [f"h{number}" for number in range(200)]
    for number, name in enumerate(names):
        ADDRESSES[name] = IPv4Address("172.17.0.0") + number
        bench.up(name)
        bench.say(name, Subscribe(RED, 5), join(name))
    for name in names:
        bench.hear(name)
    bench.up("a")
    bench.say("a", Subscribe(RED, 5), join("a"))

    told = [name for name in names if trees(bench.hear(name))]

    assert 1 <= len(told) <= 8


def test_the_tree_is_shown_with_its_edges() -> None:
    bench = settled("a", "b")
    bench.hear("a")
    shown = tables(bench.plane, lambda: bench.now)

    (tree,) = shown["trees"]()
    members = {row["member"]: row["edges"] for row in shown["tree_members"]()}

    assert (tree["instance"], tree["members"], tree["built_here"]) == (RED, 2, True)
    assert members == {"172.16.0.1": ["172.16.0.2 5000"], "172.16.0.2": ["172.16.0.1 5000"]}
