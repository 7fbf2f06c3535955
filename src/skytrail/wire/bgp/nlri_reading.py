"""Pieces that typed NLRI share: errors, distinguishers, addresses with a length before them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from skytrail.net import RouteDistinguisher
from skytrail.wire.bgp.nlri import IpAddress


class NlriError(Exception):
    """NLRI that are no sequence of routes; ``offset`` counts from the field's start."""

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


class Skipped(Exception):
    """One route that is well delimited but not ours to understand."""


def decode_distinguisher(chunk: bytes) -> RouteDistinguisher:
    """Read eight bytes; :class:`Skipped` for a type RFC 4364 does not know."""
    if len(chunk) != 8:
        raise NlriError("cut off in its route distinguisher")
    reason = unknown_distinguisher(chunk)
    if reason:
        raise Skipped(reason)
    return RouteDistinguisher(chunk)


def unknown_distinguisher(chunk: bytes) -> str:
    """Say what is wrong with the type in the first two bytes; nothing for those of RFC 4364."""
    if not chunk[0] and chunk[1] <= 2:
        return ""
    return f"route distinguisher of unknown type {chunk[:2].hex()}"


def sized_address(chunk: bytes) -> tuple[IpAddress | None, bytes]:
    """Read a length in bits (0, 32 or 128) and that much address; return it and the rest."""
    bits = chunk[0] if chunk else -1
    if bits == 0:
        return None, chunk[1:]
    if bits == 32 and len(chunk) >= 5:
        return IPv4Address(chunk[1:5]), chunk[5:]
    if bits == 128 and len(chunk) >= 17:
        return IPv6Address(chunk[1:17]), chunk[17:]
    raise NlriError(f"address of {bits} bits in {len(chunk)} bytes")


def encode_sized_address(address: IpAddress | None) -> bytes:
    """Inverse of :func:`sized_address`."""
    if address is None:
        return b"\0"
    return bytes((address.max_prefixlen,)) + address.packed
