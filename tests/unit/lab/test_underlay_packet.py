"""The lab's own decoder of tunnel packets."""

import contextlib
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.net import Mac
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import ETHERTYPE_IPV4, EthernetFrame, IpPacket, UdpDatagram

A, B = IPv4Address("198.18.1.2"), IPv4Address("198.18.2.2")
INNER = IpPacket(
    source=IPv4Address("10.1.1.3"),
    destination=IPv4Address("10.1.1.4"),
    protocol=1,
    payload=b"\x08\0\0\0\0\0\0\0",
    hop_limit=63,
)
MAC = Mac.parse("02:00:00:00:00:01")


def framed(protocol, payload):
    outer = IpPacket(source=A, destination=B, protocol=protocol, payload=payload)
    return EthernetFrame(MAC, MAC, ETHERTYPE_IPV4, outer.encode()).encode()


def over_udp(port, payload):
    return framed(17, UdpDatagram(50000, port, payload).encode(A, B))


def test_mpls_over_udp_shows_label_and_inner_packet():
    entry = (12345 << 12 | 0x100 | 64).to_bytes(4)

    packet = decode_tunnel(over_udp(6635, entry + INNER.encode()))

    assert packet.encapsulation == "MPLSoUDP"
    assert (packet.label, packet.bottom_of_stack, packet.label_ttl) == (12345, True, 64)
    assert packet.inner_ip == INNER
    assert packet.source_port == 50000
    assert packet.lines()[1] == "MPLS label 12345, bottom of stack, ttl 64"


def test_marks_are_shown_where_there_are_any():
    entry = (16 << 12 | 5 << 9 | 0x100 | 64).to_bytes(4)
    datagram = UdpDatagram(50000, 6635, entry + INNER.encode()).encode(A, B)
    outer = IpPacket(source=A, destination=B, protocol=17, payload=datagram, traffic_class=46 << 2)
    frame = EthernetFrame(MAC, MAC, ETHERTYPE_IPV4, outer.encode()).encode()

    lines = decode_tunnel(frame).lines()

    assert lines[0].startswith("outer IPv4 198.18.1.2 > 198.18.2.2 ttl 64 dscp 46, UDP 50000")
    assert lines[1:] == [
        "MPLS label 16, bottom of stack, ttl 64 exp 5",
        "inner 10.1.1.3 > 10.1.1.4 ICMP ttl 63",
    ]


def test_mpls_over_gre_shows_label_and_inner_packet():
    entry = (77 << 12 | 0x100 | 64).to_bytes(4)

    packet = decode_tunnel(framed(47, b"\0\0\x88\x47" + entry + INNER.encode()))

    assert (packet.encapsulation, packet.label, packet.inner_ip) == ("MPLSoGRE", 77, INNER)


def test_vxlan_shows_vni_and_inner_frame():
    inner = EthernetFrame(MAC, MAC, ETHERTYPE_IPV4, INNER.encode())
    header = b"\x08\0\0\0" + (5000).to_bytes(3) + b"\0"

    packet = decode_tunnel(over_udp(4789, header + inner.encode()))

    assert (packet.encapsulation, packet.label, packet.inner) == ("VXLAN", 5000, inner)
    assert packet.inner_ip == INNER


def test_other_packets_are_no_tunnel_packets():
    assert decode_tunnel(over_udp(53, b"question")) is None
    assert decode_tunnel(EthernetFrame(MAC, MAC, 0x0806, bytes(28)).encode()) is None


def test_a_cut_label_is_a_decode_error():
    with pytest.raises(DecodeError):
        decode_tunnel(over_udp(6635, b"\0\0"))


@given(
    st.binary(max_size=200),
    st.sampled_from([(17, 6635), (17, 4789), (47, 0), (17, 53), (6, 0)]),
)
def test_arbitrary_payloads_raise_nothing_but_decode_errors(payload, kind):
    protocol, port = kind
    frame = over_udp(port, payload) if protocol == 17 else framed(protocol, payload)
    with contextlib.suppress(DecodeError):
        decode_tunnel(frame)


@given(st.binary(max_size=100))
def test_arbitrary_frames_raise_nothing_but_decode_errors(frame):
    with contextlib.suppress(DecodeError):
        decode_tunnel(frame)
