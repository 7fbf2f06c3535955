"""ICMP (RFC 792) and ICMPv6 (RFC 4443) messages: echo and the errors a router sends."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    IPV6_HEADER_BYTES,
    PROTOCOL_ICMPV6,
    IpAddress,
    internet_checksum,
    pseudo_header,
)

ICMP_ECHO_REPLY = 0
ICMP_UNREACHABLE = 3
ICMP_ECHO_REQUEST = 8
ICMP_TIME_EXCEEDED = 11
ICMP_CODE_HOST_UNREACHABLE = 1
ICMP_CODE_FRAGMENTATION_NEEDED = 4

ICMPV6_UNREACHABLE = 1
ICMPV6_TOO_BIG = 2
ICMPV6_TIME_EXCEEDED = 3
ICMPV6_ECHO_REQUEST = 128
ICMPV6_ECHO_REPLY = 129

ICMP_HEADER_BYTES = 8
ICMPV4_QUOTE_BYTES_MAX = 548
"""So that the whole error stays within 576 bytes (RFC 1812 section 4.3.2.3)."""
ICMPV6_QUOTE_BYTES_MAX = 1280 - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES
"""So that the whole error stays within the minimum MTU (RFC 4443 section 2.4)."""
_ICMPV4_ERRORS = frozenset({3, 4, 5, 11, 12})
_ICMPV6_FIRST_INFORMATIONAL = 128


@dataclass(frozen=True, slots=True)
class IcmpMessage:
    """``rest`` is the second 32-bit word, whose meaning depends on the type."""

    icmp_type: int
    code: int
    rest: int
    payload: bytes

    def encode(self, source: IpAddress, destination: IpAddress) -> bytes:
        """Return the message with its checksum; the addresses choose the family."""
        head = bytes((self.icmp_type, self.code))
        tail = self.rest.to_bytes(4) + self.payload
        pseudo = b""
        if isinstance(source, IPv6Address):
            length = ICMP_HEADER_BYTES + len(self.payload)
            pseudo = pseudo_header(source, destination, PROTOCOL_ICMPV6, length)
        return head + internet_checksum(pseudo, head, tail).to_bytes(2) + tail


def decode_icmp(message: bytes) -> IcmpMessage:
    """Decode either family without verifying the checksum (it may be unfinished)."""
    if len(message) < ICMP_HEADER_BYTES:
        raise DecodeError("ICMP header is cut short", len(message), "RFC 792")
    return IcmpMessage(
        icmp_type=message[0],
        code=message[1],
        rest=int.from_bytes(message[4:8]),
        payload=message[ICMP_HEADER_BYTES:],
    )


def is_error(icmp_type: int, *, ipv6: bool) -> bool:
    """True for messages that must never be answered by an error (RFC 1122 §3.2.2, 4443 §2.4)."""
    if ipv6:
        return icmp_type < _ICMPV6_FIRST_INFORMATIONAL
    return icmp_type in _ICMPV4_ERRORS
