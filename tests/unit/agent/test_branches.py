"""Parts of overlay trees as control nodes tell them, and memberships as they are told."""

from __future__ import annotations

from ipaddress import IPv4Address

from skytrail.agent.branches import LearntBranches
from skytrail.agent.control_sessions import ControlSessions
from skytrail.agent.tables import VrfId
from skytrail.net import Label
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    JoinTree,
    LeaveTree,
    Subscribe,
    TreeBranch,
    TreeEdge,
    TreeItems,
)

RED = "default-domain:p:red:red"


def branch(*neighbours: str) -> TreeBranch:
    edges = tuple(TreeEdge(IPv4Address(each), Label(5000)) for each in neighbours)
    return TreeBranch(BROADCAST_TREE, Label(5000), edges)


def told(*neighbours: str) -> TreeItems:
    return TreeItems(RED, (branch(*neighbours),))


def test_one_control_node_is_believed_while_it_lives() -> None:
    learnt = LearntBranches()
    learnt.apply("c1", told("172.16.0.2"))
    learnt.apply("c0", told("172.16.0.3"))

    assert learnt.best(RED, BROADCAST_TREE) == branch("172.16.0.3")
    learnt.mark_stale("c0")
    assert learnt.best(RED, BROADCAST_TREE) == branch("172.16.0.2")


def test_a_branch_stays_when_all_control_nodes_are_gone() -> None:
    learnt = LearntBranches()
    learnt.apply("c0", told("172.16.0.3"))

    learnt.mark_stale("c0")

    assert learnt.best(RED, BROADCAST_TREE) == branch("172.16.0.3")


def test_what_is_not_said_again_is_swept() -> None:
    learnt = LearntBranches()
    learnt.apply("c0", told("172.16.0.3"))
    learnt.mark_stale("c0")

    learnt.sweep_stale()

    assert learnt.best(RED, BROADCAST_TREE) is None


def test_a_retract_takes_one_control_nodes_offer_only() -> None:
    learnt = LearntBranches()
    learnt.apply("c0", told("172.16.0.3"))
    learnt.apply("c1", told("172.16.0.3"))

    learnt.apply("c0", TreeItems(RED, (), (BROADCAST_TREE,)))

    assert learnt.best(RED, BROADCAST_TREE) == branch("172.16.0.3")


def test_changes_name_the_instances() -> None:
    learnt = LearntBranches()
    learnt.apply("c0", told("172.16.0.3"))
    version = learnt.version

    learnt.apply("c0", TreeItems("blue", (branch(),)))

    assert learnt.changes_since(version) == ["blue"]
    assert learnt.changes_since(learnt.version) == []


def test_memberships_are_told_to_every_control_node_and_taken_back() -> None:
    sessions = ControlSessions("compute1")
    join = JoinTree(RED, BROADCAST_TREE, IPv4Address("172.16.0.1"), Label(9), Label(9))
    for source in ("c0", "c1"):
        sessions.established(source, 0.0)

    first = sessions.synchronise({RED: VrfId(5)}, {(RED, BROADCAST_TREE): join})
    again = sessions.synchronise({RED: VrfId(5)}, {(RED, BROADCAST_TREE): join})
    last = sessions.synchronise({RED: VrfId(5)}, {})

    assert first == [(source, m) for source in ("c0", "c1") for m in (Subscribe(RED, 5), join)]
    assert again == []
    assert last == [(source, LeaveTree(RED, BROADCAST_TREE)) for source in ("c0", "c1")]


def test_branches_of_an_instance_that_was_left_are_forgotten() -> None:
    sessions = ControlSessions("compute1")
    sessions.established("c0", 0.0)
    sessions.synchronise({RED: VrfId(5)}, {})
    sessions.received("c0", told("172.16.0.3"), 1.0)
    assert sessions.learnt.branches.best(RED, BROADCAST_TREE) == branch("172.16.0.3")

    sessions.synchronise({}, {})
    sessions.received("c0", told("172.16.0.3"), 2.0)

    assert sessions.learnt.branches.best(RED, BROADCAST_TREE) is None
