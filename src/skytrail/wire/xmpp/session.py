"""The state machine of one XMPP connection, for both ends.

```
 client:  Connected -> writes stream open -> OPENING --peer's stream open--> ESTABLISHED
 server:  Connected -> OPENING --peer's stream open--> writes stream open -> ESTABLISHED
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


@dataclass(frozen=True, slots=True)
class Connected:
    """The transport is up."""


@dataclass(frozen=True, slots=True)
class Received:
    chunk: bytes


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


Event: TypeAlias = Connected | Received | Send | Tick | Disconnected | CloseRequested


@dataclass(frozen=True, slots=True)
class Write:
    """Give these bytes to the transport."""

    chunk: bytes


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


Action: TypeAlias = Write | Established | Deliver | Close


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """``name`` is this end's; ``peer`` is who a client calls (a server answers anybody)."""

    name: str
    is_server: bool
    peer: str = CONTROL_JID
    hold_time_s: float = HOLD_TIME_S
    """Silence of the peer beyond this ends the session; keep-alives go out at a third of it."""
    stanza_bytes_max: int = STANZA_BYTES_MAX


def client_settings(name: str, *, hold_time_s: float = HOLD_TIME_S) -> SessionSettings:
    """Return an agent's settings. What control nodes send may be large (whole access lists)."""
    return SessionSettings(
        name, is_server=False, hold_time_s=hold_time_s, stanza_bytes_max=16 * STANZA_BYTES_MAX
    )


def server_settings(*, hold_time_s: float = HOLD_TIME_S) -> SessionSettings:
    """Return a control node's settings. An agent's largest stanza is one route with 64 next hops;
    as that is sent on, 32 to a message and escaped, it must stay far below what agents take.
    """
    return SessionSettings(
        CONTROL_JID,
        is_server=True,
        hold_time_s=hold_time_s,
        stanza_bytes_max=STANZA_BYTES_MAX // 8,
    )


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

    def step(self, event: Event, now: float) -> list[Action]:
        """Advance by one event at time ``now`` (seconds, monotonic); never raises."""
        if self.state is State.CLOSED:
            return []
        match event:
            case Connected():
                return self._connected(now)
            case Received(chunk):
                return self._received(chunk, now)
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
        if self.state is State.IDLE:
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
                    case Stanza(content):
                        messages = self._decoder.decode(content)
                        self.received_messages += len(messages)
                        actions += [Deliver(message) for message in messages]
                    case StreamClose():
                        actions += self._close(CloseReason.PEER_CLOSED, "", says_goodbye=True)
        except DecodeError as error:
            actions += self._close(CloseReason.BAD_INPUT, str(error), says_goodbye=True)
        return actions

    def _stream_opened(self, frame: StreamOpen, now: float) -> list[Action]:
        # A resource may follow the name; who speaks is decided by the name alone.
        name = frame.sender.partition("/")[0]
        if not name or len(frame.sender) > NAME_LENGTH_MAX:
            raise DecodeError("stream open without a usable from", 0, "RFC 6120 section 4.7.1")
        self.state = State.ESTABLISHED
        self.peer = name
        self._hold_deadline = now + self._settings.hold_time_s
        self._keepalive_deadline = now + self._settings.hold_time_s / 3
        answer: list[Action] = (
            [Write(self._stream_open(frame.sender, "++1"))] if self._settings.is_server else []
        )
        return [*answer, Established(self.peer)]

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
            return self._close(reason, "nothing heard in time", says_goodbye=is_open)
        if now >= self._keepalive_deadline:
            self._keepalive_deadline = now + self._settings.hold_time_s / 3
            return [Write(KEEPALIVE)]
        return []

    def _close(self, reason: CloseReason, text: str, *, says_goodbye: bool) -> list[Action]:
        spoke = self.state is State.ESTABLISHED or (
            self.state is State.OPENING and not self._settings.is_server
        )
        self.state = State.CLOSED
        self._hold_deadline = self._keepalive_deadline = float("inf")
        goodbye: list[Action] = [Write(_STREAM_END)] if says_goodbye and spoke else []
        return [*goodbye, Close(reason, text)]
