"""A workload that runs FRR peers with its gateway: what it announces is reached by packets."""

import json
import subprocess
import time
from ipaddress import ip_address

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

    def close(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def service(api, lab):
    port = lab.attached("red-web2").uuid
    content = {
        "fq_name": [*PROJECT, "web2-bgp"],
        "parent_type": "project",
        "autonomous_system": ASN,
        "bgpaas_shared": False,
        "virtual_machine_interface_refs": [
            {"to": api.read("virtual-machine-interface", port)["fq_name"], "uuid": port}
        ],
    }
    uuid = api.create("bgp-as-a-service", content)
    yield uuid
    if any(each["uuid"] == uuid for each in api.list("bgp-as-a-service")):
        api.delete("bgp-as-a-service", uuid)


@pytest.fixture
def speaker(lab, members, tmp_path):
    """FRR in red-web2, which also has an address of what it announces."""
    namespace = lab.plan.namespace_of("red-web2")
    address = str(members["red-web2"].address(version=4))
    network = address.rpartition(".")[0]
    netns.configure(namespace, [f"address add {BEHIND}/32 dev lo", "link set lo up"])
    config = CONFIG.format(address=address, gateway=f"{network}.1", service=f"{network}.2")
    made = Frr(tmp_path, namespace, config)
    made.gateway, made.service = f"{network}.1", f"{network}.2"
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
        assert traffic.wait_replies(20, timeout_s=10), "another host reaches the prefix"
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
