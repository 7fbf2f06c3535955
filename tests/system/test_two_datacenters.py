"""Two data centers with controllers and AS numbers of their own share a network and a VPN."""

import os
import secrets
from pathlib import Path

import pytest

from skytrail.lab import check, interconnect
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.service import Lab

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-datacenters"

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def sites():
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and eBPF")
    created = {}
    try:
        for site in ("east", "west"):
            created[site] = Lab.create(EXAMPLE / f"{site}.yaml", name=f"st{secrets.token_hex(3)}")
            created[site].up()
        interconnect.connect(created["east"], created["west"])
        yield created
    finally:
        for lab in created.values():
            lab.down()


@pytest.fixture
def ping(sites):
    running = []

    def start(source, destination):
        """From and to a workload, each given as (site, name)."""
        (site, name), (far_site, far_name) = source, destination
        address = check.members(sites[far_site])[far_name].address(version=4)
        traffic = PingTraffic(sites[site].plan.namespace_of(name), address)
        running.append(traffic)
        traffic.__enter__()
        return traffic

    yield start
    for traffic in running:
        traffic.stop()


def test_stretched_network_is_one_network(ping):
    assert ping(("east", "east-web"), ("west", "west-web")).wait_replies(5, timeout_s=30)
    assert ping(("west", "west-web"), ("east", "east-web")).wait_replies(5, timeout_s=30)


def test_vpn_joins_the_subnets_of_both(ping):
    assert ping(("east", "east-store"), ("west", "west-store")).wait_replies(5, timeout_s=30)


def test_networks_without_a_common_target_stay_apart(ping):
    """Tenant ``other`` has the very addresses of the stretched network in both places."""
    assert ping(("east", "east-web"), ("west", "west-web")).wait_replies(5, timeout_s=30)
    assert not ping(("east", "other-web"), ("west", "west-web")).wait_replies(1, timeout_s=1)
    assert not ping(("west", "other-web"), ("east", "east-web")).wait_replies(1, timeout_s=1)


def test_control_nodes_of_the_other_place_may_come_and_go(sites, ping):
    pings = ping(("east", "east-web"), ("west", "west-web"))
    assert pings.wait_replies(5, timeout_s=30)

    sites["west"].kill("control1")
    assert pings.wait_replies(100, timeout_s=30)
    sites["west"].restart("control1")

    assert pings.wait_replies(300, timeout_s=30)
    assert pings.stop().lost == 0


def test_machine_that_moves_across_is_found_at_its_new_place(sites, ping):
    near, far = (
        ping(("east", "east-web"), ("east", "mover")),
        ping(("west", "west-web"), ("east", "mover")),
    )
    assert near.wait_replies(5, timeout_s=30)
    assert far.wait_replies(5, timeout_s=30)

    sites["east"].unplug(sites["east"].topology.endpoint("mover"))
    sites["west"].attach([sites["west"].topology.endpoint("mover")])

    assert near.wait_replies(50, timeout_s=30)
    assert far.wait_replies(50, timeout_s=30)


def test_joining_twice_changes_nothing(sites):
    before = sites["east"].api().list("bgp-router")
    interconnect.connect(sites["west"], sites["east"])
    assert sites["east"].api().list("bgp-router") == before
