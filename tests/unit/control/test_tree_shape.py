"""The form of overlay trees."""

from __future__ import annotations

from ipaddress import IPv4Address

from skytrail.control.tree_labels import AgentLabels
from skytrail.control.tree_shape import DEGREE_MAX, Shape, parents_of

HOSTS = [IPv4Address("172.16.0.1") + number for number in range(60)]


def shape_of(*members: IPv4Address, salt: bytes = b"red") -> Shape:
    shape = Shape(salt)
    for member in members:
        shape.add(member)
    return shape


def depth(shape: Shape, member: IPv4Address) -> int:
    parent = shape.parent(member)
    return 0 if parent is None else 1 + depth(shape, parent)


def test_no_member_has_more_neighbours_than_the_degree() -> None:
    shape = shape_of(*HOSTS)

    assert max(len(shape.neighbours(host)) for host in HOSTS) == DEGREE_MAX


def test_sixty_members_are_few_steps_from_the_root() -> None:
    shape = shape_of(*HOSTS)

    assert max(depth(shape, host) for host in HOSTS) <= 6


def test_the_order_of_joins_does_not_matter() -> None:
    one, other = shape_of(*HOSTS), shape_of(*reversed(HOSTS))

    assert [one.neighbours(host) for host in HOSTS] == [other.neighbours(host) for host in HOSTS]


def test_trees_of_different_names_have_different_roots() -> None:
    roots = {
        next(host for host in HOSTS if shape.parent(host) is None)
        for shape in (shape_of(*HOSTS, salt=bytes([number])) for number in range(8))
    }

    assert len(roots) > 1


def test_the_root_that_leaves_is_replaced() -> None:
    shape = shape_of(*HOSTS)
    root = next(host for host in HOSTS if shape.parent(host) is None)
    rest = [host for host in HOSTS if host != root]

    shape.remove(root)

    assert parents_of(b"red", rest) == {
        host: shape.parent(host) for host in rest if shape.parent(host) is not None
    }


def test_a_leaf_that_leaves_touches_itself_and_its_parent_only() -> None:
    shape = shape_of(*HOSTS)
    shape.take_changed()
    leaf = next(host for host in HOSTS if len(shape.neighbours(host)) == 1)
    parent = shape.parent(leaf)

    shape.remove(leaf)

    assert set(shape.take_changed()) == {leaf, parent}


def test_a_block_of_one_label_gives_that_label_to_one_tree() -> None:
    labels = AgentLabels()

    assert labels.take("red", 5000, 5000) == 5000
    assert labels.take("blue", 5000, 5000) is None


def test_a_full_block_gives_no_label_until_one_is_given_back() -> None:
    labels = AgentLabels()
    taken = [labels.take(f"tree{number}", 100, 103) for number in range(5)]
    assert sorted(label for label in taken if label is not None) == [100, 101, 102, 103]
    assert taken[4] is None

    first = taken[0]
    assert first is not None
    labels.give_back(first)

    assert labels.take("tree5", 100, 103) == first


def test_reserved_and_impossible_labels_are_not_taken() -> None:
    labels = AgentLabels()

    assert labels.take("red", 3, 20) is None
    assert labels.take("red", 30, 20) is None
    assert labels.take("red", 1 << 20, 1 << 20) is None


def test_a_tree_mostly_has_the_same_label_after_a_restart() -> None:
    first = [AgentLabels().take(f"tree{number}", 4096, 8191) for number in range(20)]

    assert [AgentLabels().take(f"tree{number}", 4096, 8191) for number in range(20)] == first
