"""Transparent services: packets cross a wire between the networks, on the copies of their flow."""

import contextlib
import socket
from pathlib import Path

import pytest

from skytrail.lab import check, vrouter
from skytrail.lab.io import netns
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.trace import Packet
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
                lambda: traffic.wait_replies(3, timeout_s=0.5), "right answers", timeout_s=20
            )

    return wait


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("backwards", [False, True])
def test_connections_cross_one_wire_whoever_opens_them(wired, ends, reached, version, backwards):
    reached(version)
    used = set()
    for port in range(7000, 7010):
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
            assert traffic.wait_replies(20, timeout_s=10)
            with unplugged(wired, "wire2"):
                eventually(
                    lambda: not traffic.wait_replies(5, timeout_s=0.5), "no way past the wires"
                )
            assert traffic.wait_replies(20, timeout_s=10), "a wire is back"
        with unplugged(wired, "wire2"):
            assert traffic.wait_replies(20, timeout_s=10)


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
