"""What leaves the ordinary way of packets, by real packets: mirrors, captures, the flow log."""

import contextlib
import socket
import struct
import subprocess
import sys
from ipaddress import IPv4Address

import httpx
import msgspec
import pytest

from skytrail.lab.io import netns
from skytrail.runtime.introspection import read_table

RED = ["default-domain", "red"]
STORE_VRF = "default-domain:red:store:store"
ICMP = 1


class Copies:
    """Copies that arrive at UDP port 8099 somewhere: (sending host, frame) of each."""

    def __init__(self, namespace):
        with netns.entered(namespace):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("0.0.0.0", 8099))
        self._socket.setblocking(False)
        self.seen = []

    def take(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                payload, (source, _) = self._socket.recvfrom(65535)
                kept = struct.unpack_from("!I", payload, 8)[0]
                self.seen.append((IPv4Address(source), payload[-kept:]))
        return self.seen

    def echoes(self):
        """(source, ICMP type) of the pings among them."""
        frames = [frame for _, frame in self.take() if frame[12:14] == b"\x08\x00"]
        return [(IPv4Address(f[26:30]), f[34]) for f in frames if f[23] == ICMP]

    def close(self):
        self._socket.close()


@pytest.fixture
def copies(request):
    with contextlib.ExitStack() as stack:

        def at(namespace):
            return stack.enter_context(contextlib.closing(Copies(namespace)))

        yield at


def address(members, name):
    return members[name].address(version=4)


def pings(lab, members, source, destination, *options, count=3):
    target = str(address(members, destination))
    command = ["ping", "-n", f"-c{count}", "-i0.05", "-W1", *options, target]
    done = subprocess.run(lab.command_in(source, command), check=False, capture_output=True)
    return done.returncode == 0


def mirrors(lab, host):
    return read_table(lab.paths.introspect_socket(host), "mirrors")


@pytest.fixture
def mirrored(lab, api, eventually):
    """Mirror a port: ``mirrored("red-web1", "both", analyzer_ip_address=...)``."""
    changed = []

    def start(name, direction, **to):
        uuid, host = lab.attached(name).uuid, lab.topology.endpoint(name).host
        changed.append((uuid, host))
        settings = {"interface_mirror": {"traffic_direction": direction, "mirror_to": to}}
        api.update(
            "virtual-machine-interface", uuid, {"virtual_machine_interface_properties": settings}
        )
        eventually(lambda: mirrors(lab, host), f"{host} mirrors")

    yield start
    for uuid, host in changed:
        api.update("virtual-machine-interface", uuid, {"virtual_machine_interface_properties": {}})
        eventually(lambda host=host: not mirrors(lab, host), "the mirror is gone")


def test_port_is_copied_to_an_analyzer_on_another_host(lab, members, mirrored, copies, eventually):
    got = copies(lab.plan.namespace_of("red-store"))
    store = str(address(members, "red-store"))
    mirrored("red-web2", "both", analyzer_ip_address=store, routing_instance=STORE_VRF)
    one, other = address(members, "red-web1"), address(members, "red-web2")

    assert pings(lab, members, "red-web1", "red-web2")

    eventually(lambda: len(got.echoes()) >= 6, "all copies are there")
    assert sorted(got.echoes()) == sorted([(one, 8), (other, 0)] * 3)
    assert {source for source, _ in got.seen} == {lab.plan.node("compute2").address}
    (row,) = {row["analyzer"] for row in mirrors(lab, "compute2")}
    assert row == store


def test_copies_go_into_another_project_while_that_shares_its_network(
    lab, api, mirrored, eventually
):
    network = api.name_to_id("virtual-network", ["default-domain", "blue", "front"])
    red = api.name_to_id("project", RED)
    own = api.read("virtual-network", network)["perms2"]

    def share(access):
        shares = [{"tenant": red, "tenant_access": access}] if access else []
        api.update("virtual-network", network, {"perms2": {**own, "share": shares}})

    try:
        share(5)
        instance = "default-domain:blue:front:front"
        mirrored("red-web1", "both", analyzer_ip_address="10.2.1.250", routing_instance=instance)
        share(4)
        eventually(lambda: not mirrors(lab, "compute1"), "copies end with the share")
        share(5)
        eventually(lambda: mirrors(lab, "compute1"), "copies are back with it")
    finally:
        share(0)


def test_sent_packets_alone_go_to_a_collector_in_the_underlay(
    lab, members, mirrored, copies, eventually
):
    collector = lab.plan.node("compute2")
    got = copies(collector.namespace)
    mirrored("red-web1", "ingress", analyzer_ip_address=str(collector.address), routing_instance="")

    assert eventually(
        lambda: pings(lab, members, "red-web1", "red-web2") and got.echoes(), "copies come"
    )
    assert set(got.echoes()) == {(address(members, "red-web1"), 8)}


@pytest.fixture
def policy_mirrors(api):
    """Have the policy's rule that passes everything copy to an address; undone at the end."""
    uuid = api.name_to_id("network-policy", [*RED, "front-back"])
    before = api.read("network-policy", uuid)["network_policy_entries"]

    def start(store):
        to = {"analyzer_ip_address": store, "routing_instance": STORE_VRF}
        rules = [dict(rule) for rule in before["policy_rule"]]
        rules[-1]["action_list"] = {**rules[-1]["action_list"], "mirror_to": to, "log": True}
        api.update("network-policy", uuid, {"network_policy_entries": {"policy_rule": rules}})

    yield start
    api.update("network-policy", uuid, {"network_policy_entries": before})


@contextlib.contextmanager
def flow_log(lab, host):
    transport = httpx.HTTPTransport(uds=str(lab.paths.introspect_socket(host)), verify=False)
    with (
        httpx.Client(transport=transport, timeout=10, trust_env=False) as client,
        client.stream("GET", "http://agent/flow-log?logged=true") as reply,
    ):
        lines = (msgspec.json.decode(line) for line in reply.iter_lines() if line)
        assert next(lines) == {"kind": "start"}
        yield lines


def test_rule_copies_its_flows_and_logs_them(lab, members, policy_mirrors, copies, eventually):
    got = copies(lab.plan.namespace_of("red-store"))
    policy_mirrors(str(address(members, "red-store")))
    eventually(lambda: mirrors(lab, "compute1") and mirrors(lab, "compute2"), "hosts mirror")

    with flow_log(lab, "compute1") as lines:
        assert pings(lab, members, "red-web1", "red-app")
        record = next(lines)

    one, other = address(members, "red-web1"), address(members, "red-app")
    # Each host copies what its own ports' policies decide.
    eventually(lambda: len(got.echoes()) >= 12, "all copies are there")
    assert set(got.echoes()) == {(one, 8), (other, 0)}
    hosts = {lab.plan.node(name).address for name in ("compute1", "compute2")}
    assert {source for source, _ in got.seen} == hosts
    assert (record["kind"], record["source"], record["destination"]) == (
        "begin", str(one), str(other),
    )  # fmt: skip
    assert (record["logged"], record["allowed"]) == (True, True)
    assert record["peer_networks"] == ["default-domain:red:back"]
    assert record["vmi_uuid"] == lab.attached("red-web1").uuid


@pytest.fixture
def audited(api, lab):
    """Log every second session of a policy's rules at the network front; yields their uuids."""
    policy = api.read("network-policy", api.name_to_id("network-policy", [*RED, "front-back"]))
    network = api.name_to_id("virtual-network", [*RED, "front"])
    fields = {"fq_name": [*RED, "audit"], "parent_type": "project"}
    rated = {**fields, "security_logging_object_rate": 2}
    uuid = api.create("security-logging-object", rated)
    slo, kind = "security-logging-object", "virtual-network"
    api.ref_update(slo, uuid, ref_type="network-policy", ref_uuid=policy["uuid"])
    api.ref_update(kind, network, ref_type=slo, ref_uuid=uuid)
    yield [rule["rule_uuid"] for rule in policy["network_policy_entries"]["policy_rule"]]
    api.ref_update(kind, network, ref_type=slo, ref_uuid=uuid, operation="DELETE")
    api.delete(slo, uuid)


def test_logging_object_of_a_network_logs_every_second_session(lab, members, audited, eventually):
    def told():
        return {
            row["rule"] for row in read_table(lab.paths.introspect_socket("compute1"), "logging")
        }

    eventually(lambda: told() & {*audited}, "compute1 knows what to log")

    with flow_log(lab, "compute1") as lines:
        for _ in range(4):
            assert pings(lab, members, "red-web1", "red-app")
        begun = [line for line in (next(lines), next(lines)) if line["kind"] == "begin"]

    assert [line["logged_by"] for line in begun] == [["default-domain:red:audit"]] * 2
    assert all({*line["rule_uuids"]} & {*audited} for line in begun)
    rows = read_table(lab.paths.introspect_socket("compute1"), "logging")
    assert {(row["sessions"], row["logged"]) for row in rows if row["sessions"]} == {(4, 2)}


@contextlib.contextmanager
def captured(lab, path, place, *options):
    """Capture while the block runs; the file is whole after it."""
    command = [sys.executable, "-m", "skytrail.cli", "capture", place, "-w", str(path)]
    with subprocess.Popen(
        [*command, "--lab", lab.name, *options], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("capturing")
        yield
        assert process.wait(timeout=20) == 0


def read(path):
    done = subprocess.run(
        ["tcpdump", "-nr", path], check=True, capture_output=True, text=True, timeout=20
    )
    return done.stdout.splitlines()


def test_capture_shows_a_port_and_why_packets_of_it_are_dropped(lab, members, tmp_path):
    one, other = address(members, "red-web1"), address(members, "red-web2")
    path, drops = tmp_path / "web1.pcapng", tmp_path / "drops.pcapng"

    with captured(lab, path, "red-web1", "--proto", "icmp", "--dst", str(other), "--count", "6"):
        assert pings(lab, members, "red-web1", "red-web2")
    with captured(lab, drops, "compute1", "--reason", "NO_ROUTE", "--count", "1"):
        assert not pings(lab, members, "red-web1", "red-store", count=1)

    lines = read(path)
    assert sum(f"{one} > {other}: ICMP echo request" in line for line in lines) == 3
    assert sum(f"{other} > {one}: ICMP echo reply" in line for line in lines) == 3
    assert b"default-domain:red:web1" in path.read_bytes()
    assert b"delivered to the workload in VRF default-domain:red:front:front" in path.read_bytes()
    assert f"{one} > {address(members, 'red-store')}: ICMP echo request" in read(drops)[0]
    assert b"dropped: NO_ROUTE" in drops.read_bytes()


def test_capture_refuses_what_it_does_not_understand(lab):
    command = [sys.executable, "-m", "skytrail.cli", "capture", "red-web1", "-w", "-"]
    done = subprocess.run(
        [*command, "--lab", lab.name, "--proto", "tpc"], check=False, capture_output=True, text=True
    )

    assert done.returncode != 0
    assert "proto=tpc" in done.stderr


def probe(lab, *arguments):
    command = [sys.executable, "-m", "skytrail.cli", "trace", *arguments, "--probe", "--json"]
    done = subprocess.run(
        [*command, "--lab", lab.name], check=False, capture_output=True, text=True, timeout=30
    )
    (record,) = msgspec.json.decode(done.stdout)
    return done.returncode, record["probe"]


def test_probe_is_seen_at_every_hop_and_ends_as_the_tables_say(lab):
    status, found = probe(lab, "red-web1", "red-app", "tcp", "80")

    assert (status, found["agrees"], found["seen"]) == (0, True, "delivered")
    assert [hop["host"] for hop in found["hops"]] == ["compute1", "compute2"]
    assert [hop["what"].split()[0] for hop in found["hops"]] == ["sent", "delivered"]


def test_probe_tells_where_it_was_dropped_and_why(lab):
    status, found = probe(lab, "red-web1", "red-app", "tcp", "22")

    last = found["hops"][-1]
    assert (status, found["agrees"], found["seen"]) == (1, True, "POLICY")
    assert (last["host"], last["what"].split(" in ")[0]) == ("compute2", "dropped: POLICY")
