"""Overlay trees between control nodes, over real BGP sessions of the private family 1/243."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

import pytest

from skytrail.control.plane import ControlPlane
from skytrail.model.config_object import ConfigObject
from skytrail.net import Label
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import OURS, OURS2, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router, instance_of, routing_instance, virtual_router
from skytrail.wire.xmpp import BROADCAST_TREE, JoinTree, LeaveTree, Subscribe

RED = instance_of("red")
AGENTS = [f"compute{number}" for number in range(1, 9)]


@pytest.fixture
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        yield made


@pytest.fixture
def nodes(routers: Bench) -> Iterator[tuple[Node, Node]]:
    one, two = Node(routers), Node(routers, OURS2, "control2")
    for node in (one, two):
        node.start()
        node.configure(*configuration())
    try:
        yield one, two
    finally:
        one.close()
        two.close()


def configuration() -> list[ConfigObject]:
    return [
        bgp_router("control1", OURS, peers=[("control2", {})], router_type="control-node"),
        bgp_router("control2", OURS2, router_type="control-node"),
        routing_instance("red", both=[101]),
    ]


def address_of(agent: str) -> IPv4Address:
    return IPv4Address("172.16.0.0") + AGENTS.index(agent) + 1


def join(node: Node, *agents: str) -> None:
    """As agents that publish to this node that they are members."""

    def act(plane: ControlPlane) -> None:
        for agent in agents:
            plane.session_up(agent, "127.0.0.1", 0.0)
            plane.receive(agent, Subscribe(RED, 1), 0.0)
            label = Label(5000 + AGENTS.index(agent))
            offer = JoinTree(RED, BROADCAST_TREE, address_of(agent), label, label, ("udp",))
            plane.receive(agent, offer, 0.0)

    node.do(act)


def leave(node: Node, agent: str) -> None:
    node.do(lambda plane: plane.receive(agent, LeaveTree(RED, BROADCAST_TREE), 0.0))


def edges(*nodes: Node) -> dict[str, set[str]]:
    """Return each agent's neighbours, as its own control node would tell it."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        for row in node.table("tree_members"):
            if row["agents"] and row["edges"]:
                assert isinstance(row["edges"], list)
                found[str(row["member"])] = {str(edge).split()[0] for edge in row["edges"]}
    return found


def is_whole(found: Mapping[str, set[str]], *agents: str) -> bool:
    """Tell whether one tree joins exactly these agents."""
    members = {str(address_of(agent)) for agent in agents}
    if set(found) != members:
        return False
    mutual = all(member in found.get(other, ()) for member in found for other in found[member])
    reached, waiting = set[str](), [min(members)]
    while waiting:
        member = waiting.pop()
        if member not in reached:
            reached.add(member)
            waiting += sorted(found.get(member, ()))
    edge_count = sum(map(len, found.values())) // 2
    return mutual and reached == members and edge_count == len(members) - 1


def builders(node: Node) -> set[object]:
    return {row["builder"] for row in node.table("tree_members") if row["edges"]}


def test_agents_of_two_control_nodes_are_one_tree_of_one_builder(
    nodes: tuple[Node, Node],
) -> None:
    one, two = nodes
    join(one, *AGENTS[:4])
    join(two, *AGENTS[4:])

    eventually(lambda: is_whole(edges(one, two), *AGENTS), "one tree of all agents")
    # A node builds its own until it hears of the other one's; edges may be the same before.
    eventually(lambda: builders(one) == builders(two) == {OURS}, "one builder")
    eventually(
        lambda: (
            [row["built_here"] for node in nodes for row in node.table("trees")] == [True, False]
        ),
        "the other one's rest",
    )
    assert is_whole(edges(one, two), *AGENTS)
    assert max(map(len, edges(one, two).values())) <= 4


def test_an_agent_that_leaves_the_other_node_leaves_the_tree(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    join(one, *AGENTS[:4])
    join(two, *AGENTS[4:])
    eventually(lambda: is_whole(edges(one, two), *AGENTS), "one tree of all agents")

    leave(two, AGENTS[6])

    rest = [agent for agent in AGENTS if agent != AGENTS[6]]
    eventually(lambda: is_whole(edges(one, two), *rest), "a tree of those that are left")


def test_agents_of_both_nodes_keep_every_edge_when_the_builder_dies(
    nodes: tuple[Node, Node],
) -> None:
    one, two = nodes
    for node in nodes:
        join(node, *AGENTS[:6])
    eventually(lambda: is_whole(edges(two), *AGENTS[:6]), "a tree of all agents")
    eventually(lambda: builders(two) == {OURS}, "the builder's edges")
    before = edges(two)

    one.close()
    eventually(lambda: two.state("control1") != "established", "the end of the session")

    assert edges(two) == before
    eventually(lambda: builders(two) == {OURS2}, "the other builder's edges")
    assert edges(two) == before
    # It builds in earnest: who comes now is in the tree, although the dead node's routes stay.
    join(two, AGENTS[6])
    eventually(lambda: is_whole(edges(two), *AGENTS[:7]), "a tree with the newcomer")


def test_a_builder_that_comes_back_takes_over_without_a_gap(
    nodes: tuple[Node, Node], routers: Bench
) -> None:
    one, two = nodes
    join(two, *AGENTS[:5])
    eventually(lambda: is_whole(edges(two), *AGENTS[:5]), "a tree of the agents")
    eventually(lambda: builders(two) == {OURS2}, "its builder")
    before = edges(two)

    join(one, *AGENTS[:5])

    seen: list[dict[str, set[str]]] = []

    def is_taken_over() -> bool:
        seen.append(edges(two))
        return builders(two) == {OURS}

    eventually(is_taken_over, "the edges of the node with the lower router id")
    assert all(each == before for each in seen)
    eventually(lambda: not two.table("trees")[0]["built_here"], "the other's rest")


def test_a_node_that_just_started_leaves_building_to_the_other_until_it_knows_enough(
    nodes: tuple[Node, Node], routers: Bench
) -> None:
    one, two = nodes
    one.close()
    eventually(lambda: two.state("control1") != "established", "the end of the session")
    again = Node(routers, deferral_time_s=4)
    again.start()
    try:
        # A host that never comes keeps it waiting.
        again.configure(*configuration(), virtual_router("late"))
        join(again, *AGENTS[:3])
        join(two, *AGENTS[3:6])

        eventually(lambda: is_whole(edges(again, two), *AGENTS[:6]), "one tree")
        first = builders(two)
        eventually(lambda: builders(again) == builders(two) == {OURS}, "the other's work")

        assert first == {OURS2}
        assert is_whole(edges(again, two), *AGENTS[:6])
    finally:
        again.close()


def test_trees_cross_only_where_the_family_was_negotiated(routers: Bench) -> None:
    listed = {"family": ["inet-vpn", "e-vpn"]}
    one, two = Node(routers), Node(routers, OURS2, "control2")
    try:
        for node in (one, two):
            node.start()
            node.configure(
                bgp_router("control1", OURS, peers=[("control2", {})], router_type="control-node"),
                bgp_router("control2", OURS2, router_type="control-node", address_families=listed),
                routing_instance("red", both=[101]),
            )
        join(one, *AGENTS[:2])
        join(two, *AGENTS[2:4])

        eventually(lambda: is_whole(edges(one), *AGENTS[:2]), "a tree of one node's agents")
        eventually(lambda: is_whole(edges(two), *AGENTS[2:4]), "a tree of the other's")
        eventually(lambda: one.state("control2") == "established", "a session that stays")
        assert one.peer("control2").counters.problems == 0
    finally:
        one.close()
        two.close()
