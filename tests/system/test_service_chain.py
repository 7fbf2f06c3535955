"""Traffic between two networks passes through a service, its stand-by, or nowhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from skytrail.lab import check
from skytrail.lab.io.traffic import PingTraffic
from skytrail.testing import appliances

EXAMPLE = Path(__file__).parents[2] / "examples" / "service-chain"
CONNECTIONS_COUNT = 20


@pytest.fixture(scope="module")
def chain(lab_of):
    with lab_of(EXAMPLE, "stc") as created:
        yield created


def passed(lab, copy):
    """Packets that went through a copy of the firewall, either way."""
    counts = appliances.passed(lab)[copy]
    return counts.onward + counts.back


@pytest.fixture
def ping(chain):
    """Ping, from left to right unless told: ``with ping() as traffic``."""
    members = check.members(chain)

    def start(version=4, *, ends=("left", "right"), interval_s=0.01):
        return PingTraffic(
            chain.plan.namespace_of(ends[0]),
            members[ends[1]].address(version=version),
            interval_s=interval_s,
        )

    return start


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_traffic_between_the_networks_passes_through_the_active_copy(
    chain, ping, eventually, version
):
    with ping(version) as traffic:
        eventually(lambda: traffic.wait_replies(5, timeout_s=0.5), "right is reached")
        before = {copy: passed(chain, copy) for copy in ("fw1", "fw2")}
        assert traffic.wait_replies(40, timeout_s=30)
    grown = {copy: passed(chain, copy) - before[copy] for copy in before}

    assert grown["fw1"] >= 40, "every answer came through the firewall"
    # Its own neighbour discovery is all there may be.
    assert grown["fw2"] < 10, "the stand-by waits"


@pytest.mark.root
def test_other_copy_takes_over_and_without_any_nothing_passes(chain, ping, eventually):
    with ping() as traffic:
        eventually(lambda: traffic.wait_replies(5, timeout_s=0.5), "right is reached")
        with appliances.unplugged(chain, "fw1"):
            before = passed(chain, "fw2")
            assert traffic.wait_replies(20, timeout_s=30), "the stand-by takes over"
            assert passed(chain, "fw2") - before >= 15

            with appliances.unplugged(chain, "fw2"):
                eventually(
                    lambda: not traffic.wait_replies(5, timeout_s=0.5), "no way past the service"
                )
            assert traffic.wait_replies(20, timeout_s=30), "a copy is back"


@pytest.mark.root
@pytest.mark.parametrize("side", ["left", "right"])
def test_copy_that_lost_one_side_hands_both_directions_to_the_stand_by(
    chain, ping, eventually, side
):
    with ping() as traffic:
        eventually(lambda: passes(chain, traffic, "fw1"), "the active copy is used")
    with (
        ping(interval_s=0.005) as onward,
        ping(interval_s=0.005, ends=("right", "left")) as back,
    ):
        assert onward.wait_replies(40, timeout_s=30)
        assert back.wait_replies(40, timeout_s=30)
        with appliances.unplugged(chain, "fw1", [side]):
            assert onward.wait_replies(40, timeout_s=30), "left reaches right"
            assert back.wait_replies(40, timeout_s=30), "right reaches left"
            before = appliances.passed(chain)
            assert onward.wait_replies(40, timeout_s=30)
            assert back.wait_replies(40, timeout_s=30)
            now = appliances.passed(chain)
            gaps = [f"{each.stop().longest_gap_s * 1000:.0f}" for each in (onward, back)]
    print(f"fail-over: {side} side unplugged, no answer for {' and '.join(gaps)} ms")
    grown = now["fw2"] - before["fw2"]
    assert min(grown.onward, grown.back) >= 80, "questions and answers of both"
    rest = now["fw1"] - before["fw1"]
    assert max(rest.onward, rest.back) < 10, "nothing goes to the copy that can pass nothing"


def passes(chain, traffic, copy):
    before = passed(chain, copy)
    return traffic.wait_replies(10, timeout_s=0.5) and passed(chain, copy) - before >= 18


@pytest.mark.root
def test_trace_on_a_host_ends_with_what_to_type_next_as_far_as_the_end(chain, ping, eventually):
    with ping() as traffic:
        eventually(lambda: passes(chain, traffic, "fw1"), "the active copy is used")
    right = str(check.members(chain)["right"].address(version=4))

    def typed(host, *words):
        socket_path = str(chain.paths.introspect_socket(host))
        command = [sys.executable, "-m", "skytrail.cli", *words, "--socket", socket_path]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def following(shown, where):
        return re.search(rf"{where}: skytrail (host trace .*)", shown)[1].split()

    sent = typed("compute1", "host", "trace", "left", right, "tcp", "80")
    entered = typed("compute2", *following(sent, r"on the host with \S+"))
    passed_on = typed("compute2", *following(entered, "what passes the service, on this host"))

    assert "enters service chain:firewall:fw1" in entered
    assert f"delivered to {right}" in passed_on


@pytest.mark.root
def test_rule_without_service_goes_straight_while_the_others_go_through(chain, ping):
    """Direct routes exist for tcp 8000; they do not let anything else past the firewall."""
    members = check.members(chain)
    right = str(members["right"].address(version=4))
    before = passed(chain, "fw1")
    server = subprocess.Popen(
        ["ip", "netns", "exec", chain.plan.namespace_of("right"), "python3", "-c", _SERVE]
    )
    try:
        done = subprocess.run(
            [
                "ip",
                "netns",
                "exec",
                chain.plan.namespace_of("left"),
                "python3",
                "-c",
                _FETCH,
                right,
                str(CONNECTIONS_COUNT),
            ],
            check=False,
            timeout=60,
        )
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 0, "tcp 8000 goes straight"
    # Its own neighbour discovery is all there may be: each connection has two packets each way at least.
    assert passed(chain, "fw1") - before < CONNECTIONS_COUNT
    before = passed(chain, "fw1")
    with ping() as traffic:
        assert traffic.wait_replies(10, timeout_s=30)
    assert passed(chain, "fw1") - before >= 10, "ping still goes through the firewall"


_SERVE = """
import socket
listener = socket.create_server(("", 8000))
while True:
    listener.accept()[0].sendall(b"here")
"""
_FETCH = """
import socket, sys, time
left = int(sys.argv[2])
for _ in range(left + 40):
    try:
        with socket.create_connection((sys.argv[1], 8000), timeout=2) as there:
            left -= there.recv(4) == b"here"
    except OSError:
        time.sleep(0.2)
    if not left:
        break
sys.exit(left)
"""
