"""A session with FRR is recorded, read by ``skytrail replay``, and said again to a fresh node."""

import json
import subprocess
import sys
from ipaddress import ip_network

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, OURS, bench, eventually
from skytrail.testing.control_plane import bgp_router, routing_instance
from skytrail.testing.router_configs import FRR_NETWORK, frr_config

TARGET = 101
FRR_CONFIG = frr_config(network=FRR_NETWORK)
PREFIX = ip_network("20.1.1.0/24")


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    with bench(tmp_path_factory.mktemp("namespace")) as made:
        yield made


@pytest.fixture(scope="module")
def recorded(namespace, tmp_path_factory):
    """The file of a session in which FRR announced a route."""
    folder = tmp_path_factory.mktemp("recordings")
    namespace.start_frr(FRR_CONFIG)
    node = started(namespace, folder)
    try:
        eventually(lambda: has_route(node), "the route of FRR")
    finally:
        node.close()
        namespace.kill("frr")
    sessions = [replay(path, "--routes") for path in folder.iterdir()]
    (held,) = [each for each in sessions if each["routes"]]
    return next(path for path in folder.iterdir() if replay(path, "--routes") == held)


def started(namespace, record=None):
    node = Node(namespace, record=record)
    node.start()
    node.configure(
        bgp_router("control1", OURS, peers=[("frr", {})]),
        bgp_router("frr", FRR),
        routing_instance("red", both=[TARGET]),
    )
    return node


def has_route(node):
    return any(row["prefix"] == str(PREFIX) for row in node.table("routes"))


def replay(path, *options):
    command = [sys.executable, "-m", "skytrail.cli", "replay", str(path), "--json", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def test_recording_tells_both_sides_opens_and_the_route(recorded):
    shown = replay(recorded, "--routes")

    assert shown["session"]["peer"].endswith(":frr")
    opens = {each["direction"] for each in shown["messages"] if each["kind"] == "OPEN"}
    assert opens == {"in", "out"}
    (route,) = shown["routes"]
    assert (route["destination"], route["next_hop"]) == (f"64512:7:{PREFIX}", FRR)
    assert f"target:64512:{TARGET}" in route["attributes"]


def test_fresh_node_learns_from_the_recording_what_the_router_said(namespace, recorded):
    node = started(namespace)
    try:
        assert not has_route(node)
        command = [
            "ip", "netns", "exec", namespace.namespace, sys.executable, "-m", "skytrail.cli",
            "replay", str(recorded), "--to", OURS, "--source", FRR, "--speed", "0", "--stay", "20",
        ]  # fmt: skip
        process = subprocess.Popen(command)
        try:
            eventually(lambda: has_route(node), "the route out of the recording")
        finally:
            process.kill()
            process.wait()
    finally:
        node.close()
