"""Prefixes of NLRI: bits on the wire to ``ipaddress`` networks and back, without detours.

``ipaddress`` checks and reformats what this code has just masked; its constructors would take most
of the time of reading a full table. The networks made here equal constructed ones in every respect,
which tests hold against the standard library.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_new = object.__new__
_MASKS4 = tuple((0xFFFF_FFFF << (32 - length)) & 0xFFFF_FFFF for length in range(33))
_MASKS6 = tuple(((1 << 128) - 1) >> (128 - length) << (128 - length) for length in range(129))
_NETMASKS4 = tuple(IPv4Address(mask) for mask in _MASKS4)
_NETMASKS6 = tuple(IPv6Address(mask) for mask in _MASKS6)
_HIGH_BITS = (0xFF, 0x80, 0xC0, 0xE0, 0xF0, 0xF8, 0xFC, 0xFE)
"""Bits of the last byte that belong to a prefix, by length modulo 8."""


def network4(chunk: bytes, length: int) -> IPv4Network:
    """Return the network of ``length`` (0..32) bits that ``chunk`` begins; host bits are cleared.

    ``chunk`` has exactly the bytes ``length`` needs.
    """
    address = _new(IPv4Address)
    address._ip = int.from_bytes(chunk) << (32 - 8 * len(chunk)) & _MASKS4[length]  # type: ignore[attr-defined] # the standard library's own slot
    network = _new(IPv4Network)
    network.network_address = address
    network.netmask = _NETMASKS4[length]
    network._prefixlen = length  # type: ignore[attr-defined] # as above
    return network


def network6(chunk: bytes, length: int) -> IPv6Network:
    """As :func:`network4` for 0..128 bits."""
    address = _new(IPv6Address)
    address._ip = int.from_bytes(chunk) << (128 - 8 * len(chunk)) & _MASKS6[length]  # type: ignore[attr-defined] # the standard library's own slot
    address._scope_id = None  # type: ignore[attr-defined] # as above
    network = _new(IPv6Network)
    network.network_address = address
    network.netmask = _NETMASKS6[length]
    network._prefixlen = length  # type: ignore[attr-defined] # as above
    return network


def masked(chunk: bytes, length: int) -> bytes:
    """Clear what lies beyond ``length`` bits in the last byte of ``chunk``."""
    last = chunk[-1] & _HIGH_BITS[length & 7] if chunk else 0
    return chunk if not chunk or last == chunk[-1] else chunk[:-1] + bytes((last,))


def prefix_bytes(network: IPv4Network | IPv6Network) -> bytes:
    """Return the address bytes a prefix needs on the wire, without its length."""
    return network.network_address.packed[: (network.prefixlen + 7) >> 3]
