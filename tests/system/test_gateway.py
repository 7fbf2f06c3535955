"""FRR as a data-center gateway: workloads reach an outside network and are reached from it."""

import os
import secrets
from pathlib import Path

import pytest

from skytrail.lab import check
from skytrail.lab.io import gateway
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.service import Lab

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-tenants"
TOPOLOGY = f"""
name: gatewayed
controllers: [control1, control2]
hosts: [compute1, compute2]
gateways:
  - {{name: gw1, network: "default-domain:blue:front", outside: 203.0.113.0/24}}
provision: {EXAMPLE / "provision.py"}
workloads:
  - {{name: blue-web1, host: compute1, port: "default-domain:blue:web1"}}
  - {{name: blue-web2, host: compute2, port: "default-domain:blue:web2"}}
  - {{name: red-web1, host: compute1, port: "default-domain:red:web1"}}
"""

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def gatewayed(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and eBPF")
    if not gateway.is_installed():
        pytest.fail("FRR is missing: packaging/setup.sh peers")
    file = tmp_path_factory.mktemp("gatewayed") / "topology.yaml"
    file.write_text(TOPOLOGY)
    created = Lab.create(file, name=f"stg{secrets.token_hex(3)}")
    try:
        created.up()
        yield created
    finally:
        created.down()


@pytest.fixture
def ping(gatewayed):
    running = []
    place = gatewayed.gateway_place("gw1")

    def start(source, destination):
        """From and to a workload, or ``outside``."""
        outside = source == "outside"
        namespace = place.outside_namespace if outside else gatewayed.plan.namespace_of(source)
        members = check.members(gatewayed)
        address = (
            place.outside[10]
            if destination == "outside"
            else members[destination].address(version=4)
        )
        traffic = PingTraffic(namespace, address)
        running.append(traffic)
        traffic.__enter__()
        return traffic

    yield start
    for traffic in running:
        traffic.stop()


@pytest.mark.parametrize("workload", ["blue-web1", "blue-web2"])
def test_workloads_of_every_host_reach_the_outside(ping, workload):
    assert ping(workload, "outside").wait_replies(5, timeout_s=20)


@pytest.mark.parametrize("workload", ["blue-web1", "blue-web2"])
def test_the_outside_reaches_workloads_of_every_host(ping, workload):
    assert ping("outside", workload).wait_replies(5, timeout_s=20)


def test_another_tenant_has_no_part_in_it(ping):
    assert ping("blue-web1", "outside").wait_replies(5, timeout_s=20)
    assert not ping("red-web1", "outside").wait_replies(1, timeout_s=1)


def test_the_gateways_control_node_may_come_back(gatewayed, ping):
    """FRR has no graceful restart for EVPN: meanwhile it drops what that node told it."""
    out, back = ping("blue-web1", "outside"), ping("outside", "blue-web2")
    assert out.wait_replies(5, timeout_s=20)
    assert back.wait_replies(5, timeout_s=20)

    gatewayed.kill("control1")
    gatewayed.restart("control1")

    assert out.wait_replies(100, timeout_s=40)
    assert back.wait_replies(100, timeout_s=20)


def test_another_control_node_killed_loses_nothing(gatewayed, ping):
    out, back = ping("blue-web1", "outside"), ping("outside", "blue-web2")
    assert out.wait_replies(5, timeout_s=20)
    assert back.wait_replies(5, timeout_s=20)

    gatewayed.kill("control2")
    assert out.wait_replies(100, timeout_s=5)
    gatewayed.restart("control2")

    assert out.wait_replies(300, timeout_s=10)
    assert out.stop().lost == back.stop().lost == 0
