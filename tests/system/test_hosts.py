"""docs/hosts.md, step by step: a secure controller and two compute hosts behind a router."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from skytrail.testing import machine
from skytrail.testing.controller import wait_until

CHECKOUT = Path(__file__).parents[2]
MACHINES = {"host1": "192.0.2.21", "host2": "198.51.100.22"}
PORTS = {
    "host1": ("00000000-0000-4000-8000-000000000011", "02:00:00:00:00:01", "10.9.0.11"),
    "host2": ("00000000-0000-4000-8000-000000000012", "02:00:00:00:00:02", "10.9.0.12"),
}

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(machine.why_not() is not None, reason=str(machine.why_not())),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    command = ["make", "-C", str(CHECKOUT), "install", f"DESTDIR={root}"]
    subprocess.run(command, check=True, capture_output=True)
    return root


@pytest.fixture(scope="module")
def site(installed):
    with (
        machine.booted("ctl1", installed) as controller,
        machine.booted("host1", installed) as host1,
        machine.booted("host2", installed) as host2,
    ):
        for each in (controller, host1, host2):
            each.install()
        controller.link(host1, "eth1", "192.0.2.1/24", "192.0.2.21/24")
        controller.link(host2, "eth2", "198.51.100.1/24", "198.51.100.22/24")
        controller.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        host1.run("ip", "route", "add", "default", "via", "192.0.2.1")
        host2.run("ip", "route", "add", "default", "via", "198.51.100.1")
        yield controller, host1, host2


def skytrail(controller, *words, check=True):
    socket = {"SKYTRAIL_API_SOCKET": "/var/lib/skytrail/api.sock"}
    return controller.run("skytrail", *words, env=socket, check=check)


def test_1_the_controller_serves_agents_on_the_underlay(site):
    controller = site[0]
    controller.write("/etc/skytrail/controller.env", "OPTIONS=--secure --control-listen 192.0.2.1")
    controller.run("systemctl", "enable", "--now", "skytrail-controller")
    wait_until(lambda: "skytrail-controller ready" in controller.log(), "the controller")


def test_2_hosts_get_an_object_a_certificate_and_settings(site):
    controller, *hosts = site
    for each, ifname in zip(hosts, ("eth1", "eth2"), strict=True):
        name, address = each.name, MACHINES[each.name]
        skytrail(
            controller, "create", "virtual-router", f"default-global-system-config:{name}",
            "--set", f"virtual_router_ip_address={address}",
        )  # fmt: skip
        skytrail(
            controller, "host-certificate", name, "--data", "/var/lib/skytrail",
            "--out", f"/root/{name}",
        )  # fmt: skip
        for file in ("ca.pem", "certificate.pem", "key.pem"):
            each.write(
                f"/etc/skytrail/tls/{file}",
                controller.run("cat", f"/root/{name}/{file}").stdout.rstrip("\n"),
            )
        each.write(
            "/etc/skytrail/agent.env",
            f"CONTROL=192.0.2.1\nUNDERLAY={ifname}\nADDRESS={address}\n"
            "OPTIONS=--xmpp-tls /etc/skytrail/tls",
        )
        each.run("systemctl", "enable", "--now", "skytrail-agent")
        wait_until(lambda each=each: "skytrail-agent ready" in each.log(), f"agent of {name}")


def test_3_both_ends_say_that_the_session_is_up(site):
    controller, *hosts = site

    def sessions():
        told = controller.run("skytrail", "status", "--data", "/var/lib/skytrail", "--json")
        return {each["with"]: each["up"] for each in json.loads(told.stdout)["sessions"]}

    wait_until(lambda: sessions() == {"host1": True, "host2": True}, "both sessions")
    for each in hosts:
        shown = json.loads(each.run("skytrail", "host", "show", "sessions", "--json").stdout)
        assert [row["state"] for row in shown["sessions"]] == ["established"]


def test_4_ports_are_plugged_and_carry_packets(site):
    controller, *hosts = site
    example = (CHECKOUT / "examples/hosts/ports.yaml").read_text()
    controller.write("/root/ports.yaml", example)
    skytrail(controller, "apply", "-f", "/root/ports.yaml", "--wait")
    for each in hosts:
        port, mac, address = PORTS[each.name]
        for line in (
            "ip netns add vm",
            f"ip link add tap0 type veth peer eth0 netns vm address {mac}",
            f"ip -n vm address add {address}/24 dev eth0",
            "ip -n vm link set eth0 mtu 1400 up",
            "ip link set tap0 up",
            f"skytrail host plug {port} tap0 --machine {port[:-2]}0{port[-1]}",
        ):
            each.run(*line.split())
        shown = each.run("skytrail", "host", "show", "interfaces", "--json").stdout
        assert port in shown
    wait_until(
        lambda: hosts[0].run(
            *["ip", "netns", "exec", "vm", "ping", "-c1", "-W1", "10.9.0.12"], check=False
        ).returncode == 0,
        "a reply from the other host",
    )  # fmt: skip


def test_5_a_trace_walks_one_host_and_says_how_to_go_on_at_the_other(site):
    _, host1, host2 = site

    first = host1.run("skytrail", "host", "trace", "port-1", "10.9.0.12", "tcp", "22").stdout

    found = re.search(r"on the host with 198\.51\.100\.22: (skytrail host trace .*)", first)
    assert found is not None, first
    second = host2.run(*found[1].split()).stdout
    assert "delivered to" in second


def test_5b_hosts_tell_analytics_unasked_and_answer_what_it_passes_on(site):
    controller = site[0]
    log_in = controller.run("cat", "/var/lib/skytrail/security/admin-password").stdout.strip()
    place = ("--ca", "/var/lib/skytrail/security/ca.pem", "--api", "https://127.0.0.1:8082")
    token = controller.run(
        "curl", "-s", "--cacert", place[1], f"{place[3]}/api/v1/login",
        "-H", "content-type: application/json",
        "-d", json.dumps({"user": "admin", "password": log_in}),
    ).stdout  # fmt: skip
    token = json.loads(token)["token"]
    by_token = (*place, "--token", token)

    def interfaces(*more):
        done = controller.run(
            "skytrail", *by_token, "introspect", "interfaces",
            "--analytics", "https://127.0.0.1:8081", "--json", *more, check=False,
        )  # fmt: skip
        return json.loads(done.stdout)["rows"] if done.returncode == 0 else done.stderr

    wait_until(
        lambda: {row["node"] for row in interfaces() if isinstance(row, dict)} == set(MACHINES),
        "both hosts answer",
    )
    assert [row["vmi_uuid"] for row in interfaces("--node", "host2")] == [PORTS["host2"][0]]
    ends = "&".join(
        f"{end}={PORTS[name][0]}" for end, name in (("source", "host1"), ("destination", "host2"))
    )
    traced = controller.run(
        "curl", "-s", "--cacert", place[1], "-H", f"X-Auth-Token: {token}",
        f"{place[3]}/api/v1/trace?{ends}&protocol=tcp&port=22",
    ).stdout  # fmt: skip
    assert [leg["host"] for leg in json.loads(traced)["legs"]] == ["host1", "host2"], traced
    assert json.loads(traced)["verdict"] == "delivered"
    refused = controller.run(
        "curl", "-s", "--cacert", place[1], "-o", "/dev/null", "-w", "%{http_code}",
        "https://127.0.0.1:8081/api/v1/introspect/interfaces",
    ).stdout  # fmt: skip
    assert refused == "401"


def test_6_status_tells_that_the_hosts_have_the_network(site):
    controller = site[0]
    wait_until(
        lambda: "2 of 2 hosts" in skytrail(
            controller, "status", "vn", "first", check=False).stdout,
        "the status of the network",
    )  # fmt: skip


def test_7_an_unplugged_port_is_gone_and_its_mistakes_are_named(site):
    host1 = site[1]
    port = PORTS["host1"][0]

    host1.run("skytrail", "host", "unplug", port)

    again = host1.run("skytrail", "host", "unplug", port, check=False)
    assert again.returncode == 1
    assert "is not plugged here" in again.stderr
    lost = host1.run("skytrail", "host", "trace", "port-9", "10.9.0.12", check=False)
    assert "neither a port of this host" in lost.stderr
    view = host1.run("skytrail", "host", "show", "colours", check=False)
    assert "known tables: " in view.stderr
