"""The small messages on the wire: NOTIFICATION, KEEPALIVE, ROUTE-REFRESH."""

from __future__ import annotations

from skytrail.wire.bgp.errors import BgpError, Cease, ErrorCode, RefreshError
from skytrail.wire.bgp.families import BgpFamily, family_of
from skytrail.wire.bgp.framing import framed
from skytrail.wire.bgp.messages import (
    MESSAGE_BYTES_MAX,
    Demarcation,
    MessageType,
    Notification,
    RouteRefresh,
)

KEEPALIVE = framed(MessageType.KEEPALIVE, b"")
_SHUTDOWN_TEXT_BYTES_MAX = 255
_NOTIFICATION_DATA_BYTES_MAX = MESSAGE_BYTES_MAX - 21
_DEMARCATIONS = {each.value: each for each in Demarcation}


def encode_keepalive() -> bytes:
    return KEEPALIVE


def encode_notification(message: Notification) -> bytes:
    """Return the complete message; data beyond what every peer takes is cut."""
    data = message.data[:_NOTIFICATION_DATA_BYTES_MAX]
    return framed(MessageType.NOTIFICATION, bytes((message.code, message.subcode)) + data)


def decode_notification(body: bytes) -> Notification:
    """Read a NOTIFICATION without header. Too short is read as unspecific: there is no answer to
    a bad NOTIFICATION (RFC 4271 section 6.4).
    """
    padded = body.ljust(2, b"\0")
    return Notification(padded[0], padded[1], padded[2:])


_WORDED = frozenset((Cease.ADMINISTRATIVE_SHUTDOWN, Cease.ADMINISTRATIVE_RESET))


def shutdown_notification(subcode: Cease, text: str = "") -> Notification:
    """Return a Cease with the operator's words (RFC 9003), cut at a whole character."""
    if not text or subcode not in _WORDED:
        return Notification(ErrorCode.CEASE, subcode)
    words = text.encode()[:_SHUTDOWN_TEXT_BYTES_MAX].decode(errors="ignore").encode()
    return Notification(ErrorCode.CEASE, subcode, len(words).to_bytes(1) + words)


def hard_reset(inner: Notification) -> Notification:
    """Wrap a NOTIFICATION so that graceful restart does not follow it (RFC 8538 section 3.1)."""
    data = bytes((inner.code, inner.subcode)) + inner.data
    return Notification(ErrorCode.CEASE, Cease.HARD_RESET, data)


def encode_route_refresh(message: RouteRefresh) -> bytes:
    family = message.family
    body = family.afi.to_bytes(2) + bytes((message.demarcation, family.safi))
    return framed(MessageType.ROUTE_REFRESH, body)


def decode_route_refresh(body: bytes, *, enhanced: bool) -> RouteRefresh | None:
    """Read a ROUTE-REFRESH; ``None`` for one to ignore (unknown family or demarcation).

    :class:`BgpError` for a wrong length where enhanced refresh is negotiated (RFC 7313 section 5);
    without it a longer one carries filters (RFC 5291) we never asked for, and is a plain request.
    """
    wrong = len(body) != 4 if enhanced else len(body) < 4
    if wrong:
        if not enhanced:
            return None
        text = f"ROUTE-REFRESH of {len(body)} bytes"
        raise BgpError(
            ErrorCode.ROUTE_REFRESH,
            RefreshError.INVALID_LENGTH,
            framed(MessageType.ROUTE_REFRESH, body)[:MESSAGE_BYTES_MAX],
            text,
        )
    family: BgpFamily | None = family_of(int.from_bytes(body[:2]), body[3])
    if family is None:
        return None
    # Without the capability the byte is reserved and ignored (RFC 2918 section 3).
    demarcation = _DEMARCATIONS.get(body[2]) if enhanced else Demarcation.REQUEST
    return None if demarcation is None else RouteRefresh(family, demarcation)
