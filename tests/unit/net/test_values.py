"""MAC addresses, route targets and route distinguishers."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from skytrail.net import GATEWAY_MAC, Mac, RouteDistinguisher, RouteTarget


def test_mac_parses_both_separators_and_prints_lower_case_colons() -> None:
    assert str(Mac.parse("02-AA-0-0-0-7")) == "02:aa:00:00:00:07"
    assert str(GATEWAY_MAC) == "00:00:5e:00:01:00"


def test_mac_knows_group_addresses() -> None:
    assert Mac.parse("ff:ff:ff:ff:ff:ff").is_group
    assert not GATEWAY_MAC.is_group


@pytest.mark.parametrize(
    "text", ["", "02:aa", "02:aa:00:00:00:0g", "02:aa:00:00:00:07:08", "1" * 12]
)
def test_bad_mac_text_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a MAC address") as caught:
        Mac.parse(text)
    assert repr(text) in str(caught.value)


def test_mac_of_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 6 bytes"):
        Mac(b"\x02")


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("target:64512:8000001", "0002fc00007a1201"),
        ("target:10.0.0.1:5", "01020a0000010005"),
        ("target:100000:5", "0202000186a00005"),
    ],
)
def test_route_target_text_and_wire_agree(text: str, wire: str) -> None:
    target = RouteTarget.parse(text)

    assert target.packed.hex() == wire
    assert str(target) == text
    assert RouteTarget(bytes.fromhex(wire)) == target


@pytest.mark.parametrize(
    "text",
    [
        "64512:1", "target:", "target:1", "target:x:1", "target:1:x", "target:10.0.0.1:65536",
        "target:100000:65536", "target:4294967296:1", "target:1:4294967296", "target:1.2.3:4",
        "target:-1:4", "target:1:\u0664",
    ],
)  # fmt: skip
def test_bad_route_target_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        RouteTarget.parse(text)
    assert repr(text) in str(caught.value)


def test_route_target_refuses_other_communities() -> None:
    with pytest.raises(ValueError, match="not a route target"):
        RouteTarget(bytes.fromhex("0003fc00007a1201"))


def test_route_distinguisher_of_address_equals_its_text() -> None:
    distinguisher = RouteDistinguisher.of_address(IPv4Address("10.0.0.1"), 5)

    assert distinguisher == RouteDistinguisher.parse("10.0.0.1:5")
    assert str(distinguisher) == "10.0.0.1:5"
    assert distinguisher.packed.hex() == "00010a0000010005"


def test_route_distinguisher_number_must_fit() -> None:
    with pytest.raises(ValueError, match="65536"):
        RouteDistinguisher.of_address(IPv4Address("10.0.0.1"), 65536)


def test_values_are_hashable_and_ordered() -> None:
    low, high = RouteTarget.parse("target:1:1"), RouteTarget.parse("target:1:2")

    assert {low: 1}[RouteTarget.parse("target:1:1")] == 1
    assert low < high
    assert Mac.parse("00:00:00:00:00:01") < GATEWAY_MAC
