"""A probe: a first packet that carries a token, by which it is known again wherever frames are looked at. Pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

TOKEN_BYTES: Final = 16
NUMBERS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58}
"""What a probe can be made of, by its number in IP."""
_SYN: Final = 2
_CHECKSUM_AT: Final = {1: 2, 58: 2, 6: 16, 17: 6}

IpAddress = IPv4Address | IPv6Address


def probe_number(protocol: str, version: int) -> int:
    """Return the number of a protocol; ``icmp`` is ICMPv6 over IPv6."""
    return NUMBERS["icmp6" if (version, protocol) == (6, "icmp") else protocol]


def probe_frame(
    macs: tuple[bytes, bytes],
    ends: tuple[IpAddress, IpAddress],
    protocol: int,
    ports: tuple[int, int],
    token: bytes,
) -> bytes:
    """Return the probe; pairs are (source, destination), of ICMP the source port is the identifier."""
    source, destination = ends
    body = _body(protocol, ports, token)
    place = _CHECKSUM_AT[protocol]
    pseudo = source.packed + destination.packed + struct.pack("!II", len(body), protocol)
    total = _sum(body if protocol == 1 else pseudo + body) or 0xFFFF
    body = body[:place] + total.to_bytes(2, "big") + body[place + 2 :]
    if source.version == 6:
        ethertype = 0x86DD
        header = struct.pack("!IHBB", 6 << 28, len(body), protocol, 64)
        header += source.packed + destination.packed
    else:
        ethertype = 0x0800
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0)
        header += source.packed + destination.packed
        header = header[:10] + _sum(header).to_bytes(2, "big") + header[12:]
    return macs[1] + macs[0] + ethertype.to_bytes(2, "big") + header + body


def _body(protocol: int, ports: tuple[int, int], token: bytes) -> bytes:
    if protocol == 6:
        return struct.pack("!HHIIBBHHH", *ports, 1, 0, 5 << 4, _SYN, 1024, 0, 0) + token
    if protocol == 17:
        return struct.pack("!HHHH", *ports, 8 + len(token), 0) + token
    kind = 8 if protocol == 1 else 128
    return struct.pack("!BBHHH", kind, 0, 0, ports[0], 1) + token


def _sum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
