"""Transparent services: packets cross a wire between the networks, on the copies of their flow."""

import contextlib
import socket
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check, vrouter
from skytrail.lab.io import netns
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.trace import Packet
from skytrail.runtime.introspection import read_table
from skytrail.testing.appliances import UdpTalk, copy_of, counted, tcp_talk, unplugged

EXAMPLE = Path(__file__).parents[2] / "examples" / "service-chain"
WIRES = ("wire1", "wire2")


@pytest.fixture(scope="module")
def wired(lab_of):
    with lab_of(EXAMPLE, "stb", topology="bridge.yaml") as lab:
        yield lab


@pytest.fixture(scope="module")
def ends(wired):
    members = check.members(wired)
    return members["left"], members["right"]


@pytest.fixture
def reached(wired, ends, eventually):
    def wait(version=4):
        address = ends[1].address(version=version)
        with PingTraffic(wired.plan.namespace_of("left"), address) as traffic:
            eventually(
                lambda: traffic.wait_replies(3, timeout_s=0.5), "right answers", timeout_s=30
            )

    return wait


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("backwards", [False, True])
def test_connections_cross_one_wire_whoever_opens_them(wired, ends, reached, version, backwards):
    reached(version)
    used = set()
    # Each connection takes a wire by its hash: a few may well take the same one, never so many.
    for port in range(7000, 7060):
        if used == set(WIRES) and port >= 7006:
            break
        with counted(wired) as grown:
            opened = tcp_talk(
                wired,
                ends[::-1] if backwards else ends,
                port,
                version=version,
                count_bytes=100_000,
            )
            assert opened
        crossed = [name for name in WIRES if max(grown()[name].onward, grown()[name].back) > 3]
        assert len(crossed) == 1, grown()
        assert min(grown()[crossed[0]].onward, grown()[crossed[0]].back) > 3, grown()
        used.update(crossed)
    assert used == set(WIRES), "both copies carry some"


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_udp_is_routed_by_one_service_and_bridged_by_the_next(wired, ends, reached, version):
    reached(version)
    with contextlib.ExitStack() as stack:
        talks = [stack.enter_context(UdpTalk(wired, ends, version=version)) for _ in range(16)]
        with counted(wired) as grown:
            crossed = [copy_of(wired, talk, WIRES) for talk in talks]

    assert all(crossed)
    assert set(crossed) == set(WIRES)
    assert min(grown()["check"].onward, grown()["check"].back) >= 4 * len(talks)


@pytest.mark.root
def test_wire_that_is_cut_hands_its_flows_over_and_without_any_nothing_passes(
    wired, ends, reached, eventually
):
    reached()
    address = ends[1].address(version=4)
    with PingTraffic(wired.plan.namespace_of("left"), address) as traffic:
        with unplugged(wired, "wire1"):
            assert traffic.wait_replies(20, timeout_s=30)
            with unplugged(wired, "wire2"):
                eventually(
                    lambda: not traffic.wait_replies(5, timeout_s=0.5), "no way past the wires"
                )
            assert traffic.wait_replies(20, timeout_s=30), "a wire is back"
        with unplugged(wired, "wire2"):
            assert traffic.wait_replies(20, timeout_s=30)


@pytest.mark.root
def test_frames_with_tags_of_no_chain_go_nowhere(wired, ends, reached):
    """Neither from a service's port nor from a workload's."""
    reached()
    left = wired.plan.namespace_of("left")
    with (
        netns.open_socket(left, socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)) as sender,
        counted(wired) as grown,
    ):
        sender.bind(("eth0", 0))
        for vlan in range(1, 4095):
            tag = bytes.fromhex("8100") + vlan.to_bytes(2, "big")
            sender.send(bytes.fromhex("020000000001020000000002") + tag + b"\x08\0" + bytes(46))
    assert max(max(each.onward, each.back) for each in grown().values()) < 20


@pytest.mark.root
def test_trace_crosses_routed_and_bridged_services_both_ways(wired, reached):
    reached()
    for source, destination in (("left", "right"), ("right", "left")):
        traced = vrouter.trace(wired, source, destination, Packet("udp", 80, 4000))
        names = [each.rpartition(":")[2] for each in traced.services]
        assert traced.delivered, traced.summary()
        assert len(names) == 2
        wire = names[source == "left"]
        assert wire in WIRES
        assert names[source == "right"] == "check"


@pytest.mark.root
def test_segment_check_takes_out_a_wire_that_passes_nothing(wired, ends, reached, eventually):
    """Its links are up and its ports plugged: only a question through it tells."""
    host = wired.topology.endpoint("wire1-left").host

    def checked():
        rows = read_table(wired.paths.introspect_socket(host), "health")
        uuid = wired.attached("wire1-left").uuid
        return next((row["state"] for row in rows if row["vmi_uuid"] == uuid), "")

    with ApiClient(wired.api_url) as api:
        service = next(
            each for each in api.list("service-instance") if each["fq_name"][-1] == "wire"
        )
        body = {
            "fq_name": ["default-domain", "wired", "passes"],
            "parent_type": "project",
            "service_health_check_properties": {
                "enabled": True, "health_check_type": "segment", "monitor_type": "PING",
                "delay": 0, "delayUsecs": 300_000, "timeout": 0, "timeoutUsecs": 300_000,
                "max_retries": 2,
            },
            "service_instance_refs": [{"to": service["fq_name"], "attr": {"interface_type": "left"}}],
        }  # fmt: skip
        api.create("service-health-check", body)
    eventually(lambda: checked() == "up", "the wire passes questions")
    reached()
    netns.configure(wired.plan.namespace_of("wire1-left"), ["link set bridge0 down"])
    try:
        eventually(lambda: checked() == "down", "it passes nothing")
        with PingTraffic(wired.plan.namespace_of("left"), ends[1].address(version=4)) as traffic:
            assert traffic.wait_replies(20, timeout_s=30), "the other wire carries on"
        for port in range(7100, 7108):
            assert tcp_talk(wired, ends, port, version=4, count_bytes=1000)
    finally:
        netns.configure(wired.plan.namespace_of("wire1-left"), ["link set bridge0 up"])
    eventually(lambda: checked() == "up", "it passes again")
