"""Frames built and taken apart by plain arithmetic, independent of the datapath and of the wire
codecs, so that a mistake in either shows.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
TCP, UDP, ICMP, ICMP6, GRE = 6, 17, 1, 58, 47
SYN, ACK, FIN, RST = 0x02, 0x10, 0x01, 0x04


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\x00"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(destination: bytes, source: bytes, ethertype: int, payload: bytes) -> bytes:
    return destination + source + ethertype.to_bytes(2, "big") + payload


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 1,
    fragment: int = 0x4000,
    options: bytes = b"",
    **wrong: int,
) -> bytes:
    """``wrong`` overrides total_length, header_checksum, version or ihl."""
    ihl = wrong.get("ihl", 5 + len(options) // 4)
    header = struct.pack(
        "!BBHHHBBH4s4s",
        wrong.get("version", 4) << 4 | ihl,
        tos,
        wrong.get("total_length", 20 + len(options) + len(payload)),
        identification,
        fragment,
        ttl,
        protocol,
        0,
        IPv4Address(source).packed,
        IPv4Address(destination).packed,
    )
    header += options
    total = wrong.get("header_checksum", checksum(header))
    return header[:10] + total.to_bytes(2, "big") + header[12:] + payload


def ipv6(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    hop_limit: int = 64,
    traffic_class: int = 0,
    **wrong: int,
) -> bytes:
    return (
        struct.pack(
            "!IHBB",
            wrong.get("version", 6) << 28 | traffic_class << 20,
            wrong.get("payload_length", len(payload)),
            protocol,
            hop_limit,
        )
        + IPv6Address(source).packed
        + IPv6Address(destination).packed
        + payload
    )


def tcp(source: int, destination: int, *, flags: int = ACK, options: bytes = b"") -> bytes:
    offset = 5 + len(options) // 4
    return (
        struct.pack("!HHIIBBHHH", source, destination, 1, 1, offset << 4, flags, 1024, 0, 0)
        + options
    )


def udp(source: int, destination: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def icmp(kind: int, code: int = 0, identifier: int = 7, payload: bytes = b"") -> bytes:
    return struct.pack("!BBHHH", kind, code, 0, identifier, 1) + payload


def icmp6_checked(source: str, destination: str, message: bytes) -> bytes:
    pseudo = (
        IPv6Address(source).packed
        + IPv6Address(destination).packed
        + struct.pack("!II", len(message), ICMP6)
    )
    total = checksum(pseudo + message[:2] + b"\x00\x00" + message[4:])
    return message[:2] + total.to_bytes(2, "big") + message[4:]


def arp(
    operation: int, sender_mac: bytes, sender: str, target: str, target_mac: bytes = bytes(6)
) -> bytes:
    return (
        struct.pack("!HHBBH", 1, ETHERTYPE_IPV4, 6, 4, operation)
        + sender_mac
        + IPv4Address(sender).packed
        + target_mac
        + IPv4Address(target).packed
    )


@dataclass(frozen=True)
class Outer:
    """A decoded tunnel packet."""

    destination_mac: bytes
    source_mac: bytes
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    tos: int
    ttl: int
    dont_fragment: bool
    source_port: int
    destination_port: int
    label: int
    """MPLS label or VNI."""
    inner: bytes
    exp: int = 0


def decode_tunnel(frame: bytes, *, marked: bool = False) -> Outer:
    """Take a tunnel frame apart, refusing anything a strict receiver would. ``marked``: its label
    may have a traffic class.
    """
    if frame[12:14] != b"\x08\x00":
        raise ValueError("not IPv4")
    header = frame[14:34]
    version_ihl, tos, length, _, fragment, ttl, protocol = struct.unpack("!BBHHHBB", header[:10])
    if version_ihl != 0x45 or length != len(frame) - 14 or checksum(header):
        raise ValueError(f"bad outer IPv4 header {header.hex()}")
    source_port = destination_port = 0
    if protocol == UDP:
        source_port, destination_port, udp_length, udp_sum = struct.unpack("!HHHH", frame[34:42])
        if udp_length != length - 20 or udp_sum:
            raise ValueError("bad outer UDP header")
        rest = frame[42:]
    else:
        if protocol != GRE or frame[34:38] != b"\x00\x00\x88\x47":
            raise ValueError("bad GRE header")
        rest = frame[38:]
    exp = 0
    if destination_port == 4789:
        if rest[0] != 0x08 or rest[1:4] != bytes(3) or rest[7]:
            raise ValueError("bad VXLAN header")
        label, inner = int.from_bytes(rest[4:7], "big"), rest[8:]
    else:
        word = int.from_bytes(rest[:4], "big")
        exp = word >> 9 & 7
        if not word & 0x100 or (exp and not marked) or not word & 0xFF:
            raise ValueError("bad label stack entry")
        label, inner = word >> 12, rest[4:]
    return Outer(
        destination_mac=frame[:6],
        source_mac=frame[6:12],
        source=IPv4Address(header[12:16]),
        destination=IPv4Address(header[16:20]),
        protocol=protocol,
        tos=tos,
        ttl=ttl,
        dont_fragment=bool(fragment & 0x4000),
        source_port=source_port,
        destination_port=destination_port,
        label=label,
        inner=inner,
        exp=exp,
    )


def encode_tunnel(
    kind: str,
    source: str,
    destination: str,
    label: int,
    inner: bytes,
    *,
    tos: int = 0,
    exp: int = 0,
    **ip: int,
) -> bytes:
    """IP packet of a tunnel: ``kind`` is udp, gre or vxlan."""
    word = (label << 12 | exp << 9 | 0x100 | 64).to_bytes(4, "big")
    match kind:
        case "udp":
            return ipv4(source, destination, UDP, udp(50000, 6635, word + inner), tos=tos, **ip)
        case "gre":
            return ipv4(source, destination, GRE, b"\0\0\x88\x47" + word + inner, tos=tos, **ip)
        case _:
            header = b"\x08\0\0\0" + label.to_bytes(3, "big") + b"\0"
            return ipv4(source, destination, UDP, udp(50000, 4789, header + inner), tos=tos, **ip)


def is_v6(address: str) -> bool:
    return ip_address(address).version == 6


def ip(source: str, destination: str, protocol: int, payload: bytes, **fields: int) -> bytes:
    """Either family, by the addresses; ``ttl`` and ``tos`` are named as in IPv4."""
    if not is_v6(source):
        return ipv4(source, destination, protocol, payload, **fields)
    renamed = {"ttl": "hop_limit", "tos": "traffic_class"}
    return ipv6(
        source,
        destination,
        protocol,
        payload,
        **{renamed.get(name, name): value for name, value in fields.items()},
    )
