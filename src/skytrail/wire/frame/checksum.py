"""The Internet checksum (RFC 1071) and the pseudo headers it is computed over."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

IpAddress = IPv4Address | IPv6Address


def internet_checksum(*parts: bytes) -> int:
    """Return the one's complement of the one's complement sum of ``parts`` laid end to end.

    A message whose checksum field is right sums to 0.
    """
    message = b"".join(parts)
    if len(message) % 2:
        message += b"\0"
    # Modulo 0xffff arithmetic on the big integer equals folding carries, and is far faster
    # in Python than a loop over 16-bit words.
    number = int.from_bytes(message)
    total = number % 0xFFFF
    if total == 0 and number:
        total = 0xFFFF
    return total ^ 0xFFFF


def pseudo_header(
    source: IpAddress, destination: IpAddress, protocol: int, length_bytes: int
) -> bytes:
    """Return what TCP, UDP and ICMPv6 checksums cover beside the segment.

    RFC 768 and RFC 9293 for IPv4, RFC 8200 section 8.1 for IPv6.
    """
    if source.version == 4:
        return source.packed + destination.packed + bytes((0, protocol)) + length_bytes.to_bytes(2)
    return source.packed + destination.packed + length_bytes.to_bytes(4) + protocol.to_bytes(4)
