"""Hosts that replicate for leaves (RFC 9574), and groups with listeners (IGMP, MLD): by packets."""

import contextlib
import os
import secrets
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check, show
from skytrail.lab.io import netns
from skytrail.lab.service import Lab
from skytrail.runtime.introspection import read_table

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-tenants"
HOSTS = [f"compute{number}" for number in range(1, 5)]
FAN = [f"fan{number}" for number in range(1, 5)]
TV = [f"tv{number}" for number in range(1, 5)]
PORT = 5010
QUIET_S = 0.4
PATIENCE_S = 20.0
MCAST_JOIN_SOURCE_GROUP = 46
"""Of Linux; Python has no name for it."""
UNDERLAY_FRAMES = 0x0003
REPLICATOR, ITS_ADDRESS = "compute2", "198.18.2.200"

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
wanted = parts.network(red, "fan", ipam, ["10.8.1.0/24"], None)
note = vnc_api.KeyValuePair(key="broadcast-replication", value="assisted")
wanted.set_annotations(vnc_api.KeyValuePairs(key_value_pair=[note]))
network = parts.ensure(api, "virtual_network", wanted)
for name in {FAN!r}:
    parts.port(api, red, name, network, group)
wanted = parts.network(red, "tv", ipam, ["10.8.2.0/24", "fd10:8:2::/64"], None)
wanted.set_igmp_enable(True)
network = parts.ensure(api, "virtual_network", wanted)
for name in {TV!r}:
    parts.port(api, red, name, network, group, families=("v4", "v6"))
"""

pytestmark = pytest.mark.root


def topology() -> str:
    hosts = "".join(f"  - {{name: {host}}}\n" for host in HOSTS)
    workloads = "".join(
        f'  - {{name: {name}, host: {host}, port: "default-domain:red:{name}"}}\n'
        for name, host in (*zip(FAN, HOSTS, strict=True), *zip(TV, HOSTS, strict=True))
    )
    return f"name: multicast\nprovision: provision.py\nhosts:\n{hosts}workloads:\n{workloads}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and eBPF")
    folder = tmp_path_factory.mktemp("multicast")
    (folder / "provision.py").write_text(PROVISION)
    (folder / "topology.yaml").write_text(topology())
    created = Lab.create(folder / "topology.yaml", name=f"stm{secrets.token_hex(3)}")
    try:
        created.up()
        yield created
    finally:
        created.down()


def vrf_row(lab, host, name):
    rows = read_table(lab.paths.introspect_socket(host), "vrfs")
    return next(row for row in rows if row["name"] == f"default-domain:red:{name}:{name}")


class Ears:
    """Sockets of workloads that take what is sent to a group; counts copies of a token."""

    def __init__(self, stack, lab, names, group):
        self.sockets = {}
        for name in names:
            with netns.entered(lab.plan.namespace_of(name)):
                ear = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                index = socket.if_nametoindex("eth0")
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.bind(("", PORT))
            ear.setblocking(False)
            if group.startswith("239"):
                request = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), index)
                ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            self.sockets[name] = ear

    def heard(self, token, expected):
        """Copies that each got: those expected are waited for, others for a while."""
        counts = dict.fromkeys(self.sockets, 0)
        deadline, quiet_since = time.monotonic() + PATIENCE_S, None
        while quiet_since is None or time.monotonic() < quiet_since + QUIET_S:
            for name, ear in self.sockets.items():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        counts[name] += ear.recv(65535) == token
            if quiet_since is None and (
                all(counts[name] for name in expected) or time.monotonic() > deadline
            ):
                quiet_since = time.monotonic()
            time.sleep(0.02)
        return {name: count for name, count in counts.items() if count}


def say(stack, lab, name, group, token):
    with netns.entered(lab.plan.namespace_of(name)):
        mouth = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        index = socket.if_nametoindex("eth0")
    mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    request = struct.pack("=4s4si", bytes(4), bytes(4), index)
    mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    mouth.sendto(token, (group, PORT))


def underlay_ear(stack, lab, host):
    """Tunnel frames that a host sends."""
    with netns.entered(lab.plan.node(host).namespace):
        kind = socket.htons(UNDERLAY_FRAMES)
        ear = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind))
    ear.bind(("underlay0", UNDERLAY_FRAMES))
    ear.setblocking(False)
    return ear


def tunnelled(ear, token):
    """Return where copies of a token were sent."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, place = ear.recvfrom(65535)
            if token in frame and place[2] == socket.PACKET_OUTGOING:
                found.append(socket.inet_ntoa(frame[30:34]))
    return found


def everybody_hears(lab, group="239.8.8.8"):
    """Each workload speaks; return the copies each host sent into tunnels, by speaker."""
    sent = {}
    with contextlib.ExitStack() as stack:
        ears = Ears(stack, lab, FAN, group)
        hosts = {host: underlay_ear(stack, lab, host) for host in HOSTS}
        for speaker in FAN:
            token = os.urandom(24)
            say(stack, lab, speaker, group, token)
            others = {name: 1 for name in FAN if name != speaker}
            heard = ears.heard(token, others)
            # The speaker's own kernel may give it its broadcast back.
            heard.pop(speaker, None)
            assert heard == others, speaker
            sent[speaker] = {host: tunnelled(ear, token) for host, ear in hosts.items()}
    return sent


def annotate(lab, value):
    with ApiClient(lab.api_url) as api:
        name = ["default-global-system-config", lab.plan.node(REPLICATOR).namespace]
        uuid = api.name_to_id("virtual-router", name)
        pairs = [{"key": "replicator-address", "value": value}] if value else []
        api.update("virtual-router", uuid, {"annotations": {"key_value_pair": pairs}})


@pytest.fixture
def replicator(lab, eventually):
    """The second host copies for the others, by an address that the underlay routes to it."""
    router, address = lab.plan.router_namespace, lab.plan.node(REPLICATOR).address
    route = ["ip", "-n", router, "route", "replace", f"{ITS_ADDRESS}/32", "via", str(address)]
    subprocess.run(route, check=True)
    annotate(lab, ITS_ADDRESS)
    eventually(lambda: is_assisted(lab), "leaves use the replicator")
    yield ITS_ADDRESS
    annotate(lab, "")
    eventually(lambda: is_copied_at_the_edge(lab), "everybody copies himself")


def is_assisted(lab):
    return all(
        vrf_row(lab, host, "fan")["flood_members"] == (4 if host == REPLICATOR else 2)
        for host in HOSTS
    )


def is_copied_at_the_edge(lab):
    return all(vrf_row(lab, host, "fan")["flood_members"] == 4 for host in HOSTS)


def addresses(lab, *, but):
    return sorted(str(lab.plan.node(host).address) for host in HOSTS if host not in but)


@pytest.mark.parametrize("group", ["239.8.8.8", "255.255.255.255"])
def test_leaves_send_one_copy_and_the_replicators_host_makes_the_others(lab, replicator, group):
    sent = everybody_hears(lab, group)

    for speaker, host in zip(FAN, HOSTS, strict=True):
        by_replicator = sorted(sent[speaker].pop(REPLICATOR))
        assert by_replicator == addresses(lab, but={host, REPLICATOR})
        expected = {leaf: [replicator] if leaf == host else [] for leaf in HOSTS}
        del expected[REPLICATOR]
        assert sent[speaker] == expected


def test_without_a_replicator_everybody_copies_himself(lab, eventually):
    eventually(lambda: is_copied_at_the_edge(lab), "everybody copies himself")

    sent = everybody_hears(lab)

    for speaker, host in zip(FAN, HOSTS, strict=True):
        assert sorted(sent[speaker][host]) == addresses(lab, but={host})


class Listener:
    """A socket of a workload that joins groups, which its kernel reports."""

    def __init__(self, stack, lab, name, version=4):
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with netns.entered(lab.plan.namespace_of(name)):
            self.socket = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            self.index = socket.if_nametoindex("eth0")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("", PORT))

    def request(self, group):
        if ":" in group:
            return socket.inet_pton(socket.AF_INET6, group) + struct.pack("=i", self.index)
        return struct.pack("=4s4si", socket.inet_aton(group), bytes(4), self.index)

    def join(self, group):
        if ":" in group:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self.request(group))
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, self.request(group))

    def leave(self, group):
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, self.request(group))

    def join_source(self, group, source):
        storage = [
            struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(each)).ljust(128, b"\0")
            for each in (group, source)
        ]
        request = struct.pack("=I4x", self.index) + b"".join(storage)
        self.socket.setsockopt(socket.IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, request)


def frames_heard(lab, speaker, group, names, expected, wire=None):
    """Copies that reach workloads' interfaces, whether their kernels want them or not.

    ``wire``: is filled with the tunnel ends to which the speaker's host sent copies.
    """
    token = os.urandom(24)
    with contextlib.ExitStack() as stack:
        own = dict(zip(TV, HOSTS, strict=True))[speaker]
        outside = underlay_ear(stack, lab, own)
        ears = {}
        for name in names:
            with netns.entered(lab.plan.namespace_of(name)):
                kind = socket.htons(UNDERLAY_FRAMES)
                ear = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind))
            ear.bind(("eth0", UNDERLAY_FRAMES))
            ear.setblocking(False)
            ears[name] = ear
        speak(stack, lab, speaker, group, token)
        counts = dict.fromkeys(names, 0)
        deadline, quiet_since = time.monotonic() + PATIENCE_S, None
        while quiet_since is None or time.monotonic() < quiet_since + QUIET_S:
            for name, ear in ears.items():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        frame, place = ear.recvfrom(65535)
                        counts[name] += token in frame and place[2] != socket.PACKET_OUTGOING
            if quiet_since is None and (
                all(counts[name] for name in expected) or time.monotonic() > deadline
            ):
                quiet_since = time.monotonic()
            time.sleep(0.02)
        if wire is not None:
            wire += sorted(tunnelled(outside, token))
    return {name: count for name, count in counts.items() if count}


def speak(stack, lab, name, group, token):
    if ":" not in group:
        say(stack, lab, name, group, token)
        return
    with netns.entered(lab.plan.namespace_of(name)):
        mouth = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        index = socket.if_nametoindex("eth0")
    mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    mouth.sendto(token, (group, PORT))


def listeners(lab, group, source="any"):
    """Ports here that a host's list of a group has, by host."""
    found = {}
    for host in HOSTS:
        rows = read_table(lab.paths.introspect_socket(host), "groups")
        row = next((r for r in rows if (r["group"], r["source"]) == (group, source)), None)
        found[host] = sum("-" in each for each in row["members"]) if row else 0
    return found


def known(lab, group, source="any"):
    """Other hosts that a host sends copies of a group to, by host."""
    found = {}
    for host in HOSTS:
        rows = read_table(lab.paths.introspect_socket(host), "groups")
        row = next((r for r in rows if (r["group"], r["source"]) == (group, source)), None)
        found[host] = sorted(each for each in row["members"] if "-" not in each) if row else []
    return found


def told(lab, *at):
    """What all hosts know of listeners at these hosts alone."""
    return {
        host: addresses(lab, but={each for each in HOSTS if each not in at or each == host})
        for host in HOSTS
    }


@pytest.mark.parametrize("group", ["239.7.7.1", "ff05::7:1"])
def test_listeners_alone_get_a_group_and_only_while_they_listen(lab, eventually, group):
    assert frames_heard(lab, "tv1", group, TV, ()) == {}

    with contextlib.ExitStack() as stack:
        version = 6 if ":" in group else 4
        for name in ("tv2", "tv3"):
            Listener(stack, lab, name, version).join(group)
        wanted = {"compute1": 0, "compute2": 1, "compute3": 1, "compute4": 0}
        eventually(lambda: listeners(lab, group) == wanted, "reports are in the lists")
        others = told(lab, "compute2", "compute3")
        eventually(lambda: known(lab, group) == others, "hosts told each other")

        wire = []
        assert frames_heard(lab, "tv1", group, TV, ("tv2", "tv3"), wire) == {"tv2": 1, "tv3": 1}
        # Nobody listens at the fourth host: nothing is sent there.
        assert wire == others["compute1"]
        assert frames_heard(lab, "tv2", group, TV, ("tv3",)) == {"tv3": 1}

    nobody = dict.fromkeys(HOSTS, 0)
    eventually(lambda: listeners(lab, group) == nobody, "leaves are taken")
    eventually(lambda: known(lab, group) == told(lab), "and told")
    wire = []
    assert frames_heard(lab, "tv1", group, TV, (), wire) == {}
    assert wire == []


@pytest.mark.parametrize(
    ("group", "setting"),
    [
        ("239.7.7.3", {"net/ipv4/conf/eth0/force_igmp_version": 2}),
        ("ff05::7:3", {"net/ipv6/conf/eth0/force_mld_version": 1}),
    ],
)
def test_listeners_of_earlier_versions_are_heard_and_leave_as_fast(lab, eventually, group, setting):
    place = lab.plan.namespace_of("tv2")
    netns.set_sysctls(place, setting)
    try:
        with contextlib.ExitStack() as stack:
            Listener(stack, lab, "tv2", 6 if ":" in group else 4).join(group)
            eventually(lambda: listeners(lab, group)["compute2"] == 1, "a report is taken")
            eventually(lambda: known(lab, group) == told(lab, "compute2"), "and told")
            assert frames_heard(lab, "tv1", group, TV, ("tv2",)) == {"tv2": 1}
        nobody = dict.fromkeys(HOSTS, 0)
        eventually(lambda: listeners(lab, group) == nobody, "a leave is taken", timeout_s=20)
    finally:
        netns.set_sysctls(place, dict.fromkeys(setting, 0))


def test_a_listener_of_one_source_gets_that_source_alone(lab, eventually):
    group, source = "239.7.7.2", str(check.members(lab)["tv1"].address(version=4))
    with contextlib.ExitStack() as stack:
        Listener(stack, lab, "tv3").join_source(group, source)
        eventually(lambda: listeners(lab, group, source)["compute3"] == 1, "a source is wanted")
        others = told(lab, "compute3")
        eventually(lambda: known(lab, group, source) == others, "told with source")

        assert frames_heard(lab, "tv1", group, TV, ("tv3",)) == {"tv3": 1}
        wire = []
        assert frames_heard(lab, "tv2", group, TV, (), wire) == {}
        assert wire == []


class Stream(threading.Thread):
    """Sends numbered datagrams to a group until it is told to stop, and keeps those heard."""

    def __init__(self, lab, name, group, ear):
        super().__init__()
        self.sent, self.heard, self.ear, self.over = 0, [], ear, threading.Event()
        ear.setblocking(False)
        self.place = group, PORT
        with netns.entered(lab.plan.namespace_of(name)):
            self.mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            index = socket.if_nametoindex("eth0")
        request = struct.pack("=4s4si", bytes(4), bytes(4), index)
        self.mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)

    def run(self):
        with self.mouth:
            while not self.over.wait(0.02):
                self.mouth.sendto(self.sent.to_bytes(4), self.place)
                self.sent += 1
                self.listen()

    def listen(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(int.from_bytes(self.ear.recv(64)))


def healthy(lab, name):
    return show.process_health(lab, name)[0] == "healthy"


def test_no_frame_is_lost_while_agents_and_the_control_node_are_killed_and_return(lab, eventually):
    group = "239.7.7.3"
    with contextlib.ExitStack() as stack:
        listener = Listener(stack, lab, "tv4")
        listener.join(group)
        others = told(lab, "compute4")
        eventually(lambda: known(lab, group) == others, "hosts told each other")

        stream = Stream(lab, "tv1", group, listener.socket)
        stream.start()
        try:
            for victims in (("compute4", "compute1"), ("control1",)):
                for victim in victims:
                    lab.kill(victim)
                before = stream.sent
                eventually(lambda mark=before: stream.sent > mark + 20, "frames in their absence")
                with ThreadPoolExecutor() as pool:
                    list(pool.map(lab.restart, victims))
                for victim in victims:
                    eventually(lambda name=victim: healthy(lab, name), "back")
                eventually(lambda: known(lab, group) == others, "all is known")
        finally:
            stream.over.set()
            stream.join()
        eventually(lambda: stream.listen() or len(stream.heard) >= stream.sent, "all is heard")
        assert stream.heard == list(range(stream.sent))
        assert listeners(lab, group)["compute4"] == 1


def test_leaves_copy_themselves_at_once_when_the_replicators_agent_dies(
    lab, replicator, eventually
):
    lab.kill(REPLICATOR)
    try:
        leaves = [host for host in HOSTS if host != REPLICATOR]
        eventually(
            lambda: all(vrf_row(lab, host, "fan")["flood_members"] == 4 for host in leaves),
            "leaves copy themselves",
        )
        # Its host still forwards: it hears everything, and its workload is heard.
        everybody_hears(lab)
    finally:
        lab.restart(REPLICATOR)
    eventually(lambda: is_assisted(lab), "leaves use the replicator again")
    everybody_hears(lab)
