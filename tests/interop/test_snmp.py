"""Switches polled by SNMP: net-snmp and lldpd in namespaces, seen as UVEs, cables and counters at an analytics node."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import httpx
import pytest
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.lab.io.machine import free_port
from skytrail.testing.controller import Controller, wait_until

COMMUNITY, KEY, OTHER_KEY = "sesame", "a long secret", "another secret"
LLDPD = "configure lldp tx-interval 1\nconfigure system interface pattern sw*,eth0\n"
SNMPD = """
rocommunity {community}
createUser poller SHA-256 "{key}" AES "{other}"
rouser poller priv
master agentx
agentXSocket {folder}/agentx
agentaddress udp:161
sysName {name}
"""
V3 = {
    "version": 3, "v3_security_name": "poller", "v3_security_level": "authpriv",
    "v3_authentication_protocol": "SHA256", "v3_authentication_password": KEY,
    "v3_privacy_protocol": "AES", "v3_privacy_password": OTHER_KEY,
}  # fmt: skip


def run(command):
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


class Fabric:
    """host1 -- leaf1 -- leaf2 -- host2, and a network from which both leaves are managed; host2 speaks no LLDP."""

    def __init__(self, folder, stack):
        self._folder, self._stack = folder, stack
        self._prefix = f"sts{os.getpid() % 100000}"
        for name in ("m", "leaf1", "leaf2", "host1", "host2"):
            space = self.space(name)
            run(f"ip netns add {space}")
            stack.callback(run, f"ip netns del {space}")
            run(f"ip -n {space} link set lo up")
        manager = self.space("m")
        run(f"ip -n {manager} link add br0 type bridge")
        run(f"ip -n {manager} addr add 10.9.0.254/24 dev br0")
        run(f"ip -n {manager} link set br0 up")
        for number, name in ((1, "leaf1"), (2, "leaf2")):
            self._cable("m", f"to{number}", name, "mgmt0")
            run(f"ip -n {manager} link set to{number} master br0")
            run(f"ip -n {self.space(name)} addr add 10.9.0.{number}/24 dev mgmt0")
        self._cable("leaf1", "sw1", "leaf2", "sw1")
        self._cable("leaf1", "sw2", "host1", "eth0")
        self._cable("leaf2", "sw2", "host2", "eth0")
        for name, end, number in (("leaf2", "sw2", 1), ("host2", "eth0", 7)):
            run(f"ip -n {self.space(name)} addr add 192.0.2.{number}/24 dev {end}")
        self._daemons = {name: self._snmpd(name) for name in ("leaf1", "leaf2")}
        for name in ("leaf1", "leaf2", "host1"):
            self._lldpd(name)

    def space(self, name):
        return f"{self._prefix}{name}"

    def _cable(self, one, one_end, other, other_end):
        first, second = self.space(one), self.space(other)
        run(f"ip -n {first} link add {one_end} type veth peer name {other_end} netns {second}")
        run(f"ip -n {first} link set {one_end} up")
        run(f"ip -n {second} link set {other_end} up")

    def start(self, name, *command, log, is_read=False):
        """``is_read``: somebody reads its output; of others it goes to the log, as a full pipe would hold them."""
        # A process group of its own: some daemons have children. By ip, as they look into /sys.
        with log.open("w") as errors:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.space(name), *command],
                stdout=subprocess.PIPE if is_read else errors, stderr=errors, text=True,
                start_new_session=True,
            )  # fmt: skip
        self._stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process):
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _snmpd(self, name):
        folder = self._folder / name
        folder.mkdir()
        words = {"community": COMMUNITY, "key": KEY, "other": OTHER_KEY}
        (folder / "snmpd.conf").write_text(SNMPD.format(folder=folder, name=name, **words))
        process = self.start(
            name, "/usr/sbin/snmpd", "-f", "-Lo", "-C", "-c", str(folder / "snmpd.conf"),
            "-p", str(folder / "pid"), "-I", "-smux", log=folder / "snmpd.log",
        )  # fmt: skip
        # The neighbours' daemon looks for it once, and again after a quarter of a minute.
        wait_until((folder / "agentx").exists, f"snmpd of {name} serves")
        return process

    def _lldpd(self, name):
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        (folder / "lldpd.conf").write_text(LLDPD)
        # Its own files where its unprivileged half may read them, and no other of its kind does.
        arguments = f"-d -x -X {folder}/agentx -u /run/lldpd.sock -O /run/lldpd.conf"
        prepared = f"mount -t tmpfs none /run && mkdir /run/lldpd && cp {folder}/lldpd.conf /run"
        shell = f"hostname {name} && {prepared} && exec lldpd {arguments}"
        self.start(name, "unshare", "--uts", "--mount", "sh", "-c", shell, log=folder / "lldpd.log")

    def stop_snmpd(self, name):
        self._end(self._daemons[name])


class World:
    """The fabric, a controller with an analytics node, and the poller in the management network."""

    def __init__(self, folder, stack):
        self.fabric = Fabric(folder, stack)
        self.controller = Controller(folder)
        stack.callback(self.controller.stop)
        self.controller.start_api()
        history, telemetry = folder / "history.sock", folder / "telemetry.sock"
        self.rest = free_port()
        self.controller.start("history", "--data", str(folder / "rows"), "--socket", str(history))
        self.controller.start(
            "analytics", "--port", str(self.rest), "--history", str(history),
            "--telemetry-socket", str(telemetry), "--api-socket", str(self.controller.api_socket),
        )  # fmt: skip
        self.log = folder / "snmp.log"
        self.poller = self.fabric.start(
            "m", sys.executable, "-m", "skytrail.daemons.snmp", "--every", "1", "--scan-every", "2",
            "--api-socket", str(self.controller.api_socket), "--socket", str(folder / "snmp.sock"),
            "--collector", f"unix:{telemetry}", log=self.log, is_read=True,
        )  # fmt: skip
        assert " ready" in self.poller.stdout.readline()

    def put(self, name, address, credentials):
        entry = {
            "fq_name": ["default-global-system-config", name], "parent_type": "global-system-config",
            "physical_router_management_ip": address, "physical_router_vendor_name": "x",
            "physical_router_product_name": "x", "physical_router_snmp": True,
            "physical_router_snmp_credentials": credentials,
        }  # fmt: skip
        with self.controller.client() as client:
            client.create("physical-router", entry)

    def uve(self, name, struct):
        url = f"http://127.0.0.1:{self.rest}/analytics/uves/prouter/{name}?flat"
        return httpx.get(url).json().get(struct, {})

    def links(self, name):
        rows = self.uve(name, "PRouterLinkEntry").get("link_table", [])
        return {
            (row["local_interface_name"], row["remote_system_name"], row["remote_interface_name"])
            for row in rows
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with ExitStack() as stack:
        made = World(tmp_path_factory.mktemp("snmp"), stack)
        # Called otherwise here than it calls itself.
        made.put("rack1-leaf1", "10.9.0.1", {"version": 2, "v2_community": COMMUNITY})
        made.put("leaf2", "10.9.0.2", V3)
        host = {
            "fq_name": ["default-global-system-config", "host2"],
            "parent_type": "global-system-config", "virtual_router_ip_address": "192.0.2.7",
        }  # fmt: skip
        with made.controller.client() as client:
            client.create("virtual-router", host)
        ping = f"nsenter --net=/run/netns/{made.fabric.space('leaf2')} ping -c1 -W2 192.0.2.7"
        run(ping)
        yield made


def test_cables_are_known_from_both_ends_and_from_addresses(world):
    wait_until(
        lambda: world.links("rack1-leaf1") == {("sw1", "leaf2", "sw1"), ("sw2", "host1", "eth0")},
        "leaf1's neighbours are known, by version 2c",
    )
    wait_until(
        lambda: world.links("leaf2") == {("sw1", "rack1-leaf1", "sw1"), ("sw2", "host2", "")},
        "leaf2's are, by version 3, and a host without LLDP by its address",
    )


def test_interfaces_and_their_counters_are_told(world):
    wait_until(lambda: world.uve("leaf2", "PRouterEntry").get("snmp_state") == "up", "it is polled")

    interfaces = {each["ifName"]: each for each in world.uve("leaf2", "PRouterEntry")["ifTable"]}
    assert interfaces["sw1"]["ifOperStatus"] == 1
    assert interfaces["sw1"]["ifMtu"] == 1500

    body = {
        "table": "StatTable.PRouterEntry.ifStats", "start_time": "now-10m", "end_time": "now",
        "select_fields": ["name", "ifStats.ifName", "SUM(ifStats.ifOutOctets)"],
    }  # fmt: skip

    space = world.fabric.space("leaf2")

    def sent():
        run(f"nsenter --net=/run/netns/{space} ping -6 -c1 -W5 -I sw1 ff02::1")
        url = f"http://127.0.0.1:{world.rest}/analytics/query"
        rows = httpx.post(url, json=body, timeout=30).json().get("value", [])
        return {
            row["SUM(ifStats.ifOutOctets)"]
            for row in rows
            if (row["name"], row["ifStats.ifName"]) == ("leaf2", "sw1")
        }

    wait_until(lambda: any(each > 0 for each in sent()), "growth is stored")


def test_wrong_secret_is_said_without_being_told(world):
    world.put("intruder", "10.9.0.1", {**V3, "v3_authentication_password": "not the secret"})

    wait_until(
        lambda: "digest" in world.uve("intruder", "PRouterEntry").get("snmp_state", ""),
        "the device's refusal is seen",
    )
    for secret in ("not the secret", KEY, OTHER_KEY, COMMUNITY):
        assert secret not in world.log.read_text()


def test_credentials_that_cannot_be_used_are_named(world):
    world.put("unfinished", "10.9.0.1", {"version": 2})

    wait_until(
        lambda: "v2_community is missing" in world.log.read_text(), "the missing field is named"
    )


def test_silent_switch_keeps_what_it_said_and_says_so(world):
    wait_until(lambda: world.uve("leaf2", "PRouterEntry").get("snmp_state") == "up", "it is polled")

    world.fabric.stop_snmpd("leaf2")

    wait_until(
        lambda: "No SNMP response" in world.uve("leaf2", "PRouterEntry")["snmp_state"],
        "its silence is told",
    )
    assert world.links("leaf2") == {("sw1", "rack1-leaf1", "sw1"), ("sw2", "host2", "")}


def test_devices_are_shown_on_the_terminal(world):
    shown = CliRunner().invoke(
        main, ["introspect", "devices", "--analytics", f"http://127.0.0.1:{world.rest}"]
    )

    assert shown.exit_code == 0, shown.output
    assert "rack1-leaf1" in shown.output
