"""Rows of a floating address, packets of either family with right sums, and what came of them when translated."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from ipaddress import ip_address

import frames
from conftest import MAC, OWN, PEER, VIF, Box, Outcome, route_row

from skytrail.agent.tables import (
    Action,
    FloatingRow,
    IdentityId,
    InetRouteRow,
    PolicyId,
    RuleId,
    VerdictRow,
    VifId,
    VrfId,
)
from skytrail.net import GATEWAY_MAC

PUBLIC = VrfId(6)
CLIENT_LABEL = 88
DENY = PolicyId(60)
SUM_AT = {frames.TCP: 16, frames.UDP: 6, frames.ICMP: 2, frames.ICMP6: 2}
HEADER_BYTES = {4: 20, 6: 40}


def floating_row(outside: str, vif: VifId = VIF, **fields: object) -> FloatingRow:
    address = ip_address(outside)
    inside = (OWN if vif == VIF else PEER)[address.version]
    row = FloatingRow(
        vif_id=vif,
        place=0,
        outside=address,
        inside=ip_address(inside),
        vrf_id=PUBLIC,
        identity=IdentityId(4),
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
    )
    return replace(row, **fields)


def public_route(prefix: str, nexthop: int, label: int = 0) -> InetRouteRow:
    return replace(route_row(prefix, nexthop, label=label, identity=5), vrf_id=PUBLIC)


def deny_all() -> VerdictRow:
    return VerdictRow(DENY, 0, 0, 256, 0, 0, Action.DENY, RuleId(7))


@dataclass(frozen=True)
class Seen:
    """A packet taken apart; its sums were right."""

    source: str
    destination: str
    ports: tuple[int, int]
    payload: bytes


def sum_of(protocol: int, source: str, destination: str, segment: bytes) -> int:
    """Return the sum over a segment, and over its addresses where the protocol counts them; 0: it is right."""
    both = ip_address(source).packed + ip_address(destination).packed
    match protocol, len(both):
        case (frames.ICMP, _):
            pseudo = b""
        case (_, 8):
            pseudo = both + struct.pack("!HH", protocol, len(segment))
        case _:
            pseudo = both + struct.pack("!II", len(segment), protocol)
    return frames.checksum(pseudo + segment)


def transport(protocol: int, source: str, destination: str, segment: bytes) -> bytes:
    """``segment`` with its sum filled in."""
    at = SUM_AT[protocol]
    blank = segment[:at] + bytes(2) + segment[at + 2 :]
    total = sum_of(protocol, source, destination, blank) or 0xFFFF
    return segment[:at] + total.to_bytes(2, "big") + segment[at + 2 :]


def packet(protocol: int, source: str, destination: str, segment: bytes, *, ttl: int = 64) -> bytes:
    whole = transport(protocol, source, destination, segment)
    return frames.ip(source, destination, protocol, whole, ttl=ttl)


def quote(kind: int, source: str, destination: str, quoted: bytes, keep: int) -> bytes:
    """An ICMP error of the family's about a packet, of which ``keep`` bytes behind its header."""
    message = frames.icmp(kind, payload=quoted[: HEADER_BYTES[quoted[0] >> 4] + keep])
    protocol = frames.ICMP6 if frames.is_v6(source) else frames.ICMP
    return packet(protocol, source, destination, message)


def seen(raw: bytes, *, sums: bool = True) -> Seen:
    version = raw[0] >> 4
    header, segment = raw[: HEADER_BYTES[version]], raw[HEADER_BYTES[version] :]
    addresses, protocol = (header[12:], header[9]) if version == 4 else (header[8:], header[6])
    half = len(addresses) // 2
    source, destination = str(ip_address(addresses[:half])), str(ip_address(addresses[half:]))
    if version == 4:
        assert frames.checksum(header) == 0
    if sums:
        assert sum_of(protocol, source, destination, segment) == 0
    first, second = struct.unpack("!HH", segment[:4])
    return Seen(source, destination, (first, second), segment[8:])


def delivered(outcome: Outcome, *, sums: bool = True) -> Seen:
    assert outcome.forwarded, outcome.drops
    return seen(outcome.frame[14:], sums=sums)


def tunnelled(outcome: Outcome) -> tuple[int, Seen]:
    assert outcome.forwarded, outcome.drops
    outer = frames.decode_tunnel(outcome.frame)
    return outer.label, seen(outer.inner)


def send(box: Box, raw: bytes, ethertype: int = 0) -> Outcome:
    """Have the workload send a packet, in a frame that says the packet's family or another."""
    ethertype = ethertype or (frames.ETHERTYPE_IPV6 if raw[0] >> 4 == 6 else frames.ETHERTYPE_IPV4)
    return box.workload(frames.ethernet(GATEWAY_MAC.packed, MAC.packed, ethertype, raw))
