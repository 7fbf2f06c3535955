"""ARP and neighbour discovery against bytes written down independently of the codec."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from skytrail.net import Mac
from skytrail.wire.arp_nd import (
    ARP_REQUEST,
    NeighbourSolicitation,
    RouterSolicitation,
    decode_arp,
    decode_nd,
)
from skytrail.wire.errors import DecodeError
from skytrail.wire.icmp import IcmpMessage

MAC = Mac.parse("02:00:00:00:00:01")
REQUEST = bytes.fromhex("0001080006040001 020000000001 0a000001 000000000000 0a000002")


def test_arp_request_with_padding():
    message = decode_arp(REQUEST + bytes(18))

    assert (message.operation, message.sender_mac) == (ARP_REQUEST, MAC)
    assert str(message.target_address) == "10.0.0.2"
    assert message.encode() == REQUEST
    assert message.sender_address == IPv4Address("10.0.0.1")


@pytest.mark.parametrize("message", [b"", REQUEST[:27], b"\0\6" + REQUEST[2:]])
def test_malformed_arp_is_refused(message):
    with pytest.raises(DecodeError):
        decode_arp(message)


def test_neighbour_solicitation_with_source_mac():
    target = IPv6Address("fd00::1")
    body = target.packed + b"\1\1" + MAC.packed

    assert decode_nd(IcmpMessage(135, 0, 0, body)) == NeighbourSolicitation(target, MAC)


def test_router_solicitation_without_options():
    assert decode_nd(IcmpMessage(133, 0, 0, b"")) == RouterSolicitation()


@pytest.mark.parametrize(
    "message",
    [
        IcmpMessage(135, 0, 0, bytes(15)),
        IcmpMessage(135, 0, 0, bytes(16) + b"\1\0"),
        IcmpMessage(133, 0, 0, b"\1\2" + bytes(6)),
        IcmpMessage(134, 0, 0, bytes(7)),
        IcmpMessage(134, 0, 0, bytes(8) + b"\3\1" + bytes(6)),
        IcmpMessage(128, 0, 0, b""),
    ],
)
def test_malformed_discovery_is_refused(message):
    with pytest.raises(DecodeError):
        decode_nd(message)
