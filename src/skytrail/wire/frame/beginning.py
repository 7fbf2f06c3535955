"""What the first bytes of a frame say of its flow, as switches sample them: cut off anywhere, and perhaps of a tunnel.

```
 Ethernet [VLANs] IPv4|IPv6 UDP 4789 VXLAN Ethernet IP ...     inner flow, its network is the VNI
                            UDP 6635 MPLS IP ...               inner flow, its network is the label
                            GRE MPLS IP ...
```
Nothing is verified: what is cut off or unknown is left out, and no input is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

VXLAN_PORT: Final = 4789
MPLS_UDP_PORT: Final = 6635
_VLANS: Final = frozenset({0x8100, 0x88A8, 0x9100})
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_MPLS: Final = 0x8847
_TRANSPARENT_ETHERNET: Final = 0x6558
_PORTED: Final = frozenset({6, 17, 132})
_UDP: Final = 17
_GRE: Final = 47
_EXTENSIONS: Final = frozenset({0, 43, 60})
"""IPv6 headers that say their length in the same place (RFC 8200 section 4)."""
_LABELS_COUNT_MAX: Final = 8
_DEPTH_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class FrameFlow:
    """A flow; what the bytes do not say is empty or 0."""

    source: str = ""
    destination: str = ""
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    vlan: int = 0
    network_id: int = 0
    """The VNI or label that the tunnel around it bears."""
    inner: FrameFlow | None = None
    """The flow inside the tunnel."""


def flow_of_frame(data: bytes) -> FrameFlow:
    """Read the beginning of an Ethernet frame."""
    return _ethernet(data, 0, 0, 0)


def flow_of_packet(data: bytes) -> FrameFlow:
    """Read the beginning of an IP packet."""
    return _packet(data, 0, 0, 0, 0)


def _ethernet(data: bytes, at: int, network_id: int, depth: int) -> FrameFlow:
    at, vlan = at + 12, 0
    while (kind := _number(data, at, 2)) in _VLANS:
        vlan = vlan or _number(data, at + 2, 2) & 0xFFF
        at += 4
    if kind in {_IPV4, _IPV6}:
        return _packet(data, at + 2, vlan, network_id, depth)
    if kind == _MPLS:
        inner = _mpls(data, at + 2, depth)
        return FrameFlow(vlan=vlan, network_id=network_id, inner=inner)
    return FrameFlow(vlan=vlan, network_id=network_id)


def _packet(data: bytes, at: int, vlan: int, network_id: int, depth: int) -> FrameFlow:
    version = data[at] >> 4 if at < len(data) else 0
    if version == 4 and len(data) >= at + 20:
        source, destination = (
            IPv4Address(data[at + 12 : at + 16]),
            IPv4Address(data[at + 16 : at + 20]),
        )
        protocol, behind = data[at + 9], at + max(20, (data[at] & 15) * 4)
        # Only the first fragment has ports.
        is_whole = not _number(data, at + 6, 2) & 0x1FFF
    elif version == 6 and len(data) >= at + 40:
        source, destination = (
            IPv6Address(data[at + 8 : at + 24]),
            IPv6Address(data[at + 24 : at + 40]),
        )
        protocol, behind, is_whole = data[at + 6], at + 40, True
        while protocol in _EXTENSIONS and behind + 2 <= len(data):
            protocol, behind = data[behind], behind + 8 + data[behind + 1] * 8
    else:
        return FrameFlow(vlan=vlan, network_id=network_id)
    has_ports = protocol in _PORTED and is_whole and len(data) >= behind + 4
    destination_port = _number(data, behind + 2, 2) if has_ports else 0
    return FrameFlow(
        str(source),
        str(destination),
        protocol,
        _number(data, behind, 2) if has_ports else 0,
        destination_port,
        vlan,
        network_id,
        _inner(data, behind, protocol, destination_port, depth) if is_whole else None,
    )


def _inner(data: bytes, at: int, protocol: int, port: int, depth: int) -> FrameFlow | None:
    if depth >= _DEPTH_MAX:
        return None
    if protocol == _UDP and port == VXLAN_PORT and len(data) >= at + 16:
        return _ethernet(data, at + 16, _number(data, at + 12, 3), depth + 1)
    if protocol == _UDP and port == MPLS_UDP_PORT:
        return _mpls(data, at + 8, depth)
    if protocol == _GRE and len(data) >= at + 4:
        flags, kind = data[at], _number(data, at + 2, 2)
        # Checksum, key and sequence number are there as their bits say (RFC 2890).
        behind = at + 4 + 4 * (flags >> 7) + 4 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1)
        if kind == _MPLS:
            return _mpls(data, behind, depth)
        if kind == _TRANSPARENT_ETHERNET:
            return _ethernet(data, behind, 0, depth + 1)
    return None


def _mpls(data: bytes, at: int, depth: int) -> FrameFlow | None:
    if depth >= _DEPTH_MAX:
        return None
    for start in range(at, at + 4 * _LABELS_COUNT_MAX, 4):
        if len(data) < start + 4:
            return None
        if data[start + 2] & 1:
            label, behind = _number(data, start, 3) >> 4, start + 4
            # A label says not what is behind it: IP by its version, else the frame of an EVPN.
            if behind < len(data) and data[behind] >> 4 in {4, 6}:
                return _packet(data, behind, 0, label, depth + 1)
            return _ethernet(data, behind, label, depth + 1)
    return None


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
