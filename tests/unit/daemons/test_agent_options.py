"""The agent's command line."""

import argparse

import pytest

from skytrail.daemons.agent import _control_addresses


def test_control_nodes_are_named_in_one_word_each_with_a_port_or_the_usual_one():
    assert _control_addresses("192.0.2.11,192.0.2.12:5270") == [
        ("192.0.2.11", 5269),
        ("192.0.2.12", 5270),
    ]


def test_settings_may_leave_the_second_control_node_out():
    assert _control_addresses("192.0.2.11,") == [("192.0.2.11", 5269)]


@pytest.mark.parametrize("text", ["", ",", "192.0.2.11,,192.0.2.12", "192.0.2.11:0", ":5269"])
def test_what_names_no_control_node_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not ADDR"):
        _control_addresses(text)
