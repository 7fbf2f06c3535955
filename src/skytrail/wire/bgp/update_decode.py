"""An UPDATE's body to ``Update``, by the book of RFC 7606.

```
 body -> withdrawn | attributes | NLRI          lengths that contradict each other: reset
              attributes -> MP_REACH, MP_UNREACH: each at most once, wholly readable, else reset
                         -> everything else: AttributeCache
 an attribute error asks for treat-as-withdraw: what was reachable becomes withdrawn;
   nothing reachable to withdraw: reset (RFC 7606 section 5.2)
```
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from skytrail.wire.bgp.attribute_cache import AttributeCache, NextHopHead
from skytrail.wire.bgp.attribute_decode import AttributeReading, PeerKind, read_attributes
from skytrail.wire.bgp.attributes import AttributeCode, AttributeFlag, Attributes
from skytrail.wire.bgp.errors import BgpError, ErrorCode, UpdateError
from skytrail.wire.bgp.families import BgpFamily, family_of
from skytrail.wire.bgp.messages import Negotiated, Reach, Unreach, Update, reach_of_block
from skytrail.wire.bgp.next_hop import NextHopError, decode_next_hop
from skytrail.wire.bgp.nlri import IpAddress, Nlri, without_labels
from skytrail.wire.bgp.nlri_codec import NlriContext, decode_nlri
from skytrail.wire.bgp.nlri_reading import NlriError
from skytrail.wire.bgp.vpn_block import read_vpn_block

_MP_REACH = int(AttributeCode.MP_REACH_NLRI)
_MP_UNREACH = int(AttributeCode.MP_UNREACH_NLRI)
_NO_ATTRIBUTES = Attributes()
_MP_FLAGS = int(AttributeFlag.OPTIONAL)
_KIND_FLAGS = int(AttributeFlag.OPTIONAL | AttributeFlag.TRANSITIVE)
_EXTENDED = int(AttributeFlag.EXTENDED_LENGTH)
_MANDATORY = (AttributeCode.ORIGIN, AttributeCode.AS_PATH)
_WITHDRAWN = NlriContext(withdrawn=True)
_STACKS = NlriContext(label_stacks=True)
_ONE_LABEL = NlriContext()
_VPN_BITS = {BgpFamily.INET_VPN: 32, BgpFamily.INET6_VPN: 128}
_PEER_KINDS = tuple(
    tuple(PeerKind(four_byte_as, is_internal) for is_internal in (False, True))
    for four_byte_as in (False, True)
)


def decode_update(
    body: bytes, negotiated: Negotiated, cache: AttributeCache | None = None
) -> Update:
    """Read an UPDATE without its header; :class:`BgpError` only where RFC 7606 wants a reset."""
    usual = None if cache is None else _decode_usual(body, negotiated, cache)
    if usual is not None:
        return usual
    size = len(body)
    withdrawn_end = 2 + int.from_bytes(body[:2])
    attributes_at = withdrawn_end + 2
    if size < 4 or attributes_at > size:
        raise _malformed("withdrawn routes longer than the message")
    nlri_at = attributes_at + int.from_bytes(body[withdrawn_end:attributes_at])
    if nlri_at > size:
        raise _malformed("path attributes longer than the message")
    if size == 4:
        return Update(_NO_ATTRIBUTES, end_of_rib=BgpFamily.INET)
    parts = _divide(body[attributes_at:nlri_at])
    work = _Decoding(negotiated, list(parts.problems))
    if withdrawn_end > 2:
        work.classic_unreach(body[2:withdrawn_end])
    if parts.unreach is not None:
        work.mp_unreach(parts.unreach)
    if parts.reach is not None:
        work.mp_reach(parts.reach)
    has_rest = bool(parts.rest) or parts.is_cut
    if not has_rest and parts.reach is None and nlri_at == size:
        return work.without_routes(withdrawn_end == 2 and parts.unreach is not None)
    read = read_attributes if cache is None else cache.read
    reading = read(parts.rest, _peer_kind(negotiated))
    if cache is not None and work.head is not None:
        cache.keep_head(*work.head)
    return work.with_routes(parts, reading, body[nlri_at:])


def _decode_usual(body: bytes, negotiated: Negotiated, cache: AttributeCache) -> Update | None:
    """Read the one form nearly all UPDATEs of VPN families have, ``None`` for any other.

    That is MP_REACH_NLRI first, then attributes met before and found without fault, nothing else.
    Some peers send every route in a message of its own, so the message is what must be cheap.
    """
    size = len(body)
    if size < 12 or body[0] or body[1] or body[5] != _MP_REACH:
        return None
    if 4 + (body[2] << 8 | body[3]) != size:
        return None
    if body[4] == _MP_FLAGS | _EXTENDED:
        value_at = 8
        value_end = 8 + (body[6] << 8 | body[7])
    elif body[4] == _MP_FLAGS:
        value_at = 7
        value_end = 7 + body[6]
    else:
        return None
    reading = cache.known(body[value_end:], _peer_kind(negotiated))
    nlri_at = value_at + 5 + body[value_at + 3]
    if reading is None or not reading.is_clean or nlri_at >= value_end:
        return None
    head = cache.heads.get(body[value_at:nlri_at])
    if head is None:
        return None
    family, next_hop, is_extended = head
    if family not in negotiated.families or (
        is_extended and family not in negotiated.extended_next_hop
    ):
        return None
    skipped: list[str] = []
    try:
        reach = _read_reach(family, next_hop, body[nlri_at:value_end], negotiated, skipped)
    except NlriError:
        return None
    return None if skipped or reach is None else Update(reading.attributes, (reach,))


def _read_reach(
    family: BgpFamily,
    next_hop: IpAddress,
    data: bytes,
    negotiated: Negotiated,
    skipped: list[str],
) -> Reach | None:
    """Read the routes of MP_REACH_NLRI, ``None`` when there is none; as :func:`decode_nlri`."""
    has_stacks = family in negotiated.label_stacks
    if family in _VPN_BITS and not has_stacks:
        block = read_vpn_block(data, _VPN_BITS[family], skipped)
        return reach_of_block(family, next_hop, block) if block.keys else None
    found = decode_nlri(family, data, _STACKS if has_stacks else _ONE_LABEL)
    skipped += found.skipped
    return Reach(family, next_hop, tuple(found.routes)) if found.routes else None


def _peer_kind(negotiated: Negotiated) -> PeerKind:
    is_internal = negotiated.local_as == negotiated.peer_as
    return _PEER_KINDS[negotiated.four_byte_as][is_internal]


@dataclass(slots=True)
class _Parts:
    """Path attributes divided by who reads them."""

    rest: bytes
    reach: bytes | None = None
    unreach: bytes | None = None
    problems: tuple[str, ...] = ()
    is_cut: bool = False
    """The last attribute claims more bytes than there are (RFC 7606 section 4)."""


def _divide(data: bytes) -> _Parts:
    """Cut MP_REACH_NLRI and MP_UNREACH_NLRI out; the rest stays in order, in whole attributes."""
    parts = _Parts(b"")
    kept: list[bytes] = []
    kept_from = position = 0
    end = len(data)
    # Padding lets a header that is cut off be looked at like any other.
    padded = data + b"\0\0\0"
    while position < end:
        flags = padded[position]
        code = padded[position + 1]
        if flags & _EXTENDED:
            value_at = position + 4
            following = value_at + (padded[position + 2] << 8 | padded[position + 3])
        else:
            value_at = position + 3
            following = value_at + padded[position + 2]
        if following > end:
            if code in {_MP_REACH, _MP_UNREACH}:
                raise _malformed("MP_REACH_NLRI or MP_UNREACH_NLRI cut off")
            parts.is_cut = True
            parts.problems = (f"attribute {code} cut off: treated as withdraw",)
            break
        if code in (_MP_REACH, _MP_UNREACH):
            kept.append(data[kept_from:position])
            kept_from = following
            _take_mp(parts, flags, code, data[value_at:following])
        position = following
    kept.append(data[kept_from:position])
    parts.rest = b"".join(kept)
    return parts


def _take_mp(parts: _Parts, flags: int, code: int, value: bytes) -> None:
    if flags & _KIND_FLAGS != _MP_FLAGS:
        raise BgpError(
            ErrorCode.UPDATE,
            UpdateError.OPTIONAL_ATTRIBUTE,
            bytes((flags, code)),
            f"attribute {code} with flags {flags:#04x} (RFC 7606 section 5.3)",
        )
    if (parts.reach if code == _MP_REACH else parts.unreach) is not None:
        raise _malformed(f"attribute {code} appears twice")
    if code == _MP_REACH:
        parts.reach = value
    else:
        parts.unreach = value


class _Decoding:
    """What one UPDATE has yielded so far."""

    def __init__(self, negotiated: Negotiated, problems: list[str]) -> None:
        self.withdrawn: list[Unreach] = []
        self.head: tuple[bytes, NextHopHead] | None = None
        """MP_REACH_NLRI up to its routes, and what that means."""
        self._negotiated = negotiated
        self._problems = problems
        self._reach: Reach | None = None
        self._saw_nlri = False
        self._empty_unreach: BgpFamily | None = None

    def classic_unreach(self, data: bytes) -> None:
        if BgpFamily.INET in self._negotiated.families:
            self._unreach(BgpFamily.INET, data)
        else:
            self._problems.append("IPv4 unicast routes, not negotiated: ignored")

    def mp_unreach(self, value: bytes) -> None:
        if len(value) < 3:
            raise _optional("MP_UNREACH_NLRI of less than 3 bytes", value)
        family = self._usable_family(value)
        if family is None:
            return
        if len(value) == 3:
            self._empty_unreach = family
        else:
            self._unreach(family, value[3:])

    def mp_reach(self, value: bytes) -> None:
        if len(value) < 5:
            raise _optional("MP_REACH_NLRI of less than 5 bytes", value)
        family = self._usable_family(value)
        if family is None:
            # Routes we cannot read are still routes: errors elsewhere need not end the session.
            self._saw_nlri = True
            return
        nlri_at = 5 + value[3]
        if nlri_at > len(value):
            raise _optional("next hop longer than MP_REACH_NLRI", value)
        negotiated = self._negotiated
        try:
            next_hop = decode_next_hop(
                family, value[4 : nlri_at - 1], extended=family in negotiated.extended_next_hop
            )
        except NextHopError as error:
            raise _optional(str(error), value) from error
        data = value[nlri_at:]
        skipped: list[str] = []
        try:
            self._reach = _read_reach(family, next_hop, data, negotiated, skipped)
        except NlriError as error:
            raise _bad_nlri(family, data, error) from error
        self._note_skipped(skipped)
        is_extended = family in negotiated.extended_next_hop
        self.head = (value[:nlri_at], (family, next_hop, is_extended))
        self._saw_nlri = self._saw_nlri or nlri_at < len(value)

    def _usable_family(self, value: bytes) -> BgpFamily | None:
        afi, safi = int.from_bytes(value[:2]), value[2]
        family = family_of(afi, safi)
        if family is None or family not in self._negotiated.families:
            self._problems.append(f"routes of AFI {afi} SAFI {safi}, not negotiated: ignored")
            return None
        return family

    def _unreach(self, family: BgpFamily, data: bytes) -> None:
        nlri = self._nlri(family, data, _WITHDRAWN)
        if nlri:
            self.withdrawn.append(Unreach(family, nlri))

    def _nlri(self, family: BgpFamily, data: bytes, context: NlriContext) -> tuple[Nlri, ...]:
        try:
            found = decode_nlri(family, data, context)
        except NlriError as error:
            raise _bad_nlri(family, data, error) from error
        self._note_skipped(found.skipped)
        return tuple(found.routes)

    def _note_skipped(self, skipped: list[str]) -> None:
        self._problems += [f"{reason}: route skipped" for reason in skipped]

    def without_routes(self, is_bare: bool) -> Update:
        """Return the outcome of an UPDATE without attributes but MP_UNREACH_NLRI, without NLRI."""
        return Update(
            _NO_ATTRIBUTES,
            withdrawn=tuple(self.withdrawn),
            end_of_rib=self._empty_unreach if is_bare else None,
            problems=tuple(self._problems),
        )

    def with_routes(self, parts: _Parts, reading: AttributeReading, nlri: bytes) -> Update:
        """Return the outcome of an UPDATE with attributes."""
        reach = [] if self._reach is None else [self._reach]
        problems = self._problems
        problems += reading.problems
        withdraw = reading.withdraw or parts.is_cut
        if nlri:
            self._saw_nlri = True
            if BgpFamily.INET in self._negotiated.families:
                reach += self._classic(nlri, reading)
            else:
                problems.append("IPv4 unicast routes, not negotiated: ignored")
        missing = [code.name for code in _MANDATORY if code not in reading.present]
        if nlri and AttributeCode.NEXT_HOP not in reading.present:
            missing.append(AttributeCode.NEXT_HOP.name)
        if missing and self._saw_nlri and not parts.is_cut:
            withdraw = True
            problems.append(f"{', '.join(missing)} missing: treated as withdraw")
        if nlri and reading.next_hop_problem:
            withdraw = True
            problems.append(f"{reading.next_hop_problem}: treated as withdraw")
        if withdraw:
            if not self._saw_nlri:
                raise BgpError(
                    ErrorCode.UPDATE,
                    reading.subcode,
                    reading.fault,
                    f"{problems[0]}, but nothing is reachable (RFC 7606 section 5.2)",
                )
            self.withdrawn += [
                Unreach(each.family, tuple(map(without_labels, each.nlri))) for each in reach
            ]
            reach = []
        return Update(
            reading.attributes, tuple(reach), tuple(self.withdrawn), None, tuple(problems)
        )

    def _classic(self, data: bytes, reading: AttributeReading) -> list[Reach]:
        nlri = self._nlri(BgpFamily.INET, data, _ONE_LABEL)
        # Without a usable next hop the routes are withdrawn in a moment; the address is unused.
        next_hop = reading.next_hop or IPv4Address(0)
        return [Reach(BgpFamily.INET, next_hop, nlri)]


def _bad_nlri(family: BgpFamily, data: bytes, error: NlriError) -> BgpError:
    classic = family is BgpFamily.INET
    return BgpError(
        ErrorCode.UPDATE,
        UpdateError.INVALID_NETWORK if classic else UpdateError.OPTIONAL_ATTRIBUTE,
        data[error.offset : error.offset + 32],
        f"{family.name} {error.reason}",
    )


def _malformed(text: str) -> BgpError:
    return BgpError(ErrorCode.UPDATE, UpdateError.MALFORMED_ATTRIBUTE_LIST, b"", text)


def _optional(text: str, value: bytes) -> BgpError:
    return BgpError(ErrorCode.UPDATE, UpdateError.OPTIONAL_ATTRIBUTE, value[:32], text)
