"""ICMP and frames against bytes written down independently of the codec."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import decode_ip, decode_udp, internet_checksum
from skytrail.wire.icmp import IcmpMessage, decode_icmp, is_error

# A captured-by-hand echo request: type 8, checksum f7fc, id 1, sequence 2.
ECHO = bytes.fromhex("0800f7fc00010002")
# The IPv4 header example used by RFC 1071 tutorials: checksum b861.
HEADER = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")


def test_echo_request_has_the_known_checksum():
    address = IPv4Address("192.0.2.1")

    assert IcmpMessage(8, 0, 0x00010002, b"").encode(address, address) == ECHO
    assert decode_icmp(ECHO) == IcmpMessage(8, 0, 0x00010002, b"")


def test_ipv4_header_checksum_of_a_known_packet():
    assert internet_checksum(HEADER) == 0
    assert internet_checksum(HEADER[:10], b"\0\0", HEADER[12:]) == 0xB861


def test_checksum_of_all_ones_is_zero_and_of_nothing_is_all_ones():
    assert internet_checksum(b"\xff\xff") == 0
    assert internet_checksum(b"") == 0xFFFF


def test_icmpv6_checksum_covers_the_addresses():
    one, other = IPv6Address("fd00::1"), IPv6Address("fd00::2")
    message = IcmpMessage(128, 0, 0, b"x")

    assert message.encode(one, other) != message.encode(one, one)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "empty"),
        (b"\x55" + HEADER[1:], "version 5"),
        (HEADER[:19], "cut short"),
        (b"\x44" + HEADER[1:], "header length"),
        (b"\x4f" + HEADER[1:], "header length"),
        (HEADER[:2] + b"\0\1" + HEADER[4:], "total length"),
        (HEADER[:8] + b"\x01" + HEADER[9:], "checksum"),
        (b"\x60" + bytes(30), "cut short"),
        (b"\x60\0\0\0\0\4\0\1" + bytes(32) + bytes(4), "extension header"),
    ],
)
def test_malformed_ip_packet_is_named(packet, reason):
    with pytest.raises(DecodeError, match=reason):
        decode_ip(packet)


def test_link_padding_behind_the_packet_is_cut_off():
    assert (
        decode_ip(
            HEADER[:2] + b"\0\x14" + b"\0\0\x40\0\x40\x11\xb8\xc0" + HEADER[12:] + b"pad"
        ).payload
        == b""
    )


@pytest.mark.parametrize("length", [7, 40])
def test_udp_length_must_fit(length):
    with pytest.raises(DecodeError):
        decode_udp(b"\0\1\0\2" + length.to_bytes(2) + b"\0\0data")


@pytest.mark.parametrize(
    ("icmp_type", "ipv6", "expected"),
    [(3, False, True), (8, False, False), (1, True, True), (128, True, False)],
)
def test_errors_are_told_from_questions(icmp_type, ipv6, expected):
    assert is_error(icmp_type, ipv6=ipv6) is expected
