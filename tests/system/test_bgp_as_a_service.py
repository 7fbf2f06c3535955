"""A workload that runs FRR peers with its gateway: what it announces is reached by packets."""

import json
import os
import signal
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from skytrail.lab.io import netns
from skytrail.lab.io.traffic import PingTraffic
from skytrail.runtime.introspection import read_table

PROJECT = ["default-domain", "red"]
BEHIND = "172.30.1.1"
PREFIX = "172.30.1.0/24"
ASN = 65001
CONFIG = """
router bgp 65001
 bgp router-id {address}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor {gateway} remote-as 64512
 neighbor {gateway} timers 3 9
 neighbor {gateway} timers connect 1
 neighbor {service} remote-as 64512
 neighbor {service} timers 3 9
 neighbor {service} timers connect 1
 address-family ipv4 unicast
  network 172.30.1.0/24
 exit-address-family
"""


class Frr:
    """bgpd in a workload's namespace, without zebra."""

    def __init__(self, folder, namespace, config):
        self.folder, self.namespace = folder, namespace
        (folder / "frr.conf").write_text(config)
        command = [
            "/usr/lib/frr/bgpd", "--no_zebra", "--skip_runas", "--vty_port", "0",
            "--vty_socket", str(folder), "--pid_file", str(folder / "bgpd.pid"),
            "--config_file", str(folder / "frr.conf"), "--log", "stdout",
        ]  # fmt: skip
        with (folder / "frr.log").open("ab") as log:
            self.process = subprocess.Popen(
                netns.inside(namespace, command), stdout=log, stderr=log
            )

    def show(self, command):
        done = subprocess.run(
            ["vtysh", "--vty_socket", str(self.folder), "-d", "bgpd", "-c", command],
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def states(self):
        peers = self.show("show bgp ipv4 unicast summary json").get("peers", {})
        return {address: peer["state"] for address, peer in peers.items()}

    def knows(self, prefix):
        return self.show(f"show bgp ipv4 unicast {prefix} json").get("paths", [])

    def router_ids(self):
        """Who answers at each address."""
        shown = self.show("show bgp neighbors json")
        return {address: peer.get("remoteRouterId") for address, peer in shown.items()}

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def content_of(api, lab, *workloads, **changes):
    ports = [lab.attached(each).uuid for each in workloads]
    return {
        "fq_name": [*PROJECT, "web2-bgp"],
        "parent_type": "project",
        "autonomous_system": ASN,
        "bgpaas_shared": False,
        "virtual_machine_interface_refs": [
            {"to": api.read("virtual-machine-interface", port)["fq_name"], "uuid": port}
            for port in ports
        ],
        **changes,
    }


@pytest.fixture
def service(api, lab):
    uuid = api.create("bgp-as-a-service", content_of(api, lab, "red-web2"))
    yield uuid
    if any(each["uuid"] == uuid for each in api.list("bgp-as-a-service")):
        api.delete("bgp-as-a-service", uuid)


def start_frr(lab, members, folder, workload, prefix=PREFIX, *, password=""):
    """FRR in a workload that announces a prefix."""
    address = str(members[workload].address(version=4))
    network = address.rpartition(".")[0]
    config = CONFIG.format(address=address, gateway=f"{network}.1", service=f"{network}.2")
    for at in (f"{network}.1", f"{network}.2") if password else ():
        asn = f" neighbor {at} remote-as 64512\n"
        config = config.replace(asn, f"{asn} neighbor {at} password {password}\n")
    made = Frr(folder, lab.plan.namespace_of(workload), config.replace(PREFIX, prefix))
    made.gateway, made.service = f"{network}.1", f"{network}.2"
    return made


@pytest.fixture
def speaker(lab, members, tmp_path):
    """FRR in red-web2, which also has an address of what it announces."""
    namespace = lab.plan.namespace_of("red-web2")
    netns.configure(namespace, [f"address add {BEHIND}/32 dev lo", "link set lo up"])
    made = start_frr(lab, members, tmp_path, "red-web2")
    yield made
    made.close()
    netns.configure(namespace, [f"address del {BEHIND}/32 dev lo"])


def test_what_a_workload_announces_is_reached_while_the_service_is_there(
    api, lab, members, service, speaker, eventually
):
    eventually(
        lambda: set(speaker.states().values()) == {"Established"},
        "sessions with both control nodes",
        timeout_s=30,
    )
    rows = read_table(lab.paths.introspect_socket("control1"), "workloads")
    assert [(row["asn"], row["state"]) for row in rows] == [(ASN, "established")]

    traffic = PingTraffic(lab.plan.namespace_of("red-web1"), ip_address(BEHIND))
    with traffic:
        assert traffic.wait_replies(20, timeout_s=30), "another host reaches the prefix"
        # What the workload is told: its neighbours, by way of the gateway.
        neighbour = f"{members['red-web1'].address(version=4)}/32"
        (path, *_) = eventually(lambda: speaker.knows(neighbour), "a neighbour's route in FRR")
        assert path["aspath"]["string"] == "64512"
        assert {hop["ip"] for hop in path["nexthops"]} <= {speaker.gateway, speaker.service}
        assert not [p for p in speaker.knows(PREFIX) if p.get("peer", {}).get("peerId") == "64512"]

        api.delete("bgp-as-a-service", service)
        eventually(
            lambda: "Established" not in speaker.states().values(), "the sessions end", timeout_s=30
        )
        eventually(lambda: not traffic.wait_replies(5, timeout_s=0.3), "and the routes with them")
    assert not read_table(lab.paths.introspect_socket("control1"), "workloads")


def test_routes_go_with_the_speaker_and_come_back_with_it(
    lab, service, speaker, eventually, tmp_path
):
    traffic = PingTraffic(lab.plan.namespace_of("red-web1"), ip_address(BEHIND))
    with traffic:
        assert traffic.wait_replies(5, timeout_s=30)
        speaker.process.kill()
        speaker.process.wait()
        eventually(lambda: not traffic.wait_replies(5, timeout_s=0.3), "the routes are gone")
        again = Frr(tmp_path, speaker.namespace, (tmp_path / "frr.conf").read_text())
        speaker.process = again.process
        assert traffic.wait_replies(5, timeout_s=30), "and back"
        time.sleep(0)


def control_routers(api):
    """The bgp-router objects of the control nodes, by their addresses."""
    found = {}
    for router in api.list("bgp-router", detail=True):
        parameters = router["bgp_router_parameters"]
        if parameters.get("router_type") == "control-node":
            found[parameters["address"]] = router
    return found


@pytest.fixture
def zones(api):
    """Two zones with one control node each, the primary one holding the node with the higher address."""
    made = {}
    routers = control_routers(api)
    for name, address in zip(("secondary", "primary"), sorted(routers), strict=True):
        fq_name = ["default-global-system-config", name]
        content = {"fq_name": fq_name, "parent_type": "global-system-config"}
        uuid = api.create("control-node-zone", content)
        reference = {"to": fq_name, "uuid": uuid}
        api.update("bgp-router", routers[address]["uuid"], {"control_node_zone_refs": [reference]})
        made[name] = (reference, address)
    yield made
    for router in routers.values():
        api.update("bgp-router", router["uuid"], {"control_node_zone_refs": []})
    for reference, _ in made.values():
        api.delete("control-node-zone", reference["uuid"])


def test_sessions_lead_to_the_control_nodes_of_the_zones(
    api, lab, members, speaker, zones, eventually
):
    references = [
        {**reference, "attr": {"bgpaas_control_node_zone_type": kind}}
        for kind, (reference, _) in zones.items()
    ]
    content = content_of(api, lab, "red-web2", control_node_zone_refs=references)
    uuid = api.create("bgp-as-a-service", content)
    try:
        expected = {
            speaker.gateway: zones["primary"][1],
            speaker.service: zones["secondary"][1],
        }
        eventually(
            lambda: speaker.router_ids() == expected, "each node at its address", timeout_s=30
        )
        # The other way round, while the sessions stand.
        for reference, other in zip(references, ("primary", "secondary"), strict=True):
            reference["attr"] = {"bgpaas_control_node_zone_type": other}
        api.update("bgp-as-a-service", uuid, {"control_node_zone_refs": references})
        swapped = {
            speaker.gateway: zones["secondary"][1],
            speaker.service: zones["primary"][1],
        }
        eventually(
            lambda: speaker.router_ids() == swapped, "the nodes changed places", timeout_s=60
        )
    finally:
        api.delete("bgp-as-a-service", uuid)


def test_a_service_that_suppresses_routes_announces_and_is_told_nothing(
    api, lab, members, speaker, eventually
):
    content = content_of(api, lab, "red-web2", bgpaas_suppress_route_advertisement=True)
    uuid = api.create("bgp-as-a-service", content)
    try:
        eventually(
            lambda: set(speaker.states().values()) == {"Established"}, "both sessions", timeout_s=30
        )
        with PingTraffic(lab.plan.namespace_of("red-web1"), ip_address(BEHIND)) as traffic:
            assert traffic.wait_replies(10, timeout_s=30), "what it announces is reached"
        shown = speaker.show("show bgp ipv4 unicast json").get("routes", {})
        assert set(shown) == {PREFIX}
    finally:
        api.delete("bgp-as-a-service", uuid)


@pytest.mark.parametrize("as_override", [False, True])
def test_two_workloads_of_one_as_hear_each_other_only_with_as_override(
    api, lab, members, speaker, eventually, tmp_path, as_override
):
    (tmp_path / "other").mkdir()
    other = start_frr(lab, members, tmp_path / "other", "red-web1", "172.30.2.0/24")
    session = {"as_override": as_override}
    content = content_of(api, lab, "red-web2", "red-web1", bgpaas_session_attributes=session)
    uuid = api.create("bgp-as-a-service", content)
    try:
        for each in (speaker, other):
            eventually(
                lambda each=each: set(each.states().values()) == {"Established"},
                "both sessions of each",
                timeout_s=30,
            )
        if as_override:
            (path, *_) = eventually(lambda: other.knows(PREFIX), "the other one's prefix")
            assert path["aspath"]["string"] == "64512 64512"
        else:
            eventually(
                lambda: other.show("show bgp ipv4 unicast json").get("routes"), "other routes"
            )
            assert not other.knows(PREFIX)
    finally:
        api.delete("bgp-as-a-service", uuid)
        other.close()


def test_a_shared_service_has_one_session_that_goes_to_whoever_has_the_address(
    api, lab, members, speaker, eventually
):
    """One client stands for all ports; who speaks is where its address is."""
    address = str(members["red-web2"].address(version=4))
    content = content_of(
        api, lab, "red-web2", "red-web1", bgpaas_shared=True, bgpaas_ip_address=address
    )
    uuid = api.create("bgp-as-a-service", content)
    try:
        eventually(
            lambda: set(speaker.states().values()) == {"Established"}, "both sessions", timeout_s=30
        )
        (row,) = read_table(lab.paths.introspect_socket("control1"), "workloads")
        assert (row["address"], row["state"]) == (address, "established")
        with PingTraffic(lab.plan.namespace_of("red-web1"), ip_address(BEHIND)) as traffic:
            assert traffic.wait_replies(10, timeout_s=30), "what it announces is reached"
    finally:
        api.delete("bgp-as-a-service", uuid)


KEY = "correct-horse"


@pytest.fixture
def signing_speaker(lab, members, tmp_path):
    namespace = lab.plan.namespace_of("red-web2")
    netns.configure(namespace, [f"address add {BEHIND}/32 dev lo", "link set lo up"])
    made = start_frr(lab, members, tmp_path, "red-web2", password=KEY)
    yield made
    made.close()
    netns.configure(namespace, [f"address del {BEHIND}/32 dev lo"])


def signed(key):
    return {"auth_data": {"key_type": "md5", "key_items": [{"key_id": 0, "key": key}]}}


def relay_of(lab, host):
    """The process id of the relay on a host."""
    for pid in netns.processes(lab.plan.namespace_of(host)):
        if b"skytrail.daemons.bgp_relay" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def test_a_signed_session_needs_the_key_and_outlives_the_agent(
    api, lab, members, signing_speaker, eventually
):
    speaker, host = signing_speaker, lab.topology.endpoint("red-web2").host
    wrong = content_of(api, lab, "red-web2", bgpaas_session_attributes=signed("another"))
    uuid = api.create("bgp-as-a-service", wrong)
    try:
        shown = eventually(
            lambda: read_table(lab.paths.introspect_socket(host), "bgp_relays"), "the relay runs"
        )
        assert "another" not in repr(shown)
        eventually(lambda: relay_of(lab, host), "the relay's process")
        assert "Established" not in speaker.states().values()

        api.update("bgp-as-a-service", uuid, {"bgpaas_session_attributes": signed(KEY)})
        eventually(
            lambda: set(speaker.states().values()) == {"Established"}, "both sessions", timeout_s=30
        )
        with PingTraffic(lab.plan.namespace_of("red-web1"), ip_address(BEHIND)) as traffic:
            assert traffic.wait_replies(10, timeout_s=30), "what it announces is reached"

            # An agent's end is nothing to the session; the relay's costs it, until it is back.
            before = speaker.show("show bgp neighbors json")[speaker.gateway]
            lab.kill(host)
            lab.restart(host)
            assert traffic.wait_replies(10, timeout_s=30)
            after = speaker.show("show bgp neighbors json")[speaker.gateway]
            assert after["connectionsEstablished"] == before["connectionsEstablished"]

            os.kill(relay_of(lab, host), signal.SIGKILL)
            eventually(lambda: not traffic.wait_replies(5, timeout_s=0.3), "routes go with it")
            assert traffic.wait_replies(10, timeout_s=30), "and come back"
        config = read_table(lab.paths.introspect_socket(host), "config")
        assert KEY not in repr(config)
    finally:
        api.delete("bgp-as-a-service", uuid)
    eventually(lambda: relay_of(lab, host) is None, "the relay ends with its last session")


CONFIG6 = """
router bgp 65001
 bgp router-id {address}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
 neighbor {gateway} remote-as 64512
 neighbor {gateway} timers 3 9
 neighbor {gateway} timers connect 1
 address-family ipv6 unicast
  neighbor {gateway} activate
  network fd30::/64
 exit-address-family
"""


def test_a_workload_peers_over_ipv6(api, lab, members, eventually, tmp_path):
    member, namespace = members["red-web2"], lab.plan.namespace_of("red-web2")
    own = member.address(version=6)
    gateway = f"{str(own).rpartition(':')[0]}:1"
    config = CONFIG6.format(address=member.address(version=4), gateway=gateway)
    behind = "fd30::1"
    netns.configure(namespace, [f"address add {behind}/128 dev lo", "link set lo up"])
    speaker = Frr(tmp_path, namespace, config)
    content = content_of(api, lab, "red-web2", bgpaas_ip_address=str(own))
    uuid = api.create("bgp-as-a-service", content)
    try:
        summary = "show bgp ipv6 unicast summary json"
        eventually(
            lambda: speaker.show(summary).get("peers", {}).get(gateway, {}).get("pfxRcd"),
            "a session, and routes by it",
            timeout_s=30,
        )
        rows = read_table(lab.paths.introspect_socket("control1"), "workloads")
        assert [(row["address"], row["state"]) for row in rows] == [(str(own), "established")]
        with PingTraffic(lab.plan.namespace_of("red-web1"), ip_address(behind)) as traffic:
            assert traffic.wait_replies(10, timeout_s=30), "what it announces is reached"
    finally:
        api.delete("bgp-as-a-service", uuid)
        speaker.close()
        netns.configure(namespace, [f"address del {behind}/128 dev lo"])
