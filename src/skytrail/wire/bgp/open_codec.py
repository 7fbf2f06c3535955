"""OPEN on the wire with its capabilities (RFC 4271 section 4.2, RFC 5492, RFC 9072).

A capability we know with a value we cannot read is kept as unknown: the peer then simply does not
have it, which is safer than refusing the session.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from ipaddress import IPv4Address

from skytrail.wire.bgp.attributes import AS_TRANS
from skytrail.wire.bgp.errors import BgpError, ErrorCode, OpenError
from skytrail.wire.bgp.families import AFI_IPV4, AFI_IPV6, BgpFamily, family_of
from skytrail.wire.bgp.framing import framed
from skytrail.wire.bgp.messages import (
    GracefulRestart,
    LongLivedFamily,
    MessageType,
    Open,
    RawCapability,
)

VERSION = 4
_PARAMETER_CAPABILITIES = 2
_EXTENDED_LENGTH = 255
_FIXED_BYTES = 10
_RESTARTING = 0x8
_NOTIFICATION = 0x4
_PRESERVED = 0x80


class CapabilityCode(enum.IntEnum):
    MULTIPROTOCOL = 1
    ROUTE_REFRESH = 2
    EXTENDED_NEXT_HOP = 5
    EXTENDED_MESSAGE = 6
    MULTIPLE_LABELS = 8
    GRACEFUL_RESTART = 64
    FOUR_BYTE_AS = 65
    ENHANCED_REFRESH = 70
    LONG_LIVED_RESTART = 71
    FQDN = 73


def encode_open(message: Open) -> bytes:
    """Return the complete message; ``ValueError`` for what does not fit its fields."""
    capabilities = b"".join(
        code.to_bytes(1) + len(value).to_bytes(1) + value for code, value in _values(message)
    )
    asn = message.asn if message.asn <= 0xFFFF else AS_TRANS
    head = b"%c%b%b%b" % (
        message.version,
        asn.to_bytes(2),
        message.hold_time_s.to_bytes(2),
        message.router_id.packed,
    )
    return framed(MessageType.OPEN, head + _parameters(capabilities))


def _parameters(capabilities: bytes) -> bytes:
    if not capabilities:
        return b"\0"
    size = len(capabilities)
    if size + 2 < _EXTENDED_LENGTH:
        return bytes((size + 2, _PARAMETER_CAPABILITIES, size)) + capabilities
    # RFC 9072: 255 where the length and the first type would be, then lengths of two bytes.
    parameter = bytes((_PARAMETER_CAPABILITIES,)) + size.to_bytes(2) + capabilities
    return b"\xff\xff" + len(parameter).to_bytes(2) + parameter


def _values(message: Open) -> list[tuple[int, bytes]]:
    code = CapabilityCode
    values: list[tuple[int, bytes]] = []
    pairs = [family.value for family in message.families] + list(message.unknown_families)
    values += [
        (code.MULTIPROTOCOL, afi.to_bytes(2) + b"\0" + safi.to_bytes(1)) for afi, safi in pairs
    ]
    if message.route_refresh:
        values.append((code.ROUTE_REFRESH, b""))
    if message.extended_next_hop:
        entries = [
            family.afi.to_bytes(2) + family.safi.to_bytes(2) + AFI_IPV6.to_bytes(2)
            for family in message.extended_next_hop
        ]
        values.append((code.EXTENDED_NEXT_HOP, b"".join(entries)))
    if message.extended_message:
        values.append((code.EXTENDED_MESSAGE, b""))
    if message.label_stacks:
        entries = [family.packed + bytes((count,)) for family, count in message.label_stacks]
        values.append((code.MULTIPLE_LABELS, b"".join(entries)))
    if message.graceful_restart is not None:
        values.append((code.GRACEFUL_RESTART, _restart_value(message.graceful_restart)))
    if message.four_byte_as:
        values.append((code.FOUR_BYTE_AS, message.asn.to_bytes(4)))
    if message.enhanced_refresh:
        values.append((code.ENHANCED_REFRESH, b""))
    if message.long_lived:
        entries = [
            each.family.packed
            + bytes((_PRESERVED if each.preserved else 0,))
            + each.stale_time_s.to_bytes(3)
            for each in message.long_lived
        ]
        values.append((code.LONG_LIVED_RESTART, b"".join(entries)))
    if message.host_name:
        host, domain = message.host_name.encode()[:64], message.domain_name.encode()[:64]
        values.append((code.FQDN, b"%c%b%c%b" % (len(host), host, len(domain), domain)))
    return values + [(raw.code, raw.value) for raw in message.unknown]


def _restart_value(restart: GracefulRestart) -> bytes:
    flags = (_RESTARTING if restart.restarting else 0) | (
        _NOTIFICATION if restart.notification else 0
    )
    if not 0 <= restart.restart_time_s < 1 << 12:
        raise ValueError(f"restart time of {restart.restart_time_s} s does not fit 12 bits")
    families = [
        family.packed + bytes((_PRESERVED if preserved else 0,))
        for family, preserved in restart.families
    ]
    return (flags << 12 | restart.restart_time_s).to_bytes(2) + b"".join(families)


def decode_open(body: bytes) -> Open:
    """Read an OPEN without its header; :class:`BgpError` as RFC 4271 section 6.2 says.

    Checks what does not depend on configuration; ``negotiation`` checks the rest.
    """
    if len(body) < _FIXED_BYTES:
        raise _error(OpenError.UNSPECIFIC, "OPEN cut off")
    if body[0] != VERSION:
        raise _error(OpenError.UNSUPPORTED_VERSION, f"version {body[0]}", VERSION.to_bytes(2))
    hold_time_s = int.from_bytes(body[3:5])
    if hold_time_s in {1, 2}:
        raise _error(OpenError.UNACCEPTABLE_HOLD_TIME, f"hold time of {hold_time_s} s")
    router_id = IPv4Address(body[5:9])
    if int(router_id) == 0:
        raise _error(OpenError.BAD_IDENTIFIER, "router id 0.0.0.0")
    fields = _Fields()
    for code, value in _capabilities(body):
        reader = _READERS.get(code)
        if reader is None or not reader(fields, value):
            fields.unknown.append(RawCapability(code, value))
    asn = int.from_bytes(body[1:3]) if fields.asn is None else fields.asn
    if asn == 0:
        raise _error(OpenError.BAD_PEER_AS, "AS 0 (RFC 7607)")
    return fields.message(asn, hold_time_s, router_id)


def _error(subcode: OpenError, text: str, data: bytes = b"") -> BgpError:
    return BgpError(ErrorCode.OPEN, subcode, data, text)


def _capabilities(body: bytes) -> list[tuple[int, bytes]]:
    """Return (code, value) of every capability in every optional parameter."""
    size, position, width = body[9], 10, 1
    # 255 and 255 again announce the long form even where the short one would do (RFC 9072).
    if size == _EXTENDED_LENGTH and len(body) > 12 and body[10] == _EXTENDED_LENGTH:
        size, position, width = int.from_bytes(body[11:13]), 13, 2
    end = position + size
    if end != len(body):
        raise _error(OpenError.UNSPECIFIC, "optional parameters do not fill the message")
    found: list[tuple[int, bytes]] = []
    while position < end:
        value_at = position + 1 + width
        following = value_at + int.from_bytes(body[position + 1 : value_at])
        if following > end or value_at > end:
            raise _error(OpenError.UNSPECIFIC, "optional parameter cut off")
        if body[position] != _PARAMETER_CAPABILITIES:
            text = f"optional parameter of type {body[position]}"
            raise _error(OpenError.UNSUPPORTED_PARAMETER, text)
        _divide(body[value_at:following], found)
        position = following
    return found


def _divide(data: bytes, found: list[tuple[int, bytes]]) -> None:
    position, end = 0, len(data)
    while position < end:
        following = position + 2 + data[position + 1] if position + 2 <= end else end + 1
        if following > end:
            raise _error(OpenError.UNSPECIFIC, "capability cut off")
        found.append((data[position], data[position + 2 : following]))
        position = following


class _Fields:
    """Capabilities read so far."""

    def __init__(self) -> None:
        self.asn: int | None = None
        self.families: list[BgpFamily] = []
        self.unknown_families: list[tuple[int, int]] = []
        self.flags: set[int] = set()
        self.graceful_restart: GracefulRestart | None = None
        self.long_lived: list[LongLivedFamily] = []
        self.extended_next_hop: list[BgpFamily] = []
        self.label_stacks: list[tuple[BgpFamily, int]] = []
        self.names: tuple[str, str] = ("", "")
        self.unknown: list[RawCapability] = []

    def message(self, asn: int, hold_time_s: int, router_id: IPv4Address) -> Open:
        return Open(
            asn,
            hold_time_s,
            router_id,
            families=tuple(dict.fromkeys(self.families)),
            unknown_families=tuple(dict.fromkeys(self.unknown_families)),
            four_byte_as=self.asn is not None,
            route_refresh=CapabilityCode.ROUTE_REFRESH in self.flags,
            enhanced_refresh=CapabilityCode.ENHANCED_REFRESH in self.flags,
            extended_message=CapabilityCode.EXTENDED_MESSAGE in self.flags,
            graceful_restart=self.graceful_restart,
            long_lived=tuple(self.long_lived),
            extended_next_hop=tuple(dict.fromkeys(self.extended_next_hop)),
            label_stacks=tuple(self.label_stacks),
            host_name=self.names[0],
            domain_name=self.names[1],
            unknown=tuple(self.unknown),
        )


def _multiprotocol(fields: _Fields, value: bytes) -> bool:
    if len(value) != 4:
        return False
    afi, safi = int.from_bytes(value[:2]), value[3]
    family = family_of(afi, safi)
    if family is None:
        fields.unknown_families.append((afi, safi))
    else:
        fields.families.append(family)
    return True


def _four_byte_as(fields: _Fields, value: bytes) -> bool:
    if len(value) != 4:
        return False
    fields.asn = int.from_bytes(value)
    return True


def _flag(code: CapabilityCode) -> Callable[[_Fields, bytes], bool]:
    def read(fields: _Fields, value: bytes) -> bool:
        if not value:
            fields.flags.add(code)
        return not value

    return read


def _extended_next_hop(fields: _Fields, value: bytes) -> bool:
    if len(value) % 6:
        return False
    for at in range(0, len(value), 6):
        afi, safi, hop_afi = (
            int.from_bytes(value[start : start + 2]) for start in (at, at + 2, at + 4)
        )
        family = family_of(afi, safi)
        if family is not None and afi == AFI_IPV4 and hop_afi == AFI_IPV6:
            fields.extended_next_hop.append(family)
    return True


def _multiple_labels(fields: _Fields, value: bytes) -> bool:
    if len(value) % 4:
        return False
    for at in range(0, len(value), 4):
        family = family_of(int.from_bytes(value[at : at + 2]), value[at + 2])
        # A count of 0 or 1 says nothing (RFC 8277 section 2.1).
        if family is not None and value[at + 3] > 1:
            fields.label_stacks.append((family, value[at + 3]))
    return True


def _graceful_restart(fields: _Fields, value: bytes) -> bool:
    if len(value) < 2 or (len(value) - 2) % 4:
        return False
    families: list[tuple[BgpFamily, bool]] = []
    for at in range(2, len(value), 4):
        family = family_of(int.from_bytes(value[at : at + 2]), value[at + 2])
        if family is not None:
            families.append((family, bool(value[at + 3] & _PRESERVED)))
    head = int.from_bytes(value[:2])
    flags = head >> 12
    fields.graceful_restart = GracefulRestart(
        head & 0xFFF, bool(flags & _RESTARTING), bool(flags & _NOTIFICATION), tuple(families)
    )
    return True


def _long_lived(fields: _Fields, value: bytes) -> bool:
    if len(value) % 7:
        return False
    for at in range(0, len(value), 7):
        family = family_of(int.from_bytes(value[at : at + 2]), value[at + 2])
        if family is not None:
            preserved = bool(value[at + 3] & _PRESERVED)
            stale_time_s = int.from_bytes(value[at + 4 : at + 7])
            fields.long_lived.append(LongLivedFamily(family, preserved, stale_time_s))
    return True


def _fqdn(fields: _Fields, value: bytes) -> bool:
    if not value or len(value) < 2 + value[0]:
        return False
    domain_at = 2 + value[0]
    if len(value) < domain_at + value[domain_at - 1]:
        return False
    domain = value[domain_at : domain_at + value[domain_at - 1]]
    fields.names = (
        value[1 : domain_at - 1].decode(errors="replace"),
        domain.decode(errors="replace"),
    )
    return True


_READERS: dict[int, Callable[[_Fields, bytes], bool]] = {
    CapabilityCode.MULTIPROTOCOL: _multiprotocol,
    CapabilityCode.ROUTE_REFRESH: _flag(CapabilityCode.ROUTE_REFRESH),
    CapabilityCode.EXTENDED_NEXT_HOP: _extended_next_hop,
    CapabilityCode.EXTENDED_MESSAGE: _flag(CapabilityCode.EXTENDED_MESSAGE),
    CapabilityCode.MULTIPLE_LABELS: _multiple_labels,
    CapabilityCode.GRACEFUL_RESTART: _graceful_restart,
    CapabilityCode.FOUR_BYTE_AS: _four_byte_as,
    CapabilityCode.ENHANCED_REFRESH: _flag(CapabilityCode.ENHANCED_REFRESH),
    CapabilityCode.LONG_LIVED_RESTART: _long_lived,
    CapabilityCode.FQDN: _fqdn,
}
