"""sFlow as the document lays it out, word by word."""

from __future__ import annotations

import struct

import pytest

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame.beginning import FrameFlow, flow_of_frame
from skytrail.wire.sflow import FlowSample, decode_datagram

MACS = bytes(12)
INNER = bytes.fromhex("4500001c000000004011000001010101 02020202 03e8 0035 00080000")
OUTER = bytes.fromhex("450000400000000040110000c0000201c0000202")


def words(*numbers):
    return struct.pack(f"!{len(numbers)}I", *numbers)


def datagram(*samples, version=5):
    body = b"".join(words(kind, len(sample)) + sample for kind, sample in samples)
    head = words(version, 1) + bytes([192, 0, 2, 7]) + words(0, 9, 1000, len(samples))
    return head + body


def records(*pairs):
    return words(len(pairs)) + b"".join(words(kind, len(record)) + record for kind, record in pairs)


def raw(header):
    return 1, words(1, 1500, 4, len(header)) + header + bytes(-len(header) % 4)


def test_sampled_packet_of_a_tunnel_tells_both_of_its_flows():
    vxlan = (
        OUTER + bytes.fromhex("c35012b5 00240000 08000000 00002a00") + MACS + b"\x08\x00" + INNER
    )
    header = MACS + bytes.fromhex("81000064 0800") + vxlan
    sample = words(1, 3, 2000, 9, 0, 11, 12) + records(
        (1002, words(1) + bytes([192, 0, 2, 9]) + words(24, 24)), raw(header), (77, b"abcd")
    )

    told = decode_datagram(datagram((1, sample)))

    inner = FrameFlow("1.1.1.1", "2.2.2.2", 17, 1000, 53, 0, 42)
    flow = FrameFlow("192.0.2.1", "192.0.2.2", 17, 50000, 4789, 100, 0, inner)
    assert told.agent == "192.0.2.7"
    assert told.flows == (FlowSample(2000, 11, 12, 1500, flow, "192.0.2.9"),)


def test_expanded_sample_without_a_header_is_told_by_its_other_records():
    ip = bytes.fromhex("c0000201c0000202")
    sample = words(1, 0, 3, 10, 0, 0, 0, 7, 0, 0x3FFFFFFF) + records(
        (3, words(99, 6) + ip + words(5, 6, 0, 0)), (1001, words(30, 0, 30, 0))
    )

    (flow,) = decode_datagram(datagram((3, sample))).flows

    assert flow == FlowSample(10, 7, 0, 99, FrameFlow("192.0.2.1", "192.0.2.2", 6, 5, 6, 30))


def test_counters_of_an_interface_have_the_names_of_the_mib():
    counters = struct.pack("!IIQIIQIIIIIIQIIIIII", 5, 6, 10**10, 1, 3, 7000, *range(13))
    sample = words(1, 5) + records((1, counters), (2, bytes(52)))

    told = decode_datagram(datagram((2, sample), (99, b"")))

    (each,) = told.counters
    assert (each.counters["ifIndex"], each.counters["ifInOctets"]) == (5, 7000)
    assert (each.counters["ifSpeed"], each.counters["ifOutUcastPkts"]) == (10**10, 7)
    assert told.unknown_count == 1


@pytest.mark.parametrize(
    ("encapsulation", "network_id"),
    [
        ("c350 19eb 00240000 0002a1ff", 42),
        ("c350 19eb 00240000 00fff0ff 0002a1ff", 42),
    ],
)
def test_label_of_mpls_over_udp_is_the_network(encapsulation, network_id):
    header = MACS + b"\x08\x00" + OUTER + bytes.fromhex(encapsulation) + INNER

    inner = flow_of_frame(header).inner

    assert (inner.source, inner.destination_port, inner.network_id) == ("1.1.1.1", 53, network_id)


def test_label_of_mpls_over_gre_is_the_network():
    gre = bytearray(OUTER)
    gre[9] = 47
    header = MACS + b"\x08\x00" + bytes(gre) + bytes.fromhex("20008847 00000001 0002a1ff") + INNER

    assert flow_of_frame(header).inner.network_id == 42


def test_header_that_is_cut_off_anywhere_tells_what_is_there():
    vxlan = (
        OUTER + bytes.fromhex("c35012b5 00240000 08000000 00002a00") + MACS + b"\x08\x00" + INNER
    )
    header = MACS + b"\x08\x00" + vxlan

    told = [flow_of_frame(header[:size]) for size in range(len(header) + 1)]

    assert told[33] == FrameFlow()
    assert told[34] == FrameFlow("192.0.2.1", "192.0.2.2", 17)
    assert told[-1].inner.destination == "2.2.2.2"


@pytest.mark.parametrize(
    "data",
    [
        b"", datagram(version=4), datagram()[:20], datagram((1, b"")), words(5, 3),
        words(5, 1, 0, 0, 0, 0, 0xFFFFFFFF), datagram((1, words(1, 3, 1, 1, 0, 1, 1, 0xFFFFFFFF))),
        datagram((1, words(1, 3, 1, 1, 0, 1, 1, 1, 1, 0xFFFFFFFF))),
    ],
)  # fmt: skip
def test_what_is_no_datagram_is_refused(data):
    with pytest.raises(DecodeError):
        decode_datagram(data)
