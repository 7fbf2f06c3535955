"""The metadata proxy: one HTTP request of a workload a connection, passed on to Nova.

It listens on the host's side of the datapath alone, where the source address tells the interface.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable
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
REQUEST_TIMEOUT_S = 10.0
"""Within it a request is here, however slowly its parts come."""
ANSWER_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 16 << 20
LINGER_S = 1.0
LINGER_BYTES_MAX = 1 << 20
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
        self._turn = 0
        self.statistics: Counter[str] = Counter()
        self._log = structlog.get_logger("skytrail.agent.metadata")

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
        peer = str(writer.get_extra_info("peername")[0])
        mine, everybody = self._connections[peer], self._connections.total()
        try:
            if mine >= CONNECTIONS_OF_ONE_MAX or everybody >= CONNECTIONS_COUNT_MAX:
                self.statistics["refused_busy"] += 1
                await self._refuse(refusal(503, "too many connections"), reader, writer)
                return
            self._connections[peer] += 1
            try:
                await self._answer(peer, reader, writer)
            finally:
                self._connections[peer] -= 1
                if not self._connections[peer]:
                    del self._connections[peer]
        except OSError:
            # The workload is gone, which is all that it can be.
            self.statistics["aborted"] += 1
        finally:
            writer.close()

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
