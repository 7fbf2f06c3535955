"""Which two of many control nodes a host uses."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from skytrail.agent.control_choice import ControlNode, chosen_pair

ZONES = ("a", "b", "c", "")
NODES = st.lists(
    st.builds(
        ControlNode,
        st.integers(1, 12).map("192.0.2.{}".format),
        st.just(5269),
        st.sampled_from(ZONES),
    ),
    min_size=1,
    unique_by=lambda node: node.host,
)


def test_two_nodes_are_used_in_the_order_they_were_named() -> None:
    named = [ControlNode("192.0.2.2", 5269, "a"), ControlNode("192.0.2.1", 5269, "a")]

    assert chosen_pair("host1", named) == tuple(named)
    assert chosen_pair("host1", named[:1]) == tuple(named[:1])


@given(NODES, st.text(max_size=5))
def test_the_order_of_a_longer_list_does_not_matter(known: list[ControlNode], host: str) -> None:
    backwards = known[::-1]

    assert len(known) <= 2 or chosen_pair(host, known) == chosen_pair(host, backwards)


@given(NODES, st.text(max_size=5))
def test_the_two_are_of_different_zones_if_there_are_several(
    known: list[ControlNode], host: str
) -> None:
    pair = chosen_pair(host, known)

    assert len(set(pair)) == min(2, len(known))
    if len({node.zone for node in known}) > 1:
        assert pair[0].zone != pair[1].zone


@given(NODES, st.text(max_size=5))
def test_who_does_not_use_a_node_does_not_move_when_it_goes(
    known: list[ControlNode], host: str
) -> None:
    pair = chosen_pair(host, known)

    for gone in set(known) - set(pair):
        left = [node for node in known if node != gone]
        assert len(left) == 2 or chosen_pair(host, left) == pair


def test_hosts_are_divided_evenly_and_a_node_more_takes_only_its_share() -> None:
    ten = [ControlNode(f"192.0.2.{number}", 5269, f"m{number % 5}") for number in range(10)]
    eleven = [*ten, ControlNode("192.0.2.10", 5269, "m5")]
    hosts = [f"host{number}" for number in range(1000)]

    used = Counter(node for host in hosts for node in chosen_pair(host, ten))
    moved = sum(chosen_pair(host, ten) != chosen_pair(host, eleven) for host in hosts)

    # Two hundred each; standard deviation about thirteen.
    assert all(140 < used[node] < 260 for node in ten)
    assert 130 < moved < 250
