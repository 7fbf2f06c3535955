"""FRR as a data-center gateway: workloads reach an outside network and are reached from it."""

import asyncio
import contextlib
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check, vrouter
from skytrail.lab.gateway import VRF
from skytrail.lab.io import frr, netns
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.trace import Packet, TraceError

SEEN = """
import socket, sys
listener = socket.create_server(("", int(sys.argv[1])))
print("ready", flush=True)
open_ones = []
while True:
    connection, peer = listener.accept()
    open_ones.append(connection)
    connection.sendall(f"{peer[0]} {peer[1]}\\n".encode())
"""
"""Tells who connects whom it sees."""
ECHO = """
import socket, sys
listener = socket.create_server(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    connection, peer = listener.accept()
    while chunk := connection.recv(100):
        connection.sendall(chunk)
"""
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
    if len(sys.argv) == 3:
        print(connection.makefile().readline())
    for line in sys.stdin if len(sys.argv) > 3 else ():
        connection.sendall(line.encode())
        print(connection.recv(100).decode().strip(), flush=True)
"""
ECHO_UDP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("", int(sys.argv[1])))
    print("ready", flush=True)
    while True:
        server.sendto(*server.recvfrom(100))
"""
ASK_UDP = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(3)
    asking.connect((sys.argv[1], int(sys.argv[2])))
    asking.send(b"over there")
    print(asking.recv(100).decode())
"""
WEB, ECHOED = 80, 7007

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


@contextlib.contextmanager
def serving(lab, name, program, port):
    command = lab.command_in(name, ["python3", "-c", program, str(port)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


def seen(lab, source, destination):
    """Whom an endpoint sees when another one connects to it."""
    address = str(check.members(lab)[destination].address(version=4))
    command = lab.command_in(source, ["python3", "-c", ASK, address, str(WEB)])
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.split()[0] if done.stdout.split() else done.stderr


def stand_ins(lab):
    """The addresses of the public network that stand for workloads, by host."""
    with ApiClient(lab.api_url) as api:
        hosts = {each["uuid"]: each["fq_name"][-1] for each in api.list("virtual-router")}
        found = api.list("instance-ip", detail=True)
    return {
        hosts[each["fq_name"][-1][-36:]]: each["instance_ip_address"]
        for each in found
        if each["fq_name"][-1].startswith("source-nat-")
    }


def of_host(lab, name):
    return stand_ins(lab)[lab.plan.namespace_of(name)]


def test_the_outside_sees_workloads_of_private_networks_under_their_host_s_address(gatewayed):
    with serving(gatewayed, "internet", SEEN, WEB):
        found = {each: seen(gatewayed, each, "internet") for each in ("app1", "app2", "web1")}

    public = check.members(gatewayed)["web1"].address(version=4)
    assert found["app1"] == of_host(gatewayed, "compute1")
    assert found["app2"] == of_host(gatewayed, "compute2")
    assert found["web1"] == str(public)
    assert len(set(found.values())) == 3


@pytest.mark.parametrize("server", ["web1", "web2"])
def test_members_of_the_public_network_see_it_on_the_same_host_and_on_another(gatewayed, server):
    with serving(gatewayed, server, SEEN, WEB):
        found = [seen(gatewayed, each, server) for each in ("app1", "app2")]

    assert found == [of_host(gatewayed, each) for each in ("compute1", "compute2")]


def test_networks_of_the_router_see_each_other_untranslated(gatewayed):
    with serving(gatewayed, "app2", SEEN, WEB):
        found = seen(gatewayed, "app1", "app2")

    assert found == str(check.members(gatewayed)["app1"].address(version=4))


@pytest.mark.parametrize("state", ["on", "off"])
def test_sums_of_a_tunnel_that_nobody_finished_spoil_no_answer(gatewayed, state):
    """The gateway leaves the outer sum to a device where the inner one is finished: always of pings,
    of TCP and UDP without offloads at the sender. Kernels drop what has a wrong one."""
    address = str(check.members(gatewayed)["internet"].address(version=4))
    netns.run(gatewayed.command_in("internet", ["ethtool", "-K", "eth0", "tx", state]))
    try:
        for source in ("app1", "app2", "web1"):
            pinged = netns.run(
                gatewayed.command_in(source, ["ping", "-c3", "-i0.1", "-W1", address])
            )
            assert " 0% packet loss" in pinged
            with serving(gatewayed, "internet", SEEN, WEB):
                assert IPv4Address(seen(gatewayed, source, "internet"))
            with serving(gatewayed, "internet", ECHO_UDP, ECHOED):
                command = ["python3", "-c", ASK_UDP, address, str(ECHOED)]
                assert netns.run(gatewayed.command_in(source, command)) == "over there\n"
    finally:
        netns.run(gatewayed.command_in("internet", ["ethtool", "-K", "eth0", "tx", "on"]))


def test_trace_tells_the_translation_and_the_gateway(gatewayed):
    traced = vrouter.trace(gatewayed, "app1", "internet", Packet("tcp", 443))

    assert traced.delivered
    assert traced.gateway == "gw1"
    text = " ".join(step.answer for leg in traced.legs for step in leg.explanation.steps)
    assert f"by {of_host(gatewayed, 'compute1')} and a port of 61000 to 65535" in text


@pytest.mark.parametrize("source", ["internet", "web1", "web2"])
def test_nobody_gets_to_a_workload_by_the_address(gatewayed, eventually, source):
    """From outside, from the same host and from another one: counted, and nothing is told."""
    address = of_host(gatewayed, "compute1")
    before = vrouter.drops(gatewayed, "compute1")

    command = gatewayed.command_in(source, ["ping", "-c1", "-W1", address])
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert " 0 received" in done.stdout
    eventually(
        lambda: vrouter.growth(before, vrouter.drops(gatewayed, "compute1")).get("FABRIC_UNKNOWN"),
        "the host counts what nobody asked for",
    )


def test_a_connection_outlives_the_agent(gatewayed):
    """And is the same one after it: who answers finds who asked all along."""
    address = str(check.members(gatewayed)["internet"].address(version=4))
    command = gatewayed.command_in("app1", ["python3", "-c", ASK, address, str(ECHOED), "echo"])
    with (
        serving(gatewayed, "internet", ECHO, ECHOED),
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as asking,
    ):

        def says(text):
            asking.stdin.write(f"{text}\n")
            return asking.stdout.readline().strip()

        assert says("before") == "before"
        gatewayed.kill("compute1")
        assert says("without an agent") == "without an agent"
        gatewayed.restart("compute1")
        assert says("with the next one") == "with the next one"
        asking.stdin.close()


def test_without_its_external_network_a_router_leads_nobody_out(gatewayed, ping, eventually):
    out = ping("app1", "internet")
    assert out.wait_replies(5, timeout_s=30)
    with ApiClient(gatewayed.api_url) as api:
        router = api.read_by_name("logical-router", ["default-domain", "shop", "way-out"])
        gateway = router["virtual_network_refs"]
        api.update("logical-router", router["uuid"], {"virtual_network_refs": []})
        eventually(lambda: not stand_ins(gatewayed), "addresses are given back")
        eventually(lambda: not out.wait_replies(3, timeout_s=0.5), "nothing gets out")
        assert ping("app1", "app2").wait_replies(5, timeout_s=30)

        api.update("logical-router", router["uuid"], {"virtual_network_refs": gateway})

    assert out.wait_replies(5, timeout_s=60)
