"""Accepts generators of the original system (TCP 8086): a task for each connection.

A connection is read only as fast as its messages are acted on, so there is no queue: a generator
that is too fast waits in its own socket, and sheds by severity as its library does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Final

import structlog

from skytrail.analytics.collector import Collector, CollectorRefuses
from skytrail.runtime.clock import Clock
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import (
    SandeshFramer,
    SandeshMessage,
    decode_client_hello,
    decode_message,
    encode_server_hello,
    frame_of,
)
from skytrail.wire.sandesh.control import control_header

PORT: Final = 8086
CONNECTIONS_COUNT_MAX: Final = 8192
ADDRESS_CONNECTIONS_MAX: Final = 256
"""Of one address, which may be that of a machine with all of its processes, or of several behind it."""
HELLO_S: Final = 30.0
"""How long a stranger may take to say who it is."""
READ_BYTES: Final = 256 * 1024
TURN_MESSAGES: Final = 32
"""Messages of one connection before others have their turn: about ten milliseconds."""
PROTOCOL: Final = "sandesh"


class SandeshServer:
    """The listening side; all on one event loop."""

    def __init__(self, collector: Collector, clock: Clock, name: str) -> None:
        self._collector = collector
        self._clock = clock
        self._name = name
        self._log = structlog.get_logger("skytrail.analytics.sandesh")
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._by_address: Counter[str] = Counter()
        self.connections_count = 0

    async def serve(self, address: str, port: int) -> asyncio.Server:
        """Start accepting; raises ``OSError``."""
        return await asyncio.start_server(
            self._connected, address, port, backlog=1024, limit=READ_BYTES
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer: object = writer.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        is_one_too_many = self._by_address[address] >= ADDRESS_CONNECTIONS_MAX
        if is_one_too_many or self.connections_count >= CONNECTIONS_COUNT_MAX:
            self._collector.dropped["too_many_connections"] += 1
            writer.close()
            return
        self.connections_count += 1
        self._by_address[address] += 1
        try:
            await _Connection(self, reader, writer, address).run()
        except (DecodeError, CollectorRefuses) as error:
            self._collector.dropped["malformed"] += 1
            self._log.warning("generator_refused", address=address, reason=str(error))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self._log.debug("generator_lost", address=address, reason=str(error))
        except Exception:  # A connection's task boundary: one generator must not stop the others.
            self._log.exception("generator_failed", address=address)
        finally:
            self.connections_count -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def admit(
        self, message: SandeshMessage, address: str, writer: asyncio.StreamWriter
    ) -> tuple[str, bytes]:
        """Admit a generator by its first message; returns its name and the answer."""
        hello = decode_client_hello(message)
        newest = self._collector.session_up(
            hello, self._clock.now(), address=address, protocol=PROTOCOL
        )
        former = self._writers.get(hello.generator)
        if former is not None:
            former.close()
        self._writers[hello.generator] = writer
        self._log.info("generator_connected", generator=hello.generator, address=address)
        header = control_header(self._name, "contrail-collector", "Analytics", "0")
        return hello.generator, frame_of(encode_server_hello(newest, header))

    def receive(self, generator: str, frame: bytes) -> None:
        """Act on one message; one that cannot be read is counted and passed over."""
        try:
            message = decode_message(frame)
        except DecodeError as error:
            self._collector.drop(generator, "undecodable")
            self._log.debug("message_undecodable", generator=generator, reason=str(error))
            return
        now, wall_us = self._clock.now(), round(self._clock.wall() * 1e6)
        self._collector.receive(generator, message, len(frame), now, wall_us=wall_us)

    def pause_s(self, generator: str) -> float:
        """Return for how long a generator is not to be read."""
        return self._collector.rate.pause_s(generator, self._clock.now())

    def gone(self, generator: str, writer: asyncio.StreamWriter) -> None:
        """Note the end of a session, unless a newer one took its place."""
        if self._writers.get(generator) is writer:
            del self._writers[generator]
            self._collector.session_down(generator, self._clock.now())
            self._log.info("generator_disconnected", generator=generator)


class _Connection:
    def __init__(
        self,
        server: SandeshServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        address: str,
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._address = address
        self._framer = SandeshFramer()

    async def run(self) -> None:
        async with asyncio.timeout(HELLO_S):
            first = await self._next()
        if first is None:
            return
        generator, answer = self._server.admit(decode_message(first), self._address, self._writer)
        try:
            self._writer.write(answer)
            await self._writer.drain()
            await self._read_on(generator)
        finally:
            self._server.gone(generator, self._writer)

    async def _read_on(self, generator: str) -> None:
        acted = 0
        while (frame := await self._next()) is not None:
            self._server.receive(generator, frame)
            acted += 1
            if acted % TURN_MESSAGES == 0:
                await asyncio.sleep(self._server.pause_s(generator))

    async def _next(self) -> bytes | None:
        while (frame := self._framer.next_frame()) is None:
            chunk = await self._reader.read(READ_BYTES)
            if not chunk:
                return None
            self._framer.feed(chunk)
        return frame
