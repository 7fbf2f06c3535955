"""Overlay trees after any history: connected, without circles, of bounded degree, few changes."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from skytrail.control.tree_shape import DEGREE_MAX, Shape, parents_of
from skytrail.net import Label
from skytrail.testing.control_plane import Bench, instance_of, routing_instance
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    JoinTree,
    LeaveTree,
    Subscribe,
    TreeBranch,
    TreeItems,
    Unsubscribe,
)

MEMBERS = st.integers(0, 40).map(lambda number: IPv4Address("172.16.0.0") + number)
HISTORY = st.lists(st.tuples(st.booleans(), MEMBERS), max_size=80)
Edges = Mapping[IPv4Address, set[IPv4Address]]


def reached(edges: Edges, start: IPv4Address) -> list[IPv4Address]:
    """Send one copy: every member passes it to all its neighbours but the one it came from.

    A copy is taken from a neighbour only. Whoever got two of them is in the list twice.
    """
    got: list[IPv4Address] = []
    waiting = [(start, start)]
    while waiting and len(got) <= 4 * len(edges):
        sender, member = waiting.pop()
        got.append(member)
        others = sorted(edges[member] - {sender})
        waiting += [(member, other) for other in others if member in edges.get(other, ())]
    return got


@given(HISTORY)
def test_a_tree_after_any_history_is_the_one_drawn_anew(
    history: list[tuple[bool, IPv4Address]],
) -> None:
    shape, members = Shape(b"red"), set[IPv4Address]()
    for joins, member in history:
        before = {each: set(shape.neighbours(each)) for each in members}
        shape.take_changed()
        (members.add if joins else members.discard)(member)
        (shape.add if joins else shape.remove)(member)
        after = {each: set(shape.neighbours(each)) for each in members}
        changed = {each for each in members if before.get(each) != after[each]}
        assert changed <= set(shape.take_changed())

    parents = {each: shape.parent(each) for each in members}
    assert {k: v for k, v in parents.items() if v is not None} == parents_of(b"red", members)
    edges = {each: set(shape.neighbours(each)) for each in members}
    assert all(len(each) <= DEGREE_MAX for each in edges.values())
    for member in members:
        assert sorted(reached(edges, member)) == sorted(members)


@given(st.lists(st.sets(MEMBERS, min_size=1), min_size=1, max_size=4), st.randoms())
def test_no_mixture_of_old_and_new_trees_delivers_anything_twice(
    versions: list[set[IPv4Address]],
    rng: object,
) -> None:
    shapes: list[Shape] = []
    for members in versions:
        shape = Shape(b"red")
        for member in sorted(members):
            shape.add(member)
        shapes.append(shape)
    known: dict[IPv4Address, set[IPv4Address]] = {}
    for member in sorted(set[IPv4Address]().union(*versions)):
        # What each was told last may be of any of the trees there ever were.
        choices = [shape for shape in shapes if member in shape]
        known[member] = set(rng.choice(choices).neighbours(member))  # type: ignore[attr-defined]

    for member in known:
        got = reached(known, member)
        assert len(got) == len(set(got))


INSTANCES = [instance_of("red"), instance_of("blue")]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "unsubscribe", "down", "time"]),
        st.integers(0, 6),
        st.sampled_from(INSTANCES),
    ),
    max_size=40,
)


def host(number: int) -> IPv4Address:
    return IPv4Address("172.16.0.1") + number


@given(STEPS)
def test_agents_know_exactly_the_tree_of_who_is_a_member(
    steps: list[tuple[str, int, str]],
) -> None:
    """Two trees share each agent's block of labels; sessions come and go."""
    bench = Bench(routing_instance("red", both=[1]), routing_instance("blue", both=[2]))
    bench.wait(31)
    joined: dict[tuple[int, str], None] = {}
    known: dict[int, dict[str, TreeBranch]] = {}

    def back(number: int) -> None:
        if number not in known:
            known[number] = {}
            bench.up(f"a{number}")
            for who, instance in joined:
                if who == number:
                    say_join(number, instance)

    def say_join(number: int, instance: str) -> None:
        join = JoinTree(instance, BROADCAST_TREE, host(number), Label(100), Label(101), ("udp",))
        bench.say(f"a{number}", Subscribe(instance, 1 + INSTANCES.index(instance)), join)

    def read() -> None:
        for number, branches in known.items():
            for message in bench.hear(f"a{number}"):
                if isinstance(message, TreeItems):
                    for branch in message.branches:
                        branches[message.instance] = branch
                    for _ in message.retracts:
                        branches.pop(message.instance, None)

    for verb, number, instance in steps:
        match verb:
            case "join":
                back(number)
                joined[number, instance] = None
                say_join(number, instance)
            case "leave" | "unsubscribe":
                back(number)
                joined.pop((number, instance), None)
                leave = LeaveTree(instance, BROADCAST_TREE)
                bench.say(f"a{number}", leave if verb == "leave" else Unsubscribe(instance))
                known[number].pop(instance, None)
            case "down":
                if known.pop(number, None) is not None:
                    bench.down(f"a{number}")
            case _:
                read()
                bench.wait(5)
    for number in {who for who, _ in joined}:
        back(number)
    bench.wait(61)
    read()

    for instance in INSTANCES:
        members = {host(number) for number, name in joined if name == instance}
        parents = parents_of(f"{instance} 255.255.255.255 0.0.0.0".encode(), members)
        wanted: dict[IPv4Address, set[IPv4Address]] = {member: set() for member in members}
        for child, parent in parents.items():
            wanted[child].add(parent)
            wanted[parent].add(child)
        branches = {
            host(number): told[instance] for number, told in known.items() if instance in told
        }
        labels = {member: branch.label for member, branch in branches.items()}
        assert {m: {e.address for e in b.edges} for m, b in branches.items()} == {
            member: neighbours for member, neighbours in wanted.items() if neighbours
        }
        for branch in branches.values():
            assert all(edge.label == labels[edge.address] for edge in branch.edges)
    for told in known.values():
        assert len({branch.label for branch in told.values()}) == len(told)
