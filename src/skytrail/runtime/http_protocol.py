"""uvicorn's HTTP/1.1 protocol with the bounds it leaves out.

Its parser takes a request head of any length, queues any number of pipelined requests and waits
for ever for a request that does not come; any of the three lets one client take the memory or the
connections of all. A connection that crosses a bound is ended, the others are not touched.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from skytrail.runtime.asgi import PEER_EXTENSION, Peer

HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers, beyond what arrived in the read that brought the first byte."""
PIPELINE_COUNT_MAX: Final = 256
REQUEST_TIME_S: Final = 60.0
"""From the first byte (the first request: from the connection) to the end of the body."""
NETWORK_CONNECTIONS_COUNT_MAX: Final = 3584
"""Over TCP. What is left to the server's own limit is for Unix sockets: control nodes and the
compiler get in however many connections others hold."""
_UCRED = struct.Struct("3i")
"""pid, uid and gid as SO_PEERCRED gives them."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One client's connection."""

    _head_bytes = 0
    _in_head = False
    _head_began = False
    _is_receiving = True
    _lateness: asyncio.TimerHandle | None = None
    _peer = Peer()

    def connection_made(  # pyright: ignore[reportIncompatibleMethodOverride] # as its base does
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        may_be_full = len(self.connections) > NETWORK_CONNECTIONS_COUNT_MAX
        if may_be_full and _is_network(self) and self._is_full():
            transport.abort()
            return
        self._peer = _peer_of(transport)
        self._watch_time()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lateness is not None:
            self._lateness.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_began = False
        super().data_received(data)
        if self._in_head and not self._head_began:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.send_400_response(f"Request head exceeds {HEAD_BYTES_MAX} bytes.")
        if len(self.pipeline) > PIPELINE_COUNT_MAX:
            self.pipeline.clear()
            self.transport.abort()
        self._watch_time()

    def on_message_begin(self) -> None:
        self._in_head = self._head_began = self._is_receiving = True
        self._head_bytes = 0
        super().on_message_begin()
        extensions = cast("dict[str, object]", self.scope.setdefault("extensions", {}))
        extensions[PEER_EXTENSION] = self._peer

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_receiving = False
        super().on_message_complete()

    def _is_full(self) -> bool:
        return sum(map(_is_network, self.connections)) > NETWORK_CONNECTIONS_COUNT_MAX

    def _watch_time(self) -> None:
        # Empty lines between requests begin nothing, but end the base's wait for the next one.
        waits = self._is_receiving or (
            self.cycle is not None
            and self.cycle.response_complete
            and self.timeout_keep_alive_task is None
        )
        if waits and not self.transport.is_closing():
            if self._lateness is None:
                self._lateness = self.loop.call_later(REQUEST_TIME_S, self.transport.abort)
        elif self._lateness is not None:
            self._lateness.cancel()
            self._lateness = None


def _peer_of(transport: asyncio.Transport) -> Peer:
    """Return what the connection proves: the user behind a Unix socket, a client certificate."""
    certificate: object = transport.get_extra_info("peercert")
    known = cast("dict[str, object]", certificate) if isinstance(certificate, dict) else None
    plain: object = transport.get_extra_info("socket")
    if getattr(plain, "family", None) != socket.AF_UNIX:
        return Peer(certificate=known or None)
    sock = cast("socket.socket", plain)
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = cast("tuple[int, int, int]", _UCRED.unpack(raw))
    return Peer(uid=uid)


def _is_network(connection: object) -> bool:
    return cast("BoundedHttpProtocol", connection).client is not None
