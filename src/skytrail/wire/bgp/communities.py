"""Extended communities with names: standard ones and those private to Contrail.

``Attributes.extended_communities`` keeps the eight bytes of each, so that what we do not know
passes unharmed. Here each known kind is a small value: ``packed`` makes the bytes, ``find`` and
``first`` pick the values of one kind out of a route, ``text_of`` names any for people.

::

    attributes.extended_communities = (target.packed, SecurityGroup(64512, 8000004).packed)
    groups = [each.number for each in find(attributes.extended_communities, SecurityGroup)]
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol, Self, TypeVar

from skytrail.net import Mac, RouteTarget

_AS2 = 0x00
_IPV4 = 0x01
_AS4 = 0x02
_OPAQUE = 0x03
_EVPN = 0x06
_PRIVATE_AS2 = 0x80
_PRIVATE_AS4 = 0x82
_TARGET = 0x02
_ORIGIN = 0x03
GLOBAL_SECURITY_GROUP_MAX = 7_999_999
"""Security group numbers up to here are given by users and mean the same in every AS.

Installations count their own from here on.
"""


class Community(Protocol):
    """What every kind of this module offers."""

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        """Read eight bytes; ``None`` when they are of another kind."""
        ...

    @property
    def packed(self) -> bytes: ...


Kind = TypeVar("Kind", bound=Community)


def find(communities: Iterable[bytes], kind: type[Kind]) -> Iterator[Kind]:
    """Yield the values of one kind, in order."""
    for value in communities:
        read = kind.of(value)
        if read is not None:
            yield read


def first(communities: Iterable[bytes], kind: type[Kind]) -> Kind | None:
    return next(find(communities, kind), None)


def without(communities: Iterable[bytes], kind: type[Community]) -> tuple[bytes, ...]:
    """Return the communities of all other kinds, unchanged and in order."""
    return tuple(value for value in communities if kind.of(value) is None)


def route_targets(communities: Iterable[bytes]) -> tuple[RouteTarget, ...]:
    return tuple(
        RouteTarget(value) for value in communities if value[1] == _TARGET and value[0] <= _AS4
    )


def is_transitive(value: bytes) -> bool:
    """Tell whether a community crosses the border of an AS (RFC 4360 section 2)."""
    return not value[0] & 0x40


@dataclass(frozen=True, slots=True)
class _Numbered:
    """AS and number: two and four bytes, or four and two where the AS needs them."""

    asn: int
    number: int

    @classmethod
    def _read(cls, value: bytes, subtype: int) -> Self | None:
        if value[1] != subtype:
            return None
        if value[0] == _PRIVATE_AS2:
            return cls(int.from_bytes(value[2:4]), int.from_bytes(value[4:]))
        if value[0] == _PRIVATE_AS4:
            return cls(int.from_bytes(value[2:6]), int.from_bytes(value[6:]))
        return None

    def _pack(self, subtype: int) -> bytes:
        width = 2 if self.asn <= 0xFFFF else 4
        kind = _PRIVATE_AS2 if width == 2 else _PRIVATE_AS4
        try:
            fields = self.asn.to_bytes(width) + self.number.to_bytes(6 - width)
        except OverflowError as error:
            raise ValueError(f"{self!r} does not fit an extended community") from error
        return bytes((kind, subtype)) + fields


class SecurityGroup(_Numbered):
    """A security group of the sender."""

    __slots__ = ()

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        return cls._read(value, 0x04)

    @property
    def packed(self) -> bytes:
        return self._pack(0x04)

    @property
    def is_global(self) -> bool:
        return 0 < self.number <= GLOBAL_SECURITY_GROUP_MAX


class Tag(_Numbered):
    """A tag of the sender: type in the high half of the number, value in the low one."""

    __slots__ = ()

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        return cls._read(value, 0x84)

    @property
    def packed(self) -> bytes:
        return self._pack(0x84)


class OriginVn(_Numbered):
    """The virtual network a route came from; ``number`` is its index."""

    __slots__ = ()

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        return cls._read(value, 0x71)

    @property
    def packed(self) -> bytes:
        return self._pack(0x71)


class SubCluster(_Numbered):
    """The part of a cluster a route came from."""

    __slots__ = ()

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        return cls._read(value, 0x85)

    @property
    def packed(self) -> bytes:
        return self._pack(0x85)


class HashField(enum.IntFlag):
    """Fields of a packet that choose among equal paths."""

    L3_SOURCE = 0x80
    L3_DESTINATION = 0x40
    L4_PROTOCOL = 0x20
    L4_SOURCE_PORT = 0x10
    L4_DESTINATION_PORT = 0x08


ALL_FIELDS = HashField(0xF8)


@dataclass(frozen=True, slots=True)
class LoadBalance:
    """How to choose among equal paths. Private to Contrail; absent means all five fields."""

    fields: HashField = ALL_FIELDS
    source_bias: bool = False

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        if value[:2] != b"\x03\xaa":
            return None
        return cls(HashField(value[2] & 0xF8), bool(value[4] & 0x80))

    @property
    def packed(self) -> bytes:
        bias = 0x80 if self.source_bias else 0
        return bytes((_OPAQUE, 0xAA, self.fields & 0xF8, 0, bias, 0, 0, 0))


class TunnelKind(enum.IntEnum):
    """Tunnel types of the encapsulation community (RFC 9012 section 4.1, IANA); 16 is private."""

    L2TPV3 = 1
    GRE = 2
    VXLAN = 8
    NVGRE = 9
    MPLS = 10
    MPLS_OVER_GRE = 11
    VXLAN_GPE = 12
    MPLS_OVER_UDP = 13
    NATIVE = 16


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """One tunnel type the next hop takes; ``kind`` stays a number where it has no name here."""

    kind: int

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        if value[:2] != b"\x03\x0c":
            return None
        return cls(int.from_bytes(value[6:]))

    @property
    def packed(self) -> bytes:
        return b"\x03\x0c\0\0\0\0" + self.kind.to_bytes(2)


def tunnel_kinds(communities: Iterable[bytes]) -> tuple[int, ...]:
    """Return the tunnel types of a route, in order, each once."""
    return tuple(dict.fromkeys(each.kind for each in find(communities, Encapsulation)))


@dataclass(frozen=True, slots=True)
class MacMobility:
    """How often a workload has moved (RFC 7432 section 7.7)."""

    sequence: int
    sticky: bool = False

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        if value[:2] != b"\x06\0":
            return None
        return cls(int.from_bytes(value[4:]), bool(value[2] & 0x01))

    @property
    def packed(self) -> bytes:
        return bytes((_EVPN, 0, int(self.sticky), 0)) + self.sequence.to_bytes(4)


@dataclass(frozen=True, slots=True)
class LocalSequenceNumber:
    """As MAC mobility, within one cluster only (not transitive). Private to Contrail."""

    sequence: int

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        if value[:2] != b"\xc0\0":
            return None
        return cls(int.from_bytes(value[2:6]))

    @property
    def packed(self) -> bytes:
        return b"\xc0\0" + self.sequence.to_bytes(4) + b"\0\0"


@dataclass(frozen=True, slots=True)
class RouterMac:
    """The inner destination of routed VXLAN packets (RFC 9135 section 8.1)."""

    mac: Mac

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        return cls(Mac(value[2:])) if value[:2] == b"\x06\x03" else None

    @property
    def packed(self) -> bytes:
        return b"\x06\x03" + self.mac.packed


@dataclass(frozen=True, slots=True)
class SegmentImport:
    """The ES-import route target (RFC 7432 section 7.6)."""

    mac: Mac

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        return cls(Mac(value[2:])) if value[:2] == b"\x06\x02" else None

    @property
    def packed(self) -> bytes:
        return b"\x06\x02" + self.mac.packed


@dataclass(frozen=True, slots=True)
class SegmentLabel:
    """The ESI label (RFC 7432 section 7.5); ``label`` is the raw 24-bit field."""

    label: int
    single_active: bool = False

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        if value[:2] != b"\x06\x01":
            return None
        return cls(int.from_bytes(value[5:]), bool(value[2] & 0x01))

    @property
    def packed(self) -> bytes:
        return bytes((_EVPN, 1, int(self.single_active), 0, 0)) + self.label.to_bytes(3)


@dataclass(frozen=True, slots=True)
class Etree:
    """E-Tree (RFC 8317 section 6.1); ``label`` is the raw 24-bit field."""

    leaf: bool
    label: int = 0

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        if value[:2] != b"\x06\x05":
            return None
        return cls(bool(value[2] & 0x01), int.from_bytes(value[5:]))

    @property
    def packed(self) -> bytes:
        return bytes((_EVPN, 5, int(self.leaf), 0, 0)) + self.label.to_bytes(3)


@dataclass(frozen=True, slots=True)
class MulticastFlags:
    """What kinds of proxying a router does (RFC 9251 section 9.5)."""

    flags: int

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        return cls(int.from_bytes(value[2:4])) if value[:2] == b"\x06\x09" else None

    @property
    def packed(self) -> bytes:
        return b"\x06\x09" + self.flags.to_bytes(2) + bytes(4)


@dataclass(frozen=True, slots=True)
class SiteOfOrigin:
    """RFC 4364 section 7: where a route entered, so that it does not go back there."""

    value: bytes
    """All eight bytes: AS or address, and a number."""

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        return cls(value) if value[1] == _ORIGIN and value[0] <= _AS4 else None

    @property
    def packed(self) -> bytes:
        return self.value


@dataclass(frozen=True, slots=True)
class RouteImport:
    """VRF route import (RFC 6514 section 7): whom to ask for multicast, and which VRF there."""

    address: IPv4Address
    number: int

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        if value[:2] != b"\x01\x0b":
            return None
        return cls(IPv4Address(value[2:6]), int.from_bytes(value[6:]))

    @property
    def packed(self) -> bytes:
        return b"\x01\x0b" + self.address.packed + self.number.to_bytes(2)


@dataclass(frozen=True, slots=True)
class SourceAs:
    """The AS of a multicast source (RFC 6514 section 6)."""

    asn: int

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        if value[:2] == b"\0\x09":
            return cls(int.from_bytes(value[2:4]))
        return cls(int.from_bytes(value[2:6])) if value[:2] == b"\x02\x09" else None

    @property
    def packed(self) -> bytes:
        if self.asn <= 0xFFFF:
            return b"\0\x09" + self.asn.to_bytes(2) + bytes(4)
        return b"\x02\x09" + self.asn.to_bytes(4) + bytes(2)


def text_of(value: bytes) -> str:
    """Return a short text for people; hexadecimal for what has no name here."""
    if value[0] <= _AS4 and value[1] == _TARGET:
        return str(RouteTarget(value))
    origin = SiteOfOrigin.of(value)
    if origin is not None:
        return (
            "origin:" + str(RouteTarget(bytes((value[0], _TARGET)) + value[2:])).partition(":")[2]
        )
    for name, kind in _NUMBERED_NAMES:
        numbered = kind.of(value)
        if numbered is not None:
            return f"{name}:{numbered.asn}:{numbered.number}"
    encapsulation = Encapsulation.of(value)
    if encapsulation is not None:
        return f"encapsulation:{_tunnel_name(encapsulation.kind)}"
    mobility = MacMobility.of(value)
    if mobility is not None:
        return f"mobility:{'sticky:' if mobility.sticky else ''}{mobility.sequence}"
    router = RouterMac.of(value)
    return value.hex() if router is None else f"router-mac:{router.mac}"


_NUMBERED_NAMES: tuple[tuple[str, type[SecurityGroup | Tag | OriginVn | SubCluster]], ...] = (
    ("security-group", SecurityGroup),
    ("tag", Tag),
    ("origin-vn", OriginVn),
    ("sub-cluster", SubCluster),
)


def _tunnel_name(kind: int) -> str:
    try:
        return TunnelKind(kind).name.lower().replace("_", "-")
    except ValueError:
        return str(kind)
