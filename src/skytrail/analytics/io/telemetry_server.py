"""Accepts our own processes (TCP 8189 and a Unix socket): the compact stream, a task for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import structlog

from skytrail.analytics.collector import Collector, CollectorRefuses
from skytrail.analytics.history_rows import message_of
from skytrail.analytics.io.asking import Processes
from skytrail.analytics.telemetry import change_of, client_hello
from skytrail.runtime.clock import Clock
from skytrail.runtime.mutual_tls import HANDSHAKE_S, MutualTls, certified_names
from skytrail.runtime.server import listen_unix
from skytrail.wire.errors import DecodeError
from skytrail.wire.telemetry import (
    Answer,
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
)

PORT: Final = 8189
CONNECTIONS_COUNT_MAX: Final = 16_384
HELLO_S: Final = 30.0
READ_BYTES: Final = 256 * 1024
TURN_MESSAGES: Final = 256
UNREAD_BYTES_MAX: Final = 4096
PROTOCOL: Final = "telemetry"


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
        self.connections_count = 0

    async def serve(self, address: str, port: int) -> asyncio.Server:
        """Start accepting; raises ``OSError``."""
        return await asyncio.start_server(
            self._connected, address, port, backlog=1024, limit=READ_BYTES
        )

    async def serve_unix(self, path: Path) -> asyncio.Server:
        """Accept processes of this machine, without TLS; raises ``OSError``."""
        return await asyncio.start_unix_server(
            self._connected, sock=listen_unix(path), limit=READ_BYTES
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.connections_count >= CONNECTIONS_COUNT_MAX:
            self._collector.dropped["too_many_connections"] += 1
            writer.close()
            return
        self.connections_count += 1
        peer: object = writer.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        try:
            await self._run(reader, writer, address)
        except (DecodeError, CollectorRefuses, ProcessConfused) as error:
            self._collector.dropped["malformed"] += 1
            self._log.warning("process_refused", address=address, reason=str(error))
        except (OSError, TimeoutError) as error:
            self._log.debug("process_lost", address=address, reason=str(error))
        except Exception:  # A connection's task boundary: one process must not stop the others.
            self._log.exception("process_failed", address=address)
        finally:
            self.connections_count -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _run(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        framer = TelemetryFramer()
        is_local = not address
        async with asyncio.timeout(HELLO_S):
            if self._tls is not None and not is_local:
                await writer.start_tls(self._tls.context(), ssl_handshake_timeout=HANDSHAKE_S)
            first = await _next(reader, framer)
        hello = decode(first) if first is not None else None
        if not isinstance(hello, Hello):
            raise DecodeError("the connection does not begin with a hello")
        if not is_local:
            self._check_name(hello, writer)
        generator = hello.generator
        newest = self._collector.session_up(
            client_hello(hello), self._clock.now(), address=address, protocol=PROTOCOL
        )
        former = self._writers.get(generator)
        if former is not None:
            former.close()
        self._writers[generator] = writer
        try:
            kept = self._collector.heard.begin(generator, hello.started_us or hello.pid)
            writer.write(encode(Known(newest=dict(newest), kept=kept)))
            await writer.drain()
            self._processes.connected(hello, writer)
            await self._read_on(reader, framer, hello)
        finally:
            self._processes.gone(generator, writer)
            if self._writers.get(generator) is writer:
                del self._writers[generator]
                self._collector.session_down(generator, self._clock.now())

    def acknowledge(self, numbers: Mapping[str, int]) -> None:
        """Tell generators up to which number what they said is kept."""
        for generator, number in numbers.items():
            writer = self._writers.get(generator)
            # Who does not read is told with the next number, or when it comes again.
            if writer is not None and writer.transport.get_write_buffer_size() < UNREAD_BYTES_MAX:
                writer.write(encode(Kept(number=number)))

    def _check_name(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        """A certificate names a machine: its processes speak for no other."""
        if self._tls is None:
            return
        certificate = cast("Mapping[str, object] | None", writer.get_extra_info("peercert"))
        names = certified_names(certificate)
        if hello.source not in names:
            raise CollectorRefuses(f"{hello.source[:64]} shows a certificate of {', '.join(names)}")

    async def _read_on(
        self, reader: asyncio.StreamReader, framer: TelemetryFramer, hello: Hello
    ) -> None:
        acted = 0
        while (frame := await _next(reader, framer)) is not None:
            acted += 1
            self._receive(hello, decode(frame), len(frame), acted)
            if acted % TURN_MESSAGES == 0:
                await asyncio.sleep(0)

    def _receive(self, hello: Hello, message: Message, size: int, sequence: int) -> None:
        """Act on one message; one whose values cannot be used is counted and passed over."""
        collector, generator = self._collector, hello.generator
        try:
            if isinstance(message, Uve):
                collector.count(generator, "uve", size)
                change = change_of(generator, message)
                wall_us = round(self._clock.wall() * 1e6)
                collector.apply(change, self._clock.now(), message.statistics, wall_us)
            elif isinstance(message, Log | Sessions | Lost) and not collector.heard.is_new(
                generator, message.number
            ):
                # Said again after a lost connection: who said it did not know that it was heard.
                collector.count(generator, "repeated", size)
            elif isinstance(message, Log):
                collector.count(generator, "log", size)
                collector.keep(message_of(hello, message, sequence))
            elif isinstance(message, Sessions):
                collector.count(generator, "sessions", size)
                collector.keep_sessions(message, hello.source)
            elif isinstance(message, Answer):
                collector.count(generator, "answer", size)
                if not self._processes.heard(generator, message):
                    collector.drop(generator, "answer_not_waited_for")
            elif isinstance(message, Lost):
                collector.count(generator, "lost", size)
                collector.keep_gap(hello.source, hello.module, message)
            else:
                raise ProcessConfused(
                    "a process that is admitted says UVEs, logs, sessions and answers"
                )
        except DecodeError:
            collector.drop(generator, "unusable")


class ProcessConfused(Exception):
    """A message that has no place where it came."""


async def _next(reader: asyncio.StreamReader, framer: TelemetryFramer) -> bytes | None:
    while (frame := framer.next_frame()) is None:
        chunk = await reader.read(READ_BYTES)
        if not chunk:
            return None
        framer.feed(chunk)
    return frame
