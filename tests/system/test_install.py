"""`make install` into a folder, then its units under a systemd of their own (testing/machine.py)."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from skytrail.testing import machine
from skytrail.testing.controller import wait_until

CHECKOUT = Path(__file__).parents[2]
UNITS = ("controller", "api", "compiler", "control", "agent")

pytestmark = [
    pytest.mark.root,
    # An installation fetches and compiles half a gigabyte, beside whatever else runs.
    pytest.mark.timeout(600),
    pytest.mark.skipif(machine.why_not() is not None, reason=str(machine.why_not())),
]


def run_make(*words, **more):
    # Not what this run's own `make`, if there is one, hands to its children.
    kept = {name: os.environ[name] for name in os.environ if not name.startswith("MAKE")}
    command = ["make", "-C", str(CHECKOUT), *words]
    return subprocess.run(command, env=kept, capture_output=True, text=True, check=False, **more)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    done = run_make("install", f"DESTDIR={root}")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture(scope="module")
def controller(installed):
    with machine.booted("ctl1", installed) as booted:
        booted.install()
        yield booted


@pytest.fixture(scope="module")
def host(installed):
    with machine.booted("host1", installed) as booted:
        booted.install()
        yield booted


def start(booted, unit, ready):
    booted.run("systemctl", "start", f"skytrail-{unit}")
    try:
        wait_until(lambda: ready in booted.log(), f"{unit} being ready")
    except TimeoutError as error:
        raise AssertionError(booted.log()) from error


def is_active(booted, unit):
    return booted.run("systemctl", "is-active", f"skytrail-{unit}", check=False).returncode == 0


def test_systemd_finds_nothing_to_object_to_in_the_units(controller):
    for unit in UNITS:
        path = f"{machine.UNITS}/skytrail-{unit}.service"
        checked = controller.run("systemd-analyze", "verify", path, check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_installed_package_has_every_module_of_the_checkout(installed):
    source = CHECKOUT / "src" / "skytrail"
    (target,) = (installed / "opt/skytrail/lib").glob("python3*/site-packages/skytrail")
    for pattern in ("*.py", "*.yaml"):
        wanted = {path.relative_to(source) for path in source.rglob(pattern)}
        assert wanted == {path.relative_to(target) for path in target.rglob(pattern)}


def test_nothing_installed_names_the_folder_it_was_made_in(installed):
    binaries = installed / "opt/skytrail/bin"
    found = subprocess.run(
        ["grep", "-rlF", str(installed), binaries, installed / "usr", installed / "etc"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""


def test_a_controller_and_a_host_run_under_systemd_and_find_each_other(controller, host):
    controller.link(host, "eth0", "192.0.2.11/24", "192.0.2.21/24")
    controller.write("/etc/skytrail/controller.env", "OPTIONS=--control-listen 192.0.2.11")
    start(controller, "controller", "skytrail-controller ready")
    settings = "CONTROL=192.0.2.11\nUNDERLAY=eth0\nADDRESS=192.0.2.21\nOPTIONS="
    host.write("/etc/skytrail/agent.env", settings)
    controller.run(
        "skytrail", "create", "virtual-router", "default-global-system-config:host1",
        "--set", "virtual_router_ip_address=192.0.2.21",
    )  # fmt: skip
    start(host, "agent", "skytrail-agent ready")

    def sessions():
        told = controller.run("skytrail", "status", "--data", "/var/lib/skytrail", "--json")
        return [(each["with"], each["up"]) for each in json.loads(told.stdout)["sessions"]]

    wait_until(lambda: sessions() == [("host1", True)], "the session of the host")


def test_forwarding_stays_when_the_agent_is_stopped_and_is_adopted_again(host):
    links = host.run("find", "/sys/fs/bpf/skytrail/host1", "-path", "*links/*").stdout.split()
    assert links

    host.run("systemctl", "stop", "skytrail-agent")

    found = host.run("find", "/sys/fs/bpf/skytrail/host1", "-path", "*links/*").stdout.split()
    assert found == links
    before = host.log().count("skytrail-agent ready")
    host.run("systemctl", "start", "skytrail-agent")
    wait_until(lambda: host.log().count("skytrail-agent ready") > before, "the agent again")


def test_the_units_of_a_cluster_node_run_beside_each_other(controller):
    if is_active(controller, "controller"):
        controller.run("systemctl", "stop", "skytrail-controller")
    for unit in ("api", "compiler", "control"):
        start(controller, unit, f"skytrail-{unit} ready")
    done = controller.run("skytrail", "get", "virtual-network")
    assert "ip-fabric" in done.stdout
    assert all(is_active(controller, unit) for unit in ("api", "compiler", "control"))


def test_wrong_settings_end_a_unit_for_good_and_say_what_is_wrong(controller):
    controller.write(
        "/etc/skytrail/control.env",
        "API=http://127.0.0.1:8082\nLISTEN=127.0.0.1\nOPTIONS=--colour blue",
    )
    controller.run("systemctl", "restart", "skytrail-control")
    wait_until(lambda: not is_active(controller, "control"), "the end of the control node")
    shown = controller.run("systemctl", "show", "-p", "SubState,ExecMainStatus", "skytrail-control")
    assert shown.stdout.split() == ["ExecMainStatus=2", "SubState=failed"]
    assert "--colour" in controller.log()


def test_units_are_enabled_by_name(controller):
    for unit in UNITS:
        controller.run("systemctl", "enable", f"skytrail-{unit}")
        enabled = controller.run("systemctl", "is-enabled", f"skytrail-{unit}")
        assert enabled.stdout == "enabled\n"


def test_settings_are_kept_when_it_is_installed_again_and_when_it_goes(installed, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(installed, root, symlinks=True)
    own = root / "etc/skytrail/api.env"
    own.write_text("PORT=9000\n")

    again = run_make("install", f"DESTDIR={root}")
    assert (again.returncode, own.read_text()) == (0, "PORT=9000\n")
    assert f"Take it away: make uninstall DESTDIR={root}" in again.stdout

    gone = run_make("uninstall", f"DESTDIR={root}")
    assert gone.returncode == 0, gone.stderr
    left = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    assert left == {f"etc/skytrail/{unit}.env" for unit in UNITS}


def test_a_relative_folder_is_refused_with_the_absolute_one():
    done = run_make("install", "DESTDIR=trial")

    assert done.returncode != 0
    assert "trial is not an absolute path: write /" in done.stderr


def test_a_folder_of_others_is_neither_replaced_nor_removed(tmp_path):
    theirs = tmp_path / "opt" / "skytrail" / "theirs"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    for action in ("install", "uninstall"):
        done = run_make(action, f"DESTDIR={tmp_path}")
        assert done.returncode != 0
        assert "was not made by this script" in done.stderr
    assert theirs.exists()
