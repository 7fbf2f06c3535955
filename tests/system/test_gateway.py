"""FRR as a data-center gateway: workloads reach an outside network and are reached from it."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from skytrail.lab import check, vrouter
from skytrail.lab.gateway import VRF
from skytrail.lab.io import frr, netns
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.trace import Packet, TraceError

EXAMPLE = Path(__file__).parents[2] / "examples" / "internet-gateway"

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def gatewayed(lab_of):
    if not frr.is_installed():
        pytest.fail("FRR is missing: packaging/setup.sh packages")
    with lab_of(EXAMPLE, "stg") as created:
        yield created


@pytest.fixture
def ping(gatewayed):
    running = []
    members = check.members(gatewayed)

    def start(source, destination):
        traffic = PingTraffic(
            gatewayed.plan.namespace_of(source), members[destination].address(version=4)
        )
        running.append(traffic)
        traffic.__enter__()
        return traffic

    yield start
    for traffic in running:
        traffic.stop()


def test_packets_show_what_the_example_expects(gatewayed):
    cells = asyncio.run(check.check(gatewayed))

    wrong = [(cell.expectation, cell.seen) for cell in cells if not cell.ok]
    assert not wrong
    assert len(cells) == len(gatewayed.topology.expect)


def test_trace_follows_a_packet_as_far_as_the_gateway(gatewayed):
    traced = vrouter.trace(gatewayed, "web1", "internet", Packet("tcp", 443))

    assert traced.delivered
    assert traced.gateway == "gw1"
    assert "leaves by gw1, VXLAN" in traced.summary()


def test_trace_from_outside_says_where_to_look_instead(gatewayed):
    with pytest.raises(TraceError, match="skytrail lab exec gw1-vrf -- ip route"):
        vrouter.trace(gatewayed, "internet", "web1", Packet())


def test_commands_run_in_the_host_outside_and_in_the_gateways_vrf(gatewayed):
    address = netns.run(gatewayed.command_in("internet", ["ip", "-4", "-brief", "address"]))
    routes = netns.run(gatewayed.command_in("gw1-vrf", ["ip", "route"]))

    assert "198.51.100.10/24" in address
    assert "203.0.113.3" in routes
    assert "10.20.0" not in routes


def test_trap_14_zebra_of_a_gateway_sees_the_namespace_of_its_vrf_only(gatewayed):
    """``zebra -n`` opens every named namespace it finds and changes the routes in it."""
    pid = (gatewayed.gateway_place("gw1").folder / "zebra.pid").read_text().strip()
    command = ["nsenter", f"--target={pid}", "--mount", "ls", "/run/netns"]

    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert seen == [VRF]


def test_the_gateways_control_node_may_come_back(gatewayed, ping):
    """FRR has no graceful restart for EVPN: meanwhile it drops what that node told it."""
    out, back = ping("web1", "internet"), ping("internet", "web2")
    assert out.wait_replies(5, timeout_s=30)
    assert back.wait_replies(5, timeout_s=30)

    gatewayed.kill("control1")
    gatewayed.restart("control1")

    assert out.wait_replies(100, timeout_s=40)
    assert back.wait_replies(100, timeout_s=30)


def test_another_control_node_killed_loses_nothing(gatewayed, ping):
    out, back = ping("web1", "internet"), ping("internet", "web2")
    assert out.wait_replies(5, timeout_s=30)
    assert back.wait_replies(5, timeout_s=30)

    gatewayed.kill("control2")
    assert out.wait_replies(100, timeout_s=30)
    gatewayed.restart("control2")

    assert out.wait_replies(300, timeout_s=30)
    assert out.stop().lost == back.stop().lost == 0
