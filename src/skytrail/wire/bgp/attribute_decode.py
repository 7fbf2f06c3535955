"""Path attributes on the wire to ``Attributes``, with the error handling of RFC 7606.

```
 attribute bytes (MP_REACH, MP_UNREACH cut out) --AttributeCache--> AttributeReading
                                                     | miss: one rule for each type code
                                                     v
                                 value, or attribute discard, or treat-as-withdraw
```
A reading is a function of the bytes and of two facts about the peer (4-byte AS numbers, internal
or external), so one cache may serve all peers of a process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple, TypeAlias

from skytrail.wire.bgp.as_path import merge_as4_path, read_as_path
from skytrail.wire.bgp.attributes import (
    AS_TRANS,
    Aggregator,
    AttributeCode,
    AttributeFlag,
    Attributes,
    DiscoveryEdge,
    ForwardingEdge,
    LargeCommunity,
    PmsiTunnel,
    RawAttribute,
    TunnelType,
)
from skytrail.wire.bgp.errors import BgpError, ErrorCode, UpdateError

_OPTIONAL = int(AttributeFlag.OPTIONAL)
_TRANSITIVE = int(AttributeFlag.TRANSITIVE)
_PARTIAL = int(AttributeFlag.PARTIAL)
_EXTENDED = int(AttributeFlag.EXTENDED_LENGTH)
_REPLICATION = frozenset((TunnelType.INGRESS_REPLICATION, TunnelType.ASSISTED_REPLICATION))
_KIND_FLAGS = _OPTIONAL | _TRANSITIVE


class PeerKind(NamedTuple):
    """What the meaning of attribute bytes depends on beside themselves."""

    four_byte_as: bool = True
    is_internal: bool = True


@dataclass(frozen=True, slots=True)
class AttributeReading:
    """Outcome of reading everything but MP_REACH_NLRI and MP_UNREACH_NLRI."""

    attributes: Attributes
    present: frozenset[int] = frozenset()
    next_hop: IPv4Address | None = None
    next_hop_problem: str = ""
    """Counts only for NLRI outside MP_REACH_NLRI (RFC 4760 section 3)."""
    problems: tuple[str, ...] = ()
    """Everything wrong, whatever was done about it."""
    withdraw: bool = False
    """Some error asks for treat-as-withdraw."""
    subcode: int = UpdateError.MALFORMED_ATTRIBUTE_LIST
    """For the NOTIFICATION if withdrawing turns out to be impossible."""
    fault: bytes = b""
    """The first attribute that asks for it, as received."""
    is_clean: bool = False
    """Nothing is wrong and nothing that MP_REACH_NLRI needs is missing."""


class MalformedAttribute(Exception):
    """An attribute value that is wrong; the rule of its type decides what follows."""

    def __init__(self, reason: str, subcode: int = UpdateError.ATTRIBUTE_LENGTH) -> None:
        super().__init__(reason)
        self.reason = reason
        self.subcode = subcode


@dataclass(slots=True)
class _Work:
    """Mutable state of one reading."""

    peer: PeerKind
    values: dict[str, object] = field(default_factory=dict[str, object])
    present: set[int] = field(default_factory=set[int])
    unknown: list[RawAttribute] = field(default_factory=list[RawAttribute])
    next_hop_problem: str = ""
    problems: list[str] = field(default_factory=list[str])
    withdraw: bool = False
    subcode: int = UpdateError.MALFORMED_ATTRIBUTE_LIST
    fault: bytes = b""

    def ask_to_withdraw(self, reason: str, subcode: int, fault: bytes) -> None:
        self.problems.append(f"{reason}: treated as withdraw")
        if not self.withdraw:
            self.withdraw, self.subcode, self.fault = True, subcode, fault


def read_attributes(data: bytes, peer: PeerKind) -> AttributeReading:
    """Read a sequence of whole attributes, none of them MP_REACH_NLRI or MP_UNREACH_NLRI.

    Raises :class:`BgpError` only for an unknown well-known attribute (RFC 4271 section 6.3).
    """
    work = _Work(peer)
    position, end = 0, len(data)
    while position < end:
        flags, code = data[position], data[position + 1]
        if flags & _EXTENDED:
            value_at = position + 4
            following = value_at + int.from_bytes(data[position + 2 : value_at])
        else:
            value_at = position + 3
            following = value_at + data[position + 2]
        _read_one(work, flags, code, data[value_at:following], data[position:following])
        position = following
    return _finish(work)


def _read_one(work: _Work, flags: int, code: int, value: bytes, whole: bytes) -> None:
    if code in work.present:
        work.problems.append(f"attribute {code} appears twice: later one discarded")
        return
    rule = _RULES.get(code)
    work.present.add(code)
    if rule is None:
        _keep_unknown(work, flags, code, value, whole)
        return
    if rule.only_internal and not work.peer.is_internal:
        # Not a problem worth a word: RFC 4271 section 5.1.5 and RFC 7606 section 7 say ignore.
        return
    if flags & _KIND_FLAGS != rule.flags:
        reason = f"{rule.name} with flags {flags:#04x}"
        if rule.is_private:
            work.problems.append(f"{reason}: attribute discarded")
        elif code == AttributeCode.NEXT_HOP:
            work.next_hop_problem = reason
        else:
            work.ask_to_withdraw(reason, UpdateError.ATTRIBUTE_FLAGS, whole)
        return
    try:
        work.values[rule.field] = rule.read(value, work.peer)
    except MalformedAttribute as error:
        reason = f"{rule.name}: {error.reason}"
        if rule.discards or rule.is_private:
            work.problems.append(f"{reason}: attribute discarded")
        elif code == AttributeCode.NEXT_HOP:
            work.next_hop_problem = reason
        else:
            work.ask_to_withdraw(reason, error.subcode, whole)


def _keep_unknown(work: _Work, flags: int, code: int, value: bytes, whole: bytes) -> None:
    if not flags & _OPTIONAL:
        raise BgpError(
            ErrorCode.UPDATE,
            UpdateError.UNRECOGNIZED_WELL_KNOWN,
            whole,
            f"unknown well-known attribute {code}",
        )
    if flags & _TRANSITIVE:
        # Whoever passes on what it does not understand says so (RFC 4271 section 5).
        kept = (flags & ~_EXTENDED) | _PARTIAL
        work.unknown.append(RawAttribute(kept & 0xF0, code, value))


def _finish(work: _Work) -> AttributeReading:
    values = work.values
    next_hop = values.pop("next_hop", None)
    as4_path = values.pop("as4_path", None)
    as4_aggregator = values.pop("as4_aggregator", None)
    if not work.peer.four_byte_as:
        _apply_as4(values, as4_path, as4_aggregator)
    if work.unknown:
        # One order for equal sets; the wire's own order means nothing.
        values["unknown"] = tuple(sorted(work.unknown, key=lambda each: each.code))
    return AttributeReading(
        Attributes(**values),  # type: ignore[arg-type] # each rule's reader returns its field's type
        frozenset(work.present),
        next_hop if isinstance(next_hop, IPv4Address) else None,
        work.next_hop_problem,
        tuple(work.problems),
        work.withdraw,
        work.subcode,
        work.fault,
        not work.problems
        and AttributeCode.ORIGIN in work.present
        and AttributeCode.AS_PATH in work.present,
    )


def _apply_as4(values: dict[str, object], as4_path: object, as4_aggregator: object) -> None:
    """Put back what an old speaker could not say (RFC 6793 section 4.2.3)."""
    aggregator = values.get("aggregator")
    if isinstance(aggregator, Aggregator) and isinstance(as4_aggregator, Aggregator):
        if aggregator.asn != AS_TRANS:
            # The AGGREGATOR was made anew by an old speaker, so both AS4 attributes are outdated.
            return
        values["aggregator"] = as4_aggregator
    as_path = values.get("as_path")
    if isinstance(as_path, tuple) and isinstance(as4_path, tuple):
        values["as_path"] = merge_as4_path(as_path, as4_path)


def _origin(value: bytes, peer: PeerKind) -> int:
    if len(value) != 1:
        raise MalformedAttribute(f"{len(value)} bytes")
    if value[0] > 2:
        raise MalformedAttribute(f"undefined value {value[0]}", UpdateError.INVALID_ORIGIN)
    return value[0]


def _as_path(value: bytes, peer: PeerKind) -> object:
    try:
        return read_as_path(value, 4 if peer.four_byte_as else 2)
    except ValueError as error:
        raise MalformedAttribute(str(error), UpdateError.MALFORMED_AS_PATH) from error


def _as4_path(value: bytes, peer: PeerKind) -> object:
    if not value:
        raise MalformedAttribute("empty")
    try:
        return read_as_path(value, 4, confederations=False)
    except ValueError as error:
        raise MalformedAttribute(str(error)) from error


def _next_hop(value: bytes, peer: PeerKind) -> IPv4Address:
    if len(value) != 4:
        raise MalformedAttribute(f"{len(value)} bytes")
    address = IPv4Address(value)
    if value[0] == 0 or value[0] == 127 or value[0] >= 224:
        raise MalformedAttribute(f"{address} is no host", UpdateError.INVALID_NEXT_HOP)
    return address


def _number(value: bytes, peer: PeerKind) -> int:
    if len(value) != 4:
        raise MalformedAttribute(f"{len(value)} bytes")
    return int.from_bytes(value)


def _atomic_aggregate(value: bytes, peer: PeerKind) -> bool:
    if value:
        raise MalformedAttribute(f"{len(value)} bytes")
    return True


def _aggregator(value: bytes, peer: PeerKind) -> Aggregator:
    width = 4 if peer.four_byte_as else 2
    if len(value) != width + 4:
        raise MalformedAttribute(f"{len(value)} bytes")
    return _aggregator_of(value, width)


def _as4_aggregator(value: bytes, peer: PeerKind) -> Aggregator:
    if len(value) != 8:
        raise MalformedAttribute(f"{len(value)} bytes")
    return _aggregator_of(value, 4)


def _aggregator_of(value: bytes, width: int) -> Aggregator:
    asn = int.from_bytes(value[:width])
    if asn == 0:
        raise MalformedAttribute("AS 0 (RFC 7607)")
    return Aggregator(asn, IPv4Address(value[width:]))


def _words(value: bytes, width: int) -> range:
    if not value or len(value) % width:
        raise MalformedAttribute(f"{len(value)} bytes are no list of {width}-byte values")
    return range(0, len(value), width)


def _communities(value: bytes, peer: PeerKind) -> tuple[int, ...]:
    return tuple(int.from_bytes(value[at : at + 4]) for at in _words(value, 4))


def _large_communities(value: bytes, peer: PeerKind) -> tuple[LargeCommunity, ...]:
    return tuple(
        LargeCommunity(
            int.from_bytes(value[at : at + 4]),
            int.from_bytes(value[at + 4 : at + 8]),
            int.from_bytes(value[at + 8 : at + 12]),
        )
        for at in _words(value, 12)
    )


def _eights(value: bytes, peer: PeerKind) -> tuple[bytes, ...]:
    return tuple(value[at : at + 8] for at in _words(value, 8))


def _originator(value: bytes, peer: PeerKind) -> IPv4Address:
    if len(value) != 4:
        raise MalformedAttribute(f"{len(value)} bytes")
    return IPv4Address(value)


def _cluster_list(value: bytes, peer: PeerKind) -> tuple[IPv4Address, ...]:
    return tuple(IPv4Address(value[at : at + 4]) for at in _words(value, 4))


def _pmsi(value: bytes, peer: PeerKind) -> PmsiTunnel:
    if len(value) < 5:
        raise MalformedAttribute(f"{len(value)} bytes", UpdateError.OPTIONAL_ATTRIBUTE)
    identifier = value[5:]
    if value[1] in _REPLICATION and len(identifier) not in {4, 16}:
        raise MalformedAttribute(
            f"replication by {len(identifier)} bytes of address",
            UpdateError.OPTIONAL_ATTRIBUTE,
        )
    return PmsiTunnel(value[0], value[1], int.from_bytes(value[2:5]), identifier)


def _edge_discovery(value: bytes, peer: PeerKind) -> tuple[DiscoveryEdge, ...]:
    edges: list[DiscoveryEdge] = []
    position, end = 0, len(value)
    while position < end:
        address_at, size = position + 1, _edge_address_bytes(value[position])
        labels_at = address_at + size + 1
        if labels_at > end:
            raise MalformedAttribute("edge without an address")
        following = labels_at + value[labels_at - 1]
        if following > end or following == labels_at or (following - labels_at) % 8:
            raise MalformedAttribute("edge without whole label ranges")
        ranges = tuple(
            (int.from_bytes(value[at : at + 4]), int.from_bytes(value[at + 4 : at + 8]))
            for at in range(labels_at, following, 8)
        )
        edges.append(DiscoveryEdge(ip_address(value[address_at : address_at + size]), ranges))
        position = following
    if not edges:
        raise MalformedAttribute("empty")
    return tuple(edges)


def _edge_address_bytes(size: int) -> int:
    if size not in {4, 16}:
        raise MalformedAttribute(f"edge with {size} bytes of address")
    return size


def _edge_forwarding(value: bytes, peer: PeerKind) -> tuple[ForwardingEdge, ...]:
    edges: list[ForwardingEdge] = []
    position, end = 0, len(value)
    while position < end:
        half = _edge_address_bytes(value[position]) + 4
        inbound_at, outbound_at = position + 1, position + 1 + half
        position = outbound_at + half
        if position > end:
            raise MalformedAttribute("edge that is cut off")
        ends = [
            (ip_address(end_of[:-4]), int.from_bytes(end_of[-4:]))
            for end_of in (value[inbound_at:outbound_at], value[outbound_at:position])
        ]
        edges.append(ForwardingEdge(*ends[0], *ends[1]))
    if not edges:
        raise MalformedAttribute("empty")
    return tuple(edges)


_Read: TypeAlias = Callable[[bytes, PeerKind], object]


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one attribute is read, and what happens when it cannot be."""

    name: str
    field: str
    flags: int
    read: _Read
    discards: bool = False
    """Attribute discard instead of treat-as-withdraw."""
    only_internal: bool = False
    """Ignored when it comes from an external peer."""
    is_private: bool = False
    """A private code point: a stranger may use the number for something else, so never more than
    attribute discard, wrong flags included."""


_WELL_KNOWN = _TRANSITIVE
_BOTH = _OPTIONAL | _TRANSITIVE
_C = AttributeCode
_RULES: dict[int, _Rule] = {
    _C.ORIGIN: _Rule("ORIGIN", "origin", _WELL_KNOWN, _origin),
    _C.AS_PATH: _Rule("AS_PATH", "as_path", _WELL_KNOWN, _as_path),
    _C.NEXT_HOP: _Rule("NEXT_HOP", "next_hop", _WELL_KNOWN, _next_hop),
    _C.MULTI_EXIT_DISC: _Rule("MULTI_EXIT_DISC", "med", _OPTIONAL, _number),
    _C.LOCAL_PREF: _Rule(
        "LOCAL_PREF", "local_preference", _WELL_KNOWN, _number, only_internal=True
    ),
    _C.ATOMIC_AGGREGATE: _Rule(
        "ATOMIC_AGGREGATE", "atomic_aggregate", _WELL_KNOWN, _atomic_aggregate, discards=True
    ),
    _C.AGGREGATOR: _Rule("AGGREGATOR", "aggregator", _BOTH, _aggregator, discards=True),
    _C.COMMUNITIES: _Rule("COMMUNITIES", "communities", _BOTH, _communities),
    _C.ORIGINATOR_ID: _Rule(
        "ORIGINATOR_ID", "originator", _OPTIONAL, _originator, only_internal=True
    ),
    _C.CLUSTER_LIST: _Rule(
        "CLUSTER_LIST", "cluster_list", _OPTIONAL, _cluster_list, only_internal=True
    ),
    _C.EXTENDED_COMMUNITIES: _Rule("EXTENDED_COMMUNITIES", "extended_communities", _BOTH, _eights),
    _C.AS4_PATH: _Rule("AS4_PATH", "as4_path", _BOTH, _as4_path, discards=True),
    _C.AS4_AGGREGATOR: _Rule(
        "AS4_AGGREGATOR", "as4_aggregator", _BOTH, _as4_aggregator, discards=True
    ),
    _C.PMSI_TUNNEL: _Rule("PMSI_TUNNEL", "pmsi", _BOTH, _pmsi),
    _C.LARGE_COMMUNITIES: _Rule(
        "LARGE_COMMUNITIES", "large_communities", _BOTH, _large_communities
    ),
    _C.EDGE_DISCOVERY: _Rule(
        "EDGE_DISCOVERY", "edge_discovery", _BOTH, _edge_discovery, is_private=True
    ),
    _C.EDGE_FORWARDING: _Rule(
        "EDGE_FORWARDING", "edge_forwarding", _BOTH, _edge_forwarding, is_private=True
    ),
    _C.ORIGIN_VN_PATH: _Rule("ORIGIN_VN_PATH", "origin_vn_path", _BOTH, _eights, is_private=True),
}
