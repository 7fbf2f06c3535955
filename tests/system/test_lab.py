"""The lab itself: commands, traces, and a clean end after any crash."""

import json
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skytrail.lab import labs
from skytrail.lab.io import netns, processes
from skytrail.lab.service import Lab
from skytrail.lab.state import LabError

SKYTRAIL = [sys.executable, "-m", "skytrail.cli"]


def skytrail(*arguments, status=0):
    finished = subprocess.run(
        [*SKYTRAIL, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert finished.returncode == status, finished.stdout + finished.stderr
    return finished


@pytest.fixture
def command(lab):
    """Run ``skytrail ...`` with the session's lab chosen; return its JSON."""

    def run(*arguments, status=0):
        place = len(arguments) if "--" not in arguments else arguments.index("--")
        options = ["--lab", lab.name, "--json"]
        chosen = [*arguments[:place], *options, *arguments[place:]]
        return json.loads(skytrail(*chosen, status=status).stdout)

    return run


def test_show_lists_every_node_and_endpoint_with_its_address(lab, command):
    shown = command("lab", "show")

    assert {row["name"] for row in shown["workloads and guests"]} == {
        endpoint.name for endpoint in lab.topology.endpoints
    }
    assert all(row["addresses"] for row in shown["workloads and guests"])
    assert {row["state"] for row in shown[f"lab {lab.name}"]} == {"healthy"}


@pytest.mark.parametrize("view", ["interfaces", "vrfs", "routes", "nexthops", "labels", "rules"])
def test_show_view_has_rows_of_every_host(command, view):
    shown = command("lab", "show", view)

    assert set(shown) == {f"compute1: {view}", f"compute2: {view}"}
    assert all(shown.values())


def test_show_of_a_wrong_view_names_the_right_ones(lab):
    finished = skytrail("lab", "show", "nonsense", "--lab", lab.name, status=1)

    assert "known tables" in finished.stderr
    assert "routes" in finished.stderr


def test_status_names_daemons_revisions_and_sessions(api, command, eventually):
    name = ["default-domain", "default-project", "revision-probe"]
    uuid = api.create("virtual-network", {"fq_name": name, "parent_type": "project"})

    def one_revision():
        rows = command("status")["daemons"]
        have_none = {"agent", "analytics"}
        return len({row["revision"] for row in rows if row["kind"] not in have_none}) == 1

    eventually(one_revision, "API, compiler and control nodes reach one revision")
    api.delete("virtual-network", uuid)
    shown = command("status")

    assert {row["name"] for row in shown["daemons"]} == {
        "analytics", "api", "compiler", "control1", "control2", "compute1", "compute2",
    }  # fmt: skip
    assert {row["of"] for row in shown["sessions"]} >= {"control1", "control2"}


def test_trace_walks_both_hosts_and_names_the_label(lab, command):
    traced = command("trace", "red-web1", "red-web2")[0]

    assert traced["delivered"]
    assert [leg["host"] for leg in traced["legs"]] == ["compute1", "compute2"]
    stages = [step["stage"] for leg in traced["legs"] for step in leg["explanation"]["steps"]]
    wanted = ["interface", "route", "next hop", "egress policy", "tunnel", "mpls", "ingress policy"]
    order = list(dict.fromkeys(stage for stage in stages if stage in wanted))
    assert order == wanted
    assert traced["legs"][0]["explanation"]["label"] > 15


@pytest.mark.parametrize(
    ("arguments", "reason", "rule"),
    [
        (("red-web1", "red-app", "tcp", "22"), "POLICY", "web-only"),
        (("red-web1", "red-app", "tcp", "23"), "POLICY", "front"),
        (("red-web1", "red-store"), "NO_ROUTE", ""),
    ],
)
def test_trace_names_what_decides_and_agrees_with_the_packets(command, arguments, reason, rule):
    traced = command("trace", *arguments, status=1)[0]

    assert not traced["delivered"]
    assert traced["legs"][-1]["explanation"]["drop_reason"] == reason
    assert rule in traced["summary"]


def test_trace_shows_the_half_of_a_two_way_rule_that_decided(command):
    traced = command("trace", "red-web1", "red-app", "tcp", "23", status=1)[0]

    rule = traced["legs"][-1]["explanation"]["deciding_rule"]
    assert rule["text"].startswith("deny protocol 6")
    assert rule["text"].endswith("ports 0-65535->23-23")


def test_trace_takes_port_uuids_names_and_addresses_with_network(lab, command, members):
    uuid = lab.attached("red-web1").uuid
    address = str(members["red-web2"].address(version=4))

    assert command("trace", uuid, lab.attached("red-web2").uuid)[0]["delivered"]
    assert command("trace", "default-domain:red:web1", "default-domain:red:web2")[0]["delivered"]
    network = ("--network", "default-domain:red:front")
    assert command("trace", "red-web1", address, *network)[0]["delivered"]


def test_trace_of_an_address_of_two_tenants_is_of_the_senders_network(lab, members):
    address = str(members["red-web2"].address(version=4))

    of_red, of_blue = (
        skytrail("trace", sender, address, "--lab", lab.name).stdout
        for sender in ("red-web1", "blue-web1")
    )
    assert f"delivered to {address} at red-web2 by rule" in of_red
    assert f"delivered to {address} at blue-web2 by rule" in of_blue

    finished = skytrail("trace", address, "red-web1", "--lab", lab.name, status=1)
    assert "several ports" in finished.stderr


def test_exec_runs_in_workloads_hosts_routers_and_guests(lab):
    def output(*arguments):
        return skytrail("lab", "exec", "--lab", lab.name, *arguments).stdout.strip()

    assert output("red-web1", "hostname") == "red-web1"
    assert output("red-vm", "hostname") == "red-vm"
    assert "198.18.1.2" in output("compute1", "ip", "-4", "address", "show", "underlay0")
    assert "198.18.2.1" in output("underlay", "ip", "-4", "address")


def test_exec_passes_the_exit_status_on(lab):
    skytrail("lab", "exec", "--lab", lab.name, "red-web1", "sh", "-c", "exit 7", status=7)
    skytrail("lab", "exec", "--lab", lab.name, "red-vm", "false", status=1)


def test_capture_shows_tunnel_packets_and_writes_pcap(lab, ping, tmp_path):
    ping("red-web1", "red-web2")
    common = ("lab", "capture", "compute2", "--lab", lab.name, "--seconds", "3", "--count", "2")

    lines = skytrail(*common, "--json").stdout.splitlines()
    skytrail(*common, "--write", str(tmp_path / "c.pcap"))

    assert len(lines) == 2
    assert "MPLSoUDP" in json.loads(lines[0])[0]
    assert (tmp_path / "c.pcap").read_bytes()[:4] == b"\xd4\xc3\xb2\xa1"


@pytest.fixture
def small_topology(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("name: small\nhosts: [h1]\n")
    return file


@pytest.fixture
def small_name(lab):
    """Name of a lab of the test's own, removed afterwards whatever happened."""
    name = f"stt{secrets.token_hex(3)}s"
    yield name
    if name in labs.names():
        Lab.load(name).down()


def leftovers(name):
    listing = [*netns.names(f"{name}-"), *netns.names(f"{name}.")]
    files = list(labs.directory().glob(name))
    pins = list(Path("/run/skytrail/bpf").glob(f"{name}-*"))
    return [*listing, *files, *pins]


def test_down_after_kill_of_up_at_any_moment_leaves_nothing(small_topology, small_name):
    for moment_s in (0.2, 0.6, 1.2, 2.5):
        starting = subprocess.Popen(
            [*SKYTRAIL, "lab", "up", str(small_topology), "--name", small_name, "--api-port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with starting:
            time.sleep(moment_s)
            starting.send_signal(signal.SIGKILL)
        if small_name not in labs.names():
            assert leftovers(small_name) == []
            continue
        table = Lab.load(small_name).processes
        running = [identity for name in table.names() if (identity := table.identity(name))]

        skytrail("lab", "down", small_name)

        assert leftovers(small_name) == []
        assert not any(processes.is_running(identity) for identity in running)


def test_down_after_kill_of_every_daemon_leaves_nothing(small_topology, small_name):
    lab = Lab.create(small_topology, name=small_name)
    lab.up()
    for process in lab.processes.names():
        lab.processes.signal(process, signal.SIGKILL)

    lab.down()

    assert leftovers(small_name) == []


def test_down_removes_what_a_killed_measurement_left(small_topology, small_name):
    lab = Lab.create(small_topology, name=small_name)
    lab.up()
    netns.create(lab.scratch_namespace("timing-h1"))

    lab.down()

    assert leftovers(small_name) == []


def test_down_ends_what_a_user_left_running_inside(small_topology, small_name):
    lab = Lab.create(small_topology, name=small_name)
    lab.up()
    stray = subprocess.Popen(lab.command_in("h1", ["sleep", "600"]))
    with stray:
        lab.down()
        assert stray.wait(timeout=5) != 0

    assert leftovers(small_name) == []


def test_api_port_taken_between_choice_and_start_is_replaced(small_topology, small_name):
    lab = Lab.create(small_topology, name=small_name)
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", lab.state.api_port))
        rival.listen()
        taken = lab.state.api_port

        lab.up()

    assert Lab.load(small_name).state.api_port != taken
    with lab.api() as api:
        assert api.list("virtual-router")


def test_api_port_named_by_the_user_is_never_replaced(small_topology, small_name):
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", 0))
        rival.listen()
        lab = Lab.create(small_topology, name=small_name, api_port=rival.getsockname()[1])

        with pytest.raises(processes.ProcessError, match="in use"):
            lab.up()


def test_second_lab_of_the_same_name_is_refused(lab):
    with pytest.raises(LabError, match="already up"):
        Lab.create(Path(lab.state.source), name=lab.name)


def test_unknown_lab_is_refused_with_the_known_ones(lab):
    finished = skytrail("lab", "down", "nowhere", status=1)

    assert lab.name in finished.stderr


def test_faulty_topology_is_refused_before_anything_is_created(lab, tmp_path, small_name):
    file = tmp_path / "bad.yaml"
    file.write_text("name: bad\nhosts: [h1]\nworkloads: [{name: w, host: h9, port: 'a:b'}]\n")

    finished = skytrail("lab", "up", str(file), "--name", small_name, status=1)

    assert "workloads[0].host: 'h9' is not in hosts" in finished.stderr
    assert leftovers(small_name) == []
