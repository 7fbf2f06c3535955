"""Floating addresses by real packets: from the Internet, from another network, and back."""

import asyncio
import contextlib
import functools
import hashlib
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check, vrouter
from skytrail.lab.io import frr, netns
from skytrail.lab.trace import Packet

EXAMPLE = Path(__file__).parents[2] / "examples" / "floating-addresses"
SERVER = """
import hashlib, socket, sys
family = socket.AF_INET6 if sys.argv[2] == "6" else socket.AF_INET
listener = socket.create_server(("", int(sys.argv[1])), family=family)
print("ready", flush=True)
while True:
    connection, peer = listener.accept()
    with connection:
        digest = hashlib.md5()
        while chunk := connection.recv(1 << 16):
            digest.update(chunk)
        connection.sendall(f"{peer[0]} {digest.hexdigest()}".encode())
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
    connection.sendall(bytes(range(256)) * int(sys.argv[3]))
    connection.shutdown(socket.SHUT_WR)
    print(connection.makefile().read())
"""

NAMED = """
import selectors, socket, sys
listener = socket.create_server(
    ("::", 80), family=socket.AF_INET6, dualstack_ipv6=True, backlog=200
)
chosen = selectors.DefaultSelector()
chosen.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        if key.fileobj is listener:
            chosen.register(listener.accept()[0], selectors.EVENT_READ)
            continue
        try:
            asked = key.fileobj.recv(100)
        except OSError:
            asked = b""
        if asked:
            key.fileobj.sendall(sys.argv[1].encode() + b"\\n")
        else:
            chosen.unregister(key.fileobj)
            key.fileobj.close()
"""
"""Says its name whenever it is asked, on as many connections as there are."""
ASKS = """
import collections, socket, sys
def name(connection):
    try:
        connection.sendall(b"?")
        return connection.recv(100).decode().strip()
    except OSError:
        return ""
def opened(count):
    return [socket.create_connection((sys.argv[1], 80), timeout=3) for _ in range(count)]
kept = [(each, name(each)) for each in opened(40)]
print(*(first for _, first in kept), flush=True)
for line in sys.stdin:
    if line == "kept\\n":
        print(*(f"{first}:{name(each)}" for each, first in kept), flush=True)
    else:
        print(*(name(each) for each in opened(20)), flush=True)
"""
"""Keeps 40 connections; says who answers on them, or on new ones."""

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab(lab_of):
    if not frr.is_installed():
        pytest.fail("FRR is missing: packaging/setup.sh packages")
    with lab_of(EXAMPLE, "stn") as created:
        yield created


@pytest.fixture(autouse=True)
def routed(lab, eventually):
    """The gateway knows the addresses."""
    eventually(lambda: pings(lab, "internet", "203.0.113.10"), "web1 is reached")


def pings(lab, source, address, *options):
    command = lab.command_in(source, ["ping", "-n", "-c1", "-W1", *options, address])
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def server(lab, name, port, *, version=4):
    command = lab.command_in(name, ["python3", "-c", SERVER, str(port), str(version)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


def connect(lab, source, address, port, blocks=1):
    """(who the server saw, whether all arrived)."""
    command = lab.command_in(source, ["python3", "-c", CLIENT, address, str(port), str(blocks)])
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        return None
    peer, digest = done.stdout.split()
    sent = bytes(range(256)) * blocks
    assert digest == hashlib.md5(sent, usedforsecurity=False).hexdigest()
    return peer


def test_packets_show_what_the_example_expects(lab):
    cells = asyncio.run(check.check(lab))

    wrong = [(cell.expectation, cell.seen) for cell in cells if not cell.ok]
    assert not wrong


def test_large_transfers_arrive_whole_from_the_internet_and_to_it(lab):
    """Segments of any size, summed by whoever sums them."""
    with server(lab, "web1", 80), server(lab, "internet", 443):
        assert connect(lab, "internet", "203.0.113.10", 80, 40_000) == "198.51.100.10"
        assert connect(lab, "web1", "198.51.100.10", 443, 40_000) == "203.0.113.10"
        assert connect(lab, "web2", "198.51.100.10", 443) == "203.0.113.20"


def test_a_workload_of_the_floating_network_and_one_with_an_address_meet(lab):
    """Between hosts and on one host; both ends may have floating addresses."""
    probe = str(check.members(lab)["probe"].address(version=4))
    with server(lab, "web1", 80), server(lab, "web2", 80), server(lab, "probe", 80):
        assert connect(lab, "probe", "203.0.113.10", 80, 4_000) == probe
        assert connect(lab, "probe", "203.0.113.20", 80, 4_000) == probe
        assert connect(lab, "web1", probe, 80, 4_000) == "203.0.113.10"
        assert connect(lab, "web2", probe, 80, 4_000) == "203.0.113.20"
        assert connect(lab, "web1", "203.0.113.20", 80, 4_000) == "203.0.113.10"


def test_ipv6_addresses_carry_large_transfers_fragments_and_errors(lab):
    """Between hosts and on one host, to the address and by it, sums left to devices or not."""
    probe = str(check.members(lab)["probe"].address(version=6))
    web1, web2 = "2001:db8:5::10", "2001:db8:5::20"
    with (
        server(lab, "web1", 80, version=6),
        server(lab, "web2", 80, version=6),
        server(lab, "probe", 80, version=6),
    ):
        assert connect(lab, "probe", web1, 80, 4_000) == probe
        assert connect(lab, "probe", web2, 80, 4_000) == probe
        assert connect(lab, "web1", probe, 80, 4_000) == web1
        assert connect(lab, "web2", probe, 80, 4_000) == web2
        assert connect(lab, "web1", web2, 80, 4_000) == web1
    assert pings(lab, "probe", web1, "-s", "2500")
    assert pings(lab, "web1", probe, "-s", "2500")
    command = lab.command_in("web1", ["ping", "-n", "-c1", "-W2", "-t1", probe])
    near = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    assert "Time exceeded" in near
    out = vrouter.trace(lab, "web1", "probe", Packet("icmp6"))
    assert any(f"leaves by {web1}" in s.answer for s in out.legs[0].explanation.steps)
    texts = [flow.leaves_as for flow in vrouter.flows(lab, "compute1")]
    assert any(text.startswith(f"[{web1}]:80 > [{probe}]:") for text in texts)


@contextlib.contextmanager
def bound(lab, address, port):
    """A further floating address of a port of the shop."""
    pool = ["default-domain", "shop", "public", "internet"]
    kind = "virtual-machine-interface"
    with ApiClient(lab.api_url) as api:
        name = ["default-domain", "shop", port]
        reference = {"to": name, "uuid": api.name_to_id(kind, name)}
        project = ["default-domain", "shop"]
        body = {
            "fq_name": [*pool, f"{port}-more"],
            "parent_type": "floating-ip-pool",
            "floating_ip_address": address,
            "virtual_machine_interface_refs": [reference],
            "project_refs": [{"to": project, "uuid": api.name_to_id("project", project)}],
        }
        uuid = api.create("floating-ip", body)
        try:
            yield
        finally:
            api.delete("floating-ip", uuid)


def test_a_workload_reaches_itself_by_its_floating_addresses(lab):
    """It sees the address as the other end: its own stack would answer itself without us."""
    own, own6 = "203.0.113.10", "2001:db8:5::10"
    with server(lab, "web1", 80), server(lab, "web2", 80):
        assert connect(lab, "web1", own, 80, 4_000) == own
        # Shared with web2, and each connection takes one of them.
        assert {connect(lab, "web1", "203.0.113.30", 80, 40) for _ in range(6)} == {own}
    with server(lab, "web1", 80, version=6):
        assert connect(lab, "web1", own6, 80, 4_000) == own6
    with server(lab, "web1", 22):
        assert connect(lab, "web1", own, 22) is None
    assert pings(lab, "web1", own)
    assert pings(lab, "web1", own6, "-s", "2500")
    traced = vrouter.trace(lab, "web1", own, Packet("tcp", 80))
    assert traced.delivered
    assert [leg.explanation.vmi_uuid for leg in traced.legs] == [lab.attached("web1").uuid]


def test_a_neighbour_of_the_same_host_is_reached_by_its_floating_address(lab, eventually):
    """Also while it loses it: the private network then has no way to it."""
    with server(lab, "db", 80), server(lab, "web1", 80):
        with bound(lab, "203.0.113.50", "db"):
            eventually(lambda: pings(lab, "web1", "203.0.113.50"), "web1 reaches db's new address")
            assert connect(lab, "web1", "203.0.113.50", 80, 4_000) == "203.0.113.10"
            assert connect(lab, "db", "203.0.113.10", 80, 4_000) == "203.0.113.50"
            assert connect(lab, "db", "203.0.113.50", 80, 4_000) == "203.0.113.50"
        eventually(lambda: not pings(lab, "web1", "203.0.113.50"), "db has lost the address")


def test_security_group_of_the_interface_holds_for_its_floating_address(lab):
    with server(lab, "web1", 22):
        assert connect(lab, "internet", "203.0.113.10", 22) is None


def test_one_address_of_two_workloads_shares_the_load(lab):
    assert pings(lab, "internet", "203.0.113.30")
    with server(lab, "web1", 80), server(lab, "web2", 80):
        seen = {connect(lab, "internet", "203.0.113.30", 80) for _ in range(6)}
    routes = subprocess.run(
        lab.command_in("gw1-vrf", ["ip", "route", "show", "203.0.113.30"]),
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert seen == {"198.51.100.10"}
    assert routes.count("nexthop") == 2 or routes.count("via") == 1


@contextlib.contextmanager
def running(lab, name, program, *arguments):
    """A program in a workload, that one can ask by lines."""
    command = lab.command_in(name, ["python3", "-c", program, *arguments])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:

        def ask(line):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            return process.stdout.readline().split()

        try:
            yield process.stdout.readline().split(), ask
        finally:
            process.kill()


@pytest.mark.parametrize("address", ["203.0.113.30", "2001:db8:5::30"])
def test_shared_address_is_spread_and_a_failing_member_takes_only_its_own_connections(
    lab, eventually, address
):
    """One member is on the client's own host, the other one is not. It is asked by the service
    address's IP version, and silent in that one alone."""
    port = lab.attached("web2").uuid
    version = ip_address(address).version
    asked = check.members(lab)["web2"].address(version=version)
    setting = "icmp_echo_ignore_all" if version == 4 else "icmp/echo_ignore_all"
    silent = {f"net/ipv{version}/{setting}": 1}
    place = lab.plan.namespace_of("web2")
    with (
        ApiClient(lab.api_url) as api,
        running(lab, "web1", NAMED, "web1"),
        running(lab, "web2", NAMED, "web2"),
        running(lab, "probe", ASKS, address) as (first, ask),
        checked(api, port, asked),
    ):
        assert set(first) == {"web1", "web2"}
        assert min(first.count(name) for name in set(first)) >= 8

        netns.set_sysctls(place, silent)
        try:
            eventually(lambda: set(ask("new")) == {"web1"}, "web2 is left out")
            after = ask("kept")
        finally:
            netns.set_sysctls(place, dict.fromkeys(silent, 0))
        eventually(lambda: set(ask("new")) == {"web1", "web2"}, "web2 is back")

    of_web1 = [each for each in after if each.startswith("web1:")]
    assert of_web1 == ["web1:web1"] * first.count("web1")


@contextlib.contextmanager
def checked(api, port, asked):
    """A check of a port that notices within about a second that nobody answers ping."""
    name = ["default-domain", "shop", "alive"]
    times = {"delay": 0, "delayUsecs": 200_000, "timeout": 0, "timeoutUsecs": 500_000}
    properties = {
        "enabled": True,
        "health_check_type": "link-local",
        "monitor_type": "PING",
        "url_path": str(asked),
        "max_retries": 2,
        **times,
    }
    body = {
        "fq_name": name,
        "parent_type": "project",
        "service_health_check_properties": properties,
    }
    uuid = api.create("service-health-check", body)
    reference = {"to": name, "uuid": uuid}
    api.update("virtual-machine-interface", port, {"service_health_check_refs": [reference]})
    try:
        yield
    finally:
        api.update("virtual-machine-interface", port, {"service_health_check_refs": []})
        api.delete("service-health-check", uuid)


def test_mapped_port_reaches_another_one_and_the_rest_is_refused_by_name(lab):
    before = vrouter.drops(lab, "compute2")
    with server(lab, "web2", 8080):
        assert connect(lab, "internet", "203.0.113.40", 80, 4_000) == "198.51.100.10"
        assert not pings(lab, "internet", "203.0.113.40")
    assert vrouter.growth(before, vrouter.drops(lab, "compute2")).get("FLOATING_PORT")


def test_errors_of_routers_on_the_way_reach_who_sent_the_packet(lab):
    """The gateway says that a packet's time is over; the workload knows which one it was."""
    command = lab.command_in("web1", ["ping", "-n", "-c1", "-W2", "-t1", "198.51.100.10"])
    near = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    command = lab.command_in("web1", ["ping", "-n", "-c1", "-W2", "-t2", "198.51.100.10"])
    far = subprocess.run(command, check=False, capture_output=True, text=True).stdout

    assert "Time to live exceeded" in near
    assert "Time to live exceeded" in far


def test_fragments_get_through(lab):
    assert pings(lab, "internet", "203.0.113.10", "-s", "2500", "-M", "dont")


def test_trace_explains_the_translation(lab):
    out = vrouter.trace(lab, "web1", "internet", Packet("tcp", 443))
    across = vrouter.trace(lab, "probe", "203.0.113.10", Packet("tcp", 80))

    assert any("leaves by 203.0.113.10" in s.answer for s in out.legs[0].explanation.steps)
    assert out.gateway == "gw1"
    assert across.delivered
    assert any("stands for 10.20.0." in s.answer for s in across.legs[-1].explanation.steps)


def test_trace_names_the_member_that_a_flow_takes(lab):
    """By its hash: each is chosen by some source port."""
    traced = [
        vrouter.trace(lab, "probe", "203.0.113.30", Packet("tcp", 80, port))
        for port in range(40000, 40016)
    ]

    assert all(each.delivered for each in traced)
    assert {each.destination.uuid for each in traced} == {
        lab.attached(name).uuid for name in ("web1", "web2")
    }
    for each in traced:
        member = each.names[each.destination.uuid]
        assert f"203.0.113.30 at {member}, one of the 2 ports" in each.summary()


def test_flows_show_both_sides(lab):
    with server(lab, "web1", 80):
        assert connect(lab, "internet", "203.0.113.10", 80)
    texts = [flow.leaves_as for flow in vrouter.flows(lab, "compute1")]

    assert any(text.startswith("198.51.100.10:") and "> 10.20.0." in text for text in texts)
    assert any(text.startswith("203.0.113.10:80 > 198.51.100.10:") for text in texts)


def test_an_active_active_pair_is_reached_through_either_workload(lab, eventually):
    """What both have and configured; it is still reached when one of them has it no more."""
    prefix = {"ip_prefix": "10.20.0.100", "ip_prefix_len": 32}
    pairs = {"allowed_address_pair": [{"ip": prefix, "address_mode": "active-active"}]}
    names = ("web1", "web2")
    for name in names:
        netns.configure(lab.plan.namespace_of(name), ["address add 10.20.0.100/32 dev lo"])
        netns.configure(lab.plan.namespace_of(name), ["link set lo up"])
    with ApiClient(lab.api_url) as api:
        field = "virtual_machine_interface_allowed_address_pairs"
        for name in names:
            api.update("virtual-machine-interface", lab.attached(name).uuid, {field: pairs})
        eventually(lambda: pings(lab, "db", "10.20.0.100"), "one is reached")
        for name, other in (names, names[::-1]):
            none = {field: {"allowed_address_pair": []}}
            api.update("virtual-machine-interface", lab.attached(name).uuid, none)
            with server(lab, other, 80):
                eventually(
                    lambda: connect(lab, "db", "10.20.0.100", 80), "the other one", timeout_s=30
                )
            api.update("virtual-machine-interface", lab.attached(name).uuid, {field: pairs})


def test_a_shared_ipv6_pair_is_spread_and_who_leaves_takes_only_its_own_connections(
    lab, eventually
):
    """One member is on the client's own host; answers come from who was asked, or none would."""
    address, names = "fd00:20::100", ("web1", "web2")
    prefix = {"ip_prefix": address, "ip_prefix_len": 128}
    pairs = {"allowed_address_pair": [{"ip": prefix, "address_mode": "active-active"}]}
    kind, field = "virtual-machine-interface", "virtual_machine_interface_allowed_address_pairs"
    for name in names:
        commands = ["link set lo up", f"address add {address}/128 dev lo nodad"]
        netns.configure(lab.plan.namespace_of(name), commands)
    with (
        ApiClient(lab.api_url) as api,
        running(lab, "web1", NAMED, "web1"),
        running(lab, "web2", NAMED, "web2"),
    ):
        for name in names:
            api.update(kind, lab.attached(name).uuid, {field: pairs})
        eventually(lambda: pings(lab, "db", address), "one is reached")
        eventually(lambda: reaches_both(lab, address), "both are reached")
        with running(lab, "db", ASKS, address) as (first, ask):
            leaves = lab.attached("web2").uuid
            api.update(kind, leaves, {field: {"allowed_address_pair": []}})
            eventually(lambda: set(ask("new")) == {"web1"}, "web2 is left out")
            while_alone = ask("kept")
            api.update(kind, leaves, {field: pairs})
            eventually(lambda: set(ask("new")) == {"web1", "web2"}, "web2 is back")
            afterwards = ask("kept")

    assert min(first.count(name) for name in names) >= 8
    for seen in (while_alone, afterwards):
        of_web1 = [each for each in seen if each.startswith("web1:")]
        assert of_web1 == ["web1:web1"] * first.count("web1")


def reaches_both(lab, address):
    with running(lab, "db", ASKS, address) as (first, _):
        return set(first) == {"web1", "web2"}


def test_a_floating_address_wins_over_the_way_out_by_the_host(lab, eventually):
    """A network with source translation: who has an address of its own keeps it, others get out."""
    control = str(lab.plan.controllers[0].address)
    with ApiClient(lab.api_url) as api:
        network = api.name_to_id("virtual-network", ["default-domain", "shop", "private"])
        assert not pings(lab, "db", control)
        api.update("virtual-network", network, {"fabric_snat": True})
        try:
            eventually(lambda: pings(lab, "db", control), "the host lets others out")
            with server(lab, "internet", 8080):
                assert connect(lab, "web1", "198.51.100.10", 8080) == "203.0.113.10"
            assert pings(lab, "web1", control)
        finally:
            api.update("virtual-network", network, {"fabric_snat": False})
        eventually(lambda: not pings(lab, "db", control), "the way out is closed")


ANNOUNCE = """
import socket, sys
link, address = sys.argv[1], socket.inet_aton(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
    packets.bind((link, 0))
    mac = packets.getsockname()[4]
    packets.send(
        bytes([255] * 6) + mac + bytes.fromhex("0806000108000604") + bytes([0, 1])
        + mac + address + bytes(6) + address
    )
"""


def announce(lab, name, address):
    """Say by gratuitous ARP, as VRRP does, who has an address now."""
    links = netns.run(lab.command_in(name, ["ip", "-o", "-4", "route", "show", "default"]))
    link = links.split()[links.split().index("dev") + 1]
    netns.run(lab.command_in(name, ["python3", "-c", ANNOUNCE, link, address]))


def takes(lab, name, address):
    """Announced again and again, as a machine does until it is heard."""
    announce(lab, name, address)
    return connect(lab, "db", address, 80)


def test_a_pair_that_one_has_at_a_time_follows_who_announced_it_last(lab, eventually):
    prefix = {"ip_prefix": "10.20.0.101", "ip_prefix_len": 32}
    pairs = {"allowed_address_pair": [{"ip": prefix, "address_mode": "active-standby"}]}
    names = ("web1", "web2")
    for name in names:
        netns.configure(lab.plan.namespace_of(name), ["address add 10.20.0.101/32 dev lo"])
        netns.configure(lab.plan.namespace_of(name), ["link set lo up"])
    with ApiClient(lab.api_url) as api:
        field = "virtual_machine_interface_allowed_address_pairs"
        for name in names:
            api.update("virtual-machine-interface", lab.attached(name).uuid, {field: pairs})
        assert not pings(lab, "db", "10.20.0.101")
        for name in (*names, "web1"):
            with server(lab, name, 80):
                eventually(functools.partial(takes, lab, name, "10.20.0.101"), name)


def test_connections_of_one_client_meet_one_member_where_only_the_source_counts(lab, eventually):
    """The last one: FRR 8.4 forgets a host's router MAC when routes change so (docs/bgp.md)."""
    fields = ("destination_ip", "ip_protocol", "source_port", "destination_port")
    setting = {"hashing_configured": True, "source_ip": True, **dict.fromkeys(fields, False)}
    ports = [lab.attached(name).uuid for name in ("web1", "web2")]
    kind = "virtual-machine-interface"
    with (
        ApiClient(lab.api_url) as api,
        running(lab, "web1", NAMED, "web1"),
        running(lab, "web2", NAMED, "web2"),
        running(lab, "probe", ASKS, "203.0.113.30") as (_, ask),
    ):
        for port in ports:
            api.update(kind, port, {"ecmp_hashing_include_fields": setting})
        try:
            eventually(lambda: len(set(ask("new"))) == 1, "one member for all")
        finally:
            for port in ports:
                api.update(kind, port, {"ecmp_hashing_include_fields": None})
