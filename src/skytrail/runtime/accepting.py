"""Accepts connections as sockets, of which nothing is read until it is decided how.

A server of asyncio reads a connection as soon as it has it. On a busy uvloop the first bytes of a TLS handshake are then
taken for something said in plain text, and the handshake waits for them for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import structlog

from skytrail.runtime.mutual_tls import HANDSHAKE_S

RETRY_S: Final = 1.0
"""After the system had no descriptor left for one more."""

Connected = Callable[[socket.socket], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Acceptor:
    """Gives each connection of a listening socket to a task of its own, which closes it."""

    def __init__(self, listener: socket.socket, connected: Connected) -> None:
        """Start accepting, on the running loop; ``listener`` does not block, and is closed with this."""
        self._listener = listener
        self._connected = connected
        self._connections: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("skytrail.accepting")
        self._accepting = asyncio.create_task(self._accept(), name="accepting")

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return (self._listener,)

    def close(self) -> None:
        """Accept no more; connections go on."""
        self._accepting.cancel()
        self._listener.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(self._accepting, *self._connections, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except ConnectionError:
                continue
            except OSError as error:
                self._log.error("accept_failed", reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            task = asyncio.ensure_future(self._serve(accepted))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        try:
            await self._connected(accepted)
        except Exception:  # A connection's task boundary: one connection must not stop the others.
            self._log.exception("connection_failed")
        finally:
            accepted.close()


def address_of(accepted: socket.socket) -> str:
    """Return from which address a connection comes; "" for a Unix socket, or one that is gone."""
    with contextlib.suppress(OSError):
        peer: object = accepted.getpeername()
        return str(peer[0]) if isinstance(peer, tuple) else ""
    return ""


async def streams_of(
    accepted: socket.socket, context: ssl.SSLContext | None, limit: int
) -> Streams:
    """Begin to read a connection, with a context after its handshake; ``OSError`` when that fails.

    The writer's transport has the socket from then on.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol,
        accepted,
        ssl=context,
        ssl_handshake_timeout=None if context is None else HANDSHAKE_S,
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
