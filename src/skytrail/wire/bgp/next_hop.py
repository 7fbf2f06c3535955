"""The next hop of MP_REACH_NLRI: which lengths a family allows and what they mean.

========================= ============================================================
plain IPv4 families       4 bytes; with extended next hop (RFC 8950) also 16, 32
plain IPv6 families       16 (IPv4-mapped for an IPv4 tunnel end), 32 with link-local
VPNv4                     12 (distinguisher 0 first); with extended next hop also 24, 48
VPNv6                     24 (distinguisher 0 first, IPv4-mapped allowed), 48
all others                4 or 16, whatever the AFI
========================= ============================================================
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from skytrail.wire.bgp.families import BgpFamily
from skytrail.wire.bgp.nlri import IpAddress

_DISTINGUISHER = bytes(8)
_PLAIN4 = frozenset((BgpFamily.INET, BgpFamily.INET_LABELLED))
_PLAIN6 = frozenset((BgpFamily.INET6, BgpFamily.INET6_LABELLED))
_MAPPED = bytes(10) + b"\xff\xff"


class NextHopError(Exception):
    """A next hop whose length does not fit its family: where the NLRI begin is unknown then."""


def decode_next_hop(family: BgpFamily, value: bytes, *, extended: bool) -> IpAddress:
    """Read a next hop; an IPv4-mapped address comes back as IPv4, link-local is passed over."""
    size = len(value)
    if family in _PLAIN4:
        allowed = (4, 16, 32) if extended else (4,)
    elif family in _PLAIN6:
        allowed = (16, 32)
    elif family is BgpFamily.INET_VPN:
        allowed = (12, 24, 48) if extended else (12,)
    elif family is BgpFamily.INET6_VPN:
        allowed = (24, 48)
    else:
        allowed = (4, 16)
    if size not in allowed:
        raise NextHopError(f"next hop of {size} bytes for {family.name}")
    if size in {12, 24, 48}:
        value = value[8:24]
    if len(value) == 4:
        return IPv4Address(value)
    if value[:12] == _MAPPED:
        return IPv4Address(value[12:16])
    return IPv6Address(value[:16])


def encode_next_hop(family: BgpFamily, next_hop: IpAddress, *, extended: bool) -> bytes:
    """Inverse of :func:`decode_next_hop`; ``ValueError`` when the family cannot carry it."""
    is_ipv4 = isinstance(next_hop, IPv4Address)
    if family in _PLAIN4 or family is BgpFamily.INET_VPN:
        if not is_ipv4 and not extended:
            raise ValueError(f"{family.name} via {next_hop} needs extended next hop (RFC 8950)")
        packed = next_hop.packed
    elif family in _PLAIN6 or family is BgpFamily.INET6_VPN:
        packed = _MAPPED + next_hop.packed if is_ipv4 else next_hop.packed
    else:
        packed = next_hop.packed
    if family in {BgpFamily.INET_VPN, BgpFamily.INET6_VPN}:
        return _DISTINGUISHER + packed
    return packed
