"""EVPN routes of types 1 to 6 on the wire (RFC 7432 section 7, RFC 9136, RFC 9251)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from skytrail.net import Mac
from skytrail.wire.bgp.nlri import (
    SEGMENT_BYTES,
    EthernetAutoDiscovery,
    EthernetSegment,
    EvpnNlri,
    InclusiveMulticast,
    IpAddress,
    IpPrefixRoute,
    MacIp,
    SelectiveMulticast,
)
from skytrail.wire.bgp.nlri_reading import (
    NlriError,
    Skipped,
    decode_distinguisher,
    encode_sized_address,
    sized_address,
)
from skytrail.wire.bgp.prefixes import network4, network6

_RAW_LABEL_MAX = 0xFF_FFFF


def read_evpn(kind: int, value: bytes) -> EvpnNlri:
    """Read one route; ``Skipped`` for an unknown type, ``NlriError`` for a known one malformed."""
    reader = _READERS.get(kind)
    if reader is None:
        raise Skipped(f"unknown route type {kind}")
    return reader(value)


def encode_evpn(nlri: EvpnNlri) -> bytes:
    """Return type, length and value; ``ValueError`` for what is no EVPN route or out of range."""
    kind, parts = _parts(nlri)
    value = b"".join(parts)
    return bytes((kind, len(value))) + value


def _read_auto_discovery(value: bytes) -> EthernetAutoDiscovery:
    if len(value) != 25:
        raise NlriError(f"type 1 of {len(value)} bytes")
    return EthernetAutoDiscovery(
        decode_distinguisher(value[:8]),
        value[8:18],
        int.from_bytes(value[18:22]),
        int.from_bytes(value[22:25]),
    )


def _read_mac_ip(value: bytes) -> MacIp:
    if len(value) < 33 or value[22] != 48:
        raise NlriError(f"type 2 of {len(value)} bytes")
    distinguisher = decode_distinguisher(value[:8])
    address, labels = sized_address(value[29:])
    if len(labels) not in {3, 6}:
        raise NlriError(f"type 2 with {len(labels)} bytes of labels")
    return MacIp(
        distinguisher,
        value[8:18],
        int.from_bytes(value[18:22]),
        Mac(value[23:29]),
        address,
        int.from_bytes(labels[:3]),
        int.from_bytes(labels[3:]) if len(labels) == 6 else None,
    )


def _read_inclusive_multicast(value: bytes) -> InclusiveMulticast:
    distinguisher = decode_distinguisher(value[:8])
    originator, rest = sized_address(value[12:])
    if originator is None or rest:
        raise NlriError(f"type 3 of {len(value)} bytes")
    return InclusiveMulticast(distinguisher, int.from_bytes(value[8:12]), originator)


def _read_segment(value: bytes) -> EthernetSegment:
    distinguisher = decode_distinguisher(value[:8])
    originator, rest = sized_address(value[18:])
    if originator is None or rest:
        raise NlriError(f"type 4 of {len(value)} bytes")
    return EthernetSegment(distinguisher, value[8:18], originator)


def _read_prefix(value: bytes) -> IpPrefixRoute:
    width = {34: 4, 58: 16}.get(len(value))
    if width is None or value[22] > 8 * width:
        raise NlriError(f"type 5 of {len(value)} bytes")
    length = value[22]
    chunk = value[23 : 23 + ((length + 7) >> 3)]
    gateway = value[23 + width : 23 + 2 * width]
    return IpPrefixRoute(
        decode_distinguisher(value[:8]),
        value[8:18],
        int.from_bytes(value[18:22]),
        network4(chunk, length) if width == 4 else network6(chunk, length),
        IPv4Address(gateway) if width == 4 else IPv6Address(gateway),
        int.from_bytes(value[-3:]),
    )


def _read_selective(value: bytes) -> SelectiveMulticast:
    distinguisher = decode_distinguisher(value[:8])
    source, rest = sized_address(value[12:])
    group, rest = sized_address(rest)
    originator, rest = sized_address(rest)
    if originator is None or len(rest) != 1:
        raise NlriError(f"type 6 of {len(value)} bytes")
    tag = int.from_bytes(value[8:12])
    return SelectiveMulticast(distinguisher, tag, source, group, originator, rest[0])


_READERS: dict[int, Callable[[bytes], EvpnNlri]] = {
    1: _read_auto_discovery,
    2: _read_mac_ip,
    3: _read_inclusive_multicast,
    4: _read_segment,
    5: _read_prefix,
    6: _read_selective,
}


def _parts(nlri: EvpnNlri) -> tuple[int, list[bytes]]:
    match nlri:
        case EthernetAutoDiscovery(distinguisher, segment, tag, label):
            return 1, [distinguisher.packed, _segment(segment), tag.to_bytes(4), _label(label)]
        case MacIp():
            return 2, _mac_ip_parts(nlri)
        case InclusiveMulticast(distinguisher, tag, originator):
            return 3, [distinguisher.packed, tag.to_bytes(4), encode_sized_address(originator)]
        case EthernetSegment(distinguisher, segment, originator):
            return 4, [distinguisher.packed, _segment(segment), encode_sized_address(originator)]
        case IpPrefixRoute():
            return 5, _prefix_parts(nlri)
        case SelectiveMulticast(distinguisher, tag, source, group, originator, flags):
            addresses = [encode_sized_address(each) for each in (source, group, originator)]
            return 6, [distinguisher.packed, tag.to_bytes(4), *addresses, flags.to_bytes(1)]
        case _:
            raise ValueError(f"{nlri!r} is no route of EVPN")


def _mac_ip_parts(nlri: MacIp) -> list[bytes]:
    return [
        nlri.distinguisher.packed,
        _segment(nlri.segment),
        nlri.ethernet_tag.to_bytes(4),
        b"\x30",
        nlri.mac.packed,
        encode_sized_address(nlri.address),
        _label(nlri.label),
        b"" if nlri.label2 is None else _label(nlri.label2),
    ]


def _prefix_parts(nlri: IpPrefixRoute) -> list[bytes]:
    gateway: IpAddress = nlri.gateway
    if isinstance(nlri.prefix, IPv4Network) != isinstance(gateway, IPv4Address):
        raise ValueError(f"{nlri!r} mixes IPv4 and IPv6")
    return [
        nlri.distinguisher.packed,
        _segment(nlri.segment),
        nlri.ethernet_tag.to_bytes(4),
        nlri.prefix.prefixlen.to_bytes(1),
        nlri.prefix.network_address.packed,
        gateway.packed,
        _label(nlri.label),
    ]


def _segment(segment: bytes) -> bytes:
    if len(segment) != SEGMENT_BYTES:
        raise ValueError(f"Ethernet segment identifier of {len(segment)} bytes")
    return segment


def _label(label: int) -> bytes:
    if not 0 <= label <= _RAW_LABEL_MAX:
        raise ValueError(f"label field {label} is not in 0..{_RAW_LABEL_MAX}")
    return label.to_bytes(3)
