"""Hosts whose underlay is IPv6 alone: networks of both IP versions, policy, and a crash of an agent."""

import asyncio
import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check, health, vrouter
from skytrail.lab.io import netns
from skytrail.lab.io.capture import Capture
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.wire.errors import DecodeError

from .test_bgp_as_a_service import BEHIND, start_frr

EXAMPLE = Path(__file__).parents[2] / "examples" / "ipv6-underlay"

PORT = 5007
MPLS_UDP_BYTES = 52
"""IPv6, UDP and a label."""
NOVA = """
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Nova(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest):
        pass
class Server(ThreadingHTTPServer):
    import socket
    address_family = socket.AF_INET6
server = Server(("::", 8775), Nova)
print("ready", flush=True)
server.serve_forever()
"""

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab(lab_of):
    with lab_of(EXAMPLE, "stu") as created:
        yield created


@pytest.fixture(scope="module")
def members(lab):
    return check.members(lab)


@pytest.fixture(scope="module")
def api(lab):
    with ApiClient(lab.api_url) as client:
        yield client


def opened(frame):
    try:
        return decode_tunnel(frame)
    except DecodeError:
        return None


def test_everything_stated_in_the_topology_is_seen(lab):
    cells = asyncio.run(check.check(lab))

    assert [(each.expectation, each.seen) for each in cells if not each.ok] == []


@pytest.mark.parametrize("version", [4, 6])
def test_packets_travel_between_the_ipv6_addresses_of_hosts(lab, members, version):
    sender, receiver = lab.plan.node("compute1"), lab.plan.node("compute2")
    far = members["db1"].address(version=version)

    def is_ours(frame):
        packet = opened(frame)
        inner = packet.inner_ip if packet else None
        return inner is not None and inner.destination == far

    with (
        Capture(receiver.namespace, "underlay0") as capture,
        PingTraffic(lab.plan.namespace_of("web1"), far),
    ):
        found = capture.wait_for(is_ours, 30)

    assert found is not None
    packet = opened(found.frame)
    assert (packet.outer_source, packet.outer_destination) == (sender.place, receiver.place)
    assert f"outer IPv6 {sender.place} > {receiver.place}" in packet.lines()[0]


def udp_socket(stack, lab, name, family):
    """A UDP socket in a workload, and the index of the link there."""
    with netns.entered(lab.plan.namespace_of(name)):
        made = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        return made, socket.if_nametoindex("eth0")


@pytest.mark.parametrize("group", ["255.255.255.255", "ff05::987"])
def test_what_is_for_everybody_reaches_the_network_on_the_other_host_once(lab, eventually, group):
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with contextlib.ExitStack() as stack:
        mouth, index = udp_socket(stack, lab, "web1", family)
        mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if family == socket.AF_INET6:
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        ears = {}
        for name in ("web2", "db1"):
            ears[name], index = udp_socket(stack, lab, name, family)
            ears[name].bind(("", PORT))
            ears[name].settimeout(0.5)
            if family == socket.AF_INET6:
                joined = socket.inet_pton(family, group) + struct.pack("=i", index)
                ears[name].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)

        def said_and_heard():
            token = os.urandom(12)
            mouth.sendto(token, (group, PORT))
            with contextlib.suppress(TimeoutError):
                return ears["web2"].recv(100) == token
            return False

        eventually(said_and_heard, "a copy for the other host")
        for ear in ears.values():  # No second copy, and none for the other network.
            with pytest.raises(TimeoutError):
                ear.recv(100)


@pytest.fixture
def changed(api):
    """Update an object's fields for one test: ``changed("network-policy", uuid, {...})``."""
    before = []

    def change(kind, uuid, fields):
        stored = api.read(kind, uuid)
        before.append(
            (kind, uuid, {name: stored.get(name, type(value)()) for name, value in fields.items()})
        )
        api.update(kind, uuid, fields)

    yield change
    for kind, uuid, fields in before:
        api.update(kind, uuid, fields)


def test_a_port_is_copied_to_a_collector_in_the_ipv6_underlay(lab, members, changed, eventually):
    """By a socket of the kernel, which takes no datagram whose checksum is wrong."""
    collector, sender = lab.plan.node("compute2"), lab.plan.node("compute1")
    to = {"analyzer_ip_address": str(collector.place), "routing_instance": ""}
    mirror = {"interface_mirror": {"traffic_direction": "ingress", "mirror_to": to}}
    with contextlib.ExitStack() as stack:
        with netns.entered(collector.namespace):
            ear = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        ear.bind(("::", 8099))
        ear.settimeout(1)
        changed(
            "virtual-machine-interface",
            lab.attached("web1").uuid,
            {"virtual_machine_interface_properties": mirror},
        )
        far = members["web2"].address(version=6)
        stack.enter_context(PingTraffic(lab.plan.namespace_of("web1"), far))

        def copy():
            with contextlib.suppress(TimeoutError):
                payload, (source, *_) = ear.recvfrom(65535)
                kept = struct.unpack_from("!I", payload, 8)[0]
                return (source, payload[-kept:][38:54]) == (str(sender.place), far.packed)
            return False

        eventually(copy, "a copy of an echo request")


def test_a_rule_copies_to_an_analyzer_behind_a_tunnel_over_ipv6(lab, api, members, changed):
    analyzer, receiver = members["web2"].address(version=4), lab.plan.node("compute2")
    to = {
        "analyzer_ip_address": str(analyzer),
        "routing_instance": "default-domain:shop:front:front",
    }
    policy = api.name_to_id("network-policy", ["default-domain", "shop", "front-back"])
    rules = api.read("network-policy", policy)["network_policy_entries"]["policy_rule"]
    rules[-1]["action_list"]["mirror_to"] = to

    def is_copy(frame):
        packet = opened(frame)
        inner = packet.inner_ip if packet else None
        return inner is not None and inner.destination == analyzer and inner.protocol == 17

    with contextlib.ExitStack() as stack:
        capture = stack.enter_context(Capture(receiver.namespace, "underlay0"))
        changed("network-policy", policy, {"network_policy_entries": {"policy_rule": rules}})
        far = members["db1"].address(version=4)
        stack.enter_context(PingTraffic(lab.plan.namespace_of("web1"), far))
        found = capture.wait_for(is_copy, 30)

    assert found is not None
    packet = opened(found.frame)
    assert packet.outer_destination == receiver.place
    assert str(packet.inner_ip.source) == "192.0.0.8"


def test_a_workload_peers_with_a_control_node_that_has_ipv6_alone(
    lab, api, members, eventually, tmp_path
):
    """Over IPv4 as the workload knows it; the host's relay speaks to the control node by IPv6."""
    port, namespace = lab.attached("web1").uuid, lab.plan.namespace_of("web1")
    service = {
        "fq_name": ["default-domain", "shop", "web1-bgp"],
        "parent_type": "project",
        "autonomous_system": 65001,
        "bgpaas_shared": False,
        "virtual_machine_interface_refs": [
            {"to": ["default-domain", "shop", "web1"], "uuid": port}
        ],
    }
    uuid = api.create("bgp-as-a-service", service)
    netns.configure(namespace, [f"address add {BEHIND}/32 dev lo", "link set lo up"])
    speaker = start_frr(lab, members, tmp_path, "web1")
    traffic = PingTraffic(lab.plan.namespace_of("web2"), ip_address(BEHIND))
    try:
        eventually(
            lambda: speaker.states().get(speaker.gateway) == "Established",
            "a session",
            timeout_s=60,
        )
        with traffic:
            assert traffic.wait_replies(10, 30)
    finally:
        speaker.close()
        netns.configure(namespace, [f"address del {BEHIND}/32 dev lo"])
        api.delete("bgp-as-a-service", uuid)


def test_metadata_is_answered_over_both_ip_versions(lab, api, changed, eventually):
    """Nova is asked over IPv6, whichever version the workload asks over."""
    control = str(lab.plan.node("control1").place)
    entries = [
        {
            "linklocal_service_name": name,
            "linklocal_service_ip": at,
            "linklocal_service_port": 80,
            "ip_fabric_service_ip": [control],
            "ip_fabric_service_port": 8775,
        }
        for name, at in (("metadata", "169.254.169.254"), ("metadata6", "fe80::a9fe:a9fe"))
    ]
    names = ["default-global-system-config", "default-global-vrouter-config"]
    settings = api.name_to_id("global-vrouter-config", names)
    services = {"linklocal_services": {"linklocal_service_entry": entries}}
    changed("global-vrouter-config", settings, services)
    machine = api.read("virtual-machine-interface", lab.attached("web1").uuid)
    command = lab.command_in("control1", ["python3", "-c", NOVA])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as nova:
        assert nova.stdout is not None
        assert nova.stdout.readline() == "ready\n"
        link = link_of(lab, "web1")
        for at in ("169.254.169.254", f"[fe80::a9fe:a9fe%25{link}]"):
            said = eventually(lambda at=at: asked(lab, "web1", at), f"{at} answers")
            assert said["x-instance-id"] == machine["virtual_machine_refs"][0]["uuid"]
        nova.kill()


WHO = """
import contextlib, select, socket
sockets = [
    socket.create_server(("::", 9000), family=socket.AF_INET6),
    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
]
sockets[1].bind(("::", 9000))
print("ready", flush=True)
while True:
    for ready in select.select(sockets, [], [])[0]:
        if ready is sockets[1]:
            data, peer = ready.recvfrom(2000)
            ready.sendto(f"{peer[0]} {len(data)}".encode(), peer)
            continue
        connection, peer = ready.accept()
        with connection, contextlib.suppress(ConnectionResetError):
            size = 0
            while chunk := connection.recv(1 << 16):
                size += len(chunk)
            connection.sendall(f"{peer[0]} {size}".encode())
"""
"""Tells who asked and how much was said, over TCP when that has ended."""
AT4, AT6 = "169.254.7.7", "fe80::a9fe:707"


@pytest.fixture
def elsewhere(lab, api, changed):
    """Two services of the control node's machine, one by address and one by name."""
    where = lab.plan.node("control1")
    place = {AT4: {"ip_fabric_service_ip": [str(where.place)]}}
    place[AT6] = {"ip_fabric_DNS_service_name": str(where.place)}
    entries = [
        {
            "linklocal_service_name": at,
            "linklocal_service_ip": at,
            "linklocal_service_port": 7000,
            "ip_fabric_service_port": 9000,
            **real,
        }
        for at, real in place.items()
    ]
    names = ["default-global-system-config", "default-global-vrouter-config"]
    settings = api.name_to_id("global-vrouter-config", names)
    services = {"linklocal_services": {"linklocal_service_entry": entries}}
    changed("global-vrouter-config", settings, services)
    command = lab.command_in("control1", ["python3", "-c", WHO])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


def talking(stack, lab, name, at, kind=socket.SOCK_STREAM):
    """A socket of a workload that a service at a link-local address talks to."""
    family = socket.AF_INET6 if ":" in at else socket.AF_INET
    with netns.entered(lab.plan.namespace_of(name)):
        made = stack.enter_context(socket.socket(family, kind))
        scope = socket.if_nametoindex("eth0")
    made.settimeout(5)
    made.connect((at, 7000, 0, scope) if family == socket.AF_INET6 else (at, 7000))
    return made


def said_of(lab, name, at, kind, data):
    """What the service says of these bytes; None: nothing."""
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        made = talking(stack, lab, name, at, kind)
        made.sendall(data)
        if kind == socket.SOCK_STREAM:
            made.shutdown(socket.SHUT_WR)
        return made.recv(100).decode()
    return None


@pytest.mark.parametrize("at", [AT4, AT6])
def test_services_elsewhere_in_the_ipv6_underlay_are_asked_by_the_host(
    lab, elsewhere, eventually, at
):
    for name, host in (("web1", "compute1"), ("web2", "compute2")):
        source = lab.plan.node(host).place
        for kind, data in ((socket.SOCK_STREAM, bytes(3_000_000)), (socket.SOCK_DGRAM, b"hi")):
            said = eventually(
                lambda name=name, kind=kind, data=data: said_of(lab, name, at, kind, data),
                f"{at} answers {name}",
            )
            assert said == f"{source} {len(data)}"
        assert health.process_health(lab, host) == ("healthy", "")


def asked(lab, name, at):
    command = lab.command_in(name, ["curl", "-s", "-f", "-m", "5", f"http://{at}/"])
    done = subprocess.run(command, check=False, capture_output=True)
    return json.loads(done.stdout) if not done.returncode else None


def link_of(lab, name):
    command = lab.command_in(name, ["ip", "-j", "-6", "addr", "show", "scope", "link"])
    return json.loads(netns.run(command))[0]["ifname"]


def test_ipv4_by_the_host_s_address_is_a_counted_drop_with_a_reason_of_its_own(
    lab, api, changed, eventually
):
    port = lab.attached("web1").uuid
    network = api.name_to_id("virtual-network", ["default-domain", "shop", "front"])
    changed("virtual-network", network, {"fabric_snat": True})
    query = {"vmi": port, "dst": "203.0.113.9", "proto": "udp", "port": "9"}

    def dropped():
        with netns.open_socket(lab.plan.namespace_of("web1"), socket.AF_INET) as sender:
            sender.sendto(b"out", ("203.0.113.9", 9))
        return vrouter.port_drops(lab, "compute1", port).get("FABRIC_FAMILY")

    eventually(dropped, "the drop")
    assert vrouter.explain(lab, "compute1", query).drop_reason == "FABRIC_FAMILY"


def test_trace_names_the_way_and_the_rule(lab, members):
    query = {"vmi": lab.attached("web1").uuid, "dst": str(members["db1"].address(version=4))}
    passed = vrouter.explain(lab, "compute1", query | {"proto": "tcp", "port": "80"})
    denied = vrouter.explain(lab, "compute1", query | {"proto": "tcp", "port": "23"})

    assert passed.remote == str(lab.plan.node("compute2").place)
    assert denied.drop_reason == "POLICY"


@pytest.mark.parametrize(("port", "seen"), [(80, "delivered"), (23, "POLICY")])
def test_a_probe_is_seen_at_every_hop_or_where_it_is_dropped(lab, port, seen):
    command = [sys.executable, "-m", "skytrail.cli", "trace", "web1", "db1", "tcp", str(port)]
    done = subprocess.run(
        [*command, "--probe", "--json", "--lab", lab.name],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    (record,) = json.loads(done.stdout)

    assert (record["probe"]["seen"], record["probe"]["agrees"]) == (seen, True)
    assert record["probe"]["hops"][0]["host"] == "compute1"


@pytest.mark.parametrize("version", [4, 6])
def test_a_packet_too_long_for_the_tunnel_is_answered_with_the_size_that_fits(
    lab, members, version
):
    far, namespace = members["db1"].address(version=version), lab.plan.namespace_of("web1")
    fits = lab.plan.mtu_bytes - MPLS_UDP_BYTES
    usual = re.search(
        r" mtu (\d+)", netns.run(["ip", "-n", namespace, "link", "show", "dev", "eth0"])
    )

    def ping(size):
        header = 28 if version == 4 else 48
        command = ["ping", "-n", "-c1", "-W5", "-Mdo", f"-s{size - header}", str(far)]
        return subprocess.run(
            netns.inside(namespace, command), check=False, capture_output=True, text=True
        )

    assert ping(int(usual[1])).returncode == 0
    netns.configure(namespace, [f"link set dev eth0 mtu {lab.plan.mtu_bytes}"])
    try:
        beyond = ping(fits + 1)
    finally:
        netns.configure(namespace, [f"link set dev eth0 mtu {usual[1]}"])

    assert beyond.returncode == 1
    assert re.search(rf"mtu ?= ?{fits}\b", beyond.stdout + beyond.stderr)


def test_traffic_goes_on_while_an_agent_is_dead_and_when_it_is_back(
    lab, members, elsewhere, eventually
):
    """What the agent relays itself ends with it, and is opened anew."""
    with contextlib.ExitStack() as stack:
        namespace = lab.plan.namespace_of("web1")
        flows = [
            stack.enter_context(PingTraffic(namespace, members["web2"].address(version=version)))
            for version in (4, 6)
        ]
        assert all(flow.wait_replies(20, 30) for flow in flows)
        ask = (lab, "web1", AT4, socket.SOCK_STREAM, b"x")
        eventually(lambda: said_of(*ask), "the service")
        relayed = talking(stack, lab, "web1", AT4)
        relayed.sendall(b"x")

        lab.kill("compute1")
        try:
            during = all(flow.wait_replies(20, 30) for flow in flows)
            with contextlib.suppress(ConnectionResetError):
                assert relayed.recv(1) == b""
        finally:
            lab.restart("compute1")
        health.wait_healthy(lab, "compute1")

        assert during
        eventually(lambda: said_of(*ask), "the service again")
        assert all(flow.wait_replies(20, 30) for flow in flows)
        assert [flow.stop().lost for flow in flows] == [0, 0]
