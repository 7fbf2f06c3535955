"""What tells the routes of one host from those of another."""

from ipaddress import ip_address

from skytrail.control.hosts import Hosts
from skytrail.control.path import PeerName
from skytrail.net import RouteDistinguisher
from skytrail.wire.xmpp import NextHop


def of(address, instance_id=5):
    """What a host has that configuration does not know, by where its routes lead."""
    return Hosts().distinguisher(PeerName("host"), (NextHop(ip_address(address)),), instance_id)


def test_an_ipv4_host_is_told_apart_by_its_address():
    assert of("192.0.2.1") == RouteDistinguisher.parse("192.0.2.1:5")


def test_ipv6_hosts_are_told_apart():
    assert len({of(f"2001:db8:{rack}::{host}") for rack in range(9) for host in range(1, 9)}) == 72


def test_instances_of_an_ipv6_host_are_told_apart():
    assert of("2001:db8::1", 5) != of("2001:db8::1", 6)
