"""The state machine of one XMPP connection, for both ends.

```
 client:  Connected -> writes stream open -> OPENING --peer's stream open--> ESTABLISHED
 server:  Connected -> OPENING --peer's stream open--> writes stream open -> ESTABLISHED
 with TLS both go OPENING -> NEGOTIATING -> SECURING -> OPENING again, now encrypted
 both:    hold timer, peer's stream end, DecodeError, CloseRequested, Disconnected -> CLOSED
```
The machine neither knows the transport nor the clock: the caller turns what happened into events,
gives the time in seconds of any monotonic clock, and carries out the returned actions in order.
Routes and configuration share the connection; the ``/bgp-peer`` and ``/config`` suffixes only
choose how a stanza is read, so a message's type tells its channel.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp import starttls
from skytrail.wire.xmpp.codec import CONTROL_JID, StanzaDecoder, encode
from skytrail.wire.xmpp.messages import Message
from skytrail.wire.xmpp.stream import (
    STANZA_BYTES_MAX,
    Stanza,
    StreamClose,
    StreamFramer,
    StreamOpen,
)
from skytrail.wire.xmpp.xml import escape

KEEPALIVE = "\u0200".encode()
HOLD_TIME_S = 90.0
OPEN_TIME_S = 15.0
NAME_LENGTH_MAX = 255
_STREAM_END = b"</stream:stream>"


class State(enum.Enum):
    IDLE = "idle"
    OPENING = "opening"
    NEGOTIATING = "negotiating"
    """The plain stream is open; nothing but the request for TLS may follow."""
    SECURING = "securing"
    """The transport is at the TLS handshake."""
    ESTABLISHED = "established"
    CLOSED = "closed"


class CloseReason(enum.Enum):
    """Why a session ended."""

    DISCONNECTED = "disconnected"
    """The transport went away."""
    PEER_CLOSED = "peer_closed"
    HOLD_TIMER = "hold_timer"
    OPEN_TIMER = "open_timer"
    BAD_INPUT = "bad_input"
    """The peer sent something that is not this protocol."""
    REQUESTED = "requested"
    REFUSED = "refused"
    """The peer is not who it says, or the ends do not agree on TLS."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The transport is up."""


@dataclass(frozen=True, slots=True)
class Received:
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Secured:
    """TLS stands after :class:`StartTls`; ``names`` are those of the peer's certificate.

    A server insists that a client is one of them. A client's transport has checked the server's
    certificate against the address it called, and gives none.
    """

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecuringFailed:
    """The TLS handshake failed."""

    text: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to the peer; ignored unless established."""

    message: Message


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; due at :meth:`Session.next_deadline`, harmless at any time."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The transport is gone."""


@dataclass(frozen=True, slots=True)
class CloseRequested:
    """Our own side wants to end the session."""

    text: str = ""


Event: TypeAlias = (
    Connected | Received | Secured | SecuringFailed | Send | Tick | Disconnected | CloseRequested
)


@dataclass(frozen=True, slots=True)
class Write:
    """Give these bytes to the transport."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """Write what came before, then do the TLS handshake and answer with its outcome.

    Nothing that arrives meanwhile belongs to the session.
    """


@dataclass(frozen=True, slots=True)
class Established:
    """Both streams are open; ``peer`` is the name the other end gave itself."""

    peer: str


@dataclass(frozen=True, slots=True)
class Deliver:
    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    """The session ended: write what came before, then close the transport. Emitted once."""

    reason: CloseReason
    text: str


Action: TypeAlias = Write | StartTls | Established | Deliver | Close


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """``name`` is this end's; ``peer`` is who a client calls (a server answers anybody)."""

    name: str
    is_server: bool
    peer: str = CONTROL_JID
    hold_time_s: float = HOLD_TIME_S
    """Silence of the peer beyond this ends the session; keep-alives go out at a third of it."""
    stanza_bytes_max: int = STANZA_BYTES_MAX
    uses_tls: bool = False
    """Nothing is said without TLS, in either role."""


def client_settings(
    name: str, *, hold_time_s: float = HOLD_TIME_S, uses_tls: bool = False
) -> SessionSettings:
    """Return an agent's settings. What control nodes send may be large (whole access lists)."""
    return SessionSettings(
        name,
        is_server=False,
        hold_time_s=hold_time_s,
        stanza_bytes_max=16 * STANZA_BYTES_MAX,
        uses_tls=uses_tls,
    )


def server_settings(
    *, hold_time_s: float = HOLD_TIME_S, uses_tls: bool = False, name: str = CONTROL_JID
) -> SessionSettings:
    """Return a control node's settings, ``name`` being that of the service. An agent's largest stanza is one route with 64 next hops;
    as that is sent on, 32 to a message and escaped, it must stay far below what agents take.
    """
    return SessionSettings(
        name,
        is_server=True,
        hold_time_s=hold_time_s,
        stanza_bytes_max=STANZA_BYTES_MAX // 8,
        uses_tls=uses_tls,
    )


class _Refused(Exception):
    """The other end may not have a session."""


class Session:
    """One connection's protocol state; a new connection needs a new session."""

    def __init__(self, settings: SessionSettings) -> None:
        self.state = State.IDLE
        self.peer = ""
        """The peer's name; empty until established."""
        self.received_messages = 0
        self.sent_messages = 0
        self._settings = settings
        self._framer = StreamFramer(settings.stanza_bytes_max)
        self._decoder = StanzaDecoder()
        self._hold_deadline = float("inf")
        self._keepalive_deadline = float("inf")
        self._identifier = 0
        self._is_secured = False
        self._certified: tuple[str, ...] = ()

    def step(self, event: Event, now: float) -> list[Action]:
        """Advance by one event at time ``now`` (seconds, monotonic); never raises."""
        if self.state is State.CLOSED:
            return []
        match event:
            case Connected():
                return self._connected(now)
            case Received(chunk):
                return self._received(chunk, now)
            case Secured(names):
                return self._secured(names)
            case SecuringFailed(text):
                return self._close(CloseReason.REFUSED, text, says_goodbye=False)
            case Send(message):
                return self._send(message)
            case Tick():
                return self._tick(now)
            case Disconnected():
                return self._close(CloseReason.DISCONNECTED, "", says_goodbye=False)
            case CloseRequested(text):
                return self._close(CloseReason.REQUESTED, text, says_goodbye=True)

    def next_deadline(self) -> float:
        """When :class:`Tick` is due; infinity while nothing is timed."""
        return min(self._hold_deadline, self._keepalive_deadline)

    def _connected(self, now: float) -> list[Action]:
        if self.state is not State.IDLE:
            return []
        self.state = State.OPENING
        self._hold_deadline = now + OPEN_TIME_S
        return [] if self._settings.is_server else [Write(self._stream_open(self._settings.peer))]

    def _stream_open(self, receiver: str, identifier: str = "") -> bytes:
        marked = f" id='{identifier}'" if identifier else ""
        return (
            f"<?xml version='1.0'?><stream:stream from='{escape(self._settings.name)}'"
            f" to='{escape(receiver)}'{marked} version='1.0' xml:lang='en' xmlns='jabber:client'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        ).encode()

    def _received(self, chunk: bytes, now: float) -> list[Action]:
        if self.state in {State.IDLE, State.SECURING}:
            return []
        actions: list[Action] = []
        if self.state is State.ESTABLISHED:
            self._hold_deadline = now + self._settings.hold_time_s
        self._framer.feed(chunk)
        try:
            while frame := self._framer.next_frame():
                match frame:
                    case StreamOpen():
                        actions += self._stream_opened(frame, now)
                    case Stanza(content) if self.state is State.NEGOTIATING:
                        actions += self._negotiated(content)
                    case Stanza(content):
                        self._check_features(content)
                        messages = self._decoder.decode(content)
                        self.received_messages += len(messages)
                        actions += [Deliver(message) for message in messages]
                    case StreamClose():
                        actions += self._close(CloseReason.PEER_CLOSED, "", says_goodbye=True)
        except DecodeError as error:
            actions += self._close(CloseReason.BAD_INPUT, str(error), says_goodbye=True)
        except _Refused as refusal:
            actions += self._close(CloseReason.REFUSED, str(refusal), says_goodbye=True)
        return actions

    def _stream_opened(self, frame: StreamOpen, now: float) -> list[Action]:
        # A resource may follow the name; who speaks is decided by the name alone.
        name = frame.sender.partition("/")[0]
        if not name or len(frame.sender) > NAME_LENGTH_MAX:
            raise DecodeError("stream open without a usable from", 0, "RFC 6120 section 4.7.1")
        if self._settings.uses_tls and not self._is_secured:
            # Who speaks is not asked before the certificate can tell.
            self.state = State.NEGOTIATING
            if not self._settings.is_server:
                return []
            return [Write(self._stream_open(frame.sender, "++1") + starttls.OFFER)]
        if self._is_secured and self._settings.is_server and name not in self._certified:
            shown = ", ".join(self._certified) or "nobody"
            raise _Refused(f"{name[:80]!r} came with the certificate of {shown[:200]}")
        self.state = State.ESTABLISHED
        self.peer = name
        self._hold_deadline = now + self._settings.hold_time_s
        self._keepalive_deadline = now + self._settings.hold_time_s / 3
        answer: list[Action] = (
            [Write(self._stream_open(frame.sender, "++1"))] if self._settings.is_server else []
        )
        return [*answer, Established(self.peer)]

    def _negotiated(self, stanza: bytes) -> list[Action]:
        """Take one element between the plain stream's opening and the handshake."""
        if not self._settings.is_server and starttls.is_features(stanza):
            if not starttls.is_offer(stanza):
                raise _Refused("the control node offers no TLS, which is required here")
            return [Write(starttls.REQUEST)]
        if self._settings.is_server:
            starttls.check_request(stanza)
        else:
            starttls.check_proceed(stanza)
        if self._framer.has_bytes:
            # Said in the clear by anybody, it would be taken for something said under TLS.
            raise DecodeError("bytes after the request for TLS", 0, starttls.RFC)
        self.state = State.SECURING
        proceed: list[Action] = [Write(starttls.PROCEED)] if self._settings.is_server else []
        return [*proceed, StartTls()]

    def _secured(self, names: tuple[str, ...]) -> list[Action]:
        """Begin the stream anew: nothing of the plain one is kept."""
        if self.state is not State.SECURING:
            return []
        self._is_secured = True
        self._certified = names
        self._framer = StreamFramer(self._settings.stanza_bytes_max)
        self._decoder = StanzaDecoder()
        self.state = State.OPENING
        opening = Write(self._stream_open(self._settings.peer))
        return [] if self._settings.is_server else [opening]

    def _check_features(self, stanza: bytes) -> None:
        if (
            not self._settings.is_server
            and not self._settings.uses_tls
            and starttls.may_be_features(stanza)
            and starttls.is_offer(stanza)
        ):
            raise _Refused("the control node requires TLS and no certificate is set here")

    def _send(self, message: Message) -> list[Action]:
        if self.state is not State.ESTABLISHED:
            return []
        self._identifier += 1
        self.sent_messages += 1
        stanza = encode(
            message,
            sender=self._settings.name,
            receiver=self.peer,
            identifier=self._identifier,
        )
        return [Write(stanza)]

    def _tick(self, now: float) -> list[Action]:
        if now >= self._hold_deadline:
            is_open = self.state is State.ESTABLISHED
            reason = CloseReason.HOLD_TIMER if is_open else CloseReason.OPEN_TIMER
            text = "nothing heard in time"
            if self.state is State.NEGOTIATING:
                text = "the peer did not begin TLS in time"
            return self._close(reason, text, says_goodbye=is_open)
        if now >= self._keepalive_deadline:
            self._keepalive_deadline = now + self._settings.hold_time_s / 3
            return [Write(KEEPALIVE)]
        return []

    def _close(self, reason: CloseReason, text: str, *, says_goodbye: bool) -> list[Action]:
        spoke = self.state in {State.ESTABLISHED, State.NEGOTIATING} or (
            self.state is State.OPENING and not self._settings.is_server
        )
        self.state = State.CLOSED
        self._hold_deadline = self._keepalive_deadline = float("inf")
        goodbye: list[Action] = [Write(_STREAM_END)] if says_goodbye and spoke else []
        return [*goodbye, Close(reason, text)]
