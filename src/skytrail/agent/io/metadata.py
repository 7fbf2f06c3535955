"""The metadata proxy: one HTTP request of a workload a connection, passed on to Nova.

It listens on the host's side of the datapath alone, where the source address tells the interface.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable, Generator
from ipaddress import ip_address
from pathlib import Path

import structlog

from skytrail.agent.metadata import (
    HEAD_BYTES_MAX,
    Asker,
    RequestRefused,
    read_head,
    refusal,
    told_anew,
)
from skytrail.net import IpAddress

CONNECTIONS_OF_ONE_MAX = 16
CONNECTIONS_COUNT_MAX = 512
REFUSALS_OF_ONE_MAX = 4
REFUSALS_COUNT_MAX = 64
"""Connections beyond the bounds that are told so; the next ones are reset."""
REQUEST_TIMEOUT_S = 10.0
"""Within it a request is here, however slowly its parts come."""
ANSWER_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 16 << 20
LINGER_S = 1.0
LINGER_BYTES_MAX = 1 << 20
CLOSE_TIMEOUT_S = 10.0
"""Within it a workload takes what it asked for, or is cut off."""
_CHUNK_BYTES = 65536
_END = b"\r\n\r\n"

Servers = tuple[tuple[str, int], ...]


class MetadataProxy:
    """``asker`` tells who is behind an address of the host's side, None: nobody; ``servers`` where
    Nova is; ``secret`` is the file of what Nova and its proxies share, read at each request.
    """

    def __init__(
        self,
        asker: Callable[[IpAddress], Asker | None],
        servers: Callable[[], Servers],
        secret: Path | None,
    ) -> None:
        self._asker = asker
        self._servers = servers
        self._secret = secret
        self._connections: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._turn = 0
        self.statistics: Counter[str] = Counter()
        self._log = structlog.get_logger("skytrail.agent.metadata")

    @property
    def connections_count(self) -> int:
        """How many are served now."""
        return self._connections.total()

    async def serve(self, ifname: str, family: int, listening: Callable[[int], None]) -> None:
        """Serve what comes by a link over one IP version until cancelled; tell the port."""
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, ifname.encode())
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("", 0))
        server = await asyncio.start_server(
            self._connected, sock=listener, limit=HEAD_BYTES_MAX + len(_END)
        )
        async with server:
            listening(listener.getsockname()[1])
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection; it counts until its socket is given back."""
        peer = str(writer.get_extra_info("peername")[0])
        try:
            if _has_room(self._connections, peer, CONNECTIONS_OF_ONE_MAX, CONNECTIONS_COUNT_MAX):
                with _counted(self._connections, peer):
                    await self._answer(peer, reader, writer)
                    await self._close(writer)
                return
            self.statistics["refused_busy"] += 1
            if _has_room(self._refusals, peer, REFUSALS_OF_ONE_MAX, REFUSALS_COUNT_MAX):
                with _counted(self._refusals, peer):
                    await self._refuse(refusal(503, "too many connections"), reader, writer)
            else:
                self.statistics["reset_busy"] += 1
                _reset_at_close(writer)
        except OSError:
            # The workload is gone, which is all that it can be.
            self.statistics["aborted"] += 1
        finally:
            # What is left of it is not waited for: that would hold the socket, and nobody counts it.
            writer.transport.abort()

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Wait until the workload has taken all that was said, for a time."""
        writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await writer.wait_closed()
        except TimeoutError:
            self.statistics["cut_off"] += 1
            _reset_at_close(writer)

    async def _refuse(
        self, answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Say why; what is still to come is read for a while, or closing would take it back."""
        writer.write(answer)
        writer.write_eof()
        left = LINGER_BYTES_MAX
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (chunk := await reader.read(_CHUNK_BYTES)):
                    left -= len(chunk)

    async def _answer(
        self, peer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            asker = self._asker(ip_address(peer))
            if asker is None:
                raise RequestRefused(403, "no virtual machine is known at this interface")
            if not asker.machine_uuid:
                raise RequestRefused(404, "the interface belongs to no virtual machine")
            request = await self._request(reader, asker)
            await self._pass_on(request, writer)
            self.statistics["answered"] += 1
        except RequestRefused as refused:
            self.statistics[f"refused_{refused.status}"] += 1
            self._log.debug("metadata_refused", peer=peer, status=refused.status)
            await self._refuse(refusal(refused.status, str(refused)), reader, writer)

    async def _request(self, reader: asyncio.StreamReader, asker: Asker) -> bytes:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                raw = await reader.readuntil(_END)
                head = read_head(raw[: -len(_END)])
                body = await reader.readexactly(head.body_bytes)
        except TimeoutError:
            raise RequestRefused(408, f"not whole within {REQUEST_TIMEOUT_S:.0f} s") from None
        except asyncio.LimitOverrunError:
            raise RequestRefused(431, f"more than {HEAD_BYTES_MAX} bytes of header") from None
        except asyncio.IncompleteReadError:
            raise RequestRefused(400, "the request ends early") from None
        return told_anew(head, asker, self._read_secret()) + body

    def _read_secret(self) -> bytes | None:
        if self._secret is None:
            return None
        try:
            return self._secret.read_bytes().strip()
        except OSError as error:
            self._log.warning("metadata_secret_unreadable", error=str(error))
            raise RequestRefused(503, "the proxy cannot sign requests") from None

    async def _pass_on(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await self._connect()
        sent = 0
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                to_server.write(request)
                await to_server.drain()
                while chunk := await from_server.read(_CHUNK_BYTES):
                    sent += len(chunk)
                    if sent > ANSWER_BYTES_MAX:
                        self.statistics["cut_off"] += 1
                        return
                    writer.write(chunk)
                    await writer.drain()
        except TimeoutError:
            if not sent:
                raise RequestRefused(504, "the metadata server does not answer") from None
            self.statistics["cut_off"] += 1
            return
        except OSError:
            if not sent:
                raise RequestRefused(502, "the metadata server went away") from None
            raise
        finally:
            to_server.close()
        if not sent:
            raise RequestRefused(502, "the metadata server said nothing")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the servers in turn; the first that is there serves."""
        servers = self._servers()
        self._turn += 1
        for at in range(len(servers)):
            host, port = servers[(self._turn + at) % len(servers)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    return await asyncio.open_connection(host, port)
        raise RequestRefused(502, "no metadata server can be reached")


def _reset_at_close(writer: asyncio.StreamWriter) -> None:
    """Let the kernel forget the connection with its socket, with all that it still holds of it."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _has_room(held: Counter[str], peer: str, of_one_max: int, everybody_max: int) -> bool:
    return held[peer] < of_one_max and held.total() < everybody_max


@contextlib.contextmanager
def _counted(held: Counter[str], peer: str) -> Generator[None]:
    held[peer] += 1
    try:
        yield
    finally:
        held[peer] -= 1
        if not held[peer]:
            del held[peer]
