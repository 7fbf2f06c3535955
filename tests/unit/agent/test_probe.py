"""Probes at an agent: what may be asked, what is sent, and which frames are sightings."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from skytrail.agent.capture import Captured, CaptureRefused, Point
from skytrail.agent.probe import SECONDS_MAX, frame_of, read_probe, sightings
from skytrail.net import GATEWAY_MAC
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of

TOKEN = bytes(range(16))
ASKED = {"token": TOKEN.hex(), "proto": "tcp", "port": "80"}


@pytest.fixture
def host():
    """A host with port web, 10.1.1.3, and one that is not configured."""
    config = ConfigBuilder()
    config.port("web", config.network("blue", 5, [subnet("10.1.1.0/24")]), ["10.1.1.3"])
    made = AgentHost()
    for index, name in enumerate(("web", "off")):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def sent_from(host, name="web", **query):
    request = read_probe({**ASKED, "send": uuid_of(name), "destination": "10.1.1.9", **query})
    return frame_of(request, host.desired.ports.get(request.send))


def test_a_probe_is_sent_with_the_ports_own_addresses(host):
    ifindex, frame = sent_from(host, sport="4711")

    state = host.desired.ports[uuid_of("web")]
    assert ifindex == state.plugged.ifindex
    assert (frame[:6], frame[6:12]) == (GATEWAY_MAC.packed, state.port.mac.packed)
    assert frame[26:34] == ip_address("10.1.1.3").packed + ip_address("10.1.1.9").packed
    assert frame[34:38] == (4711).to_bytes(2, "big") + (80).to_bytes(2, "big")
    assert frame.endswith(TOKEN)


@pytest.mark.parametrize(
    ("name", "query", "reason"),
    [
        ("nobody", {}, "no port of that uuid"),
        ("off", {}, "does not forward"),
        ("web", {"destination": "fd00::1"}, "no IPv6 address"),
    ],
)
def test_a_port_that_cannot_send_it_is_told(host, name, query, reason):
    with pytest.raises(CaptureRefused, match=reason):
        sent_from(host, name, **query)


@pytest.mark.parametrize(
    "query",
    [
        {"token": "00"}, {"token": "x" * 32}, {"proto": "sctp"}, {"proto": ""}, {"port": ""},
        {"port": "65536"}, {"seconds": str(SECONDS_MAX + 1)}, {"destination": "10.1.1.9"},
        {"send": "a"}, {"send": "a", "destination": "b"}, {"frame": "00"},
        {"send": "a", "destination": "10.1.1.9", "mac": "zz"}, {"version": "7"},
    ],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(query):
    with pytest.raises(CaptureRefused):
        read_probe({**ASKED, **query})


def captured(host, frame, point=Point.DELIVERED, reason=""):
    vif_id = host.vif("web")
    return Captured(
        time_ns=5, vif_id=vif_id, slots=1, point=point, reason=reason,
        original_bytes=len(frame), frame=frame,
    )  # fmt: skip


def test_sightings_name_port_place_and_reason(host):
    _, frame = sent_from(host)
    frames = [captured(host, frame), captured(host, frame, Point.DROPPED, "POLICY")]

    rows = sightings(read_probe(ASKED), [*frames, captured(host, bytes(64))], host.desired)

    assert [(row["point"], row["reason"]) for row in rows] == [
        ("delivered", ""),
        ("dropped", "POLICY"),
    ]
    assert rows[0]["port"] == f"{PROJECT}:web"
    assert rows[0]["vrf"] == f"{PROJECT}:blue:blue"


def test_an_answer_that_repeats_the_token_is_no_sighting(host):
    _, frame = sent_from(host, proto="icmp", port="")
    answer = frame.replace(b"\x08\x00", b"\x00\x00", 2)
    request = replace(read_probe({**ASKED, "proto": "icmp"}), port=0)

    rows = sightings(request, [captured(host, frame), captured(host, answer)], host.desired)

    assert len(rows) == 1
