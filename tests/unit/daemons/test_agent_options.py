"""The agent's command line."""

import argparse

import pytest

from skytrail.agent.control_choice import ControlNode
from skytrail.daemons.agent import _control_addresses, _ifnames, _table_size


def test_control_nodes_are_named_in_one_word_each_with_a_port_or_the_usual_one():
    assert _control_addresses("192.0.2.11,192.0.2.12:5270") == [
        ControlNode("192.0.2.11", 5269),
        ControlNode("192.0.2.12", 5270),
    ]


def test_control_nodes_may_say_which_zone_they_are_in():
    assert _control_addresses("192.0.2.11@a,192.0.2.12:5270@b") == [
        ControlNode("192.0.2.11", 5269, "a"),
        ControlNode("192.0.2.12", 5270, "b"),
    ]


def test_settings_may_leave_the_second_control_node_out():
    assert _control_addresses("192.0.2.11,") == [ControlNode("192.0.2.11", 5269)]


@pytest.mark.parametrize(
    "text",
    ["", ",", "192.0.2.11,,192.0.2.12", "192.0.2.11:0", ":5269", "192.0.2.11@", "@a", "n1@a@b"],
)
def test_what_names_no_control_node_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not ADDR"):
        _control_addresses(text)


def test_links_into_the_underlay_are_named_in_one_word() -> None:
    assert _ifnames("eth0,vlan.100@x") == ["eth0", "vlan.100@x"]


@pytest.mark.parametrize("text", ["a/b", "sixteen-letters1", "eth0,a b", "..", "a:1"])
def test_what_can_be_no_link_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="can be no link's name"):
        _ifnames(text)


def test_a_size_of_thousands_of_digits_is_refused_in_few_words() -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        _table_size("routes4=" + "9" * 5000)

    assert "the size is a number of entries" in str(refused.value)
    assert len(str(refused.value)) < 200
