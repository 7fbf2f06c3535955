"""Broadcasts of a network that asks for it travel along a tree of six hosts and two control nodes."""

import os
import secrets
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import vrouter
from skytrail.lab.io import netns
from skytrail.lab.service import Lab
from skytrail.runtime.introspection import read_table

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-tenants"
HOSTS = [f"compute{number}" for number in range(1, 7)]
PORT = 5008
QUIET_S = 0.5
PATIENCE_S = 20.0
ETHERTYPE_TEST = 0x88B5
"""For experiments on a local network (IEEE 802): not IP."""
DEGREE_MAX = 4
TREE, PLAIN = "default-domain:red:tree", "default-domain:red:plain"

PROVISION = f"""
import argparse, sys
sys.path.insert(0, {str(EXAMPLE)!r})
import provision as parts
from vnc_api import vnc_api

options = argparse.ArgumentParser()
options.add_argument("--host")
options.add_argument("--port")
chosen = options.parse_args()
api = vnc_api.VncApi(api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth")
red = parts.ensure(api, "project", vnc_api.Project("red"))
ipam = parts.ensure(api, "network_ipam", vnc_api.NetworkIpam("red-ipam", red))
group = parts.ensure(api, "security_group", parts.open_group(red))
for name, prefixes in (("tree", ["10.7.1.0/24", "fd10:7:1::/64"]), ("plain", ["10.7.2.0/24"])):
    wanted = parts.network(red, name, ipam, prefixes, None)
    if name == "tree":
        note = vnc_api.KeyValuePair(key="broadcast-replication", value="tree")
        wanted.set_annotations(vnc_api.KeyValuePairs(key_value_pair=[note]))
    network = parts.ensure(api, "virtual_network", wanted)
    families = ("v4", "v6") if name == "tree" else ("v4",)
    for number in range(1, 8):
        parts.port(api, red, f"{{name}}{{number}}", network, group, families=families)
"""

pytestmark = pytest.mark.root


def topology() -> str:
    """Three hosts for each control node; the seventh workload of each network shares a host."""
    hosts = "".join(
        f"  - {{name: {host}, controllers: [control{1 + (number >= 3)}]}}\n"
        for number, host in enumerate(HOSTS)
    )
    workloads = "".join(
        f"  - {{name: {name}{number + 1}, host: {HOSTS[number % 6]}, "
        f'port: "default-domain:red:{name}{number + 1}"}}\n'
        for name in ("tree", "plain")
        for number in range(7)
    )
    return (
        "name: tree\ncontrollers: [control1, control2]\nprovision: provision.py\n"
        f"hosts:\n{hosts}workloads:\n{workloads}"
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and eBPF")
    folder = tmp_path_factory.mktemp("tree")
    (folder / "provision.py").write_text(PROVISION)
    (folder / "topology.yaml").write_text(topology())
    created = Lab.create(folder / "topology.yaml", name=f"stv{secrets.token_hex(3)}")
    try:
        created.up()
        yield created
    finally:
        created.down()


def vrf_row(lab, host, network):
    rows = read_table(lab.paths.introspect_socket(host), "vrfs")
    return next(row for row in rows if row["name"] == f"{network}:{network.rpartition(':')[2]}")


def tree_members(lab):
    """Return (member, number of edges, builder) as the control nodes of the members show them."""
    return [
        (row["member"], len(row["edges"]), row["builder"])
        for node in ("control1", "control2")
        for row in read_table(lab.paths.introspect_socket(node), "tree_members")
        if row["agents"]
    ]


@pytest.fixture
def grown(lab, eventually):
    """The tree once every host is on it and knows it of the others."""

    def is_grown():
        return all(vrf_row(lab, host, TREE)["on_tree"] for host in HOSTS) and all(
            # Nobody but neighbours is left to be sent copies; the first host has two workloads.
            vrf_row(lab, host, TREE)["flood_members"] <= DEGREE_MAX + 1 + (host == HOSTS[0])
            for host in HOSTS
        )

    eventually(is_grown, "every host is on the tree")
    return lab


def test_six_hosts_of_two_control_nodes_are_one_tree_of_one_builder(grown):
    members = tree_members(grown)

    assert len({member for member, _, _ in members}) == len(HOSTS)
    assert len({builder for _, _, builder in members}) == 1
    assert sum(edges for _, edges, _ in members) == 2 * (len(HOSTS) - 1)
    assert max(edges for _, edges, _ in members) <= DEGREE_MAX


def test_a_network_that_does_not_ask_has_no_tree(lab, eventually):
    eventually(
        lambda: all(vrf_row(lab, host, PLAIN)["flood_members"] >= len(HOSTS) for host in HOSTS),
        "a copy for every other host",
    )
    assert not any(vrf_row(lab, host, PLAIN)["on_tree"] for host in HOSTS)


def ears_of(stack, lab, network, make):
    return {f"{network}{number}": make(stack, lab, f"{network}{number}") for number in range(1, 8)}


def udp_ear(group):
    family = socket.AF_INET6 if ":" in group else socket.AF_INET

    def make(stack, lab, name):
        with netns.entered(lab.plan.namespace_of(name)):
            ear = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            index = socket.if_nametoindex("eth0")
        ear.bind(("", PORT))
        if family == socket.AF_INET6:
            request = socket.inet_pton(family, group) + struct.pack("=i", index)
            ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        elif group.startswith("239"):
            request = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), index)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        return ear

    return make


def say(stack, lab, name, group, token):
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with netns.entered(lab.plan.namespace_of(name)):
        mouth = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        index = socket.if_nametoindex("eth0")
    mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if family == socket.AF_INET6:
        mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    else:
        request = struct.pack("=4s4si", bytes(4), bytes(4), index)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    mouth.sendto(token, (group, PORT))


def frame_ear(stack, lab, name):
    with netns.entered(lab.plan.namespace_of(name)):
        kind = socket.htons(ETHERTYPE_TEST)
        ear = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, kind))
    ear.bind(("eth0", ETHERTYPE_TEST))
    return ear


def copies(ears, token, sender, strangers=()):
    """Return how many copies each got: those that come, and a while for those that must not.

    From ``strangers``, further ears by name, nothing is waited for.
    """
    every = {**ears, **dict(strangers)}
    counts = dict.fromkeys(every, 0)
    deadline = time.monotonic() + PATIENCE_S
    quiet_since = None
    while quiet_since is None or time.monotonic() < quiet_since + QUIET_S:
        for name, ear in every.items():
            ear.setblocking(False)
            try:
                while True:
                    counts[name] += ear.recv(65535).startswith(token)
            except BlockingIOError:
                pass
        have_all = all(counts[name] for name in ears if name != sender)
        if quiet_since is None and (have_all or time.monotonic() > deadline):
            quiet_since = time.monotonic()
        time.sleep(0.02)
    # The sender's own kernel may give it its broadcast back.
    return {name: count for name, count in counts.items() if name != sender}


@pytest.mark.parametrize("sender", [f"tree{number}" for number in range(1, 8)])
@pytest.mark.parametrize("group", ["255.255.255.255", "10.7.1.255", "239.9.8.7", "ff05::987"])
def test_everybody_on_the_tree_hears_it_once_whoever_speaks(grown, sender, group):
    token = os.urandom(12)
    with ExitStack() as stack:
        ears = ears_of(stack, grown, "tree", udp_ear(group))
        strangers = ears_of(stack, grown, "plain", udp_ear("255.255.255.255"))
        say(stack, grown, sender, group, token)

        heard = copies(ears, token, sender, strangers)

    assert heard == dict.fromkeys(ears.keys() - {sender}, 1) | dict.fromkeys(strangers, 0)


def test_a_packet_as_large_as_the_networks_mtu_reaches_everybody(grown):
    token = os.urandom(12)
    with ExitStack() as stack:
        ears = ears_of(stack, grown, "tree", udp_ear("239.9.8.7"))
        with netns.entered(grown.plan.namespace_of("tree1")):
            mtu = int(Path("/sys/class/net/eth0/mtu").read_text())
        say(stack, grown, "tree1", "239.9.8.7", token.ljust(mtu - 28, b"."))

        assert set(copies(ears, token, "tree1").values()) == {1}


def test_frames_that_are_not_ip_travel_the_same_way(grown):
    token = os.urandom(46)
    with ExitStack() as stack:
        ears = ears_of(stack, grown, "tree", frame_ear)
        with netns.entered(grown.plan.namespace_of("tree2")):
            kind = socket.htons(ETHERTYPE_TEST)
            mouth = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind))
            mouth.bind(("eth0", ETHERTYPE_TEST))
            own = mouth.getsockname()[4]
        mouth.send(b"\xff" * 6 + own + ETHERTYPE_TEST.to_bytes(2) + token)

        assert set(copies(ears, token, "tree2").values()) == {1}


def test_no_copy_comes_from_who_is_no_neighbour_once_the_tree_stands(grown):
    def strangers_copies():
        return {host: vrouter.drops(grown, host).get("FLOOD_SOURCE", 0) for host in HOSTS}

    before = strangers_copies()
    token = os.urandom(12)
    with ExitStack() as stack:
        ears = ears_of(stack, grown, "tree", udp_ear("239.9.8.7"))
        say(stack, grown, "tree6", "239.9.8.7", token)
        assert set(copies(ears, token, "tree6").values()) == {1}

    assert strangers_copies() == before


def test_a_killed_control_node_takes_nobody_out_of_the_tree(grown, eventually):
    token = os.urandom(12)
    grown.kill("control1")
    with ExitStack() as stack:
        ears = ears_of(stack, grown, "tree", udp_ear("239.9.8.7"))
        say(stack, grown, "tree3", "239.9.8.7", token)
        assert set(copies(ears, token, "tree3").values()) == {1}
    grown.restart("control1")

    eventually(lambda: len(tree_members(grown)) == len(HOSTS), "members are back", timeout_s=40)
    with ExitStack() as stack:
        ears = ears_of(stack, grown, "tree", udp_ear("239.9.8.7"))
        say(stack, grown, "tree5", "239.9.8.7", token)
        assert set(copies(ears, token, "tree5").values()) == {1}


def test_a_network_changes_between_tree_and_copies_at_the_edge(grown, eventually):
    with ApiClient(grown.api_url) as api:
        uuid = api.name_to_id("virtual-network", TREE.split(":"))
        notes = api.read("virtual-network", uuid)["annotations"]
        api.update("virtual-network", uuid, {"annotations": {"key_value_pair": []}})
        eventually(
            lambda: all(vrf_row(grown, h, TREE)["flood_members"] >= len(HOSTS) for h in HOSTS),
            "a copy for every other host",
        )
        token = os.urandom(12)
        with ExitStack() as stack:
            ears = ears_of(stack, grown, "tree", udp_ear("239.9.8.7"))
            say(stack, grown, "tree4", "239.9.8.7", token)
            assert set(copies(ears, token, "tree4").values()) == {1}
        assert not any(vrf_row(grown, host, TREE)["on_tree"] for host in HOSTS)

        api.update("virtual-network", uuid, {"annotations": notes})
        eventually(
            lambda: all(vrf_row(grown, host, TREE)["on_tree"] for host in HOSTS),
            "every host is on the tree again",
        )
