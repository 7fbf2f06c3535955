"""UPDATE messages from routes: attributes once, then as many routes as fit, message by message.

Only negotiated families leave: a peer that meets an unknown one may reset the session. Asking for
one is a mistake of the caller and a ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from skytrail.wire.bgp.attribute_encode import encode_attribute, encode_attributes
from skytrail.wire.bgp.attributes import AttributeCode, AttributeFlag, Attributes
from skytrail.wire.bgp.families import BgpFamily
from skytrail.wire.bgp.framing import framed
from skytrail.wire.bgp.messages import HEADER_BYTES, MessageType, Negotiated
from skytrail.wire.bgp.next_hop import encode_next_hop
from skytrail.wire.bgp.nlri import IpAddress, LabelledNlri, Nlri, VpnNlri
from skytrail.wire.bgp.nlri_codec import encode_nlri

_LENGTHS_BYTES = 4
"""The length fields of withdrawn routes and of path attributes."""
_MP_HEADER_BYTES = 4
"""Flags, type and two bytes of length."""
_OPTIONAL = int(AttributeFlag.OPTIONAL)
_TRANSITIVE = int(AttributeFlag.TRANSITIVE)
_NO_ROUTES = b"\0\0\0\0"


class AttributesTooLong(ValueError):
    """These attributes leave no room for a route in a message of this peer.

    The routes cannot be told to it; what it knew of them is to be withdrawn (RFC 8654 section 4).
    """


def encode_update(
    family: BgpFamily,
    next_hop: IpAddress,
    attributes: Attributes,
    nlri: Iterable[Nlri],
    negotiated: Negotiated,
) -> list[bytes]:
    """Return complete messages that advertise ``nlri`` (none: no message)."""
    routes = [_encode_reachable(family, each, negotiated) for each in nlri]
    encoded = encode_attributes(attributes, negotiated)
    return pack_update(family, next_hop, encoded, routes, negotiated)


def pack_update(
    family: BgpFamily,
    next_hop: IpAddress,
    encoded_attributes: bytes,
    encoded_nlri: Iterable[bytes],
    negotiated: Negotiated,
) -> list[bytes]:
    """As :func:`encode_update` from what :func:`encode_attributes` and ``encode_nlri`` made."""
    _require(family, negotiated)
    if family is BgpFamily.INET and isinstance(next_hop, IPv4Address):
        return _pack_classic(next_hop, encoded_attributes, encoded_nlri, negotiated)
    extended = family in negotiated.extended_next_hop
    hop = encode_next_hop(family, next_hop, extended=extended)
    head = family.packed + len(hop).to_bytes(1) + hop + b"\0"
    room = _room(negotiated, len(encoded_attributes) + _MP_HEADER_BYTES + len(head))
    messages: list[bytes] = []
    for chunk in _chunks(encoded_nlri, room):
        # First, as RFC 7606 section 5.1 asks, so that an error behind it cannot hide the routes.
        attributes = (
            encode_attribute(_OPTIONAL, AttributeCode.MP_REACH_NLRI, head + chunk)
            + encoded_attributes
        )
        body = b"\0\0" + len(attributes).to_bytes(2) + attributes
        messages.append(framed(MessageType.UPDATE, body))
    return messages


def encode_withdraw(family: BgpFamily, nlri: Iterable[Nlri], negotiated: Negotiated) -> list[bytes]:
    """Return complete messages that withdraw ``nlri`` (none: no message)."""
    routes = [encode_nlri(family, each, withdrawn=True) for each in nlri]
    return pack_withdraw(family, routes, negotiated)


def pack_withdraw(
    family: BgpFamily, encoded_nlri: Iterable[bytes], negotiated: Negotiated
) -> list[bytes]:
    """As :func:`encode_withdraw` from what ``encode_nlri(..., withdrawn=True)`` made."""
    _require(family, negotiated)
    if family is BgpFamily.INET:
        return [
            framed(MessageType.UPDATE, len(chunk).to_bytes(2) + chunk + b"\0\0")
            for chunk in _chunks(encoded_nlri, _room(negotiated, 0))
        ]
    messages: list[bytes] = []
    for chunk in _chunks(encoded_nlri, _room(negotiated, _MP_HEADER_BYTES + 3)):
        attribute = encode_attribute(
            _OPTIONAL, AttributeCode.MP_UNREACH_NLRI, family.packed + chunk
        )
        body = b"\0\0" + len(attribute).to_bytes(2) + attribute
        messages.append(framed(MessageType.UPDATE, body))
    return messages


def encode_end_of_rib(family: BgpFamily) -> bytes:
    """Return the End-of-RIB marker of a family (RFC 4724 section 2)."""
    if family is BgpFamily.INET:
        return framed(MessageType.UPDATE, _NO_ROUTES)
    attribute = encode_attribute(_OPTIONAL, AttributeCode.MP_UNREACH_NLRI, family.packed)
    return framed(MessageType.UPDATE, b"\0\0" + len(attribute).to_bytes(2) + attribute)


def _pack_classic(
    next_hop: IPv4Address,
    encoded_attributes: bytes,
    encoded_nlri: Iterable[bytes],
    negotiated: Negotiated,
) -> list[bytes]:
    split = _after_as_path(encoded_attributes)
    hop = encode_attribute(_TRANSITIVE, AttributeCode.NEXT_HOP, next_hop.packed)
    attributes = encoded_attributes[:split] + hop + encoded_attributes[split:]
    head = b"\0\0" + len(attributes).to_bytes(2) + attributes
    return [
        framed(MessageType.UPDATE, head + chunk)
        for chunk in _chunks(encoded_nlri, _room(negotiated, len(attributes)))
    ]


def _after_as_path(encoded: bytes) -> int:
    """Return where NEXT_HOP belongs by its code: behind ORIGIN (four bytes) and AS_PATH."""
    if encoded[4] & AttributeFlag.EXTENDED_LENGTH:
        return 8 + int.from_bytes(encoded[6:8])
    return 7 + encoded[6]


def _encode_reachable(family: BgpFamily, nlri: Nlri, negotiated: Negotiated) -> bytes:
    if (
        isinstance(nlri, VpnNlri | LabelledNlri)
        and len(nlri.labels) > 1
        and family not in negotiated.label_stacks
    ):
        raise ValueError(f"{nlri!r}: several labels were not negotiated (RFC 8277 section 2.1)")
    return encode_nlri(family, nlri)


def _require(family: BgpFamily, negotiated: Negotiated) -> None:
    if family not in negotiated.families:
        raise ValueError(f"{family.name} was not negotiated")


def _room(negotiated: Negotiated, taken: int) -> int:
    return negotiated.message_bytes_max - HEADER_BYTES - _LENGTHS_BYTES - taken


def _chunks(encoded_nlri: Iterable[bytes], room: int) -> Iterable[bytes]:
    """Join routes in order into pieces of at most ``room`` bytes."""
    encoded_nlri = list(encoded_nlri)
    whole = b"".join(encoded_nlri)
    sizes = set(map(len, encoded_nlri))
    if len(sizes) == 1 and max(sizes) <= room:
        # As nearly always: where to cut needs no look at each.
        step = room - room % sizes.pop()
        for at in range(0, len(whole), step):
            yield whole[at : at + step]
        return
    pending: list[bytes] = []
    size = 0
    for route in encoded_nlri:
        if size + len(route) > room:
            if not pending:
                raise AttributesTooLong(f"{room} bytes left for a route of {len(route)}")
            yield b"".join(pending)
            pending.clear()
            size = 0
            if len(route) > room:
                raise AttributesTooLong(f"{room} bytes left for a route of {len(route)}")
        pending.append(route)
        size += len(route)
    if pending:
        yield b"".join(pending)
