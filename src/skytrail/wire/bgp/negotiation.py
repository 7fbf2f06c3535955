"""From two OPENs to what a session may use, and the checks that need configuration.

A feature holds when both sides offer it, except where a capability speaks of one direction only.
"""

from __future__ import annotations

from skytrail.wire.bgp.errors import BgpError, ErrorCode, OpenError
from skytrail.wire.bgp.families import BgpFamily
from skytrail.wire.bgp.messages import (
    EXTENDED_MESSAGE_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    LongLivedFamily,
    Negotiated,
    Open,
)
from skytrail.wire.bgp.open_codec import CapabilityCode

ANY_AS = 0
"""Accept whatever AS number the peer has (a range of peers, or a tenant's own)."""


def check_open(local: Open, peer: Open, expected_as: int) -> None:
    """Raise :class:`BgpError` as RFC 4271 section 6.2 and RFC 6286 want."""
    if expected_as not in {ANY_AS, peer.asn}:
        text = f"AS {peer.asn} where {expected_as} is configured"
        raise BgpError(ErrorCode.OPEN, OpenError.BAD_PEER_AS, b"", text)
    if peer.router_id == local.router_id and peer.asn == local.asn:
        # Inside one AS identifiers are unique; across the border they need not be (RFC 6286).
        text = f"router id {peer.router_id} is our own"
        raise BgpError(ErrorCode.OPEN, OpenError.BAD_IDENTIFIER, b"", text)
    if not _families(local) & _families(peer):
        wanted = b"".join(
            bytes((CapabilityCode.MULTIPROTOCOL, 4)) + _multiprotocol(family)
            for family in local.families
        )
        text = "no address family in common"
        raise BgpError(ErrorCode.OPEN, OpenError.UNSUPPORTED_CAPABILITY, wanted, text)


def negotiate(local: Open, peer: Open) -> Negotiated:
    """Return what both can do. Both OPENs have passed :func:`check_open`."""
    families = _families(local) & _families(peer)
    restart = peer.graceful_restart if local.graceful_restart is not None else None
    hold_time_s = min(local.hold_time_s, peer.hold_time_s)
    return Negotiated(
        families=families,
        local_as=local.asn,
        peer_as=peer.asn,
        peer_router_id=peer.router_id,
        hold_time_s=hold_time_s,
        four_byte_as=local.four_byte_as and peer.four_byte_as,
        # Ours tells what we can receive, theirs what we may send (RFC 8654 section 3).
        message_bytes_max=EXTENDED_MESSAGE_BYTES_MAX
        if local.extended_message and peer.extended_message
        else MESSAGE_BYTES_MAX,
        extended_next_hop=families & set(local.extended_next_hop) & set(peer.extended_next_hop),
        label_stacks=families & _stacks(local) & _stacks(peer),
        route_refresh=local.route_refresh and peer.route_refresh,
        enhanced_refresh=local.enhanced_refresh and peer.enhanced_refresh,
        graceful_restart=restart,
        long_lived=_long_lived(local, peer, families) if restart is not None else (),
    )


def _families(message: Open) -> frozenset[BgpFamily]:
    """Without any multiprotocol capability a peer speaks IPv4 unicast (RFC 4760 section 8)."""
    if not message.families and not message.unknown_families:
        return frozenset((BgpFamily.INET,))
    return frozenset(message.families)


def _stacks(message: Open) -> frozenset[BgpFamily]:
    return frozenset(family for family, _ in message.label_stacks)


def _long_lived(
    local: Open, peer: Open, families: frozenset[BgpFamily]
) -> tuple[LongLivedFamily, ...]:
    if not local.long_lived:
        return ()
    return tuple(each for each in peer.long_lived if each.family in families)


def _multiprotocol(family: BgpFamily) -> bytes:
    return family.afi.to_bytes(2) + b"\0" + family.safi.to_bytes(1)
