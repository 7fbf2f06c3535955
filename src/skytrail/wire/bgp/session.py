"""The state machine of one configured peer (RFC 4271 section 8), without sockets and clocks.

```
            Start            Connected / Accepted        OPEN good           KEEPALIVE
 IDLE -----------------> CONNECT/ACTIVE ------> OPEN_SENT ------> OPEN_CONFIRM ------> ESTABLISHED
   ^  Stop, protocol error     ^                    |  error, NOTIFICATION, timer, transport  |
   +---------------------------+--------------------+-----------------------------------------+
```
A peer may have two connections for a while, one from each side; each runs this machine and the
collision rules (section 6.8) leave one. The caller turns what happened into events, gives the time
in seconds of any monotonic clock and carries out the returned actions in order. ``jitter`` is the
factor (0.75 to 1, section 10) for timers set in that step. UPDATEs do not pass through here: once
:class:`Established`, the caller writes them to the connection itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from skytrail.wire.bgp.attribute_cache import AttributeCache
from skytrail.wire.bgp.connection import NEVER, Connection, ConnectionState
from skytrail.wire.bgp.errors import BgpError, Cease, ErrorCode
from skytrail.wire.bgp.message_codec import (
    KEEPALIVE,
    encode_notification,
    hard_reset,
    shutdown_notification,
)
from skytrail.wire.bgp.messages import (
    MessageType,
    Negotiated,
    Notification,
    Open,
    RouteRefresh,
    Update,
)
from skytrail.wire.bgp.negotiation import check_open
from skytrail.wire.bgp.open_codec import encode_open
from skytrail.wire.bgp.session_events import (
    IDLE_HOLD_MAX_S,
    Accepted,
    Action,
    AttemptFailed,
    CloseConnection,
    Connect,
    Connected,
    ConnectFailed,
    Deliver,
    Disconnected,
    Down,
    DownReason,
    Established,
    Event,
    Received,
    SessionSettings,
    Start,
    State,
    Stop,
    Tick,
    Write,
)

_STATES = {
    ConnectionState.OPEN_SENT: State.OPEN_SENT,
    ConnectionState.OPEN_CONFIRM: State.OPEN_CONFIRM,
    ConnectionState.ESTABLISHED: State.ESTABLISHED,
}
# Ends for good in the eyes of the operator, so the peer must not keep routes (RFC 8538 section 3.1).
_HARD = frozenset(
    (
        Cease.MAX_PREFIXES,
        Cease.ADMINISTRATIVE_SHUTDOWN,
        Cease.PEER_DECONFIGURED,
        Cease.BFD_DOWN,
    )
)


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a connection ends; ``sent`` is written first."""

    reason: DownReason
    text: str = ""
    sent: Notification | None = None
    received: Notification | None = None


@dataclass(slots=True)
class SessionStatistics:
    """Counted since the session object was made."""

    established: int = 0
    received: Counter[MessageType] = field(default_factory=Counter[MessageType])
    treated_as_withdraw: int = 0
    """UPDATEs with something wrong that did not end the session."""
    last_sent: Notification | None = None
    last_received: Notification | None = None


class BgpSession:
    """One peer. ``cache`` may be shared by all peers of a process."""

    def __init__(self, settings: SessionSettings, cache: AttributeCache | None = None) -> None:
        self.settings = settings
        """May be replaced; counts from the next OPEN on."""
        self.statistics = SessionStatistics()
        self._cache = AttributeCache() if cache is None else cache
        self._connections: dict[int, Connection] = {}
        self._numbers = 0
        self._is_up = False
        self._idle_until = NEVER
        self._retry_at = NEVER
        self._failed_attempts = 0
        self._protocol_errors = 0

    @property
    def state(self) -> State:
        furthest = max((each.state for each in self._connections.values()), default=None)
        if furthest is None:
            is_waiting = self._is_up and self._idle_until == NEVER
            return State.ACTIVE if is_waiting else State.IDLE
        return _STATES.get(furthest, State.CONNECT)

    @property
    def negotiated(self) -> Negotiated | None:
        """What the established session may use; ``None`` unless established."""
        current = self._established()
        return None if current is None else current.negotiated

    def new_connection(self) -> int:
        """Return a number for a connection the peer made, to be given with :class:`Accepted`."""
        self._numbers += 1
        return self._numbers

    def next_deadline(self) -> float:
        """When :class:`Tick` is due; infinity while nothing is timed."""
        timers = [self._idle_until, self._retry_at]
        for each in self._connections.values():
            timers += (each.deadline, each.keepalive_deadline)
        return min(timers)

    def step(self, event: Event, now: float, *, jitter: float = 1.0) -> list[Action]:
        """Advance by one event at time ``now`` (seconds, monotonic); never raises."""
        match event:
            case Received(number, chunk):
                connection = self._connections.get(number)
                return [] if connection is None else self._received(connection, chunk, now, jitter)
            case Tick():
                return self._tick(now, jitter)
            case Start():
                return self._start(now, jitter)
            case Stop():
                return self._stop(event, now)
            case Connected(number):
                return self._connected(number, now)
            case ConnectFailed(number, text):
                return self._lost(number, text, now, jitter)
            case Accepted(number):
                return self._accepted(number, now, jitter)
            case Disconnected(number, text):
                return self._lost(number, text, now, jitter)

    def _established(self) -> Connection | None:
        for each in self._connections.values():
            if each.state is ConnectionState.ESTABLISHED:
                return each
        return None

    # Starting and stopping

    def _start(self, now: float, jitter: float) -> list[Action]:
        if self._is_up and self._idle_until == NEVER:
            return []
        self._is_up = True
        self._failed_attempts = self._protocol_errors = 0
        return self._leave_idle(now, jitter)

    def _leave_idle(self, now: float, jitter: float) -> list[Action]:
        self._idle_until = NEVER
        return [] if self.settings.is_passive else self._dial(now, jitter)

    def _dial(self, now: float, jitter: float) -> list[Action]:
        self._retry_at = NEVER
        number = self.new_connection()
        deadline = now + self.settings.connect_retry_s * jitter
        self._connections[number] = Connection(
            number, is_outgoing=True, state=ConnectionState.CONNECTING, deadline=deadline
        )
        return [Connect(number)]

    def _stop(self, event: Stop, now: float) -> list[Action]:
        actions: list[Action] = []
        for connection in list(self._connections.values()):
            ending = _Ending(DownReason.STOPPED, event.text, self._farewell(connection, event))
            actions += self._finish(connection, ending)
        self._retry_at = NEVER
        if event.restart_after_s is None:
            self._is_up = False
        self._idle_until = now + (event.restart_after_s or 0) if self._is_up else NEVER
        return actions

    def _farewell(self, connection: Connection, event: Stop) -> Notification | None:
        if connection.state is ConnectionState.CONNECTING:
            return None
        notification = shutdown_notification(event.subcode, event.text)
        if not _keeps_after_notification(connection):
            # Without RFC 8538 any word ends the peer's patience; silence is what keeps routes.
            keeps_silent = event.graceful and _has_restart(connection)
            return None if keeps_silent else notification
        return (
            hard_reset(notification)
            if event.subcode in _HARD and not event.graceful
            else notification
        )

    # Connections come and go

    def _connected(self, number: int, now: float) -> list[Action]:
        connection = self._connections.get(number)
        if connection is None:
            # Given up meanwhile.
            return [CloseConnection(number)]
        if connection.state is not ConnectionState.CONNECTING:
            return []
        return self._send_open(connection, now)

    def _accepted(self, number: int, now: float, jitter: float) -> list[Action]:
        connection = Connection(
            number, is_outgoing=False, state=ConnectionState.CONNECTING, deadline=NEVER
        )
        self._connections[number] = connection
        if not self._is_up or self._idle_until != NEVER:
            rejected = Notification(ErrorCode.CEASE, Cease.CONNECTION_REJECTED)
            return self._finish(connection, _Ending(DownReason.REJECTED, "not expected", rejected))
        actions: list[Action] = []
        for other in list(self._connections.values()):
            # A peer dials once at a time: it has given up what it dialled before.
            is_outdated = not other.is_outgoing and other.state < ConnectionState.ESTABLISHED
            if is_outdated and other is not connection:
                ending = _Ending(DownReason.RESTARTED, "the peer connected anew")
                actions += self._finish(other, ending)
        return actions + self._send_open(connection, now)

    def _send_open(self, connection: Connection, now: float) -> list[Action]:
        self._retry_at = NEVER
        message = self.settings.open()
        connection.open_sent(message, now + self.settings.open_wait_s)
        return [Write(connection.number, encode_open(message))]

    def _lost(self, number: int, text: str, now: float, jitter: float) -> list[Action]:
        connection = self._connections.get(number)
        if connection is None:
            return []
        return self._end(connection, _Ending(DownReason.TRANSPORT, text), now, jitter)

    def _finish(self, connection: Connection, ending: _Ending) -> list[Action]:
        """Forget a connection and say so; what comes next is the caller's."""
        del self._connections[connection.number]
        actions: list[Action] = []
        if ending.sent is not None:
            self.statistics.last_sent = ending.sent
            actions.append(Write(connection.number, encode_notification(ending.sent)))
        actions.append(CloseConnection(connection.number))
        if connection.state is ConnectionState.ESTABLISHED:
            graceful = _is_graceful(connection, ending)
            down = Down(ending.reason, graceful, ending.text, ending.sent, ending.received)
            return [*actions, down]
        failed = AttemptFailed(
            connection.number, ending.reason, ending.text, ending.sent, ending.received
        )
        return [*actions, failed]

    def _end(
        self, connection: Connection, ending: _Ending, now: float, jitter: float
    ) -> list[Action]:
        """End a connection and see to it that there will be another."""
        actions = self._finish(connection, ending)
        was_established = connection.state is ConnectionState.ESTABLISHED
        if self._connections or not self._is_up:
            return actions
        if _is_offence(ending):
            pause = min(self.settings.idle_hold_s * 2**self._protocol_errors, IDLE_HOLD_MAX_S)
            self._protocol_errors = min(self._protocol_errors + 1, 16)
            self._idle_until = now + pause * jitter
            self._retry_at = NEVER
        elif not self.settings.is_passive:
            if was_established:
                self._failed_attempts = 0
            pause = self.settings.connect_retry_first_s * 2**self._failed_attempts
            self._failed_attempts = min(self._failed_attempts + 1, 16)
            self._retry_at = now + min(pause, self.settings.connect_retry_s) * jitter
        return actions

    # Time

    def _tick(self, now: float, jitter: float) -> list[Action]:
        actions: list[Action] = []
        if now >= self._idle_until:
            actions += self._leave_idle(now, jitter)
        if now >= self._retry_at:
            actions += self._dial(now, jitter)
        for connection in list(self._connections.values()):
            if now >= connection.deadline:
                actions += self._expired(connection, now, jitter)
            elif now >= connection.keepalive_deadline:
                connection.keepalive_sent(now)
                actions.append(Write(connection.number, KEEPALIVE))
        return actions

    def _expired(self, connection: Connection, now: float, jitter: float) -> list[Action]:
        match connection.state:
            case ConnectionState.CONNECTING:
                ending = _Ending(DownReason.TRANSPORT, "no connection in time")
            case ConnectionState.ESTABLISHED:
                expired = Notification(ErrorCode.HOLD_TIMER, 0)
                ending = _Ending(DownReason.HOLD_TIMER, "nothing heard in time", expired)
            case _:
                expired = Notification(ErrorCode.HOLD_TIMER, 0)
                ending = _Ending(DownReason.OPEN_TIMER, "nothing heard in time", expired)
        return self._end(connection, ending, now, jitter)

    # Messages

    def _received(
        self, connection: Connection, chunk: bytes, now: float, jitter: float
    ) -> list[Action]:
        if connection.state is ConnectionState.CONNECTING:
            return []
        actions: list[Action] = []
        framer = connection.framer
        framer.feed(chunk)
        try:
            # Handling a message may end its own connection; then the rest is nobody's.
            while connection.number in self._connections:
                framed = framer.next_message()
                if framed is None:
                    break
                self.statistics.received[framed[0]] += 1
                message = connection.read(*framed, self._cache)
                actions += self._handle(connection, message, now, jitter)
        except BgpError as error:
            sent = Notification(error.code, error.subcode, error.data)
            ending = _Ending(DownReason.PROTOCOL_ERROR, str(error), sent)
            actions += self._end(connection, ending, now, jitter)
        return actions

    def _handle(
        self,
        connection: Connection,
        message: Open | Update | RouteRefresh | Notification | None,
        now: float,
        jitter: float,
    ) -> list[Action]:
        match message:
            case Update():
                connection.heard(now)
                if message.problems:
                    self.statistics.treated_as_withdraw += 1
                return [Deliver(message)]
            case None:
                return self._kept_alive(connection, now, jitter)
            case RouteRefresh():
                connection.heard(now)
                return [Deliver(message)]
            case Notification():
                self.statistics.last_received = message
                ending = _Ending(DownReason.NOTIFICATION, message.text, received=message)
                return self._end(connection, ending, now, jitter)
            case Open():
                return self._opened(connection, message, now, jitter)

    def _opened(
        self, connection: Connection, message: Open, now: float, jitter: float
    ) -> list[Action]:
        assert connection.local_open is not None
        check_open(connection.local_open, message, self.settings.peer_as)
        actions: list[Action] = []
        for other in list(self._connections.values()):
            if other is connection or other.state < ConnectionState.OPEN_CONFIRM:
                continue
            is_established = other.state is ConnectionState.ESTABLISHED
            if is_established and _has_restart(other) and not connection.is_rival:
                # A restarted peer comes back before we noticed it had gone (RFC 4724 section 5).
                ending = _Ending(DownReason.RESTARTED, "the peer connected anew")
                actions += self._finish(other, ending)
            elif is_established or not _prefers(connection, message):
                return actions + self._finish(connection, _COLLISION)
            else:
                actions += self._finish(other, _COLLISION)
        connection.confirm(message, now)
        return [*actions, Write(connection.number, KEEPALIVE)]

    def _kept_alive(self, connection: Connection, now: float, jitter: float) -> list[Action]:
        connection.heard(now)
        if connection.state is not ConnectionState.OPEN_CONFIRM:
            return []
        actions: list[Action] = []
        for other in list(self._connections.values()):
            other.is_rival = other is not connection
            if other.state is ConnectionState.CONNECTING:
                # Our own attempt has become pointless before anybody could collide with it.
                actions += self._finish(other, _COLLISION)
        connection.state = ConnectionState.ESTABLISHED
        self.statistics.established += 1
        self._failed_attempts = self._protocol_errors = 0
        assert connection.peer_open is not None
        assert connection.negotiated is not None
        established = Established(connection.number, connection.peer_open, connection.negotiated)
        return [*actions, established]


_COLLISION = _Ending(
    DownReason.COLLISION,
    "another connection with this peer was kept",
    Notification(ErrorCode.CEASE, Cease.COLLISION),
)


def _prefers(connection: Connection, peer: Open) -> bool:
    """Tell whether this connection was made by the side whose connections are kept.

    That is the higher router id, or the higher AS where ids are equal (RFC 6286 section 2.3).
    """
    local = connection.local_open
    assert local is not None
    ours_wins = (int(local.router_id), local.asn) > (int(peer.router_id), peer.asn)
    return connection.is_outgoing == ours_wins


def _has_restart(connection: Connection) -> bool:
    negotiated = connection.negotiated
    return negotiated is not None and negotiated.graceful_restart is not None


def _keeps_after_notification(connection: Connection) -> bool:
    """Tell whether both sides set the N bit of RFC 8538."""
    local, negotiated = connection.local_open, connection.negotiated
    if local is None or local.graceful_restart is None or negotiated is None:
        return False
    peer = negotiated.graceful_restart
    return peer is not None and peer.notification and local.graceful_restart.notification


def _is_graceful(connection: Connection, ending: _Ending) -> bool:
    spoken = ending.sent or ending.received
    if spoken is None:
        return _has_restart(connection)
    is_hard = spoken.code == ErrorCode.CEASE and spoken.subcode == Cease.HARD_RESET
    return _keeps_after_notification(connection) and not is_hard


def _is_offence(ending: _Ending) -> bool:
    """Tell whether trying again at once would most likely end the same way."""
    sent, received = ending.sent, ending.received
    if sent is not None and sent.code == ErrorCode.STATE_MACHINE:
        # Out of step once, as FRR is when both sides dial at once and its OPEN gets lost.
        return False
    return ending.reason is DownReason.PROTOCOL_ERROR or (
        received is not None and received.code in {ErrorCode.OPEN, ErrorCode.UPDATE}
    )
