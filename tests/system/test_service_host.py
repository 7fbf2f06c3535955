"""The host of a service is lost, by its agent or its link: the stand-by on another one takes over."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check
from skytrail.lab.io.traffic import PingTraffic
from skytrail.wire.xmpp.session import HOLD_TIME_S

from .test_service_chain import passed

EXAMPLE = Path(__file__).parents[2] / "examples" / "service-chain"
RESTART_S = 5
"""For how long a lost agent's routes are kept; 60 s unless configured."""


@pytest.fixture(scope="module")
def chain(lab_of, tmp_path_factory):
    """The example's firewall with its first copy on a host that has nothing else."""
    example = tmp_path_factory.mktemp("service-host")
    shutil.copy(EXAMPLE / "provision.py", example)
    text = (EXAMPLE / "topology.yaml").read_text()
    text = text.replace("  - compute2\n", "  - compute2\n  - compute3\n")
    text = text.replace("right, host: compute2", "right, host: compute3", 1)
    (example / "topology.yaml").write_text(text)
    with lab_of(example, "sts") as created, ApiClient(created.api_url) as api:
        assert created.topology.endpoint("right").host == "compute3"
        assert created.topology.endpoint("fw1-right").host == "compute2"
        (system,) = api.list("global-system-config")
        kept = {
            "enable": True,
            "restart_time": RESTART_S,
            "end_of_rib_timeout": RESTART_S,
            "xmpp_helper_enable": True,
        }
        api.update("global-system-config", system["uuid"], {"graceful_restart_parameters": kept})
        yield created


@pytest.fixture
def traffic(chain, eventually):
    """Pings from left to right, by the first copy."""
    right = check.members(chain)["right"].address(version=4)
    left = chain.plan.namespace_of("left")
    with PingTraffic(left, right) as pings:
        eventually(lambda: by(chain, pings, "fw1"), "the first copy is used")
    # What was lost before the chain was ready is no gap of the test's.
    with PingTraffic(left, right) as pings:
        yield pings


def by(chain, traffic, copy, timeout_s=0.5):
    before = passed(chain, copy)
    return traffic.wait_replies(10, timeout_s) and passed(chain, copy) - before >= 18


@pytest.mark.root
def test_host_without_agent_serves_until_its_routes_go_and_then_the_stand_by_does(
    chain, traffic, eventually
):
    chain.kill("compute2")
    assert by(chain, traffic, "fw1", RESTART_S / 2), "the kernel forwards on"
    eventually(lambda: by(chain, traffic, "fw2"), "the stand-by takes over")
    assert traffic.stop().longest_gap_s < RESTART_S / 2, "nobody missed the agent"
    chain.restart("compute2")


@pytest.mark.root
@pytest.mark.skipif("SKYTRAIL_NIGHTLY" not in os.environ, reason="waits for the hold time")
def test_host_that_is_cut_off_is_replaced_when_its_session_and_then_its_routes_time_out(
    chain, traffic, eventually
):
    began = time.monotonic()
    link(chain, "down")
    try:
        eventually(
            lambda: by(chain, traffic, "fw2"),
            "the stand-by takes over",
            timeout_s=HOLD_TIME_S + RESTART_S + 30,
        )
        print(f"fail-over: host cut off, traffic is back after {time.monotonic() - began:.0f} s")
    finally:
        link(chain, "up")
    eventually(lambda: by(chain, traffic, "fw1"), "the host is back", timeout_s=60)


def link(chain, state):
    """Let the underlay router's end of the host's link go down, or up again."""
    ifname = next(each.router_ifname for each in chain.plan.hosts if each.name == "compute2")
    command = ["ip", "-n", chain.plan.router_namespace, "link", "set", ifname, state]
    subprocess.run(command, check=True, timeout=10)
