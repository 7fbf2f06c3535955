"""Several control nodes on one machine: the template unit's own command line, twice."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx

UNIT = Path(__file__).parents[2] / "packaging" / "systemd" / "skytrail-control@.service"
ADDRESSES = {"1": "127.0.0.31", "2": "127.0.0.32"}


def command_of(instance: str, settings: dict[str, str], run: Path) -> list[str]:
    """What systemd would run for an instance, with our Python and in our folder."""
    line = re.search(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert line is not None
    text = line[1].replace("%i", instance).replace("/run/", f"{run}/").replace("$OPTIONS", "")
    words = [re.sub(r"\$\{(\w+)\}", lambda m: settings[m[1]], each) for each in shlex.split(text)]
    return [sys.executable, *words[1:]]


def free_port() -> str:
    """A port that is free at both addresses."""
    with socket.create_server((ADDRESSES["1"], 0)) as first:
        port = first.getsockname()[1]
        with socket.create_server((ADDRESSES["2"], port)):
            return str(port)


def test_instances_of_the_unit_share_ports_and_nothing_else(tmp_path: Path) -> None:
    ports = ["--port", free_port(), "--bgp-port", free_port()]
    with ExitStack() as stack:
        for number, address in ADDRESSES.items():
            (tmp_path / f"skytrail-control-{number}").mkdir()
            log = stack.enter_context((tmp_path / f"{number}.log").open("w"))
            # Nobody answers there: a node serves agents without the API, too.
            settings = {"NAME": f"n{number}", "API": "http://127.0.0.1:9", "LISTEN": address}
            running = subprocess.Popen(
                [*command_of(number, settings, tmp_path), *ports],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
            assert running.stdout is not None
            stack.callback(running.stdout.close)
            stack.callback(running.wait)
            stack.callback(running.terminate)
            ready = running.stdout.readline()
            assert " ready" in ready, (tmp_path / f"{number}.log").read_text()
        for number in ADDRESSES:
            path = tmp_path / f"skytrail-control-{number}" / "control.sock"
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
                assert client.get("http://control/healthz").status_code in (200, 503)


def test_an_instance_may_take_the_port_of_bgp_and_no_other_right() -> None:
    text = UNIT.read_text()

    for name in ("CapabilityBoundingSet", "AmbientCapabilities"):
        assert re.findall(rf"^{name}=(.*)$", text, re.MULTILINE) == ["CAP_NET_BIND_SERVICE"]
