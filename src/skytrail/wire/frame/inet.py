"""IPv4 and IPv6 packets, as far as a vRouter that answers for itself needs them.

Both families decode into one :class:`IpPacket`. IPv6 extension headers are walked to find the
upper layer; what they carry is not kept, so ``encode`` writes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame.checksum import internet_checksum

IpAddress = IPv4Address | IPv6Address

PROTOCOL_ICMP = 1
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_ICMPV6 = 58

IPV4_HEADER_BYTES = 20
IPV6_HEADER_BYTES = 40
_IPV4_RFC = "RFC 791"
_IPV6_RFC = "RFC 8200"
_FRAGMENT_HEADER = 44
_EXTENSION_HEADERS = frozenset({0, 43, 60, 135})
"""Hop-by-hop, routing, destination options, mobility: all with a length in 8-byte units."""
EXTENSION_HEADERS_COUNT_MAX = 8
DEFAULT_HOP_LIMIT = 64


@dataclass(frozen=True, slots=True)
class IpPacket:
    """One packet of either family. ``payload`` may be shorter than sent when it was truncated."""

    source: IpAddress
    destination: IpAddress
    protocol: int
    """Upper layer, after IPv6 extension headers."""
    payload: bytes
    hop_limit: int = DEFAULT_HOP_LIMIT
    traffic_class: int = 0
    identification: int = 0
    """IPv4 only."""
    dont_fragment: bool = False
    """IPv4 only."""
    fragment_offset_bytes: int = 0
    more_fragments: bool = False

    @property
    def is_fragment(self) -> bool:
        return self.more_fragments or self.fragment_offset_bytes > 0

    def encode(self) -> bytes:
        """Return header and payload with a right header checksum.

        ``ValueError`` for families that differ, or fragments of IPv6.
        """
        match self.source, self.destination:
            case IPv4Address(), IPv4Address():
                return self._encode_ipv4()
            case IPv6Address(), IPv6Address():
                return self._encode_ipv6()
            case _:
                raise ValueError(f"{self.source} and {self.destination} differ in family")

    def _encode_ipv4(self) -> bytes:
        fragment = (
            (0x4000 if self.dont_fragment else 0)
            | (0x2000 if self.more_fragments else 0)
            | (self.fragment_offset_bytes // 8)
        )
        before = (
            bytes((0x45, self.traffic_class))
            + (IPV4_HEADER_BYTES + len(self.payload)).to_bytes(2)
            + self.identification.to_bytes(2)
            + fragment.to_bytes(2)
            + bytes((self.hop_limit, self.protocol))
        )
        after = self.source.packed + self.destination.packed
        checksum = internet_checksum(before, after)
        return before + checksum.to_bytes(2) + after + self.payload

    def _encode_ipv6(self) -> bytes:
        if self.is_fragment:
            raise ValueError("an IPv6 fragment cannot be encoded: it needs a fragment header")
        return (
            ((6 << 28) | (self.traffic_class << 20)).to_bytes(4)
            + len(self.payload).to_bytes(2)
            + bytes((self.protocol, self.hop_limit))
            + self.source.packed
            + self.destination.packed
            + self.payload
        )


def decode_ip(packet: bytes) -> IpPacket:
    """Decode either family by the version nibble. Trailing link padding is cut off."""
    if not packet:
        raise DecodeError("IP packet is empty", 0, _IPV4_RFC)
    match packet[0] >> 4:
        case 4:
            return _decode_ipv4(packet)
        case 6:
            return _decode_ipv6(packet)
        case version:
            raise DecodeError(f"IP version {version} is neither 4 nor 6", 0, _IPV4_RFC)


def _decode_ipv4(packet: bytes) -> IpPacket:
    if len(packet) < IPV4_HEADER_BYTES:
        raise DecodeError("IPv4 header is cut short", len(packet), _IPV4_RFC)
    header_bytes = (packet[0] & 0x0F) * 4
    total_bytes = int.from_bytes(packet[2:4])
    if header_bytes < IPV4_HEADER_BYTES or header_bytes > len(packet):
        raise DecodeError(f"IPv4 header length {header_bytes} is impossible", 0, _IPV4_RFC)
    if total_bytes < header_bytes:
        raise DecodeError(f"IPv4 total length {total_bytes} is below the header", 2, _IPV4_RFC)
    if internet_checksum(packet[:header_bytes]) != 0:
        raise DecodeError("IPv4 header checksum is wrong", 10, _IPV4_RFC)
    fragment = int.from_bytes(packet[6:8])
    return IpPacket(
        source=IPv4Address(packet[12:16]),
        destination=IPv4Address(packet[16:20]),
        protocol=packet[9],
        payload=packet[header_bytes:total_bytes],
        hop_limit=packet[8],
        traffic_class=packet[1],
        identification=int.from_bytes(packet[4:6]),
        dont_fragment=bool(fragment & 0x4000),
        fragment_offset_bytes=(fragment & 0x1FFF) * 8,
        more_fragments=bool(fragment & 0x2000),
    )


def _decode_ipv6(packet: bytes) -> IpPacket:
    if len(packet) < IPV6_HEADER_BYTES:
        raise DecodeError("IPv6 header is cut short", len(packet), _IPV6_RFC)
    end = min(len(packet), IPV6_HEADER_BYTES + int.from_bytes(packet[4:6]))
    protocol, offset, fragment = _walk_extensions(packet, packet[6], end)
    return IpPacket(
        source=IPv6Address(packet[8:24]),
        destination=IPv6Address(packet[24:40]),
        protocol=protocol,
        payload=packet[offset:end],
        hop_limit=packet[7],
        traffic_class=(int.from_bytes(packet[0:2]) >> 4) & 0xFF,
        fragment_offset_bytes=fragment & 0xFFF8,
        more_fragments=bool(fragment & 1),
    )


def _walk_extensions(packet: bytes, protocol: int, end: int) -> tuple[int, int, int]:
    """Return (upper protocol, its offset, fragment field or 0)."""
    offset, fragment = IPV6_HEADER_BYTES, 0
    for _ in range(EXTENSION_HEADERS_COUNT_MAX):
        if protocol not in _EXTENSION_HEADERS and protocol != _FRAGMENT_HEADER:
            return protocol, offset, fragment
        if offset + 8 > end:
            raise DecodeError("IPv6 extension header is cut short", offset, _IPV6_RFC)
        if protocol == _FRAGMENT_HEADER:
            fragment = int.from_bytes(packet[offset + 2 : offset + 4])
            length = 8
        else:
            length = (packet[offset + 1] + 1) * 8
        protocol, offset = packet[offset], offset + length
        if offset > end:
            raise DecodeError("IPv6 extension header leaves the packet", offset, _IPV6_RFC)
        if fragment & 0xFFF8:
            # Only the first fragment carries the upper-layer header (RFC 8200 section 4.5).
            return protocol, offset, fragment
    raise DecodeError("too many IPv6 extension headers", offset, _IPV6_RFC)
