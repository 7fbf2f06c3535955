"""Encoding of rows about copies of packets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from skytrail.agent import abi
from skytrail.agent.io.ebpf_rows import Entry, from_u32, u32
from skytrail.agent.tables import (
    MirrorId,
    MirrorKind,
    MirrorRow,
    NextHopId,
    PortMirrorRow,
    VifId,
    VrfId,
)
from skytrail.net import Mac

_NO_ADDRESS, _NO_MAC = bytes(16), bytes(6)
_IPV6_AT, _IPV6 = slice(12, 14), b"\x86\xdd"


def mirror_entry(row: MirrorRow) -> Entry:
    flags = (
        (abi.MirrorFlags.IP if row.header else 0)
        | (abi.MirrorFlags.UDP if row.is_udp else 0)
        | (abi.MirrorFlags.PCAP if row.has_record else 0)
        | (abi.MirrorFlags.IP6 if row.header[_IPV6_AT] == _IPV6 else 0)
    )
    value = abi.Mirror(
        kind=row.kind,
        flags=flags,
        header_bytes=len(row.header),
        vrf=row.vrf_id,
        analyzer=row.analyzer.packed.ljust(16, b"\0") if row.analyzer else _NO_ADDRESS,
        nexthop=row.nexthop_id,
        mac=row.mac.packed if row.mac else _NO_MAC,
        header=row.header.ljust(abi.MIRROR_HEADER_BYTES_MAX, b"\0"),
    )
    return u32(row.mirror_id), value.pack()


def mirror_row(mirror_id: int, raw: bytes) -> MirrorRow:
    value = abi.Mirror.unpack(raw)
    return MirrorRow(
        mirror_id=MirrorId(mirror_id),
        kind=MirrorKind(value.kind),
        vrf_id=VrfId(value.vrf),
        analyzer=_analyzer(value),
        mac=Mac(value.mac) if value.mac != _NO_MAC else None,
        nexthop_id=NextHopId(value.nexthop),
        header=value.header[: value.header_bytes],
        is_udp=bool(value.flags & abi.MirrorFlags.UDP),
        has_record=bool(value.flags & abi.MirrorFlags.PCAP),
    )


def _analyzer(value: abi.Mirror) -> IPv4Address | IPv6Address | None:
    if value.analyzer == _NO_ADDRESS:
        return None
    is_ipv6 = value.flags & abi.MirrorFlags.IP6
    return IPv6Address(value.analyzer) if is_ipv6 else IPv4Address(value.analyzer[:4])


def port_mirror_entry(row: PortMirrorRow) -> Entry:
    return u32(row.vif_id), abi.PortMirror(sent=row.sent, delivered=row.delivered).pack()


def port_mirror_row(key: bytes, raw: bytes) -> PortMirrorRow:
    value = abi.PortMirror.unpack(raw)
    return PortMirrorRow(VifId(from_u32(key)), MirrorId(value.sent), MirrorId(value.delivered))
