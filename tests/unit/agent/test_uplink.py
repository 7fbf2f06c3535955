"""Several links into the underlay: rows that say so, and a host's answer to which there are."""

from ipaddress import IPv4Address, ip_address

import pytest

from skytrail.agent.io.uplinks import UnderlayMissing, Uplinks
from skytrail.agent.label import Numbers
from skytrail.agent.nexthop import NextHopTable, Underlay
from skytrail.agent.tables import Encapsulation
from skytrail.agent.uplink import entropy_of
from skytrail.net import Mac

HOST = IPv4Address("192.0.2.1")


def underlay(**fields):
    return Underlay("u0", 2, HOST, Mac.parse("02:00:00:00:00:01"), 1600, **fields)


@pytest.mark.parametrize("is_routed", [False, True])
def test_tunnels_of_a_host_with_several_links_are_routed_by_the_kernel(is_routed):
    table = NextHopTable(Numbers().nexthop, underlay(is_routed=is_routed), print)

    table.tunnel(IPv4Address("192.0.2.2"), Encapsulation.MPLS_UDP, layer2=False)

    ((_, row),) = table.take_made()
    assert row.is_routed == is_routed


def test_the_outer_source_port_is_in_the_dynamic_range_and_depends_on_either_port():
    ends = ip_address("10.0.0.1"), ip_address("10.0.0.2")
    ports = {
        entropy_of((ends[0], source), (ends[1], destination))
        for source in range(1000, 1010)
        for destination in range(80, 90)
    }

    assert len(ports) > 90
    assert all(49152 <= port <= 65535 for port in ports)


def test_one_link_is_not_routed_and_its_state_is_nobodys_unmet_need():
    links = Uplinks(["lo"])

    found = links.look(HOST, {})

    assert (found.ifname, found.is_routed, found.further_links) == ("lo", False, ())
    assert links.unmet() == []


def test_of_several_links_those_that_are_missing_are_told():
    links = Uplinks(["lo", "nobodys0"])

    assert links.look(HOST, {}).is_routed
    assert links.unmet() == ["uplink nobodys0: missing"]


def test_a_host_without_any_link_is_refused_by_name():
    with pytest.raises(UnderlayMissing, match="nobodys0 or nobodys1"):
        Uplinks(["nobodys0", "nobodys1"]).look(HOST, {})
