"""One TCP connection of a peer, from its OPEN to its end: timers, framing, order of messages.

The session owns up to two of these and decides which one lives; a connection decides what each
message means in its present state.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from skytrail.wire.bgp.attribute_cache import AttributeCache
from skytrail.wire.bgp.errors import BgpError, ErrorCode, StateMachineError
from skytrail.wire.bgp.framing import MessageFramer
from skytrail.wire.bgp.message_codec import decode_notification, decode_route_refresh
from skytrail.wire.bgp.messages import (
    EXTENDED_MESSAGE_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    MessageType,
    Negotiated,
    Notification,
    Open,
    RouteRefresh,
    Update,
)
from skytrail.wire.bgp.negotiation import negotiate
from skytrail.wire.bgp.open_codec import decode_open
from skytrail.wire.bgp.update_decode import decode_update

NEVER = float("inf")


class ConnectionState(enum.IntEnum):
    """In order of progress."""

    CONNECTING = 0
    OPEN_SENT = 1
    OPEN_CONFIRM = 2
    ESTABLISHED = 3


_OUT_OF_PLACE = {
    ConnectionState.OPEN_SENT: StateMachineError.IN_OPEN_SENT,
    ConnectionState.OPEN_CONFIRM: StateMachineError.IN_OPEN_CONFIRM,
    ConnectionState.ESTABLISHED: StateMachineError.IN_ESTABLISHED,
}


@dataclass(slots=True, eq=False)
class Connection:
    """``is_outgoing`` tells who dialled, which decides collisions."""

    number: int
    is_outgoing: bool
    state: ConnectionState
    deadline: float
    """When the present wait has lasted too long: connect, OPEN, hold."""
    framer: MessageFramer = field(default_factory=MessageFramer)
    keepalive_deadline: float = NEVER
    local_open: Open | None = None
    peer_open: Open | None = None
    negotiated: Negotiated | None = None
    is_rival: bool = False
    """It was under way when another one was established: no sign of a restarted peer."""

    def open_sent(self, local: Open, deadline: float) -> None:
        """Our OPEN is on its way."""
        self.local_open = local
        self.state = ConnectionState.OPEN_SENT
        self.deadline = deadline

    def confirm(self, peer: Open, now: float) -> Negotiated:
        """The peer's OPEN was checked and found good."""
        local = self.local_open
        assert local is not None
        negotiated = negotiate(local, peer)
        self.peer_open, self.negotiated = peer, negotiated
        self.state = ConnectionState.OPEN_CONFIRM
        # What we advertised is what we can receive, whatever the peer can (RFC 8654 section 4).
        self.framer.bytes_max = (
            EXTENDED_MESSAGE_BYTES_MAX if local.extended_message else MESSAGE_BYTES_MAX
        )
        if negotiated.hold_time_s:
            # Without a hold time the wait for the OPEN goes on, for the KEEPALIVE behind it.
            self.heard(now)
        self.keepalive_sent(now)
        return negotiated

    def heard(self, now: float) -> None:
        """Restart the hold timer; 0 means there is none (RFC 4271 section 4.2)."""
        hold = 0 if self.negotiated is None else self.negotiated.hold_time_s
        self.deadline = now + hold if hold else NEVER

    def keepalive_sent(self, now: float) -> None:
        hold = 0 if self.negotiated is None else self.negotiated.hold_time_s
        self.keepalive_deadline = now + hold / 3 if hold else NEVER

    def read(
        self, kind: MessageType, body: bytes, cache: AttributeCache
    ) -> Open | Update | RouteRefresh | Notification | None:
        """Decode a message that has its place in the present state, else :class:`BgpError`.

        ``None`` for a KEEPALIVE and for a ROUTE-REFRESH to be ignored.
        """
        if kind is MessageType.NOTIFICATION:
            return decode_notification(body)
        match self.state, kind:
            case ConnectionState.OPEN_SENT, MessageType.OPEN:
                return decode_open(body)
            case (
                ConnectionState.OPEN_CONFIRM | ConnectionState.ESTABLISHED,
                MessageType.KEEPALIVE,
            ):
                return None
            case ConnectionState.ESTABLISHED, MessageType.UPDATE:
                assert self.negotiated is not None
                return decode_update(body, self.negotiated, cache)
            case ConnectionState.ESTABLISHED, MessageType.ROUTE_REFRESH:
                return self._refresh(body)
            case _:
                subcode = _OUT_OF_PLACE.get(self.state, StateMachineError.UNSPECIFIED)
                text = f"{kind.name} in state {self.state.name}"
                raise BgpError(ErrorCode.STATE_MACHINE, subcode, bytes((kind,)), text)

    def _refresh(self, body: bytes) -> RouteRefresh | None:
        negotiated = self.negotiated
        assert negotiated is not None
        message = decode_route_refresh(body, enhanced=negotiated.enhanced_refresh)
        if message is None or message.family not in negotiated.families:
            return None
        return message
