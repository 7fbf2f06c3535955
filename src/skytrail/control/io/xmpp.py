"""The XMPP server: one asyncio protocol per agent, joined to the plane.

Input is acted upon as it arrives, so no queue of messages exists. Output is pulled from the plane
whenever the transport takes it: a peer that reads slowly pauses its own pulling and nothing else.
Many changes within ``FLUSH_DELAY_S`` leave as one batch.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol, cast

import structlog

from skytrail.control.plane import PeerRefused
from skytrail.runtime.clock import Clock
from skytrail.runtime.mutual_tls import HANDSHAKE_S, MutualTls, certified_names, failure_text
from skytrail.runtime.recording import Direction, Recorder, Recording
from skytrail.wire.xmpp import (
    Close,
    CloseReason,
    CloseRequested,
    Connected,
    Deliver,
    Disconnected,
    Established,
    Message,
    Received,
    Secured,
    SecuringFailed,
    Session,
    StartTls,
    State,
    Tick,
    Write,
    server_settings,
)
from skytrail.wire.xmpp.codec import CONTROL_JID
from skytrail.wire.xmpp.session import Action, Event

FLUSH_DELAY_S = 0.002
WRITE_BUFFER_BYTES = 256 * 1024
BATCH_BYTES = 64 * 1024
INPUT_BYTES = 16 * 1024
"""How much of what agents say is acted on in one turn of the loop: some ten milliseconds."""
LOST_COUNT_MAX = 32
"""How many lost connections are followed in one turn of the loop."""
TURN_BYTES_MAX = 1024 * 1024
"""How much all peers are given in one turn of the loop: some ten milliseconds."""
PUMPS_COUNT_MAX = 128
"""How many peers are given something in one turn of the loop: a few milliseconds."""
TICKS_COUNT_MAX = 2048
"""For how many connections time passes in one turn of the loop: likewise."""
CONNECTIONS_COUNT_MAX = 16_384
UNRECORDED_COUNT_MAX = 64
SLOW_READER_TIME_S = 120.0
"""A peer whose socket stayed full this long is disconnected."""


class AgentPlane(Protocol):
    """The core behind a port that agents connect to: sessions and messages in, stanzas out."""

    def session_up(self, name: str, address: str, now: float) -> None: ...
    def session_down(self, name: str, reason: str, now: float) -> None: ...
    def receive(self, name: str, message: Message, now: float) -> None:
        """Act on a message; raises ``PeerRefused``."""
        ...

    def take_ready(self) -> Sequence[str]: ...
    def collect(self, name: str, now: float, bytes_max: int) -> list[bytes]: ...
    def has_more(self, name: str) -> bool:
        """Tell whether ``collect`` only stopped so that others have their turn."""
        ...

    def tick(self, now: float) -> None: ...


class XmppServer:
    """Accepts agents and keeps plane and sockets in step. All on one event loop."""

    def __init__(
        self,
        plane: AgentPlane,
        clock: Clock,
        hold_time_s: float,
        tls: MutualTls | None = None,
        *,
        jid: str = CONTROL_JID,
    ) -> None:
        self.plane = plane
        self.jid = jid
        """Who we are to agents; tells them the port's service."""
        self.tls = tls
        self.clock = clock
        self.hold_time_s = hold_time_s
        self.log = structlog.get_logger("skytrail.control.xmpp")
        self.connections: set[AgentConnection] = set()
        self.by_name: dict[str, AgentConnection] = {}
        self.strangers: dict[AgentConnection, None] = {}
        """Those that have no session yet, oldest first."""
        self.connections_count_max = CONNECTIONS_COUNT_MAX
        self.refused_count = 0
        self.recorder: Recorder | None = None
        """Records every session, when set before :meth:`listen`."""
        self.on_flush: Callable[[], None] | None = None
        """Called with every flush: what changed may concern others than agents."""
        self._flush_handle: asyncio.TimerHandle | None = None
        self._room = INPUT_BYTES
        """How much may still be acted on in this turn of the loop."""
        self._is_turn_due = False
        self._unread: dict[AgentConnection, None] = {}
        """Connections with input that waits for the next turns, in order."""
        self._lost: deque[AgentConnection] = deque()
        self._to_pump: dict[str, None] = {}
        """Who is to be given something, in turn."""
        self._is_pumping = False
        self._to_tick: deque[AgentConnection] = deque()
        """Connections for which time has yet to pass."""

    async def listen(self, address: str, port: int, *, shares: int = 1) -> asyncio.Server:
        """Start accepting; raises ``OSError``. ``shares``: so many such servers share what is there."""
        loop = asyncio.get_running_loop()
        # The rest is for BGP peers, the API and files: strangers must not have the last of them.
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if descriptors != resource.RLIM_INFINITY:
            self.connections_count_max = min(CONNECTIONS_COUNT_MAX, descriptors * 3 // 4 // shares)
        return await loop.create_server(
            lambda: AgentConnection(self), address, port, backlog=1024, reuse_address=True
        )

    def make_room(self) -> bool:
        """Tell whether another connection may be, at the cost of the oldest without a session.

        An agent needs milliseconds from its connection to its session, so it is not the oldest
        while somebody floods the port with connections that say nothing.
        """
        if len(self.connections) < self.connections_count_max:
            return True
        self.refused_count += 1
        oldest = next(iter(self.strangers), None)
        if oldest is not None:
            oldest.drop()
        return oldest is not None

    def schedule_flush(self) -> None:
        """Send what the plane has, soon; many calls make one flush."""
        if self._flush_handle is None:
            loop = asyncio.get_running_loop()
            self._flush_handle = loop.call_later(FLUSH_DELAY_S, self._flush)

    def tick(self) -> None:
        """Let time pass for the plane and every session; call about four times a second."""
        if not self._to_tick:
            self._to_tick.extend(self.connections)
            self._tick_some()
        self.plane.tick(self.clock.now())
        self.schedule_flush()

    def _tick_some(self) -> None:
        """Let time pass for some connections; the others have their turn in the next ones."""
        now = self.clock.now()
        for _ in range(min(TICKS_COUNT_MAX, len(self._to_tick))):
            self._to_tick.popleft().tick(now)
        if self._to_tick:
            self.call_soon(self._tick_some)

    def close(self) -> None:
        """End every session politely."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        for connection in list(self.connections):
            connection.step(CloseRequested("the control node stops"))

    def _flush(self) -> None:
        self._flush_handle = None
        self._to_pump.update(dict.fromkeys(self.plane.take_ready()))
        if not self._is_pumping:
            self._pump_some()
        if self.on_flush is not None:
            self.on_flush()

    def call_soon(self, action: Callable[[], None]) -> None:
        """Do something in the loop's next turn."""
        asyncio.get_running_loop().call_soon(action)

    def room(self) -> int:
        """Return how many bytes of input a connection may act on now; 0: it is to wait."""
        if not self._is_turn_due:
            self._is_turn_due = True
            self.call_soon(self._next_turn)
        return 0 if self._unread else self._room

    def took(self, size: int) -> None:
        """Note that input was acted on."""
        self._room -= size

    def wait(self, connection: AgentConnection) -> None:
        """Let a connection go on reading in one of the next turns."""
        self._unread[connection] = None

    def _next_turn(self) -> None:
        self._room = INPUT_BYTES
        self._is_turn_due = False
        while self._unread and self._room > 0:
            connection = next(iter(self._unread))
            del self._unread[connection]
            if not connection.read_on(self._room):
                # At the end: everybody else has a turn before.
                self._unread[connection] = None
        if self._unread:
            self._is_turn_due = True
            self.call_soon(self._next_turn)

    def lost(self, connection: AgentConnection) -> None:
        """Follow the loss of a connection, soon: a thousand may be lost at once."""
        self._unread.pop(connection, None)
        self._lost.append(connection)
        if len(self._lost) == 1:
            self.call_soon(self._lose_some)

    def _lose_some(self) -> None:
        for _ in range(min(LOST_COUNT_MAX, len(self._lost))):
            self._lost.popleft().end()
        if self._lost:
            self.call_soon(self._lose_some)
        self.schedule_flush()

    def _pump_some(self) -> None:
        """Give some peers what there is for them; the others have their turn in the next ones."""
        room = TURN_BYTES_MAX
        for name in list(islice(self._to_pump, PUMPS_COUNT_MAX)):
            if room <= 0:
                break
            del self._to_pump[name]
            connection = self.by_name.get(name)
            if connection is not None:
                room -= connection.pump(room)
        self._is_pumping = bool(self._to_pump)
        if self._is_pumping:
            self.call_soon(self._pump_some)

    def give_more(self, name: str) -> None:
        """Let a peer have another turn."""
        self._to_pump[name] = None
        if not self._is_pumping:
            self._is_pumping = True
            self.call_soon(self._pump_some)


class AgentConnection(asyncio.Protocol):
    """One TCP connection; knows its agent's name once the session stands."""

    def __init__(self, server: XmppServer) -> None:
        self.name = ""
        self._server = server
        self._session = Session(
            server_settings(
                hold_time_s=server.hold_time_s, uses_tls=server.tls is not None, name=server.jid
            )
        )
        self._securing: asyncio.Task[None] | None = None
        self._unread: deque[bytes] = deque()
        """Received and not acted on yet; while there is some, nothing more is read."""
        self._early = bytearray()
        """What arrived under TLS before this side knew that the handshake was over."""
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._paused_since = float("inf")
        self._recording: Recording | None = None
        self._unrecorded: list[tuple[Direction, bytes]] = []
        """What was said before the session stood: strangers get no file."""

    @property
    def session(self) -> Session:
        return self._session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The loop's own class need not derive from asyncio's.
        self._transport = stream = cast("asyncio.Transport", transport)
        peer_name: object = stream.get_extra_info("peername")
        self._address = str(peer_name[0]) if isinstance(peer_name, tuple) else ""
        if not self._server.make_room():
            stream.abort()
            return
        stream.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._set_timeouts(stream.get_extra_info("socket"))
        self._server.connections.add(self)
        self._server.strangers[self] = None
        self.step(Connected())

    def _note(self, direction: Direction, *chunks: bytes) -> None:
        if self._recording is not None:
            self._recording.note(direction, *chunks)
        elif self._server.recorder is not None and len(self._unrecorded) < UNRECORDED_COUNT_MAX:
            self._unrecorded.extend((direction, chunk) for chunk in chunks)

    def _record(self, recorder: Recorder, peer: str) -> None:
        self._recording = recorder.start("xmpp", peer)
        early, self._unrecorded = self._unrecorded, []
        for direction, chunk in early:
            self._note(direction, chunk)

    def data_received(self, data: bytes) -> None:
        if self._session.state is State.SECURING:
            self._early += data
            return
        room = self._server.room()
        if room > 0:
            self._server.took(min(room, len(data)))
            self._receive(data[:room])
            data = data[room:]
        if data:
            self._unread.append(data)
            self._server.wait(self)
            if self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()

    def read_on(self, room: int) -> bool:
        """Act on input that had to wait, up to so many bytes; True when none is left."""
        while self._unread and room > 0:
            data = self._unread.popleft()
            if len(data) > room:
                self._unread.appendleft(data[room:])
                data = data[:room]
            room -= len(data)
            self._server.took(len(data))
            self._receive(data)
        if self._unread:
            return False
        is_securing = self._session.state is State.SECURING
        if self._transport is not None and not self._transport.is_closing() and not is_securing:
            self._transport.resume_reading()
        return True

    def _receive(self, data: bytes) -> None:
        self._note("in", data)
        try:
            self.step(Received(data))
        except Exception:  # A session's task boundary: one agent's input must not stop the others.
            self._server.log.exception("session_failed", peer=self.name, address=self._address)
            self._abort()
        self._server.schedule_flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._server.strangers.pop(self, None)
        if self._recording is not None:
            self._recording.close()
        # Transport and protocol hold each other: nobody may be looking for such rings.
        self._transport = None
        self._unread.clear()
        self._server.lost(self)

    def drop(self) -> None:
        """Give way to somebody else."""
        self._server.connections.discard(self)
        self._server.strangers.pop(self, None)
        self._abort()

    def end(self) -> None:
        """Let the session know that its connection is lost."""
        self.step(Disconnected())

    def pause_writing(self) -> None:
        self._paused_since = self._server.clock.now()

    def resume_writing(self) -> None:
        self._paused_since = float("inf")
        self.pump()

    def tick(self, now: float) -> None:
        """Run the session's timers and drop a peer that does not read."""
        if self._transport is None:
            return
        if now >= self._session.next_deadline():
            self.step(Tick())
        if now >= self._paused_since + SLOW_READER_TIME_S:
            self._server.log.warning("session_reads_too_slowly", peer=self.name)
            self._abort()

    def pump(self, bytes_max: int = TURN_BYTES_MAX) -> int:
        """Send from the plane until there is nothing more, it is enough, or the socket is full.

        Returns how many bytes that was worth.
        """
        transport, server = self._transport, self._server
        given = 0
        if transport is None or server.by_name.get(self.name) is not self:
            return given
        while self._paused_since == float("inf") and not transport.is_closing():
            try:
                stanzas = server.plane.collect(self.name, server.clock.now(), BATCH_BYTES)
            except Exception:  # A session's task boundary: others wait for their turn behind it.
                server.log.exception("session_failed", peer=self.name, address=self._address)
                self._abort()
                return given
            if stanzas:
                self._note("out", *stanzas)
                transport.writelines(stanzas)
                given += sum(map(len, stanzas))
            if not stanzas and not server.plane.has_more(self.name):
                return given
            if not stanzas or given >= bytes_max:
                server.give_more(self.name)
                # Looking in vain takes as long as sending a batch.
                return given if stanzas else given + BATCH_BYTES
        return given

    def step(self, event: Event) -> None:
        """Advance the session and do what it asks."""
        now = self._server.clock.now()
        for action in self._session.step(event, now):
            self._perform(action, now)

    def _perform(self, action: Action, now: float) -> None:
        match action:
            case Write(chunk):
                if self._transport is not None and not self._transport.is_closing():
                    self._note("out", chunk)
                    self._transport.write(chunk)
            case StartTls():
                if self._transport is not None and not self._transport.is_closing():
                    # What comes from now on is for the handshake.
                    self._transport.pause_reading()
                    self._securing = asyncio.get_running_loop().create_task(self._secure())
            case Established(peer):
                self._established(peer, now)
            case Deliver(message):
                if self._server.by_name.get(self.name) is not self:
                    return
                try:
                    self._server.plane.receive(self.name, message, now)
                except PeerRefused as refusal:
                    self.step(CloseRequested(str(refusal)))
            case Close(reason, text):
                shown = f"{reason.value}: {text}" if text else reason.value
                if reason is CloseReason.REFUSED:
                    self._server.refused_count += 1
                    self._server.log.warning("session_refused", address=self._address, reason=text)
                self._closed(shown, now)

    async def _secure(self) -> None:
        """Do the TLS handshake on this connection and tell the session how it went."""
        transport, tls = self._transport, self._server.tls
        if transport is None or tls is None:
            return
        loop = asyncio.get_running_loop()
        try:
            encrypted = await loop.start_tls(
                transport,
                self,
                tls.context(),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        except OSError as error:
            self._handshake_failed(failure_text(error))
            return
        if encrypted is None:
            self._handshake_failed("the connection was lost during the TLS handshake")
            return
        encrypted.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._transport = encrypted
        # What was before the handshake belongs to another stream.
        self._unrecorded.clear()
        self.step(Secured(certified_names(encrypted.get_extra_info("peercert"))))
        early, self._early = bytes(self._early), bytearray()
        if early:
            self._receive(early)

    def _handshake_failed(self, text: str) -> None:
        # A transport that fails at its handshake does not tell its protocol that it is gone.
        self._server.connections.discard(self)
        self._server.strangers.pop(self, None)
        self.step(SecuringFailed(text))
        self._abort()

    def _established(self, peer: str, now: float) -> None:
        earlier = self._server.by_name.get(peer)
        if earlier is not None:
            # An agent that restarted is back before its old connection was found dead.
            earlier.step(CloseRequested("replaced by a newer session"))
        self.name = peer
        self._server.strangers.pop(self, None)
        self._server.by_name[peer] = self
        if self._server.recorder is not None:
            self._record(self._server.recorder, peer)
        self._server.plane.session_up(peer, self._address, now)
        self._server.log.info("session_established", peer=peer, address=self._address)

    def _closed(self, reason: str, now: float) -> None:
        if self.name and self._server.by_name.get(self.name) is self:
            del self._server.by_name[self.name]
            self._server.plane.session_down(self.name, reason, now)
            self._server.log.info("session_closed", peer=self.name, reason=reason)
        elif not self.name:
            self._server.log.info("connection_closed", address=self._address, reason=reason)
        if self._transport is None or self._transport.is_closing():
            return
        if self._paused_since == float("inf"):
            self._transport.close()
        else:
            # Its socket is full: what is buffered would never leave.
            self._transport.abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _set_timeouts(self, channel: object) -> None:
        """Find a vanished host within the hold time, also while data is unacknowledged."""
        set_option: Callable[[int, int, int], None] | None = getattr(channel, "setsockopt", None)
        if set_option is None:
            return
        interval = max(1, int(self._server.hold_time_s / 3))
        set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        set_option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, interval)
        set_option(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        set_option(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        hold_ms = int(self._server.hold_time_s * 1000)
        set_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, hold_ms)
        set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
