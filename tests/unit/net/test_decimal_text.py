"""Numbers that others write: within bounds, and never a failure, however long the text is."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.agent.access_list import protocol_of
from skytrail.agent.control_choice import read_control
from skytrail.control.bgp_values import community_number
from skytrail.daemons.collectors import address
from skytrail.daemons.option_numbers import number, port
from skytrail.net.decimal_text import bounded, decimal
from skytrail.store.location import LocationInvalid, parse_location

NINES = "9" * 5000
"""More digits than Python makes a number of."""


@pytest.mark.parametrize("text", [NINES, "0" * 5000 + "77", "0" * 5000, "", "²", "١", "-1", "1_0"])
def test_text_of_any_length_is_a_number_within_bounds_or_none(text: str) -> None:
    expected = {"0" * 5000 + "77": 77, "0" * 5000: 0}.get(text)

    assert decimal(text, 0, 100) == expected


@given(st.integers(-5, 300), st.integers(0, 50), st.integers(51, 200))
def test_bounds_are_inclusive(value: int, low: int, high: int) -> None:
    expected = value if low <= value <= high else None

    assert decimal(str(value), low, high) == expected


def test_error_says_the_bounds_and_not_all_of_the_text() -> None:
    with pytest.raises(ValueError, match="is not a number from 1 to 9") as refused:
        bounded(NINES, 1, 9)

    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("read", [port, number(5, 9), lambda text: address(f"10.0.0.1:{text}")])
def test_options_of_daemons_refuse_it_as_a_usage_error(read) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not"):
        read(NINES)

    assert port("0" * 5000 + "1") == 1


def test_configuration_that_is_no_number_stops_neither_control_node_nor_host() -> None:
    assert community_number(f"{NINES}:1") == 0
    assert community_number(f"1:{NINES}") == 0
    assert protocol_of(NINES) == (None, False)
    assert protocol_of("0" * 5000 + "6") == (6, True)


def test_addresses_with_such_a_port_are_refused() -> None:
    with pytest.raises(ValueError, match="is not ADDR"):
        read_control(f"10.0.0.1:{NINES}", 5269)
    with pytest.raises(LocationInvalid, match="is not HOST:PORT"):
        parse_location(f"etcd://h:{NINES}")
