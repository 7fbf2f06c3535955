"""The sockets of names answered outside: UDP and TCP, both bounded so that routes are not disturbed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import structlog

from skytrail.control.outside_names import OutsideNames
from skytrail.runtime.clock import SystemClock

DATAGRAMS_PER_S_MAX = 2000
STREAMS_COUNT_MAX = 64
IDLE_S_MAX = 10.0
QUESTION_BYTES_MAX = 4096

Address = tuple[Any, ...]


class OutsideServer:
    """Listens until closed; what is beyond the bounds is dropped and counted."""

    def __init__(self, names: OutsideNames) -> None:
        self.names = names
        self.dropped_count = 0
        self._clock = SystemClock()
        self._tokens = float(DATAGRAMS_PER_S_MAX)
        self._filled_at = self._clock.now()
        self._streams: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None
        self._log = structlog.get_logger("skytrail.control.names")

    async def listen(self, host: str, port: int) -> int:
        """Open both sockets at one port, which is returned. Raises ``OSError`` when it is taken."""
        loop = asyncio.get_running_loop()
        self._listener = await asyncio.start_server(self._stream, host, port)
        port = int(self._listener.sockets[0].getsockname()[1])
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Receiver(self), local_addr=(host, port)
        )
        self._log.info("names_listening", listen=host, port=port)
        return port

    def close(self) -> None:
        for task in self._streams:
            task.cancel()
        if self._transport is not None:
            self._transport.close()
        if self._listener is not None:
            self._listener.close()

    def datagram(self, transport: asyncio.DatagramTransport, data: bytes, far: Address) -> None:
        """Answer one datagram."""
        now = self._clock.now()
        gained = (now - self._filled_at) * DATAGRAMS_PER_S_MAX
        self._tokens = min(self._tokens + gained, float(DATAGRAMS_PER_S_MAX))
        self._filled_at = now
        if self._tokens < 1:
            self.dropped_count += 1
            return
        self._tokens -= 1
        reply = self.names.answer(data, is_stream=False)
        if reply is not None:
            transport.sendto(reply, far)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._streams) >= STREAMS_COUNT_MAX:
            self.dropped_count += 1
            writer.close()
            return
        self._streams.add(task)
        try:
            with suppress(OSError, EOFError, TimeoutError):
                while await self._answer_next(reader, writer):
                    pass
        finally:
            self._streams.discard(task)
            writer.close()

    async def _answer_next(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        async with asyncio.timeout(IDLE_S_MAX):
            length = int.from_bytes(await reader.readexactly(2))
            if length > QUESTION_BYTES_MAX:
                return False
            reply = self.names.answer(await reader.readexactly(length), is_stream=True)
            if reply is None:
                return False
            writer.write(len(reply).to_bytes(2) + reply)
            await writer.drain()
        return True


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, server: OutsideServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # the base is wider
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._transport is not None:
            self._server.datagram(self._transport, data, addr)

    def error_received(self, exc: Exception) -> None:
        # Somebody who asked is gone.
        pass
