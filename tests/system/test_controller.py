"""``skytrail up``: the controller alone, on loopback, without root."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skytrail.client import ApiClient, ApiUnavailable
from skytrail.lab.io.machine import free_port

READY_TIMEOUT_S = 30


class Controller:
    def __init__(self, folder, *prefix):
        self.api_port, self.control_port, self.analytics_port = (free_port() for _ in range(3))
        command = [
            *prefix, sys.executable, "-m", "skytrail.cli", "up", "--data", str(folder),
            "--api-port", str(self.api_port), "--control-port", str(self.control_port),
            "--analytics-port", str(self.analytics_port),
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{self.api_port}"

    def wait_ready(self):
        line = self.process.stdout.readline()
        assert line.startswith("skytrail-controller ready "), self.process.stderr.read()
        return line

    def children(self):
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        found = {}
        for child in text.split():
            # A child that just ended has no command line any more.
            name = re.search(
                r"skytrail\.daemons\.(\w+)", Path(f"/proc/{child}/cmdline").read_text()
            )
            if name:
                found[name[1]] = int(child)
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=15)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.process.stderr.close()


@pytest.fixture
def controller(tmp_path):
    started = []

    def start(*prefix, folder=tmp_path / "data"):
        started.append(Controller(folder, *prefix))
        return started[-1]

    yield start
    for each in started:
        with contextlib.suppress(ValueError):
            each.stop()


def test_one_ready_line_then_the_api_serves_and_sigterm_ends_everything(controller):
    running = controller()

    line = running.wait_ready()
    children = running.children()

    assert running.url in line
    assert set(children) == {"api", "compiler", "control", "analytics", "history"}
    with ApiClient(running.url) as api:
        assert api.list("virtual-network")
    assert running.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in children.values())


@pytest.mark.parametrize("name", ["api", "compiler", "control"])
def test_killed_child_is_started_again(controller, name):
    running = controller()
    running.wait_ready()
    before = running.children()[name]

    os.kill(before, signal.SIGKILL)

    deadline = time.monotonic() + READY_TIMEOUT_S
    while running.children().get(name, before) == before:
        assert time.monotonic() < deadline, f"{name} was not started again"
        time.sleep(0.05)
    wait_answer(running.url, deadline)


def test_objects_survive_a_restart_of_the_controller(controller, tmp_path):
    folder = tmp_path / "kept"
    first = controller(folder=folder)
    first.wait_ready()
    name = ["default-domain", "default-project", "kept"]
    with ApiClient(first.url) as api:
        created = api.create("virtual-network", {"fq_name": name, "parent_type": "project"})
    first.stop()

    second = controller(folder=folder)
    second.wait_ready()

    with ApiClient(second.url) as api:
        assert api.name_to_id("virtual-network", name) == created


def test_kill_of_the_supervisor_leaves_no_child(controller):
    running = controller()
    running.wait_ready()
    children = running.children().values()

    running.process.kill()
    running.process.wait()

    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_taken_port_is_one_clear_error(controller, tmp_path):
    first = controller()
    first.wait_ready()

    finished = run_up(
        "--api-port", str(first.api_port), "--control-port", str(free_port()),
        "--analytics-port", str(free_port()),
        folder=tmp_path / "other",
    )  # fmt: skip

    assert finished.returncode == 1
    assert f"port {first.api_port} on 127.0.0.1 is not free" in finished.stderr
    assert "--api-port" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_folder_in_use_is_one_clear_error(controller, tmp_path):
    first = controller()
    first.wait_ready()

    finished = run_up(
        "--api-port", str(free_port()), "--control-port", str(free_port()),
        "--analytics-port", str(free_port()),
        folder=tmp_path / "data",
    )  # fmt: skip

    assert finished.returncode == 1
    assert "another controller runs on" in finished.stderr


def test_controller_needs_no_privilege(controller):
    """Without any capability: what root may do and others may not is forbidden to it."""
    running = controller("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")

    running.wait_ready()

    status = Path(f"/proc/{running.process.pid}/status").read_text()
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert running.stop() == 0


def run_up(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "skytrail.cli", "up", "--data", str(folder), *arguments],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_answer(url, deadline):
    while True:
        try:
            with ApiClient(url) as api:
                return api.list("virtual-network")
        except ApiUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
