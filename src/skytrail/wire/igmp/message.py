"""Reports of listeners in, queries out; both families and all versions become the same records.

| message | IGMP | MLD | record |
| --- | --- | --- | --- |
| report of versions 1 (and 2) | 0x12, 0x16 | 131 | IS_EXCLUDE of no source |
| leave, done | 0x17 | 132 | TO_INCLUDE of no source |
| report of versions 3 (and 2) | 0x22 | 143 | as it says |

Queries are of the last version, which hosts of earlier ones read as their own.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    PROTOCOL_ICMPV6,
    IpAddress,
    IpPacket,
    internet_checksum,
    pseudo_header,
)

PROTOCOL_IGMP = 2
IGMP_QUERY, IGMP_LEAVE = 0x11, 0x17
IGMP_REPORT_V1 = 0x12
IGMP_REPORTS = frozenset({IGMP_REPORT_V1, 0x16})
IGMP_REPORT_V3 = 0x22
MLD_QUERY, MLD_REPORT, MLD_DONE, MLD_REPORT_V2 = 130, 131, 132, 143
_KINDS = frozenset(range(1, 7))
_IGMP_RFC, _MLD_RFC = "RFC 3376", "RFC 3810"
_RECORDS_COUNT_MAX = 512
"""More do not fit into a frame."""
_ALL_HOSTS = (IPv4Address("224.0.0.1"), IPv6Address("ff02::1"))
_HOP_BY_HOP = 0


class RecordKind(enum.IntEnum):
    """What a listener says of a group's sources (RFC 3376 section 4.2.12)."""

    IS_INCLUDE = 1
    IS_EXCLUDE = 2
    TO_INCLUDE = 3
    TO_EXCLUDE = 4
    ALLOW = 5
    BLOCK = 6


@dataclass(frozen=True, slots=True)
class Record:
    kind: RecordKind
    group: IpAddress
    sources: tuple[IpAddress, ...] = ()
    versions: int = 0
    """Of the protocol that it is said in, as RFC 9251 section 9.1 counts them: 1, 2, 4."""


def decode_reports(packet: IpPacket) -> tuple[Record, ...]:
    """Return what listeners say in a packet; ``DecodeError`` for anything else, queries included.

    Records of unknown kinds are passed over (RFC 3376 section 4.2.12). Groups are multicast, and
    sources are not.
    """
    if packet.is_fragment:
        raise DecodeError("a report is fragmented", 0, _IGMP_RFC)
    if packet.hop_limit != 1:
        raise DecodeError("a report comes from another link", 0, _IGMP_RFC)
    if isinstance(packet.source, IPv4Address):
        return _decode_igmp(packet)
    return _decode_mld(packet)


def _decode_igmp(packet: IpPacket) -> tuple[Record, ...]:
    message = packet.payload
    if packet.protocol != PROTOCOL_IGMP or len(message) < 8:
        raise DecodeError("an IGMP message is cut short", len(message), _IGMP_RFC)
    if internet_checksum(message):
        raise DecodeError("IGMP checksum is wrong", 2, _IGMP_RFC)
    kind = message[0]
    if kind == IGMP_QUERY:
        raise DecodeError("a workload sends queries", 0, _IGMP_RFC)
    if kind == IGMP_REPORT_V3:
        return _records(message, 4, 4, _IGMP_RFC)
    group = _group(message[4:8], _IGMP_RFC)
    if kind in IGMP_REPORTS:
        return (Record(RecordKind.IS_EXCLUDE, group, (), 1 if kind == IGMP_REPORT_V1 else 2),)
    if kind == IGMP_LEAVE:
        return (Record(RecordKind.TO_INCLUDE, group),)
    raise DecodeError("IGMP type is unknown", 0, _IGMP_RFC)


def _decode_mld(packet: IpPacket) -> tuple[Record, ...]:
    message = packet.payload
    if packet.protocol != PROTOCOL_ICMPV6 or len(message) < 8:
        raise DecodeError("an MLD message is cut short", len(message), _MLD_RFC)
    if not packet.source.is_link_local:
        raise DecodeError("an MLD message has no link-local source", 0, _MLD_RFC)
    pseudo = pseudo_header(packet.source, packet.destination, PROTOCOL_ICMPV6, len(message))
    if internet_checksum(pseudo, message):
        raise DecodeError("MLD checksum is wrong", 2, _MLD_RFC)
    kind = message[0]
    if kind == MLD_QUERY:
        raise DecodeError("a workload sends queries", 0, _MLD_RFC)
    if kind == MLD_REPORT_V2:
        return _records(message, 16, 2, _MLD_RFC)
    if len(message) < 24:
        raise DecodeError("an MLD message is cut short", len(message), _MLD_RFC)
    group = _group(message[8:24], _MLD_RFC)
    if kind == MLD_REPORT:
        return (Record(RecordKind.IS_EXCLUDE, group, (), 1),)
    if kind == MLD_DONE:
        return (Record(RecordKind.TO_INCLUDE, group),)
    raise DecodeError("MLD type is unknown", 0, _MLD_RFC)


def _records(message: bytes, size: int, versions: int, rfc: str) -> tuple[Record, ...]:
    """Group records of ``size``-byte addresses, from byte 8 on."""
    count, offset = int.from_bytes(message[6:8]), 8
    if count > _RECORDS_COUNT_MAX:
        raise DecodeError("more records than a frame holds", 6, rfc)
    found: list[Record] = []
    for _ in range(count):
        head = offset + 4 + size
        if head > len(message):
            raise DecodeError("a group record is cut short", offset, rfc)
        sources = int.from_bytes(message[offset + 2 : offset + 4])
        end = head + sources * size
        if end + message[offset + 1] * 4 > len(message):
            raise DecodeError("a group record's sources are cut short", offset, rfc)
        kind = message[offset]
        if kind in _KINDS:
            group = _group(message[offset + 4 : head], rfc)
            listed = [_source(message[at : at + size], rfc) for at in range(head, end, size)]
            found.append(Record(RecordKind(kind), group, tuple(listed), versions))
        offset = end + message[offset + 1] * 4
    return tuple(found)


def _group(packed: bytes, rfc: str) -> IpAddress:
    address = ip_address(packed)
    if not address.is_multicast:
        raise DecodeError("a group is no multicast address", 0, rfc)
    return address


def _source(packed: bytes, rfc: str) -> IpAddress:
    address = ip_address(packed)
    if address.is_multicast or address.is_unspecified:
        raise DecodeError("a source is no unicast address", 0, rfc)
    return address


def encode_query(
    source: IpAddress,
    group: IpAddress | None = None,
    sources: tuple[IpAddress, ...] = (),
    *,
    response_time_s: float,
    interval_s: int,
) -> bytes:
    """Return a packet that asks all listeners, or those of a group, or of some of its sources.

    ``interval_s``: until the next general one. It carries the router alert option (RFC 2113, 2711).
    """
    tail = bytes((2, _code(interval_s))) + len(sources).to_bytes(2)
    tail += b"".join(each.packed for each in sources)
    if isinstance(source, IPv4Address):
        to = group or _ALL_HOSTS[0]
        head = bytes((IGMP_QUERY, _code(round(response_time_s * 10))))
        tail = (group or IPv4Address(0)).packed + tail
        payload = head + internet_checksum(head, tail).to_bytes(2) + tail
        return _with_alert_v4(source.packed + to.packed, payload)
    to = group or _ALL_HOSTS[1]
    head = bytes((MLD_QUERY, 0))
    code = round(response_time_s * 1000).to_bytes(2)
    tail = code + bytes(2) + (group or IPv6Address(0)).packed + tail
    pseudo = pseudo_header(source, to, PROTOCOL_ICMPV6, len(head) + 2 + len(tail))
    payload = head + internet_checksum(pseudo, head, tail).to_bytes(2) + tail
    alert = bytes((PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0))
    return IpPacket(source, to, _HOP_BY_HOP, alert + payload, hop_limit=1).encode()


def _with_alert_v4(addresses: bytes, payload: bytes) -> bytes:
    alert = bytes((0x94, 4, 0, 0))
    before = bytes((0x46, 0xC0)) + (24 + len(payload)).to_bytes(2) + bytes(4)
    before += bytes((1, PROTOCOL_IGMP))
    checksum = internet_checksum(before, addresses, alert)
    return before + checksum.to_bytes(2) + addresses + alert + payload


def _code(value: int) -> int:
    """A number in one byte: from 128 on, a mantissa and an exponent (RFC 3376 section 4.1.1)."""
    if value < 128:
        return value
    exponent = 0
    while value >> (exponent + 3) > 0x1F and exponent < 7:
        exponent += 1
    return 0x80 | exponent << 4 | min(value >> (exponent + 3), 0x1F) & 0xF
