"""BGP over TCP: one link per configured peer, joined to the plane.

A link drives the peer's session machine, which may own two connections for a moment (RFC 4271
section 6.8). Input is acted upon as it arrives; output is pulled from the plane whenever the
transport takes it, so a peer that reads slowly holds up nobody else.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Protocol, cast

import structlog

from skytrail.control.bgp import Bgp
from skytrail.control.bgp_config import EXTENDED_NEXT_HOP, BgpPeerConfig, Speaker
from skytrail.control.bgp_peer import TooManyPrefixes
from skytrail.control.io.bfd import BfdServer
from skytrail.control.path import PeerName
from skytrail.control.workload_peers import WorkloadPeers
from skytrail.runtime.clock import Clock
from skytrail.runtime.recording import Recorder, Recording
from skytrail.runtime.tcp_protection import (
    TTL_MAX,
    Address,
    set_md5_key,
    set_ttl,
    set_ttl_min,
    socket_family,
)
from skytrail.wire.bfd import BfdChange
from skytrail.wire.bgp import (
    AttributeCache,
    Cease,
    GracefulRestart,
    LongLivedFamily,
    Negotiated,
    RouteRefresh,
    Update,
)
from skytrail.wire.bgp.session import BgpSession
from skytrail.wire.bgp.session_events import (
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

WRITE_BUFFER_BYTES = 256 * 1024
BATCH_BYTES = 32 * 1024
TURN_BYTES_MAX = 64 * 1024
"""How much peers are given in one turn of the loop: some 40 ms if none of it was told to another."""
SLICE_BYTES = 8 * 1024
"""How much of what a peer said is acted on in one turn of the loop: some four hundred routes."""
SEND_HOLD_TIME_S_MIN = 480.0
"""A peer whose socket stayed full this long, or twice its hold time, is cut off (RFC 9687)."""
PREFIX_LIMIT_PAUSE_S = 300.0
CLOSE_WAIT_S = 2.0
"""How long the peer of a connection we end has to take the rest and end its side."""
FAILED_PAUSE_S = 60.0
"""How long a session rests for which there is something that cannot be told."""
CONNECTIONS_COUNT_MAX = 1024

_JITTER_MIN = 0.75


class Plane(Protocol):
    """Whom a link serves: routers and control nodes, or workloads."""

    @property
    def peers(self) -> Mapping[PeerName, object]: ...
    def session_up(self, name: str, negotiated: Negotiated, now: float) -> None: ...
    def session_down(self, name: str, reason: str, now: float, *, graceful: bool) -> None: ...
    def receive(self, name: str, update: Update, /) -> None: ...
    def refresh(self, name: str, message: RouteRefresh) -> None: ...
    def collect(self, name: str, bytes_max: int) -> list[bytes]: ...


class BgpServer:
    """Listens, dials and keeps plane and sockets in step. All on one event loop."""

    def __init__(
        self,
        plane: Bgp,
        clock: Clock,
        schedule_flush: Callable[[], None],
        *,
        restart_time_s: float,
        workloads: WorkloadPeers | None = None,
    ) -> None:
        self.plane = plane
        self.workloads = workloads
        """Workloads that may peer, by the port their vRouter gives their connection."""
        self.clock = clock
        self.schedule_flush = schedule_flush
        self.restart_time_s = restart_time_s
        self.log = structlog.get_logger("skytrail.control.bgp")
        self.links: dict[PeerName, PeerLink] = {}
        self.workload_links: dict[PeerName, PeerLink] = {}
        self.bfd = BfdServer(clock)
        self.cache = AttributeCache()
        self.send_hold_time_s = SEND_HOLD_TIME_S_MIN
        self.recorder: Recorder | None = None
        """Records every session, when set before :meth:`listen`."""
        self.addresses: dict[int, Address] = {}
        """Where we listen and what we dial from, by IP version."""
        self.connections_count = 0
        self.refused_count = 0
        self._listeners: dict[int, socket.socket] = {}
        self._servers: list[asyncio.Server] = []
        self._is_working = False
        self._is_restarting = True
        self._to_pump: dict[PeerLink, None] = {}
        """Who is to be given something, in turn."""
        self._is_pumping = False

    async def listen(self, addresses: Iterable[str], port: int) -> int:
        """Start accepting, at one address of an IP version; returns the first one's port.

        Raises ``OSError``, and ``ValueError`` for what cannot be listened to.
        """
        ports: list[int] = []
        for text in addresses:
            address = ip_address(text)
            if address.version in self.addresses:
                known = self.addresses[address.version]
                raise ValueError(f"{address} beside {known}: one address of a version is possible")
            self.addresses[address.version] = address
            ports.append(await self._listen(address, port))
            if not address.is_unspecified:
                self.bfd.own[address.version] = address
        self.apply_changes()
        return ports[0]

    async def _listen(self, address: Address, port: int) -> int:
        # Made here, because the keys of expected peers belong to the listening socket.
        listener = socket.socket(socket_family(address), socket.SOCK_STREAM)
        self._listeners[address.version] = listener
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.version == 6:
            # Peers of the other version have their own listener, and their own keys there.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # So that peers who accept near neighbours only get our answers; harmless for others.
        set_ttl(listener, TTL_MAX)
        listener.bind((str(address), port))
        loop = asyncio.get_running_loop()
        self._servers.append(
            await loop.create_server(lambda: BgpConnection(self), sock=listener, backlog=64)
        )
        return int(listener.getsockname()[1])

    def apply_changes(self) -> None:
        """Start, restart and end sessions as configuration wants."""
        speaker = self.plane.config.speaker
        for name in self.plane.take_changes():
            peer = self.plane.peers.get(name)
            link = self.links.pop(name, None)
            if link is not None:
                link.step(Stop(self._cause(name)))
                self._set_keys(link.config, "")
                link.unwatch()
            if peer is None or speaker is None:
                continue
            self._set_keys(peer.config, peer.config.md5_key)
            peer.bfd_state = ""
            self._start_link(name, speaker, peer.config, self.plane)
            if name in self.links:
                self.links[name].watch()
        self._apply_workloads(speaker)

    def _apply_workloads(self, speaker: Speaker | None) -> None:
        workloads = self.workloads
        for name in () if workloads is None else workloads.take_changes():
            link = self.workload_links.pop(name, None)
            if link is not None:
                link.step(Stop(Cease.PEER_DECONFIGURED))
            peer = None if workloads is None else workloads.peers.get(name)
            if workloads is not None and peer is not None and speaker is not None:
                self._start_link(name, speaker, peer.config.peer, workloads)

    def _start_link(
        self, name: PeerName, speaker: Speaker, config: BgpPeerConfig, plane: Plane
    ) -> None:
        links = self.links if plane is self.plane else self.workload_links
        try:
            links[name] = self.make_link(speaker, config, plane)
        except ValueError as error:
            self.log.warning("peer_refused", peer=name, error=str(error))
            return
        links[name].step(Start())

    def _cause(self, name: PeerName) -> Cease:
        """Return why the session of a peer whose configuration changed ends (RFC 4486)."""
        if name in self.plane.peers:
            return Cease.CONFIGURATION_CHANGE
        is_known = any(peer.name == name for peer in self.plane.config.peers)
        return Cease.ADMINISTRATIVE_SHUTDOWN if is_known else Cease.PEER_DECONFIGURED

    def flush(self) -> None:
        """Send what the plane has, and let tables follow lost sessions."""
        self.apply_changes()
        for name in self.plane.take_ready():
            link = self.links.get(name)
            if link is not None:
                self._to_pump[link] = None
        for name in () if self.workloads is None else self.workloads.take_ready():
            link = self.workload_links.get(name)
            if link is not None:
                self._to_pump[link] = None
        if not self._is_pumping:
            self._pump_some()
        if not self._is_working and self.plane.work(0):
            self._is_working = True
            self.call_soon(self._work)

    def _pump_some(self) -> None:
        """Give some peers what there is for them; the others have their turn in the next ones."""
        room = TURN_BYTES_MAX
        while self._to_pump and room > 0:
            link = next(iter(self._to_pump))
            del self._to_pump[link]
            room -= link.pump(room)
        self._is_pumping = bool(self._to_pump)
        if self._is_pumping:
            self.call_soon(self._pump_some)

    def give_more(self, link: PeerLink) -> None:
        """Let a peer have another turn."""
        self._to_pump[link] = None
        if not self._is_pumping:
            self._is_pumping = True
            self.call_soon(self._pump_some)

    def call_soon(self, action: Callable[[], None]) -> None:
        """Do something in the loop's next turn."""
        asyncio.get_running_loop().call_soon(action)

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run ``action`` in a turn of the loop after a while."""
        asyncio.get_running_loop().call_later(delay_s, action)

    def jitter(self) -> float:
        """Return the part of a timer's time that counts (RFC 4271 section 10)."""
        return random.uniform(_JITTER_MIN, 1.0)

    def make_link(self, speaker: Speaker, config: BgpPeerConfig, plane: Plane) -> PeerLink:
        """Make the session of a configured peer; ``ValueError`` when its settings cannot be."""
        return PeerLink(self, speaker, config, plane)

    def tick(self) -> None:
        """Let time pass for every session; call about four times a second."""
        now = self.clock.now()
        if self._is_restarting and self.plane.may_end_rib:
            # From here on our routes are complete, so a peer may wait for our end of RIB.
            self._is_restarting = False
            for link in self.links.values():
                link.restarted()
        for link in (*self.links.values(), *self.workload_links.values()):
            link.tick(now)

    def close(self) -> None:
        """End every session so that peers keep our routes if they can: we may be back."""
        for link in (*self.links.values(), *self.workload_links.values()):
            link.step(Stop(Cease.ADMINISTRATIVE_RESET, graceful=True))
        self.bfd.close()
        for server in self._servers:
            server.close()

    def link_of(self, address: Address, port: int) -> PeerLink | None:
        """Return the configured peer at an address, or the workload a vRouter sends from a port."""
        for link in self.links.values():
            if link.config.address == address:
                return link
        name = None if self.workloads is None else self.workloads.expected(address, port)
        return None if name is None else self.workload_links.get(name)

    def _work(self) -> None:
        if self.plane.work():
            self.call_soon(self._work)
        else:
            self._is_working = False
        self.schedule_flush()

    def _set_keys(self, peer: BgpPeerConfig, key: str) -> None:
        listener = self._listeners.get(peer.address.version)
        if listener is None:
            return
        try:
            set_md5_key(listener, peer.address, key)
        except OSError as error:
            # A key that is to be removed may not be there; one that is to be set must be.
            if key:
                self.log.warning("key_refused", peer=peer.name, error=str(error))


class PeerLink:
    """The session of one configured peer and its transports."""

    def __init__(
        self, server: BgpServer, speaker: Speaker, config: BgpPeerConfig, plane: Plane
    ) -> None:
        self.server = server
        self._plane = plane
        self.config = config
        self.name = PeerName(config.name)
        settings = _settings(server, speaker, config, is_workload=plane is not server.plane)
        self._session = BgpSession(settings, server.cache)
        self._transports: dict[int, BgpConnection] = {}
        self._dials: dict[int, asyncio.Task[None]] = {}
        self._established = 0
        self._paused_since = float("inf")
        self.bfd_number = 0
        self.last_attempt = ""
        """Why the latest attempt to establish a session failed."""

    @property
    def session(self) -> BgpSession:
        return self._session

    def watch(self) -> None:
        """Let BFD watch the peer, if configuration wants it."""
        if self.config.bfd is None:
            return
        try:
            self.bfd_number = self.server.bfd.add(
                self.config.address, self.config.bfd, self._watched
            )
        except OSError as error:
            self._show_bfd(f"not possible: {error}")
            self.server.log.warning("bfd_refused", peer=self.name, error=str(error))
            return
        self._show_bfd("down")

    def _show_bfd(self, state: str) -> None:
        peer = self.server.plane.peers.get(self.name)
        if peer is not None:
            peer.bfd_state = state

    def unwatch(self) -> None:
        self.server.bfd.remove(self.bfd_number)
        self.bfd_number = 0

    def _watched(self, change: BfdChange) -> None:
        """Follow the path to the peer: what does not answer cannot forward (RFC 5882 section 3)."""
        self._show_bfd("up" if change.is_up else "down")
        if change.is_up or change.is_administrative:
            return
        # A peer whose BFD lives in its routing daemon may only be restarting (section 4.3).
        stop = Stop(
            Cease.BFD_DOWN, "BFD is down", restart_after_s=0, graceful=not change.is_independent
        )
        self.step(stop)
        self.server.schedule_flush()

    def tick(self, now: float) -> None:
        """Run the session's timers and drop a peer that does not read."""
        if now >= self._session.next_deadline():
            self.step(Tick())
        negotiated = self._session.negotiated
        hold_time_s = 0 if negotiated is None else negotiated.hold_time_s
        send_hold_time_s = max(self.server.send_hold_time_s, 2 * hold_time_s)
        if now >= self._paused_since + send_hold_time_s:
            # There is no room for a NOTIFICATION, so the log tells alone (section 3.2).
            self.server.log.warning("send_hold_timer_expired", peer=self.name)
            self._paused_since = float("inf")
            connection = self._transports.get(self._established)
            if connection is not None:
                connection.abort()

    def restarted(self) -> None:
        """Have all routes again: the next OPEN is not that of a node that restarts."""
        settings = self._session.settings
        restart = settings.graceful_restart
        if restart is not None:
            self._session.settings = replace(
                settings, graceful_restart=replace(restart, restarting=False)
            )

    def step(self, event: Event) -> None:
        """Advance the session and do what it asks."""
        jitter = self.server.jitter()
        for action in self._session.step(event, self.server.clock.now(), jitter=jitter):
            self._perform(action)

    def pump(self, bytes_max: int = TURN_BYTES_MAX) -> int:
        """Send from the plane until there is nothing more, it is enough, or the socket is full.

        Returns how many bytes that was.
        """
        connection = self._transports.get(self._established)
        given = 0
        if connection is None or self._session.state is not State.ESTABLISHED:
            return given
        while self._paused_since == float("inf"):
            try:
                messages = self._plane.collect(self.name, BATCH_BYTES)
            except Exception:  # A session's task boundary: other peers have their turn behind it.
                self.server.log.exception("bgp_session_failed", peer=self.name)
                self.step(Stop(Cease.OUT_OF_RESOURCES, restart_after_s=FAILED_PAUSE_S))
                return given
            if not messages:
                return given
            connection.write(messages)
            given += sum(map(len, messages))
            if given >= bytes_max:
                self.server.give_more(self)
                return given
        return given

    def accepted(self, connection: BgpConnection) -> int:
        """Take over a connection the peer made; returns its number."""
        number = self._session.new_connection()
        self._transports[number] = connection
        self.step(Accepted(number))
        return number

    def received(self, number: int, chunk: bytes) -> None:
        self.step(Received(number, chunk))
        self.server.schedule_flush()

    def lost(self, number: int, text: str) -> None:
        self._transports.pop(number, None)
        self.step(Disconnected(number, text))
        self.server.schedule_flush()

    def paused(self, number: int, *, is_paused: bool) -> None:
        if number == self._established:
            self._paused_since = self.server.clock.now() if is_paused else float("inf")
            if not is_paused:
                self.pump()

    def _perform(self, action: Action) -> None:
        plane, now = self._plane, self.server.clock.now()
        match action:
            case Write(number, chunk):
                connection = self._transports.get(number)
                if connection is not None:
                    connection.write([chunk])
            case Connect(number):
                self.dial(number)
            case CloseConnection(number):
                self._close(number)
            case Established(number, _, negotiated):
                self._established, self._paused_since = number, float("inf")
                plane.session_up(self.name, negotiated, now)
                self.server.log.info("bgp_session_established", peer=self.name)
                self.server.schedule_flush()
            case Deliver(message):
                self._deliver(message)
            case Down(reason, graceful, text):
                self._established = 0
                why = f"{reason.value}: {text}" if text else reason.value
                if self.name in plane.peers:
                    plane.session_down(self.name, why, now, graceful=graceful)
                self.server.log.info("bgp_session_closed", peer=self.name, reason=why)
                self.server.schedule_flush()
            case AttemptFailed(_, reason, text):
                self.last_attempt = f"{reason.value}: {text}" if text else reason.value
                self.server.log.info("bgp_attempt_failed", peer=self.name, why=self.last_attempt)

    def dial(self, number: int) -> None:
        """Begin to connect; the session is told how it went."""
        self._dials[number] = asyncio.get_running_loop().create_task(self._dial(number))

    def connected(self, number: int, connection: BgpConnection) -> None:
        """Take over a connection we made."""
        connection.link, connection.number = self, number
        self._transports[number] = connection

    def _deliver(self, message: Update | RouteRefresh) -> None:
        plane = self._plane
        if isinstance(message, RouteRefresh):
            plane.refresh(self.name, message)
            return
        try:
            plane.receive(self.name, message)
        except TooManyPrefixes as limit:
            self.server.log.warning("prefix_limit", peer=self.name, limit=str(limit))
            pause = self.config.prefix_limit_pause_s or PREFIX_LIMIT_PAUSE_S
            self.step(Stop(Cease.MAX_PREFIXES, restart_after_s=pause))

    def _close(self, number: int) -> None:
        dial = self._dials.pop(number, None)
        if dial is not None:
            dial.cancel()
        connection = self._transports.pop(number, None)
        if connection is not None:
            connection.close()

    async def _dial(self, number: int) -> None:
        """Connect from our own address, with the peer's key."""
        loop = asyncio.get_running_loop()
        peer = self.config.address
        own = self.server.addresses.get(peer.version)
        channel = socket.socket(socket_family(peer), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if self.config.md5_key:
                set_md5_key(channel, peer, self.config.md5_key)
            self.protect(channel)
            if own is not None and not own.is_unspecified:
                channel.bind((str(own), 0))
            await loop.sock_connect(channel, (str(peer), self.config.port))
            connection = BgpConnection(self.server)
            self.connected(number, connection)
            await loop.create_connection(lambda: connection, sock=channel)
        except OSError as error:
            channel.close()
            self._transports.pop(number, None)
            self._dials.pop(number, None)
            self.step(ConnectFailed(number, str(error)))
            return
        except asyncio.CancelledError:
            channel.close()
            raise
        self._dials.pop(number, None)
        self.step(Connected(number))

    def protect(self, channel: socket.socket) -> None:
        """Take segments from near neighbours only (RFC 5082 section 3)."""
        if self.config.ttl_hops:
            set_ttl(channel, TTL_MAX)
            set_ttl_min(channel, TTL_MAX + 1 - self.config.ttl_hops)


class BgpConnection(asyncio.Protocol):
    """One TCP connection with a peer, whoever made it."""

    def __init__(self, server: BgpServer) -> None:
        self.link: PeerLink | None = None
        self.number = 0
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._recording: Recording | None = None
        self._unread: deque[bytes] = deque()
        """Received and not acted on yet; while there is some, nothing more is read."""
        self._had_turn = False
        self._is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The loop's own class need not derive from asyncio's.
        self._transport = stream = cast("asyncio.Transport", transport)
        stream.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._server.connections_count += 1
        channel: object = stream.get_extra_info("socket")
        set_option: Callable[[int, int, int], None] | None = getattr(channel, "setsockopt", None)
        if set_option is not None:
            set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.link is not None:
            self._record(self.link)
            return
        peer_name: object = stream.get_extra_info("peername")
        link = None
        if isinstance(peer_name, tuple):
            link = self._server.link_of(ip_address(str(peer_name[0])), int(str(peer_name[1])))
        if link is None or self._server.connections_count > CONNECTIONS_COUNT_MAX:
            # Strangers are told nothing, not even our AS number.
            self._server.refused_count += 1
            stream.abort()
            return
        if set_option is not None:
            # Asyncio's view of a socket, with the two members that are needed.
            link.protect(cast("socket.socket", channel))
        self.link = link
        self._record(link)
        self.number = link.accepted(self)

    def _record(self, link: PeerLink) -> None:
        recorder = self._server.recorder
        self._recording = None if recorder is None else recorder.start("bgp", link.name)

    def data_received(self, data: bytes) -> None:
        """Act on a slice in each turn of the loop: a full table must not hold up anybody else."""
        if self.link is None or self._is_closed:
            return
        self._unread.append(data)
        if not self._had_turn:
            self._take_turn()
        if self._unread and self._transport is not None:
            self._transport.pause_reading()

    def _take_turn(self) -> None:
        self._had_turn = True
        self._server.call_soon(self._next_turn)
        room = SLICE_BYTES
        while self._unread and room > 0:
            data = self._unread.popleft()
            if len(data) > room:
                self._unread.appendleft(data[room:])
                data = data[:room]
            room -= len(data)
            self._act(data)

    def _next_turn(self) -> None:
        self._had_turn = False
        if self._unread:
            self._take_turn()
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _act(self, data: bytes) -> None:
        if self.link is None:
            return
        if self._recording is not None:
            self._recording.note("in", data)
        try:
            self.link.received(self.number, data)
        except Exception:  # A session's task boundary: one peer's input must not stop the others.
            self._server.log.exception("bgp_session_failed", peer=self.link.name)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections_count -= 1
        # Transport and protocol hold each other: nobody may be looking for such rings.
        self._transport = None
        if self._recording is not None:
            self._recording.close()
        self._unread.clear()
        if self.link is not None:
            self.link.lost(self.number, "" if exc is None else str(exc))

    def pause_writing(self) -> None:
        if self.link is not None:
            self.link.paused(self.number, is_paused=True)

    def resume_writing(self) -> None:
        if self.link is not None:
            self.link.paused(self.number, is_paused=False)

    def write(self, chunks: list[bytes]) -> None:
        if self._is_closed:
            return
        if self._transport is not None and not self._transport.is_closing():
            if self._recording is not None:
                self._recording.note("out", *chunks)
            self._transport.writelines(chunks)

    def close(self) -> None:
        """Send what was written, then end.

        A peer that does not take it is reset after a while. What it sends may be too far away for
        us (RFC 5082), its acknowledgements too: it would hold the connection to be up for as long
        as the kernel tries, and refuse every other one.
        """
        if self._transport is None or self._is_closed:
            return
        self._is_closed = True
        self._unread.clear()
        if not self._transport.is_closing():
            # Reading may be paused, and the end of the peer's side is read.
            self._transport.resume_reading()
            self._transport.write_eof()
        self._server.call_later(CLOSE_WAIT_S, self._reset)

    def _reset(self) -> None:
        if self._transport is None:
            return
        channel: object = self._transport.get_extra_info("socket")
        set_option: Callable[[int, int, bytes], None] | None = getattr(channel, "setsockopt", None)
        if set_option is not None:
            set_option(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _settings(
    server: BgpServer, speaker: Speaker, peer: BgpPeerConfig, *, is_workload: bool
) -> SessionSettings:
    timers = speaker.timers
    # What a workload announces goes with its session.
    is_graceful = timers.is_offered and not is_workload
    restart_time_s = timers.restart_time_s
    if restart_time_s is None:
        restart_time_s = int(server.restart_time_s)
    return SessionSettings(
        local_as=peer.local_asn,
        router_id=speaker.router_id,
        peer_as=peer.asn,
        families=peer.families,
        is_passive=peer.is_passive,
        hold_time_s=peer.hold_time_s,
        graceful_restart=GracefulRestart(
            restart_time_s=restart_time_s,
            restarting=not server.plane.may_end_rib,
            notification=True,
            families=tuple((family, True) for family in peer.families),
        )
        if is_graceful
        else None,
        # Asking for no time of our own still says that we keep others' routes so.
        long_lived=tuple(
            LongLivedFamily(family, preserved=True, stale_time_s=timers.long_lived_s)
            for family in peer.families
        )
        if is_graceful
        else (),
        enhanced_refresh=not is_workload,
        extended_next_hop=()
        if is_workload
        else tuple([family for family in peer.families if family in EXTENDED_NEXT_HOP]),
        host_name=speaker.name.rpartition(":")[2],
    )
