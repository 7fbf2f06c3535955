"""``Attributes`` to the bytes every UPDATE of a packed set shares, next hop and NLRI excluded.

Absent attributes are left out, empty lists included: peers reset sessions over attributes of
length zero. What an external peer must not be told is left out as well (RFC 4271 section 5.1.5,
RFC 4456 section 8).
"""

from __future__ import annotations

from skytrail.wire.bgp.as_path import needs_four_bytes, without_confederations, write_as_path
from skytrail.wire.bgp.attributes import (
    AS_TRANS,
    DEFAULT_LOCAL_PREFERENCE,
    Aggregator,
    AttributeCode,
    AttributeFlag,
    Attributes,
    ForwardingEdge,
)
from skytrail.wire.bgp.messages import Negotiated

_C = AttributeCode
_OPTIONAL = int(AttributeFlag.OPTIONAL)
_TRANSITIVE = int(AttributeFlag.TRANSITIVE)
_EXTENDED = int(AttributeFlag.EXTENDED_LENGTH)
_BOTH = _OPTIONAL | _TRANSITIVE


def encode_attribute(flags: int, code: int, value: bytes) -> bytes:
    """Return one attribute with the length field its value needs."""
    if len(value) > 0xFF:
        return bytes((flags | _EXTENDED, code)) + len(value).to_bytes(2) + value
    return bytes((flags, code, len(value))) + value


def encode_attributes(attributes: Attributes, negotiated: Negotiated) -> bytes:
    """Return all attributes but next hop and NLRI, in ascending order of their codes.

    The result depends on ``negotiated`` only by ``four_byte_as`` and ``is_internal``, so it may
    be kept for all sessions that agree in these. ``ValueError`` for values no attribute can hold.
    """
    try:
        parts = _encode(attributes, negotiated)
    except OverflowError as error:
        raise ValueError(f"{attributes!r} holds a number out of range") from error
    # ORIGIN and AS_PATH lead even where a stranger uses the reserved code 0.
    return b"".join(parts[:2] + sorted(parts[2:], key=lambda part: part[1]))


def _encode(attributes: Attributes, negotiated: Negotiated) -> list[bytes]:
    parts = [encode_attribute(_TRANSITIVE, _C.ORIGIN, attributes.origin.to_bytes(1))]
    parts += _as_numbers(attributes, four_byte_as=negotiated.four_byte_as)
    if attributes.med is not None:
        parts.append(encode_attribute(_OPTIONAL, _C.MULTI_EXIT_DISC, attributes.med.to_bytes(4)))
    if attributes.atomic_aggregate:
        parts.append(encode_attribute(_TRANSITIVE, _C.ATOMIC_AGGREGATE, b""))
    if negotiated.is_internal:
        parts += _internal(attributes)
    parts += _lists(attributes)
    parts += [encode_attribute(raw.flags, raw.code, raw.value) for raw in attributes.unknown]
    return parts


def _as_numbers(attributes: Attributes, *, four_byte_as: bool) -> list[bytes]:
    width = 4 if four_byte_as else 2
    path, aggregator = attributes.as_path, attributes.aggregator
    parts = [encode_attribute(_TRANSITIVE, _C.AS_PATH, write_as_path(path, width))]
    if not four_byte_as and needs_four_bytes(path):
        full = write_as_path(without_confederations(path), 4)
        if full:
            parts.append(encode_attribute(_BOTH, _C.AS4_PATH, full))
    if aggregator is None:
        return parts
    parts.append(encode_attribute(_BOTH, _C.AGGREGATOR, _aggregator(aggregator, width)))
    if aggregator.asn >= 1 << (8 * width):
        parts.append(encode_attribute(_BOTH, _C.AS4_AGGREGATOR, _aggregator(aggregator, 4)))
    return parts


def _aggregator(aggregator: Aggregator, width: int) -> bytes:
    fits = aggregator.asn < 1 << (8 * width)
    asn = aggregator.asn if fits or width == 4 else AS_TRANS
    return asn.to_bytes(width) + aggregator.address.packed


def _internal(attributes: Attributes) -> list[bytes]:
    preference = attributes.local_preference
    if preference is None:
        # Required towards internal peers (RFC 4271 section 5.1.5); some withdraw without it.
        preference = DEFAULT_LOCAL_PREFERENCE
    parts = [encode_attribute(_TRANSITIVE, _C.LOCAL_PREF, preference.to_bytes(4))]
    if attributes.originator is not None:
        parts.append(encode_attribute(_OPTIONAL, _C.ORIGINATOR_ID, attributes.originator.packed))
    if attributes.cluster_list:
        clusters = b"".join(each.packed for each in attributes.cluster_list)
        parts.append(encode_attribute(_OPTIONAL, _C.CLUSTER_LIST, clusters))
    return parts


def _lists(attributes: Attributes) -> list[bytes]:
    pmsi = attributes.pmsi
    values = {
        _C.COMMUNITIES: b"".join(each.to_bytes(4) for each in attributes.communities),
        _C.EXTENDED_COMMUNITIES: _eights(attributes.extended_communities),
        _C.PMSI_TUNNEL: b""
        if pmsi is None
        else bytes((pmsi.flags, pmsi.tunnel_type)) + pmsi.label.to_bytes(3) + pmsi.identifier,
        _C.LARGE_COMMUNITIES: b"".join(
            each.administrator.to_bytes(4) + each.data1.to_bytes(4) + each.data2.to_bytes(4)
            for each in attributes.large_communities
        ),
        _C.EDGE_DISCOVERY: _edge_discovery(attributes),
        _C.EDGE_FORWARDING: b"".join(map(_edge_forwarding, attributes.edge_forwarding)),
        _C.ORIGIN_VN_PATH: _eights(attributes.origin_vn_path),
    }
    return [encode_attribute(_BOTH, code, value) for code, value in values.items() if value]


def _eights(values: tuple[bytes, ...]) -> bytes:
    if any(len(value) != 8 for value in values):
        raise ValueError("an extended community has eight bytes")
    return b"".join(values)


def _edge_forwarding(edge: ForwardingEdge) -> bytes:
    inbound, outbound = edge.inbound.packed, edge.outbound.packed
    if len(inbound) != len(outbound):
        raise ValueError(f"{edge!r} joins two IP versions")
    labels = edge.inbound_label.to_bytes(4), edge.outbound_label.to_bytes(4)
    return len(inbound).to_bytes(1) + inbound + labels[0] + outbound + labels[1]


def _edge_discovery(attributes: Attributes) -> bytes:
    chunks: list[bytes] = []
    for edge in attributes.edge_discovery:
        ranges = b"".join(first.to_bytes(4) + last.to_bytes(4) for first, last in edge.labels)
        if not ranges:
            raise ValueError(f"{edge!r} has no labels")
        address = edge.address.packed
        chunks.append(len(address).to_bytes(1) + address + len(ranges).to_bytes(1) + ranges)
    return b"".join(chunks)
