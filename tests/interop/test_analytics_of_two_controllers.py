"""Two ``skytrail up`` of one machine answer for what both keep; a place that cannot be asked is said at once."""

from __future__ import annotations

import subprocess
import sys

import httpx

from skytrail.lab.io.machine import free_port
from skytrail.testing.controller import Daemons, wait_until

MISSING = "x-skytrail-missing-nodes"
PATIENCE_S = 30.0


class Controller:
    """A controller, asked over the socket of its analytics."""

    def __init__(self, daemons, name):
        self.name, self._daemons = name, daemons
        self.data = daemons.folder / name
        self.place = f"unix:{self.data}/analytics.sock"

    def start(self, *options):
        ports = ("--api-port", "--control-port", "--analytics-port")
        self._daemons.start(
            self.name, "--name", self.name, "--data", self.data,
            *(part for option in ports for part in (option, free_port())), *options, module="up",
        )  # fmt: skip

    def get(self, path):
        transport = httpx.HTTPTransport(uds=self.place.removeprefix("unix:"))
        with httpx.Client(transport=transport, base_url="http://node", timeout=PATIENCE_S) as node:
            return node.get(path)

    def started(self):
        """Return which control nodes said that they started, and whose part of the answer is missing."""
        found, missing = set(), set()
        for source in ("one", "two"):
            reply = self.get(f"/api/v1/logs?last=10m&source={source}")
            if reply.headers.get("retry-after"):
                return "its own store is not there yet"
            assert reply.status_code == 200, reply.text
            found |= {source for row in reply.json()["rows"] if "control_started" in row.values()}
            missing |= set(filter(None, reply.headers.get(MISSING, "").split(", ")))
        return found, missing


def test_two_controllers_of_one_machine_answer_for_each_other(tmp_path):
    with Daemons(tmp_path) as daemons:
        one, two = (Controller(daemons, name) for name in ("one", "two"))
        # Who has a login at its own API has none at the other's: sockets are asked without.
        one.start("--analytics-peer", two.place)
        two.start("--secure", "--analytics-peer", one.place, "--analytics-peer", two.place)

        for node in (one, two):
            wait_until(
                lambda node=node: node.started() == ({"one", "two"}, set()),
                f"{node.name} answers for both",
            )
            assert "node-name" not in node.get("/healthz").text
        daemons.kill("one")
        wait_until(lambda: two.started() == ({"two"}, {one.place}), "one is missing")


def test_a_wrong_place_is_said_before_anything_starts(tmp_path):
    options = ["--data", str(tmp_path / "data"), "--analytics-peer", "node2:8081"]
    command = [sys.executable, "-m", "skytrail.cli", "up", *options]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    said = "argument --analytics-peer: node2:8081 is not https://HOST:PORT or unix:PATH"
    assert (told.returncode, said in told.stderr) == (2, True), told.stderr
    assert not (tmp_path / "data").exists()
