"""Captures as asked for, and files as written."""

import struct
from ipaddress import IPv4Address

import pytest

from skytrail.agent.capture import (
    Captured,
    CaptureFile,
    CaptureRefused,
    Point,
    read_request,
)
from skytrail.agent.interface import PluggedPort
from skytrail.agent.outcome import Desired
from skytrail.agent.tables import InterfaceKind, InterfaceRow, VifId
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet, uuid_of

WEB = uuid_of("web")
PLUGGED = {WEB: PluggedPort(WEB, "vm", "tap0", InterfaceKind.WORKLOAD_TAP)}
REASONS = frozenset({"POLICY", "TTL"})


def asked(**query):
    return read_request(query, PLUGGED, {VifId(7): WEB}, REASONS)


def test_question_becomes_a_filter():
    found = asked(interface="tap0", src="10.1.1.3", proto="tcp", port="80", snap="96", count="5")

    assert (found.vmi_uuid, found.count, found.seconds) == (WEB, 5, 60)
    wanted = found.filter
    assert (wanted.vif_id, wanted.source, wanted.protocol) == (7, IPv4Address("10.1.1.3"), 6)
    assert (wanted.destination_port, wanted.source_port, wanted.snap_bytes) == (80, None, 96)
    assert wanted.points == Point.SENT | Point.DELIVERED | Point.DROPPED


def test_reason_asks_for_drops_alone():
    assert asked(reason="policy").filter.points == Point.DROPPED


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"iface": "tap0"}, "iface is not known"),
        ({"interface": "tap9"}, "no port of that uuid or link name"),
        ({"src": "10.1.1"}, "src=10.1.1 is no IP address"),
        ({"src": "10.1.1.3", "dst": "fd00::1"}, "one IP version"),
        ({"proto": "tpc"}, "proto=tpc"),
        ({"port": "65536"}, "port=65536: a number from 0 to 65535"),
        ({"snap": "9"}, "snap=9: a number from 14"),
        ({"point": "lost"}, "sent, delivered or dropped"),
        ({"reason": "SPITE"}, "no drop reason"),
        ({"seconds": "0"}, "seconds=0: a number from 1"),
    ],
)
def test_question_that_cannot_be_understood_names_the_parameter(query, text):
    with pytest.raises(CaptureRefused, match=text):
        asked(**query)


def test_file_names_ports_and_says_what_became_of_frames():
    config = ConfigBuilder()
    config.port("web", config.network("blue", 5, [subnet("10.1.1.0/24")]), ["10.1.1.3"])
    host = AgentHost()
    host.plug("web", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    file = CaptureFile(32)
    seen = Captured(2**33, host.vif("web"), 1, Point.DROPPED, "POLICY", 60, bytes(60))

    made = b"".join(file.begin(host.vif("web"), host.desired))
    made += b"".join(file.parts(seen, host.desired))
    made += b"".join(file.end(2**33, received=3, dropped=2))

    kinds = []
    while made:
        kind, length = struct.unpack_from("<II", made)
        assert made[length - 4 : length] == made[4:8]
        kinds.append((kind, made[8 : length - 4]))
        made = made[length:]
    assert [kind for kind, _ in kinds] == [0x0A0D0D0A, 1, 6, 5]
    assert b"default-domain:demo:web" in kinds[1][1]
    assert struct.unpack_from("<IIIII", kinds[2][1]) == (0, 2, 0, 32, 60)
    assert b"dropped: POLICY in VRF default-domain:demo:blue:blue" in kinds[2][1]


def test_file_without_frames_begins_with_the_interface_that_was_asked_for():
    parts = list(CaptureFile(32).begin(VifId(0), Desired()))

    assert [struct.unpack_from("<I", part)[0] for part in parts] == [0x0A0D0D0A, 1]
    assert b"the underlay" in parts[1]


@pytest.mark.parametrize("configured", [True, False])
def test_frames_of_a_captured_port_are_watched_also_before_it_is_active(configured):
    config = ConfigBuilder()
    config.port("web", config.network("blue", 5, [subnet("10.1.1.0/24")]), ["10.1.1.3"])
    host = AgentHost()
    host.plug("web", 10)
    host.connect()
    if configured:
        host.configure(config.update())
    host.reconcile()

    watched = {}
    for captured in (frozenset({WEB}), frozenset()):
        host.captured = captured
        host.reconcile()
        rows = host.desired.rows[InterfaceRow].values()
        watched[captured] = [row.is_watched for row in rows if row.ifindex == 10]

    assert list(watched.values()) == [[True], [False]]
