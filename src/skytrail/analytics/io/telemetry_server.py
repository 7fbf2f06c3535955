"""Accepts our own processes (TCP 8189 and a Unix socket): the compact stream, a task for each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

import structlog

from skytrail.analytics.collector import Collector, CollectorRefuses
from skytrail.analytics.history_rows import AHEAD_US_MAX, is_timely, message_of
from skytrail.analytics.io.asking import Processes
from skytrail.analytics.telemetry import change_of, client_hello, speaks_for_another
from skytrail.runtime.accepting import Acceptor, address_of, streams_of
from skytrail.runtime.clock import Clock
from skytrail.runtime.mutual_tls import MutualTls, certified_names
from skytrail.runtime.server import listen_tcp, listen_unix
from skytrail.wire.errors import DecodeError
from skytrail.wire.telemetry import (
    FRAME_BYTES_MAX,
    HELLO_BYTES_MAX,
    Answer,
    Confirmed,
    Hello,
    Kept,
    Known,
    Log,
    Lost,
    Message,
    Sessions,
    TelemetryFramer,
    Uve,
    decode,
    encode,
    kind_of,
)
from skytrail.wire.telemetry.sessions import ROWS_COUNT_MAX

PORT: Final = 8189
CONNECTIONS_COUNT_MAX: Final = 16_384
MACHINE_CONNECTIONS_MAX: Final = 64
"""Of one machine with a certificate, and of strangers at one address that have not shown theirs."""
HELLO_S: Final = 30.0
READ_BYTES: Final = 256 * 1024
TURN_MESSAGES: Final = 256
TURN_BYTES: Final = 16 * 1024
"""Messages of one connection before others have their turn; a longer one is a turn by itself."""
UNREAD_BYTES_MAX: Final = 4096
BYTES_MAX: Final[Mapping[str, int]] = MappingProxyType({"uve": 1 << 20, "log": 256 << 10})
"""Of messages of any values: what is a byte on the wire may be hundreds in memory."""
PROTOCOL: Final = "telemetry"
NOT_ITS_OWN: Final = "not_its_own"
"""UVEs and sessions of what is not where they come from."""


@dataclass(frozen=True, slots=True)
class _Peer:
    """A process that has said who it is."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    framer: TelemetryFramer
    hello: Hello
    address: str
    is_proven: bool
    """It has shown a certificate of its machine."""


KeptElsewhere = Callable[[str, int], Awaitable[int]]


async def _nothing_elsewhere(_: str, __: int) -> int:
    return 0


class TelemetryServer:
    """The listening side; all on one event loop."""

    def __init__(
        self,
        collector: Collector,
        clock: Clock,
        tls: MutualTls | None = None,
        processes: Processes | None = None,
    ) -> None:
        self._processes = Processes() if processes is None else processes
        self._collector = collector
        self._clock = clock
        self._tls = tls
        self._log = structlog.get_logger("skytrail.analytics.telemetry")
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._strangers: Counter[str] = Counter()
        """Connections that have said no hello yet, by address."""
        self._admitted: Counter[str] = Counter()
        """Connections with a certificate, by machine."""
        self.connections_count = 0
        self.kept_elsewhere: KeptElsewhere = _nothing_elsewhere
        """Asks other nodes up to which number they keep what a generator's run told."""

    def serve(self, address: str, port: int) -> Acceptor:
        """Start accepting; raises ``OSError``."""
        return Acceptor(listen_tcp(address, port), self._connected)

    def serve_unix(self, path: Path) -> Acceptor:
        """Accept processes of this machine, without TLS; raises ``OSError``."""
        return Acceptor(listen_unix(path), self._connected)

    async def _connected(self, accepted: socket.socket) -> None:
        if self.connections_count >= CONNECTIONS_COUNT_MAX:
            self._collector.dropped["too_many_connections"] += 1
            return
        self.connections_count += 1
        address = address_of(accepted)
        try:
            await self._run(accepted, address)
        except (DecodeError, CollectorRefuses, ProcessConfused) as error:
            self._collector.dropped["malformed"] += 1
            self._log.warning("process_refused", address=address, reason=str(error))
        except (OSError, TimeoutError) as error:
            self._log.debug("process_lost", address=address, reason=str(error))
        except Exception:  # A connection's task boundary: one process must not stop the others.
            self._log.exception("process_failed", address=address)
        finally:
            self.connections_count -= 1

    async def _run(self, accepted: socket.socket, address: str) -> None:
        is_local = accepted.family == socket.AF_UNIX
        tls = None if is_local else self._tls
        # Without TLS nothing tells one machine behind an address from another.
        stranger = address if tls is not None else ""
        with contextlib.ExitStack() as strangers:
            strangers.enter_context(self._counted(self._strangers, stranger))
            async with asyncio.timeout(HELLO_S):
                context = None if tls is None else tls.context()
                reader, writer = await streams_of(accepted, context, READ_BYTES)
            try:
                await self._greet(reader, writer, address, strangers, is_proven=tls is not None)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _greet(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        address: str,
        strangers: contextlib.ExitStack,
        *,
        is_proven: bool,
    ) -> None:
        """Hear who it is, and then what it tells; ``strangers`` is left by then."""
        framer = TelemetryFramer(HELLO_BYTES_MAX)
        async with asyncio.timeout(HELLO_S):
            first = await _next(reader, framer)
        strangers.close()
        hello = decode(first) if first is not None else None
        if not isinstance(hello, Hello):
            raise DecodeError("the connection does not begin with a hello")
        framer.frame_bytes_max = FRAME_BYTES_MAX
        peer = _Peer(reader, writer, framer, hello, address, is_proven=is_proven)
        if peer.is_proven:
            _check_name(hello, writer)
        with self._counted(self._admitted, hello.source if peer.is_proven else ""):
            await self._hear(peer)

    @contextlib.contextmanager
    def _counted(self, connections: Counter[str], whose: str) -> Generator[None]:
        """Count a connection while it is there; ``CollectorRefuses`` for one too many of somebody's."""
        if whose and connections[whose] >= MACHINE_CONNECTIONS_MAX:
            self._collector.dropped["too_many_connections"] += 1
            raise CollectorRefuses(f"over {MACHINE_CONNECTIONS_MAX} connections at once")
        connections[whose] += 1
        try:
            yield
        finally:
            connections[whose] -= 1
            if not connections[whose]:
                del connections[whose]

    async def _hear(self, peer: _Peer) -> None:
        hello, writer = peer.hello, peer.writer
        generator, run = hello.generator, hello.started_us or hello.pid
        elsewhere = await self.kept_elsewhere(generator, run)
        newest = self._collector.session_up(
            client_hello(hello), self._clock.now(), address=peer.address, protocol=PROTOCOL
        )
        former = self._writers.get(generator)
        if former is not None:
            former.close()
        self._writers[generator] = writer
        if self._collector.trust is not None:
            self._collector.trust.begin(generator, is_proven=peer.is_proven)
        try:
            heard, copies = self._collector.heard, self._collector.copies
            kept = heard.begin(generator, run, elsewhere)
            if hello.confirms:
                last = heard.of(generator, run)[0]
                copies.begin(generator, run, hello.retold, last, self._wall_us())
            known = Known(newest=dict(newest), kept=kept, wants_confirmation=copies.is_wanted)
            writer.write(encode(known))
            await writer.drain()
            self._processes.connected(hello, writer)
            await self._read_on(peer)
        finally:
            self._processes.gone(generator, writer)
            if self._writers.get(generator) is writer:
                del self._writers[generator]
                self._collector.copies.end(generator, self._wall_us())
                self._collector.session_down(generator, self._clock.now())

    def is_connected(self, generator: str) -> bool:
        """Tell whether a process is told of as connected."""
        return generator in self._writers

    def acknowledge(self, numbers: Mapping[str, int]) -> None:
        """Tell generators up to which number what they said is kept."""
        for generator, number in numbers.items():
            writer = self._writers.get(generator)
            # Who does not read is told with the next number, or when it comes again.
            if writer is not None and writer.transport.get_write_buffer_size() < UNREAD_BYTES_MAX:
                writer.write(encode(Kept(number=number)))

    async def _read_on(self, peer: _Peer) -> None:
        acted = 0
        while (frame := await _next(peer.reader, peer.framer)) is not None:
            acted += 1
            if self._is_too_long(frame):
                self._collector.drop(peer.hello.generator, "too_long")
            else:
                self._receive(peer, decode(frame), len(frame), acted)
            if acted % TURN_MESSAGES == 0 or len(frame) > TURN_BYTES:
                pause_s = self._collector.rate.pause_s(peer.hello.generator, self._clock.now())
                await asyncio.sleep(pause_s)

    def _wall_us(self) -> int:
        return round(self._clock.wall() * 1e6)

    @staticmethod
    def _is_too_long(frame: bytes) -> bool:
        size = len(frame)
        return size > min(BYTES_MAX.values()) and size > BYTES_MAX.get(kind_of(frame), size)

    def _receive(self, peer: _Peer, message: Message, size: int, sequence: int) -> None:
        """Act on one message; one whose values cannot be used is counted and passed over."""
        collector, hello = self._collector, peer.hello
        generator = hello.generator
        try:
            if isinstance(message, Uve):
                collector.count(generator, "uve", size)
                if peer.is_proven and speaks_for_another(hello.source, message):
                    collector.drop(generator, "speaks_for_another")
                    return
                change, now = change_of(generator, message), self._clock.now()
                collector.rate.pay(generator, size, now)
                trust = collector.trust if peer.is_proven else None
                if trust is not None and not trust.admits(change, now):
                    collector.drop(generator, NOT_ITS_OWN)
                    return
                collector.apply(change, now, message.statistics, self._wall_us())
            elif isinstance(message, Confirmed):
                collector.copies.confirm(generator, message.number)
            elif isinstance(message, Log | Sessions | Lost) and not self._is_new(
                generator, message.number
            ):
                # Said again after a lost connection: who said it did not know that it was heard.
                collector.count(generator, "repeated", size)
            elif isinstance(message, Log):
                collector.count(generator, "log", size)
                now, wall_us = self._clock.now(), self._wall_us()
                if not collector.has_rate(
                    generator, size, now, wall_us, level=message.level, kind="log"
                ):
                    return
                if not is_timely(message.timestamp_us, self._wall_us()):
                    raise DecodeError("a log of a time for which nothing is kept")
                collector.keep(
                    message_of(hello, message, sequence),
                    collector.copies.told(generator, message.number),
                )
            elif isinstance(message, Sessions):
                collector.count(generator, "sessions", size)
                self._keep_sessions(peer, message, size)
            elif isinstance(message, Answer):
                collector.count(generator, "answer", size)
                if not self._processes.heard(generator, message):
                    collector.drop(generator, "answer_not_waited_for")
            elif isinstance(message, Lost):
                collector.count(generator, "lost", size)
                told = collector.copies.told(generator, message.number)
                collector.keep_gap(hello.source, hello.module, message, told)
            else:
                raise ProcessConfused(
                    "a process that is admitted says UVEs, logs, sessions and answers"
                )
        except DecodeError:
            collector.drop(generator, "unusable")

    def _is_new(self, generator: str, number: int) -> bool:
        """Tell whether a message was not heard yet, and note it."""
        is_new = self._collector.heard.is_new(generator, number)
        if is_new:
            self._collector.copies.hear(generator, number)
        return is_new

    def _keep_sessions(self, peer: _Peer, message: Sessions, size: int) -> None:
        """Have those sessions kept that are the machine's own; ``DecodeError`` for what none can be."""
        collector, hello = self._collector, peer.hello
        now, wall_us = self._clock.now(), self._wall_us()
        # How many sessions there are is the sender's word until they are checked.
        count = min(max(message.count, 1), ROWS_COUNT_MAX)
        if not collector.has_rate(hello.generator, size, now, wall_us, count=count):
            return
        own: Sessions | None = message
        if collector.trust is not None and peer.is_proven:
            own = collector.trust.sessions(hello.source, message, self._clock.now())
            refused_count = message.count - (0 if own is None else own.count)
            if refused_count:
                collector.drop(hello.generator, NOT_ITS_OWN, refused_count)
        if own is not None:
            told = collector.copies.told(hello.generator, message.number)
            latest_us = self._wall_us() + AHEAD_US_MAX
            collector.keep_sessions(own, hello.source, latest_us, told=told)


def _check_name(hello: Hello, writer: asyncio.StreamWriter) -> None:
    """A certificate names a machine: its processes speak for no other."""
    certificate = cast("Mapping[str, object] | None", writer.get_extra_info("peercert"))
    names = certified_names(certificate)
    if hello.source not in names:
        raise CollectorRefuses(f"{hello.source[:64]} shows a certificate of {', '.join(names)}")


class ProcessConfused(Exception):
    """A message that has no place where it came."""


async def _next(reader: asyncio.StreamReader, framer: TelemetryFramer) -> bytes | None:
    while (frame := framer.next_frame()) is None:
        chunk = await reader.read(READ_BYTES)
        if not chunk:
            return None
        framer.feed(chunk)
    return frame
