"""Four bytes that stand for a tunnel's end."""

from ipaddress import IPv4Address, IPv6Address

from skytrail.net import Mac, number_of, router_mac

NEAR = IPv4Address("192.0.2.9")


def test_ipv4_address_stands_for_itself():
    assert number_of(NEAR) == NEAR
    assert router_mac(NEAR) == Mac.parse("02:5e:c0:00:02:09")


def test_addresses_of_planned_networks_have_numbers_of_their_own():
    # What exclusive or, or the last four bytes, would mix up.
    addresses = [
        IPv6Address(f"2001:db8:{site:x}:{rack:x}::{host:x}")
        for site in range(8)
        for rack in range(32)
        for host in range(1, 65)
    ]

    assert len({number_of(each) for each in addresses}) == len(addresses)


def test_number_does_not_change_from_one_version_to_the_next():
    # Routers know hosts by it, and programs of the last version run on beside an agent of the next.
    assert number_of(IPv6Address("2001:db8:1::1")).packed.hex() == "b752046a"
