"""Each host has a control node of its own: routes cross between the two by BGP."""

import os
import secrets
from pathlib import Path

import pytest

from skytrail.lab import check
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.service import Lab

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-tenants"
TOPOLOGY = f"""
name: apart
controllers: [control1, control2]
hosts:
  - {{name: compute1, controllers: [control1]}}
  - {{name: compute2, controllers: [control2]}}
provision: {EXAMPLE / "provision.py"}
workloads:
  - {{name: red-web1, host: compute1, port: "default-domain:red:web1"}}
  - {{name: red-web2, host: compute2, port: "default-domain:red:web2"}}
  - {{name: blue-web1, host: compute1, port: "default-domain:blue:web1"}}
"""

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and eBPF")
    file = tmp_path_factory.mktemp("apart") / "topology.yaml"
    file.write_text(TOPOLOGY)
    created = Lab.create(file, name=f"stb{secrets.token_hex(3)}")
    try:
        created.up()
        yield created
    finally:
        created.down()


@pytest.fixture
def traffic(apart):
    running = []

    def start(source, destination):
        addresses = check.members(apart)
        pings = PingTraffic(
            apart.plan.namespace_of(source), addresses[destination].address(version=4)
        )
        running.append(pings)
        pings.__enter__()
        return pings

    yield start
    for pings in running:
        pings.stop()


def test_hosts_of_two_control_nodes_reach_each_other_within_a_tenant_only(traffic):
    assert traffic("red-web1", "red-web2").wait_replies(5, timeout_s=30)
    assert not traffic("blue-web1", "red-web2").wait_replies(1, timeout_s=1)


def test_killed_control_node_comes_back_without_a_lost_packet(apart, traffic):
    pings = traffic("red-web1", "red-web2")
    assert pings.wait_replies(5, timeout_s=30)

    apart.kill("control2")
    assert pings.wait_replies(100, timeout_s=30)
    apart.restart("control2")

    assert pings.wait_replies(300, timeout_s=30)
    assert pings.stop().lost == 0
