"""NLRI on the wire, one reader and one writer for each family but EVPN (``evpn_codec``).

Readers raise ``NlriError`` where RFC 7606 section 5.3 calls the field syntactically incorrect:
its routes cannot be told apart then, so the session must end. What is well formed but unknown
(types, distinguishers) is skipped and named, as RFC 7606 section 5.4 asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias, cast

from skytrail.net import RouteDistinguisher
from skytrail.wire.bgp.evpn_codec import encode_evpn, read_evpn
from skytrail.wire.bgp.families import AFI_IPV4, BgpFamily
from skytrail.wire.bgp.nlri import (
    VPN_KEY_IPV6,
    ErmvpnNlri,
    EvpnNlri,
    IpAddress,
    IpNetwork,
    LabelledNlri,
    MvpnNlri,
    Nlri,
    RouteTargetNlri,
    VpnNlri,
    vpn_from_key,
)
from skytrail.wire.bgp.nlri_reading import (
    NlriError,
    Skipped,
    decode_distinguisher,
    encode_sized_address,
    sized_address,
    unknown_distinguisher,
)
from skytrail.wire.bgp.prefixes import masked, network4, network6, prefix_bytes
from skytrail.wire.bgp.vpn_block import read_vpn_block

WITHDRAWN_LABEL = 0x80_0000
"""What RFC 8277 section 2.4 puts where a withdrawn route has no label to give."""
_WITHDRAWN_STACK = WITHDRAWN_LABEL.to_bytes(3)
_LABEL_MAX = 0xF_FFFF
_BOTTOM = 1
_LABEL_BITS = 24
_DISTINGUISHER_BITS = 64
_VPN_BITS_MIN = _LABEL_BITS + _DISTINGUISHER_BITS
_LENGTHS = tuple(bytes((length,)) for length in range(256))
_ERMVPN_BYTES = 22
_ERMVPN_KINDS = frozenset((0, 1, 2))
_TARGET_BITS_MAX = 96
_ORIGIN_BITS = 32


@dataclass(frozen=True, slots=True)
class NlriContext:
    """What reading depends on beside the bytes."""

    withdrawn: bool = False
    label_stacks: bool = False
    """Whether the multiple-labels capability holds for the family (RFC 8277 section 2.1)."""


@dataclass(slots=True)
class NlriList:
    """What a reader found: routes, and what it passed over."""

    routes: list[Nlri] = field(default_factory=list[Nlri])
    skipped: list[str] = field(default_factory=list[str])


Reader: TypeAlias = Callable[[bytes, NlriContext, NlriList], None]


def decode_nlri(family: BgpFamily, data: bytes, context: NlriContext) -> NlriList:
    """Read a whole field of NLRI; ``NlriError`` when it does not divide into routes."""
    found = NlriList()
    _READERS[family](data, context, found)
    return found


def encode_nlri(family: BgpFamily, nlri: Nlri, *, withdrawn: bool = False) -> bytes:
    """Return one route's NLRI; ``ValueError`` for a value of another family or out of range."""
    try:
        return _encode(family, nlri, withdrawn)
    except OverflowError as error:
        raise ValueError(f"{nlri!r} holds a number out of range") from error


def _encode(family: BgpFamily, nlri: Nlri, withdrawn: bool) -> bytes:
    match nlri:
        case VpnNlri() if family in _VPN_FAMILIES:
            return _encode_vpn(family, nlri, withdrawn)
        case IPv4Network() if family is BgpFamily.INET:
            return bytes((nlri.prefixlen,)) + prefix_bytes(nlri)
        case IPv6Network() if family is BgpFamily.INET6:
            return bytes((nlri.prefixlen,)) + prefix_bytes(nlri)
        case LabelledNlri() if family in _LABELLED_FAMILIES:
            return _encode_labelled(family, nlri, withdrawn)
        case RouteTargetNlri() if family is BgpFamily.ROUTE_TARGET:
            return _encode_route_target(nlri)
        case ErmvpnNlri() if family is BgpFamily.ERMVPN:
            return _encode_ermvpn(nlri)
        case MvpnNlri() if family is BgpFamily.MVPN:
            return _encode_mvpn(nlri)
        case _ if family is BgpFamily.EVPN:
            return encode_evpn(cast("EvpnNlri", nlri))
        case _:
            raise ValueError(f"{nlri!r} is no route of {family.name}")


_VPN_FAMILIES = frozenset((BgpFamily.INET_VPN, BgpFamily.INET6_VPN))
_LABELLED_FAMILIES = frozenset((BgpFamily.INET_LABELLED, BgpFamily.INET6_LABELLED))


def _read_prefixes(data: bytes, found: NlriList, limit: int) -> None:
    network: Callable[[bytes, int], IpNetwork] = network4 if limit == 32 else network6
    position, end = 0, len(data)
    while position < end:
        length = data[position]
        following = position + 1 + ((length + 7) >> 3)
        if length > limit or following > end:
            raise NlriError(f"prefix length {length}", position)
        found.routes.append(network(data[position + 1 : following], length))
        position = following


def _read_inet(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_prefixes(data, found, 32)


def _read_inet6(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_prefixes(data, found, 128)


def _label_bytes(data: bytes, start: int, end: int, context: NlriContext) -> int:
    """Return how many bytes of labels begin at ``start``.

    Without the capability there is exactly one and its bottom-of-stack bit means nothing
    (RFC 8277 section 2.2); in a withdrawal there always is exactly one (section 2.4).
    """
    if context.withdrawn or not context.label_stacks:
        return 3
    position = start + 2
    while position < end and not data[position] & _BOTTOM:
        position += 3
    return position + 1 - start


def _labels(chunk: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(chunk[at : at + 3]) >> 4 for at in range(0, len(chunk), 3))


def _read_labelled(data: bytes, context: NlriContext, found: NlriList, limit: int) -> None:
    network: Callable[[bytes, int], IpNetwork] = network4 if limit == 32 else network6
    position, end = 0, len(data)
    while position < end:
        bits = data[position]
        following = position + 1 + ((bits + 7) >> 3)
        stack = _label_bytes(data, position + 1, min(following, end), context)
        length = bits - 8 * stack
        if not 0 <= length <= limit or following > end:
            raise NlriError(f"labelled prefix of {bits} bits", position)
        prefix_at = position + 1 + stack
        labels = () if context.withdrawn else _labels(data[position + 1 : prefix_at])
        found.routes.append(
            LabelledNlri(network(data[prefix_at:following], length), labels),
        )
        position = following


def _read_inet_labelled(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_labelled(data, context, found, 32)


def _read_inet6_labelled(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_labelled(data, context, found, 128)


def _read_vpn(data: bytes, context: NlriContext, found: NlriList, limit: int) -> None:
    mark = 0 if limit == 32 else VPN_KEY_IPV6
    one_label = context.withdrawn or not context.label_stacks
    if one_label and not context.withdrawn:
        found.routes += read_vpn_block(data, limit, found.skipped).routes()
        return
    position, end = 0, len(data)
    while position < end:
        bits = data[position]
        following = position + 1 + ((bits + 7) >> 3)
        stack = 3 if one_label else _label_bytes(data, position + 1, min(following, end), context)
        distinguisher_at = position + 1 + stack
        length = bits - _DISTINGUISHER_BITS - 8 * stack
        if not 0 <= length <= limit or following > end:
            raise NlriError(f"VPN prefix of {bits} bits", position)
        reason = unknown_distinguisher(data[distinguisher_at : distinguisher_at + 2])
        if reason:
            found.skipped.append(reason)
            position = following
            continue
        key = _LENGTHS[mark + length] + data[distinguisher_at:following]
        if length & 7:
            key = masked(key, length)
        labels = () if context.withdrawn else _labels(data[position + 1 : distinguisher_at])
        found.routes.append(vpn_from_key(key, labels))
        position = following


def _read_inet_vpn(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_vpn(data, context, found, 32)


def _read_inet6_vpn(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_vpn(data, context, found, 128)


def _read_route_targets(data: bytes, context: NlriContext, found: NlriList) -> None:
    position, end = 0, len(data)
    while position < end:
        bits = data[position]
        following = position + 1 + ((bits + 7) >> 3)
        legal = bits == 0 or _ORIGIN_BITS <= bits <= _TARGET_BITS_MAX
        if not legal or following > end:
            raise NlriError(f"route target membership of {bits} bits", position)
        asn = int.from_bytes(data[position + 1 : position + 5]) if bits else 0
        target = masked(data[position + 5 : following], bits) if bits > _ORIGIN_BITS else b""
        found.routes.append(RouteTargetNlri(asn, target.ljust(8, b"\0"), bits))
        position = following


def _read_typed(
    data: bytes, found: NlriList, read_one: Callable[[int, bytes], Nlri], name: str
) -> None:
    """Divide type, length, value; a type unknown to ``read_one`` is skipped."""
    position, end = 0, len(data)
    while position < end:
        value_at = position + 2
        following = value_at + data[position + 1] if value_at <= end else end + 1
        if following > end:
            raise NlriError(f"{name} route longer than its field", position)
        try:
            found.routes.append(read_one(data[position], data[value_at:following]))
        except Skipped as skipped:
            found.skipped.append(f"{name}: {skipped}")
        except NlriError as error:
            raise NlriError(f"{name}: {error.reason}", position) from error
        position = following


def _read_evpn(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_typed(data, found, read_evpn, "EVPN")


def _read_ermvpn(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_typed(data, found, _read_one_ermvpn, "ermvpn")


def _read_mvpn(data: bytes, context: NlriContext, found: NlriList) -> None:
    _read_typed(data, found, _read_one_mvpn, "MVPN")


def _read_one_ermvpn(kind: int, value: bytes) -> ErmvpnNlri:
    if kind not in _ERMVPN_KINDS:
        raise Skipped(f"unknown route type {kind}")
    if len(value) != _ERMVPN_BYTES or value[12] != 32 or value[17] != 32:
        raise NlriError(f"type {kind} of {len(value)} bytes")
    return ErmvpnNlri(
        kind,
        decode_distinguisher(value[:8]),
        IPv4Address(value[8:12]),
        IPv4Address(value[13:17]),
        IPv4Address(value[18:22]),
    )


def _read_one_mvpn(kind: int, value: bytes) -> MvpnNlri:
    if not 1 <= kind <= 7:
        raise Skipped(f"unknown route type {kind}")
    if kind == 4:
        if len(value) < 2 or not (key_end := 2 + value[1]) < len(value):
            raise NlriError("leaf route without originator")
        return MvpnNlri(4, route_key=value[:key_end], originator=_address(value[key_end:]))
    distinguisher = decode_distinguisher(value[:8])
    rest = value[8:]
    if kind == 1:
        return MvpnNlri(1, distinguisher, originator=_address(rest))
    source_as = None
    if kind in {2, 6, 7}:
        if len(rest) < 4:
            raise NlriError(f"type {kind} without source AS")
        source_as, rest = int.from_bytes(rest[:4]), rest[4:]
    source = group = originator = None
    if kind != 2:
        source, rest = sized_address(rest)
        group, rest = sized_address(rest)
    if kind == 3:
        originator, rest = _address(rest), b""
    if rest:
        raise NlriError(f"type {kind} with {len(rest)} bytes left over")
    return MvpnNlri(kind, distinguisher, source_as, source, group, originator)


def _address(chunk: bytes) -> IpAddress:
    if len(chunk) == 4:
        return IPv4Address(chunk)
    if len(chunk) == 16:
        return IPv6Address(chunk)
    raise NlriError(f"address of {len(chunk)} bytes")


_READERS: dict[BgpFamily, Reader] = {
    BgpFamily.INET: _read_inet,
    BgpFamily.INET6: _read_inet6,
    BgpFamily.INET_LABELLED: _read_inet_labelled,
    BgpFamily.INET6_LABELLED: _read_inet6_labelled,
    BgpFamily.INET_VPN: _read_inet_vpn,
    BgpFamily.INET6_VPN: _read_inet6_vpn,
    BgpFamily.EVPN: _read_evpn,
    BgpFamily.ROUTE_TARGET: _read_route_targets,
    BgpFamily.ERMVPN: _read_ermvpn,
    BgpFamily.MVPN: _read_mvpn,
}


def encode_labels(labels: Iterable[int], *, withdrawn: bool) -> bytes:
    """Return a label stack, bottom marked; ``ValueError`` for none or one out of range."""
    if withdrawn:
        return WITHDRAWN_LABEL.to_bytes(3)
    stack = tuple(labels)
    if not stack:
        raise ValueError("a labelled route needs a label")
    last = len(stack) - 1
    chunks: list[bytes] = []
    for index, label in enumerate(stack):
        if not 0 <= label <= _LABEL_MAX:
            raise ValueError(f"label {label} is not in 0..{_LABEL_MAX}")
        chunks.append((label << 4 | (index == last)).to_bytes(3))
    return b"".join(chunks)


def withdrawn_nlri(family: BgpFamily, encoded: bytes) -> bytes:
    """Return the NLRI that withdraws a route which :func:`encode_nlri` wrote with one label."""
    if family in _VPN_FAMILIES or family in _LABELLED_FAMILIES:
        return encoded[:1] + _WITHDRAWN_STACK + encoded[4:]
    return encoded


def withdrawn_vpn(key: bytes) -> bytes:
    """Return the NLRI that withdraws the VPN route of a key."""
    return _WITHDRAWN_HEADS[key[0]] + key[1:]


_WITHDRAWN_HEADS = [
    _LENGTHS[_VPN_BITS_MIN + (mark if mark < VPN_KEY_IPV6 else mark - VPN_KEY_IPV6)]
    + _WITHDRAWN_STACK
    for mark in range(VPN_KEY_IPV6 + 129)
]
"""By the first byte of a key: length and label, as withdrawals have them."""


def _encode_vpn(family: BgpFamily, nlri: VpnNlri, withdrawn: bool) -> bytes:
    key = nlri.key
    if nlri.wire and not withdrawn and (key[0] >= VPN_KEY_IPV6) == (family.afi != AFI_IPV4):
        return nlri.wire
    length = key[0]
    if family is BgpFamily.INET6_VPN:
        length -= VPN_KEY_IPV6
    if not 0 <= length <= (32 if family is BgpFamily.INET_VPN else 128):
        raise ValueError(f"{nlri!r} is no route of {family.name}")
    labels = nlri.labels
    if len(labels) == 1 and not withdrawn and 0 <= labels[0] <= _LABEL_MAX:
        stack = (labels[0] << 4 | _BOTTOM).to_bytes(3)
    else:
        stack = encode_labels(labels, withdrawn=withdrawn)
    bits = 8 * len(stack) + _DISTINGUISHER_BITS + length
    return b"%c%b%b" % (bits, stack, key[1:])


def _encode_labelled(family: BgpFamily, nlri: LabelledNlri, withdrawn: bool) -> bytes:
    if (nlri.prefix.version == 4) != (family.afi == AFI_IPV4):
        raise ValueError(f"{nlri!r} is no route of {family.name}")
    stack = encode_labels(nlri.labels, withdrawn=withdrawn)
    bits = 8 * len(stack) + nlri.prefix.prefixlen
    if bits > 0xFF:
        raise ValueError(f"{nlri!r} has more labels than its length can count")
    return bytes((bits,)) + stack + prefix_bytes(nlri.prefix)


def _encode_route_target(nlri: RouteTargetNlri) -> bytes:
    bits = nlri.bits
    if bits == 0:
        return b"\0"
    if not _ORIGIN_BITS <= bits <= _TARGET_BITS_MAX or len(nlri.target) != 8:
        raise ValueError(f"{nlri!r} is no route target membership")
    target = masked(nlri.target[: (bits - _ORIGIN_BITS + 7) >> 3], bits)
    return bytes((bits,)) + nlri.asn.to_bytes(4) + target


def _encode_ermvpn(nlri: ErmvpnNlri) -> bytes:
    return b"".join(
        (
            bytes((nlri.kind, _ERMVPN_BYTES)),
            nlri.distinguisher.packed,
            nlri.router_id.packed,
            encode_sized_address(nlri.source),
            encode_sized_address(nlri.group),
        )
    )


def _encode_mvpn(nlri: MvpnNlri) -> bytes:
    distinguisher: RouteDistinguisher | None = nlri.distinguisher
    parts = [nlri.route_key if distinguisher is None else distinguisher.packed]
    if nlri.source_as is not None:
        parts.append(nlri.source_as.to_bytes(4))
    if nlri.source is not None and nlri.group is not None:
        parts += [encode_sized_address(nlri.source), encode_sized_address(nlri.group)]
    if nlri.originator is not None:
        parts.append(nlri.originator.packed)
    value = b"".join(parts)
    if len(value) > 0xFF:
        raise ValueError(f"{nlri!r} is longer than an NLRI can be")
    return bytes((nlri.kind, len(value))) + value
