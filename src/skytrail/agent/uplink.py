"""Several links into the underlay: how they are, and the outer source port that chooses among them. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_SEED = 0x9E3779B97F4A7C15
_FACTOR = 0xFF51AFD7ED558CCD
_MASK = (1 << 64) - 1
_PORT_FIRST, _PORT_MASK = 49152, 0x3FFF
_KEY = struct.Struct("<9I")

IpAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class UplinkState:
    """One link into the underlay as it is now."""

    ifname: str
    state: str
    """up, no carrier, down, or missing."""
    ifindex: int = 0
    mac: str = ""
    mtu_bytes: int = 0

    @property
    def is_up(self) -> bool:
        return self.state == "up"


def entropy_of(source: tuple[IpAddress, int], destination: tuple[IpAddress, int]) -> int:
    """Return the outer source port of a flow's tunnel packets, as ``flow_hash()`` of ``flow.h`` says."""
    ports = source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
    packed = b"".join(end.packed.ljust(16, b"\0") for end, _ in (source, destination))
    hashed = _SEED
    for word in _KEY.unpack(packed + ports):
        hashed = ((hashed ^ word) * _FACTOR) & _MASK
        hashed ^= hashed >> 29
    return _PORT_FIRST + (hashed >> 32 & _PORT_MASK)
