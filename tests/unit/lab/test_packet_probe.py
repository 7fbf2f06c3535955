"""Probes: the packet, where it was seen, and whether the tables said so."""

import struct
from ipaddress import ip_address

import pytest

from skytrail.lab.packet_probe import Hop, ProbeResult, capture_query, frame, hops
from skytrail.lab.trace import Endpoint, Explanation, Leg, Packet, TraceResult
from skytrail.wire import pcapng
from skytrail.wire.errors import DecodeError
from skytrail.wire.pcapng import ReadPacket

TOKEN = bytes(range(16))
MACS = (b"\x02" * 6, b"\x04" * 6)


def total(data):
    data += bytes(len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


@pytest.mark.parametrize("ends", [("10.1.1.3", "10.1.1.4"), ("fd00::3", "fd00::4")])
@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
def test_probe_is_a_whole_packet_with_right_sums_and_the_token(ends, protocol):
    source, destination = map(ip_address, ends)

    made = frame(MACS, (source, destination), Packet(protocol, 80, 40_001), TOKEN)

    assert made[:12] == MACS[1] + MACS[0]
    packet = made[14:]
    head = 20 if source.version == 4 else 40
    body = packet[head:]
    number = packet[9] if source.version == 4 else packet[6]
    assert number in {1, 6, 17, 58}
    if source.version == 4:
        assert total(packet[:20]) == 0xFFFF
        assert int.from_bytes(packet[2:4], "big") == len(packet)
    pseudo = source.packed + destination.packed + struct.pack("!II", len(body), number)
    assert total(body if number == 1 else pseudo + body) == 0xFFFF
    assert body.endswith(TOKEN)
    if protocol != "icmp":
        assert struct.unpack("!HH", body[:4]) == (40_001, 80)


def test_captures_look_for_what_translations_leave_alone():
    assert capture_query(Packet("tcp", 80, 40_001), 4) == {"proto": "6", "port": "80"}
    assert capture_query(Packet("icmp"), 6) == {"proto": "58"}


def packet(time_ns, comment, *, has_token=True):
    return ReadPacket("tap", "", time_ns, b"x" + TOKEN if has_token else b"other", comment)


def result(outcome, reason, *seen):
    end = Endpoint("web", "one", "uuid", "", "net", (ip_address("10.1.1.3"),))
    leg = Leg("two", Explanation(outcome=outcome, drop_reason=reason))
    found = {host: [packet(*rest)] for host, *rest in seen}
    return ProbeResult(hops(found, TOKEN), TraceResult(end, end, Packet(), (leg,)))


def test_sightings_are_in_the_order_of_time_and_others_packets_left_out():
    seen = {
        "two": [packet(9, "delivered to the workload in VRF a:b")],
        "one": [packet(5, "sent by the workload"), packet(1, "sent", has_token=False)],
    }

    assert [(hop.host, hop.time_ns) for hop in hops(seen, TOKEN)] == [("one", 5), ("two", 9)]


def test_probe_that_ends_as_the_tables_say_agrees():
    sent = ("one", 1, "sent by the workload")
    delivered = result("delivered", "", sent, ("two", 2, "delivered to the workload in VRF a:b"))
    dropped = result("dropped", "POLICY", sent, ("two", 2, "dropped: POLICY in VRF a:b"))
    outside = result("forwarded", "", sent)

    assert delivered.agrees
    assert dropped.agrees
    assert outside.agrees
    assert "as the tables say" in dropped.summary()


def test_probe_that_ends_elsewhere_does_not():
    sent = ("one", 1, "sent by the workload")
    lost = result("delivered", "", sent)
    dropped = result("delivered", "", sent, ("two", 2, "dropped: TTL"))

    assert not lost.agrees
    assert not dropped.agrees
    assert "dropped: TTL, but the tables say delivered" in dropped.summary()
    assert "seen nowhere" in result("delivered", "").summary()
    assert Hop("one", "tap", "dropped: TTL", 1).drop_reason == "TTL"


def test_reader_takes_files_in_any_pieces():
    whole = pcapng.section("x") + pcapng.interface("tap0", "a port", 99)
    whole += pcapng.packet(pcapng.Packet(0, 2**40, b"frame", 60, comment="dropped: TTL"))
    whole += pcapng.statistics(0, 1, received=1, dropped=0)
    reader = pcapng.Reader()

    found = [each for at in range(len(whole)) for each in reader.feed(whole[at : at + 1])]

    assert found == [ReadPacket("tap0", "a port", 2**40, b"frame", "dropped: TTL")]


@pytest.mark.parametrize("part", [struct.pack("<III", 6, 5, 0), struct.pack("<III", 6, 12, 12)])
def test_reader_refuses_what_is_no_pcapng(part):
    with pytest.raises(DecodeError):
        pcapng.Reader().feed(part)
