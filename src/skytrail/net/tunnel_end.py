"""What a tunnel's end is called where there is room for four bytes only (ADR 0272)."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from skytrail.net.mac import Mac

_SEED = 0x9E3779B97F4A7C15
_FACTOR = 0xFF51AFD7ED558CCD
_MASK = (1 << 64) - 1
_WORDS = struct.Struct("<4I")
_ROUTER_PREFIX = b"\x02\x5e"


def number_of(address: IPv4Address | IPv6Address) -> IPv4Address:
    """Return an IPv4 address as it is, and four bytes of hash that stand for an IPv6 address.

    ``tunnel_number()`` of ``router_mac.h`` computes the same.
    """
    if isinstance(address, IPv4Address):
        return address
    hashed = _SEED
    for word in _WORDS.unpack(address.packed):
        hashed = ((hashed ^ word) * _FACTOR) & _MASK
        hashed ^= hashed >> 29
    return IPv4Address((hashed >> 32).to_bytes(4, "little"))


def router_mac(address: IPv4Address | IPv6Address) -> Mac:
    """Return what a vRouter is called as a router of EVPN (ADR 0146); the datapath knows it as well.

    It must tell vRouters apart: a bridge finds the tunnel by it.
    """
    return Mac(_ROUTER_PREFIX + number_of(address).packed)
