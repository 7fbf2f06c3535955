"""Networks that only bridge or only route, and VLAN sub-interfaces, by real packets between hosts."""

import asyncio
import re
import secrets
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner

from skytrail.agent import abi
from skytrail.agent.io import bpf_syscall
from skytrail.cli import main
from skytrail.client import ApiClient
from skytrail.lab import check, commands, vrouter
from skytrail.lab.io import netns
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.service import BPF_DIRECTORY, Lab
from skytrail.lab.trace import Packet
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.runtime.introspection import read_table
from skytrail.testing.vlan_socket import VlanSocket

EXAMPLE = Path(__file__).parents[2] / "examples" / "layer2"
BROADCAST = b"\xff" * 6
ARP = struct.Struct("!HHBBH6s4s6s4s")
VLAN = 100
T = TypeVar("T")

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab(lab_of: Callable[..., AbstractContextManager[Lab]]):
    with lab_of(EXAMPLE, "stl") as created:
        yield created


@pytest.fixture(scope="module")
def api(lab: Lab):
    with ApiClient(lab.api_url) as client:
        yield client


def run(lab: Lab, name: str, *command: str):
    done = subprocess.run(
        lab.command_in(name, list(command)), check=False, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def mac_of(lab: Lab, name: str):
    _, text = run(lab, name, "ip", "-o", "link", "show", "eth0")
    return Mac.parse(text.partition("link/ether ")[2].split()[0])


def neighbour(lab: Lab, name: str, address: object):
    _, text = run(lab, name, "ip", "neigh", "show", str(address))
    return text


def test_packets_show_what_the_example_expects(lab: Lab):
    cells = asyncio.run(check.check(lab))

    wrong = [(cell.expectation, cell.seen) for cell in cells if not cell.ok]
    assert not wrong


def test_who_is_bridged_to_answers_for_itself_and_has_any_address(lab: Lab):
    for name, address in (("wire1", "192.168.77.1/24"), ("wire2", "192.168.77.2/24")):
        assert run(lab, name, "ip", "addr", "add", address, "dev", "eth0")[0] == 0
    code, text = run(lab, "wire1", "ping", "-n", "-c3", "-i0.2", "-W5", "192.168.77.2")

    assert code == 0, text
    assert str(mac_of(lab, "wire2")) in neighbour(lab, "wire1", "192.168.77.2")


def test_there_is_no_gateway_in_a_network_that_only_bridges(lab: Lab):
    code, text = run(lab, "wire1", "ping", "-n", "-c1", "-W2", "10.61.0.1")

    assert code != 0, text


def test_who_is_routed_to_is_behind_the_gateways_mac(lab: Lab):
    address = check.members(lab)["routed2"].address(version=4)
    code, text = run(lab, "routed1", "ping", "-n", "-c1", "-W5", str(address))

    assert code == 0, text
    assert "ttl=63" in text
    assert str(GATEWAY_MAC) in neighbour(lab, "routed1", address)


def test_a_network_changes_how_it_forwards_under_traffic(lab: Lab, api: ApiClient):
    """Who is pinged all the while has another MAC then, which the sender's kernel finds by itself."""
    kind = "virtual-network"
    network = api.name_to_id(kind, ["default-domain", "flat", "routed"])
    properties = api.read(kind, network)["virtual_network_properties"]
    assert isinstance(properties, dict)
    far = check.members(lab)["routed2"].address(version=4)
    quickly = ("base_reachable_time_ms=1000", "delay_first_probe_time=1")
    for name in ("routed1", "routed2"):
        for setting in quickly:
            assert run(lab, name, "sysctl", "-qw", f"net.ipv4.neigh.eth0.{setting}")[0] == 0

    def becomes(mode: str, traffic: PingTraffic):
        given = {"virtual_network_properties": {**properties, "forwarding_mode": mode}}
        api.update(kind, network, given)
        wanted = str(GATEWAY_MAC if mode == "l3" else mac_of(lab, "routed2"))
        wait_for(
            f"routed2 is behind {wanted} in {mode}",
            lambda: wanted in neighbour(lab, "routed1", far),
            60,
        )
        assert traffic.wait_replies(100, 30), mode
        gateway = run(lab, "routed1", "ping", "-n", "-c1", "-W2", "10.62.0.1")[0] == 0
        assert gateway is (mode != "l2"), mode

    with PingTraffic(lab.plan.namespace_of("routed1"), far) as traffic:
        assert traffic.wait_replies(20, 20)
        try:
            for mode in ("l2_l3", "l2", "l3", "l2", "l2_l3", "l3"):
                becomes(mode, traffic)
        finally:
            api.update(kind, network, {"virtual_network_properties": properties})
    outcome = traffic.stop()
    print(f"six changes: {outcome.lost} of {outcome.sent} lost, gap {outcome.longest_gap_s:.1f} s")


def instance_address(api: ApiClient, name: str):
    kind = "virtual-machine-interface"
    port = api.read(kind, api.name_to_id(kind, ["default-domain", "flat", name]))
    macs = port["virtual_machine_interface_mac_addresses"]
    assert isinstance(macs, dict)
    named = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.flat"))
    address = api.read("instance-ip", api.name_to_id("instance-ip", [named]))["instance_ip_address"]
    return Mac.parse(macs["mac_address"][0]), IPv4Address(str(address))


def arp(operation: int, source: tuple[Mac, IPv4Address], target: tuple[Mac, IPv4Address]):
    (mac, address), (other, wanted) = source, target
    return (
        (BROADCAST if operation == 1 else other.packed)
        + mac.packed
        + b"\x08\x06"
        + ARP.pack(
            1, 0x800, 6, 4, operation, mac.packed, address.packed, other.packed, wanted.packed
        )
    )


def checksum(data: bytes):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return (0xFFFF - ((total & 0xFFFF) + (total >> 16))).to_bytes(2)


def echo(source: tuple[Mac, IPv4Address], target: tuple[Mac, IPv4Address], payload: bytes):
    (mac, address), (other, wanted) = source, target
    message = struct.pack("!BBHHH", 8, 0, 0, 77, 1) + payload
    message = message[:2] + checksum(message) + message[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 1, 0, 64, 1, 0)
    ends = address.packed + wanted.packed
    head = head[:10] + checksum(head + ends) + ends
    return other.packed + mac.packed + b"\x08\x00" + head + message


def test_a_vlan_of_a_workload_is_a_port_of_another_network(lab: Lab, api: ApiClient):
    own, far = instance_address(api, "routed1-storage"), instance_address(api, "store")
    nobody = Mac(bytes(6))
    with netns.entered(lab.plan.namespace_of("routed1")):
        made = VlanSocket("eth0", VLAN)
    with made as vlan:
        vlan.send(arp(1, own, (nobody, far[1])))
        answer = vlan.hear(
            ARP.pack(1, 0x800, 6, 4, 2, far[0].packed, far[1].packed, own[0].packed, own[1].packed)
        )
        assert answer[:12] == own[0].packed + far[0].packed
        vlan.send(echo(own, far, b"through the vlan"))
        assert vlan.hear(b"through the vlan")[:6] == own[0].packed


def test_dhcp_serves_a_sub_interface_by_its_tag(lab: Lab, api: ApiClient):
    own = instance_address(api, "routed1-storage")
    request = (
        b"\x01\x01\x06\x00" + b"\0\0\0\7" + bytes(20) + own[0].packed.ljust(16, b"\0") + bytes(192)
    )
    request += b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(request), 0) + request
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
    ends = bytes(4) + b"\xff" * 4
    head = head[:10] + checksum(head + ends) + ends
    with netns.entered(lab.plan.namespace_of("routed1")):
        made = VlanSocket("eth0", VLAN)
    with made as vlan:
        vlan.send(BROADCAST + own[0].packed + b"\x08\x00" + head + udp)

        assert own[1].packed in vlan.hear(b"\x63\x82\x53\x63\x35\x01\x02")


class Link:
    """A workload's link, for whole frames of any MAC."""

    def __init__(self, lab: Lab, name: str):
        with netns.entered(lab.plan.namespace_of(name)):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.bind(("eth0", 3))
        self._socket.setblocking(False)

    def send(self, target: bytes, source: Mac, payload: bytes):
        self._socket.send(target + source.packed + b"\x88\xb5" + payload.ljust(46, b"\0"))

    def has(self, payload: bytes):
        found = False
        while True:
            try:
                frame, address = self._socket.recvfrom(2048)
            except BlockingIOError:
                return found
            found |= address[2] != socket.PACKET_OUTGOING and payload in frame

    def close(self):
        self._socket.close()


@pytest.fixture
def links(lab: Lab):
    opened = {name: Link(lab, name) for name in ("nest1", "nest2", "nest3")}
    yield opened
    for link in opened.values():
        link.close()


def learnt(lab: Lab, host: str, mac: Mac):
    rows = read_table(lab.paths.introspect_socket(host), "macs")
    return [row for row in rows if row["mac"] == str(mac)]


def wait_for(what: str, condition: Callable[[], T], wait_s: float = 30.0):
    deadline = time.monotonic() + wait_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)
    return found


def moves_to(links: dict[str, Link], mac: Mac, name: str, asker: str):
    """Have a MAC speak from a workload; return how long until what is sent to it arrives there, alone."""
    started = time.monotonic()
    links[name].send(BROADCAST, mac, b"here I am")
    others = [link for each, link in links.items() if each not in {name, asker}]

    def arrives():
        token = secrets.token_bytes(12)
        links[asker].send(mac.packed, Mac(b"\x02\0\0\0\x09\x01"), token)
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            if links[name].has(token):
                return not any(link.has(token) for link in others)
            time.sleep(0.005)
        return False

    wait_for(f"{mac} at {name}", arrives)
    return time.monotonic() - started


def test_a_mac_is_learnt_where_it_speaks_and_followed_when_it_moves(
    lab: Lab, links: dict[str, Link]
):
    mac, took = Mac(b"\x02\0\0\0\0\x77"), {}
    for name, asker in (("nest1", "nest2"), ("nest3", "nest2"), ("nest2", "nest1")):
        took[name] = moves_to(links, mac, name, asker)
    (far,) = learnt(lab, "compute2", mac)
    assert far["sequence"] == 1, (
        "one move between hosts; the one within a host is nobody's business"
    )
    took["back at nest1"] = moves_to(links, mac, "nest1", "nest2")
    (near,) = learnt(lab, "compute1", mac)
    assert near["sequence"] == 2
    wait_for("the host it left gives it up", lambda: not learnt(lab, "compute2", mac))
    print("MAC reached after:", ", ".join(f"{name} {s * 1000:.0f} ms" for name, s in took.items()))


def test_machines_behind_a_bridge_in_a_workload_are_reached(lab: Lab):
    inner, outer = f"{lab.plan.namespace_of('nest1')}-in", lab.plan.namespace_of("nest1")
    netns.create(inner)
    try:
        netns.connect((outer, "in0"), (inner, "eth0"), mtu_bytes=1400)
        netns.configure(
            outer,
            ["link add br0 type bridge", "link set eth0 master br0", "link set in0 master br0"]
            + [f"link set {each} up" for each in ("br0", "in0", "eth0")],
        )
        netns.configure(inner, ["addr add 10.64.0.201/24 dev eth0", "link set eth0 up"])
        code, text = run(lab, "nest2", "ping", "-n", "-c3", "-i0.2", "-W10", "10.64.0.201")

        assert code == 0, text
        mac = netns.mac_of(inner, "eth0")
        assert str(mac) in neighbour(lab, "nest2", "10.64.0.201")
        (row,) = learnt(lab, "compute1", mac)
        assert row["sequence"] == 0
        traced = vrouter.trace(lab, "nest2", str(mac), Packet())
        assert traced.summary() == f"delivered to {mac} behind flat:nest1"
        assert [leg.host for leg in traced.legs] == ["compute2", "compute1"]
    finally:
        netns.configure(outer, ["link set eth0 nomaster", "link del in0", "link del br0"])
        netns.delete(inner)


def test_a_trace_to_a_mac_tells_who_has_it_or_that_nobody_is_known_to(lab: Lab):
    nobody, to = "02:00:00:00:00:99", str(mac_of(lab, "wire2"))
    across = vrouter.trace(lab, "wire1", to, Packet())
    lost = vrouter.trace(lab, "wire1", nobody, Packet())

    assert [leg.host for leg in across.legs] == ["compute1", "compute2"]
    assert across.delivered, across.summary()
    assert lost.summary() == "dropped on compute1: NO_ROUTE"


def generation(lab: Lab, host: str):
    """What flows of a host must bear so as not to be decided again."""
    path = BPF_DIRECTORY / commands.agent_name(lab.plan.node(host)) / f"v{abi.ABI_VERSION}"
    size = abi.SETTINGS_LAYOUT.size
    fd = bpf_syscall.open_pin(path / "settings")
    settings = bpf_syscall.BpfMap("settings", fd, key_bytes=4, value_bytes=size, entries=1)
    try:
        found = settings.lookup(bytes(4))
        assert found is not None
        return abi.Settings.unpack(found).generation
    finally:
        settings.close()


def test_a_flood_of_macs_has_no_flow_of_others_decided_again(lab: Lab, links: dict[str, Link]):
    before = {host: generation(lab, host) for host in ("compute1", "compute2")}

    def all_learnt():
        for number in range(100):
            links["nest1"].send(BROADCAST, Mac(b"\x06\0\0\0\1" + bytes((number,))), b"flood")
        rows = read_table(lab.paths.introspect_socket("compute2"), "routes")
        heard = [row for row in rows if "06:00:00:00:01:" in str(row)]
        return len(heard) == 100

    wait_for("the other host knows a hundred MACs", all_learnt)
    assert {host: generation(lab, host) for host in before} == before


def test_a_flood_of_macs_stays_within_the_limit_and_harms_nobody(
    lab: Lab, api: ApiClient, links: dict[str, Link]
):
    network = api.name_to_id("virtual-network", ["default-domain", "flat", "nest"])
    limit = {"mac_limit": 4, "mac_limit_action": "drop"}
    api.update("virtual-network", network, {"mac_limit_control": limit})
    kept = Mac(b"\x02\0\0\0\0\x33")
    moves_to(links, kept, "nest3", "nest2")

    def refused():
        for number in range(50):
            links["nest1"].send(BROADCAST, Mac(b"\x06\0\0\0\0" + bytes((number,))), b"flood")
        drops = read_table(lab.paths.introspect_socket("compute1"), "drops")
        return sum(int(str(row["packets"])) for row in drops if row["reason"] == "MAC_LIMIT")

    wait_for("frames of further MACs are dropped", refused)
    rows = read_table(lab.paths.introspect_socket("compute1"), "macs")
    flooded = [row for row in rows if str(row["mac"]).startswith("06:")]
    assert len(flooded) <= 4
    moves_to(links, Mac(b"\x02\0\0\0\0\x34"), "nest3", "nest2")
    assert learnt(lab, "compute1", kept)


def test_a_mac_that_two_hosts_have_is_held_by_the_control_node(
    lab: Lab, api: ApiClient, links: dict[str, Link]
):
    network = api.name_to_id("virtual-network", ["default-domain", "flat", "nest"])
    limit = {"mac_move_limit": 2, "mac_move_time_window": 60, "mac_move_limit_action": "drop"}
    api.update(
        "virtual-network",
        network,
        {"mac_move_control": limit, "mac_limit_control": {"mac_limit": 0}},
    )
    mac, duplicates = Mac(b"\x02\0\0\0\0\x78"), lab.paths.introspect_socket("control1")

    def held():
        return [row for row in read_table(duplicates, "duplicate_macs") if row["mac"] == str(mac)]

    moves_to(links, mac, "nest3", "nest1")
    moves_to(links, mac, "nest2", "nest1")
    assert not held(), "it moved once"

    def fought_over():
        for name, host in (("nest3", "compute1"), ("nest2", "compute2")):

            def speaks(name: str = name, host: str = host):
                links[name].send(BROADCAST, mac, b"mine")
                return learnt(lab, host, mac) or held()

            wait_for("it is learnt", speaks)
        return held()

    (row,) = wait_for("it moved too often", fought_over)
    assert row["held_at"], "it stays at one host"
    moves_to(links, Mac(b"\x02\0\0\0\0\x79"), "nest2", "nest1")


class Pod:
    """A machine inside a workload, by a macvlan of its link, with a MAC and addresses of its own."""

    def __init__(self, lab: Lab, node: str, mac: Mac, last: int) -> None:
        self._lab, self.mac = lab, mac
        self.addresses = (f"10.65.0.{last}", f"fd65::{last}")
        self.space = f"{lab.plan.namespace_of(node)}-pod"
        outer = lab.plan.namespace_of(node)
        netns.create(self.space)
        netns.configure(
            outer,
            [
                f"link add pod0 link eth0 address {mac} type macvlan mode bridge",
                f"link set pod0 netns {self.space} name eth0",
            ],
        )
        netns.configure(
            self.space,
            [
                f"addr add {self.addresses[0]}/24 dev eth0",
                f"addr add {self.addresses[1]}/64 dev eth0 nodad",
                "link set eth0 up",
            ],
        )

    def ping(self, address: str) -> tuple[int, str]:
        command = ["nsenter", f"--net=/run/netns/{self.space}", *ping_command(address)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def speaks(self, address: str) -> bool:
        return self.ping(address)[0] == 0

    def close(self) -> None:
        # With the namespace alone the link would go some time later, and its MAC be taken until then.
        netns.configure(self.space, ["link del eth0"])
        netns.delete(self.space)


def ping_command(address: str) -> list[str]:
    return ["ping", "-n", "-c1", "-W1", address]


def known(lab: Lab, host: str, address: str):
    rows = read_table(lab.paths.introspect_socket(host), "learnt_addresses")
    return [row for row in rows if row["address"] == address]


def own_addresses(lab: Lab, name: str) -> tuple[str, str]:
    member = check.members(lab)[name]
    return str(member.address(version=4)), str(member.address(version=6))


POD_MAC = Mac.parse("06:00:00:00:65:01")


def host_trace(lab: Lab, host: str, *words: str) -> str:
    socket = ["--socket", str(lab.paths.introspect_socket(host))]
    return CliRunner().invoke(main, ["host", "trace", *words, *socket]).output


def test_addresses_of_machines_inside_a_workload_are_reached_by_both_versions(lab: Lab):
    pod = Pod(lab, "node1", POD_MAC, 201)
    try:
        for version, address in enumerate(pod.addresses):
            gone_on = own_addresses(lab, "node2")[version]
            wait_for("the pod reaches the other host", lambda to=gone_on: pod.speaks(to), 10.0)
            (row,) = wait_for("it is learnt", lambda it=address: known(lab, "compute1", it))
            assert (row["mac"], row["sequence"]) == (str(POD_MAC), 0)
            for name in ("node2", "node3"):
                code, text = run(lab, name, *ping_command(address))
                assert code == 0, (name, text)
                assert str(POD_MAC) in neighbour(lab, name, address)
            behind = f"delivered to {address} behind flat:node1"
            assert vrouter.trace(lab, "node2", address, Packet()).summary() == behind
            assert vrouter.trace(lab, address, "node2", Packet()).delivered
        traced = vrouter.trace(lab, "node2", str(POD_MAC), Packet())
        assert [leg.host for leg in traced.legs] == ["compute2", "compute1"]
        assert traced.summary() == f"delivered to {POD_MAC} behind flat:node1"
        for to in (pod.addresses[0], str(POD_MAC)):
            told = host_trace(lab, "compute2", "node2", to)
            (onward,) = re.findall(r"skytrail host trace (.*)", told)
            told = host_trace(lab, "compute1", *onward.split())
            assert f"delivered to {to} behind flat:node1" in told
    finally:
        pod.close()


def test_an_address_moves_with_its_machine_and_is_forgotten_when_nobody_answers(
    lab: Lab, api: ApiClient
):
    address, asker = "10.65.0.202", own_addresses(lab, "node3")[0]
    pod = Pod(lab, "node1", POD_MAC, 202)
    try:
        wait_for("the pod reaches its neighbour", lambda: pod.speaks(asker))
        wait_for("it is learnt", lambda: known(lab, "compute1", address))
    finally:
        pod.close()
    pod = Pod(lab, "node2", POD_MAC, 202)
    try:
        started = time.monotonic()
        wait_for("it is reached where it is now", lambda: pod.speaks(asker))
        took_s = time.monotonic() - started
        (row,) = known(lab, "compute2", address)
        assert row["sequence"] == 1
        wait_for("the host it left gives it up", lambda: not known(lab, "compute1", address))
        code, text = run(lab, "node3", *ping_command(address))
        assert code == 0, text
    finally:
        pod.close()
    network = api.name_to_id("virtual-network", ["default-domain", "flat", "pods"])
    api.update("virtual-network", network, {"mac_aging_time": 1})
    wait_for("nobody answers", lambda: not known(lab, "compute2", address))
    wait_for("nobody is led there", lambda: run(lab, "node3", *ping_command(address))[0] != 0)
    print(f"address reached on its new host after {took_s * 1000:.0f} ms")


def test_nobody_is_believed_to_have_the_address_of_a_port(lab: Lab):
    address = own_addresses(lab, "node2")[0]
    pod = Pod(lab, "node1", Mac.parse("06:00:00:00:65:09"), int(address.rpartition(".")[2]))

    def refused():
        pod.ping(own_addresses(lab, "node3")[0])
        rows = read_table(lab.paths.introspect_socket("compute1"), "punts")
        return [row for row in rows if "addresses of ports" in str(row)]

    try:
        wait_for("the thief is refused", refused)
        assert not known(lab, "compute1", address)
        code, text = run(lab, "node3", *ping_command(address))
        assert code == 0, text
        assert str(mac_of(lab, "node2")) in neighbour(lab, "node3", address)
    finally:
        pod.close()
