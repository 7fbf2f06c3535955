"""Decodes what travels on the underlay: which tunnel, which label, which packet inside. Pure.

Independent of the datapath on purpose: it reads bytes as a router or an analyser would.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    EthernetFrame,
    IpPacket,
    decode_ethernet,
    decode_ip,
    decode_udp,
)

MPLS_OVER_UDP_PORT = 6635
"""RFC 7510."""
VXLAN_PORT = 4789
"""RFC 7348."""
_PROTOCOL_UDP = 17
_PROTOCOL_GRE = 47
_GRE_MPLS_UNICAST = 0x8847
_MPLS_ENTRY_BYTES = 4
_VXLAN_HEADER_BYTES = 8
_PROTOCOL_NAMES = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}


@dataclass(frozen=True, slots=True)
class TunnelPacket:
    """One packet between two hosts, opened."""

    encapsulation: str
    """``MPLSoUDP``, ``MPLSoGRE`` or ``VXLAN``."""
    outer_source: IPv4Address | IPv6Address
    outer_destination: IPv4Address | IPv6Address
    outer_ttl: int
    outer_dscp: int
    source_port: int
    """Entropy for the underlay's hashing; 0 with GRE."""
    label: int
    """MPLS label or VNI."""
    bottom_of_stack: bool
    label_ttl: int
    label_exp: int
    """Traffic class of the label (RFC 5462); 0 with VXLAN."""
    inner: IpPacket | EthernetFrame
    length_bytes: int
    """Of the whole frame."""

    @property
    def inner_ip(self) -> IpPacket | None:
        """The innermost IP packet, None when a bridged frame holds none."""
        if isinstance(self.inner, IpPacket):
            return self.inner
        try:
            return decode_ip(self.inner.payload)
        except DecodeError:
            return None

    def lines(self) -> list[str]:
        """Describe the packet from the outside in."""
        port = f", UDP {self.source_port} > {self._port}" if self.source_port else ", GRE"
        name = "VNI" if self.encapsulation == "VXLAN" else "MPLS label"
        stack = ", bottom of stack" if self.bottom_of_stack else ""
        size = f"({self.encapsulation}, {self.length_bytes} bytes)"
        outer = f"{self.outer_source} > {self.outer_destination} ttl {self.outer_ttl}"
        outer += _marked("dscp", self.outer_dscp) + port
        exp = _marked("exp", self.label_exp)
        described = [
            f"outer IPv{self.outer_source.version} {outer}  {size}",
            f"{name} {self.label}{stack}, ttl {self.label_ttl}{exp}",
        ]
        inner = self.inner_ip
        if inner:
            protocol = _PROTOCOL_NAMES.get(inner.protocol, str(inner.protocol))
            described.append(
                f"inner {inner.source} > {inner.destination} {protocol} ttl {inner.hop_limit}"
                + _marked("dscp", inner.traffic_class >> 2)
            )
        return described

    @property
    def _port(self) -> int:
        return VXLAN_PORT if self.encapsulation == "VXLAN" else MPLS_OVER_UDP_PORT


def _marked(name: str, value: int) -> str:
    """Name a mark that is there."""
    return f" {name} {value}" if value else ""


def decode_tunnel(frame: bytes) -> TunnelPacket | None:
    """Open a captured frame; None when it is no tunnel packet. :class:`DecodeError` when broken."""
    ethernet = decode_ethernet(frame)
    if ethernet.ether_type not in {ETHERTYPE_IPV4, ETHERTYPE_IPV6}:
        return None
    outer = decode_ip(ethernet.payload)
    if outer.protocol == _PROTOCOL_GRE:
        return _open_gre(outer, len(frame))
    if outer.protocol != _PROTOCOL_UDP or outer.is_fragment:
        return None
    datagram = decode_udp(outer.payload)
    if datagram.destination_port == MPLS_OVER_UDP_PORT:
        label, exp, bottom, ttl = _label(datagram.payload)
        kind, inner = "MPLSoUDP", _inner(datagram.payload[_MPLS_ENTRY_BYTES:])
    elif datagram.destination_port == VXLAN_PORT:
        label, inner = _open_vxlan(datagram.payload)
        kind, exp, bottom, ttl = "VXLAN", 0, False, 0
    else:
        return None
    return TunnelPacket(
        encapsulation=kind,
        outer_source=outer.source,
        outer_destination=outer.destination,
        outer_ttl=outer.hop_limit,
        outer_dscp=outer.traffic_class >> 2,
        source_port=datagram.source_port,
        label=label,
        bottom_of_stack=bottom,
        label_ttl=ttl,
        label_exp=exp,
        inner=inner,
        length_bytes=len(frame),
    )


def _open_gre(outer: IpPacket, length_bytes: int) -> TunnelPacket | None:
    if len(outer.payload) < 4 + _MPLS_ENTRY_BYTES:
        raise DecodeError("GRE header is cut short", len(outer.payload), "RFC 2784")
    if outer.payload[:2] != b"\0\0" or int.from_bytes(outer.payload[2:4]) != _GRE_MPLS_UNICAST:
        return None
    label, exp, bottom, ttl = _label(outer.payload[4:])
    return TunnelPacket(
        encapsulation="MPLSoGRE",
        outer_source=outer.source,
        outer_destination=outer.destination,
        outer_ttl=outer.hop_limit,
        outer_dscp=outer.traffic_class >> 2,
        source_port=0,
        label=label,
        bottom_of_stack=bottom,
        label_ttl=ttl,
        label_exp=exp,
        inner=_inner(outer.payload[4 + _MPLS_ENTRY_BYTES :]),
        length_bytes=length_bytes,
    )


def _open_vxlan(payload: bytes) -> tuple[int, EthernetFrame]:
    if len(payload) < _VXLAN_HEADER_BYTES or not payload[0] & 0x08:
        raise DecodeError("VXLAN header is cut short or holds no VNI", 0, "RFC 7348")
    return int.from_bytes(payload[4:7]), decode_ethernet(payload[_VXLAN_HEADER_BYTES:])


def _label(payload: bytes) -> tuple[int, int, bool, int]:
    """Label, EXP, bottom of stack, TTL."""
    if len(payload) < _MPLS_ENTRY_BYTES:
        raise DecodeError("MPLS label entry is cut short", len(payload), "RFC 3032")
    word = int.from_bytes(payload[:_MPLS_ENTRY_BYTES])
    return word >> 12, word >> 9 & 7, bool(word & 0x100), word & 0xFF


def _inner(payload: bytes) -> IpPacket | EthernetFrame:
    """A label says nothing of its payload's kind: the first nibble tells IP from Ethernet."""
    if payload and payload[0] >> 4 in (4, 6):
        try:
            return decode_ip(payload)
        except DecodeError:
            pass
    return decode_ethernet(payload)
