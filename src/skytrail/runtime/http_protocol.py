"""HTTP/1.1 on one client's connection: httptools parses, the application's own objects answer.

    bytes --> parser --> Exchange (a request and its reply) --> AsgiApp.answer_now   no task: at once,
                            |  pipelined ones wait in order  |                        or promised
                            |                                `-> AsgiApp.reply_to     in a task
                            '--> one write for head and body; streams chunk by chunk

uvicorn's own protocol wraps each request in several objects of the ASGI interface and starts a task
for it; that costs more than most of our replies. What it leaves open is bounded here, since each lets
one client take the memory or the connections of all: the length of a head, the number of pipelined
requests, the time a request takes to come, the replies that nobody reads. No reply is computed while the
one before it fills the client's socket. A connection that crosses a bound is ended, the others are not
touched. It must not know any path or resource.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Final, cast
from uuid import uuid4

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from skytrail.runtime.asgi import (
    AsgiApp,
    HttpError,
    Message,
    Peer,
    Promised,
    Request,
    Response,
    StreamResponse,
    build_request,
    text_reply,
)
from skytrail.runtime.http_head import fields_of, head_of

HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers, beyond the piece that brought the first byte; so many bytes of chunk
extensions and trailers, too, may come without any of the body or its end."""
DROPPED_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of a body whose request is answered already; then the connection is closed."""
PIPELINE_COUNT_MAX: Final = 256
"""When so many requests wait, no more are parsed, nor read, until they are answered."""
FEED_BYTES: Final = 8 * 1024
"""Parsed in one piece, so that a read full of short requests stops near the bound above."""
REQUEST_TIME_S: Final = 60.0
"""From the first byte (the first request: from the connection) to the end of the body."""
REPLY_TIME_S: Final = 60.0
"""A client that takes nothing of what it is sent for so long is cut off."""
UNREAD_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of all replies over TCP together; beyond, those are cut off that take the least of theirs. Unix
sockets are of our own daemons: theirs count, and have their time alone."""
_YOUNG_S: Final = 1.0
"""So long after a reply's beginning nothing is said about how fast its reader is."""
NETWORK_CONNECTIONS_COUNT_MAX: Final = 3584
"""Over TCP. What is left to the server's own limit is for Unix sockets: control nodes and the
compiler get in however many connections others hold."""
CONTINUE: Final = "100-continue"
EXPECTATIONS: Final = (CONTINUE, "202-accepted")
"""The second is no standard's: by it clients of the original system ask for an answer later."""
BODY_AHEAD_BYTES: Final = 64 * 1024
"""So much of a body is taken in before the application asks for it."""
AT_ONCE_COUNT_MAX: Final = 16
"""Requests of one read that are answered before other connections have their turn."""
_JOINED_BYTES_MAX: Final = 16 * 1024
_UCRED = struct.Struct("3i")
"""pid, uid and gid as SO_PEERCRED gives them."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """One request and its reply; to a stream, the ASGI ``receive`` and ``send`` of it."""

    __slots__ = (
        "_connection",
        "_has_news",
        "_waiter",
        "body",
        "expects_continue",
        "has_begun",
        "is_answered",
        "is_chunked",
        "is_gone",
        "is_started",
        "is_whole",
        "keep_alive",
        "refusal",
        "request",
    )  # fmt: skip

    def __init__(self, connection: HttpProtocol, request: Request) -> None:
        self._connection = connection
        self.request = request
        self.body = bytearray()
        self.keep_alive = True
        self.expects_continue = False
        self.refusal: Response | None = None
        """What to answer without asking the application."""
        self.is_whole = False
        """The request's body has come to its end."""
        self.is_started = False
        self.has_begun = False
        """Of the reply, something was written."""
        self.is_chunked = False
        self.is_answered = False
        self.is_gone = False
        """The client has closed the connection."""
        self._has_news = False
        self._waiter: asyncio.Future[None] | None = None

    def note(self) -> None:
        """Wake who waits in ``receive``."""
        self._has_news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> Message:
        """Return what came of the body since, or the news that the client or the reply is over."""
        if self.expects_continue:
            self.expects_continue = False
            self._connection.write_part(_CONTINUE)
        while not (self._has_news or self.is_gone or self.is_answered):
            self._connection.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._has_news = False
        if self.is_gone or self.is_answered:
            return {"type": "http.disconnect"}
        taken = bytes(self.body)
        self.body.clear()
        return {"type": "http.request", "body": taken, "more_body": not self.is_whole}

    async def send(self, message: Message) -> None:
        """Write a part of a streamed reply; wait first while the client's socket is full."""
        await self._connection.drained()
        if self.is_gone or self.is_answered:
            return
        if message["type"] == "http.response.start":
            self._connection.begin_stream(self, message)
            return
        body, more = cast("bytes", message.get("body", b"")), bool(message.get("more_body"))
        if self.request.method != "HEAD" and body:
            part = b"%x\r\n%b\r\n" % (len(body), body) if self.is_chunked else body
            self._connection.write_part(part)
        if not more:
            if self.is_chunked:
                self._connection.write_part(b"0\r\n\r\n")
            self._connection.finish(self)


class HttpProtocol(asyncio.Protocol):
    """One client's connection; made by uvicorn's server, which counts and ends connections."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: Mapping[str, object] | None = None,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app = cast("AsgiApp", config.app)
        self._concurrency_max = config.limit_concurrency or 0
        self._keep_alive_s = float(config.timeout_keep_alive)
        self._log = structlog.get_logger("skytrail.http")
        self._state = server_state
        self._connections = cast("set[object]", server_state.connections)
        self._tasks = server_state.tasks
        self._loop = _loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # A request that is told to be the last may be followed by more; it is answered all the same.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.client: str | None = None
        """Address of the other end; None on a Unix socket."""
        self._scheme = "http"
        self._peer = Peer()
        self._current: Exchange | None = None
        """What is being answered."""
        self._waiting: deque[Exchange] = deque()
        """Pipelined requests."""
        self._incoming: Exchange | None = None
        """What is being received, or was last."""
        self._is_read_paused = False
        self._is_write_paused = False
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._at_once_count = 0
        self._is_feeding = False
        self._url = b""
        self._headers: dict[str, str] = {}
        self._hosts_count = 0
        self._ids = f"req-{uuid4()}"
        self._requests_count = 0
        self._is_in_head = False
        self._has_progress = False
        """Whether the last piece brought more of a request than names, values and extensions."""
        self._head_bytes = 0
        self._dropped_bytes = 0
        self._unparsed = b""
        """What was read and waits until the pipelined requests before it are answered."""
        self._is_deaf = False
        """Something was refused: whatever follows it is not looked at."""
        self._late_at = math.inf
        """When what is being received, or should be, has taken too long."""
        self._deadline = math.inf
        self._unread_bytes = 0
        self._unread_since = -math.inf
        self._unread_until = math.inf
        """When less than that must be left to send."""
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf

    # Connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self.client = _client_of(transport)
        self._scheme = "https" if transport.get_extra_info("sslcontext") is not None else "http"
        may_be_full = len(self._connections) > NETWORK_CONNECTIONS_COUNT_MAX
        if may_be_full and self.client is not None and self._is_full():
            self._transport.abort()
            return
        self._peer = _peer_of(transport)
        self._late_at = self._loop.time() + REQUEST_TIME_S
        self._watch_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        exchanges = [self._current, self._incoming, *self._waiting]
        self._waiting.clear()
        # Each knows its connection: without this they would be a cycle for the collector to find.
        self._current = self._incoming = None
        self._parser = cast("httptools.HttpRequestParser", None)
        self._unparsed = b""
        for exchange in exchanges:
            if exchange is not None:
                exchange.is_gone = True
                exchange.note()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._unparsed:
            self._unparsed += data
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._at_once_count = 0
        if self._current is None and self._late_at == math.inf:
            # Also bytes that begin nothing, as empty lines, end the wait for the next request.
            self._late_at = self._loop.time() + REQUEST_TIME_S
        place = 0
        self._is_feeding = True
        try:
            while place < len(data) and not self._is_deaf and not self._transport.is_closing():
                if len(self._waiting) >= PIPELINE_COUNT_MAX:
                    self._pause_reading()
                    self._unparsed = data[place:]
                    break
                place += self._feed(data[place : place + FEED_BYTES])
        finally:
            self._is_feeding = False
        if self._current is not None and not self._current.is_started:
            self._start(self._current)
        self._watch_time()

    def _take_unparsed(self) -> None:
        data, self._unparsed = self._unparsed, b""
        if not data or self._transport.is_closing():
            return
        self._take(data)
        if not self._waiting:
            self.resume_reading()

    def _feed(self, piece: bytes) -> int:
        """Parse a piece and hold the bounds; return how many bytes of it are done with."""
        fed = len(piece)
        self._has_progress = False
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as pause:
            # Answered like any other request: there is nothing to upgrade to, HTTP goes on.
            fed = cast("int", pause.args[0])
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
            return fed
        incoming = self._incoming
        is_in_body = not self._is_in_head and incoming is not None and not incoming.is_whole
        if (self._is_in_head or is_in_body) and not self._has_progress:
            self._head_bytes += fed
            if self._head_bytes > HEAD_BYTES_MAX:
                place = "head" if self._is_in_head else "trailer"
                self._refuse(f"Request {place} exceeds {HEAD_BYTES_MAX} bytes.")
        elif is_in_body and incoming is not None and incoming.is_answered:
            self._dropped_bytes += fed
            if self._dropped_bytes > DROPPED_BYTES_MAX:
                self._end()
        return fed

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._watch_reader()
        self._bound_unread()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if not self._transport.is_closing():
            self._unread_until = math.inf
        for waiter in self._drain_waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._drain_waiters.clear()
        if self._current is not None and not self._current.is_started:
            self._loop.call_soon(self._start_waiting, self._current)

    def shutdown(self) -> None:
        """End the connection, after the reply under way if there is one."""
        last = self._waiting[-1] if self._waiting else self._current
        if last is None:
            self._end()
        else:
            last.keep_alive = False

    @property
    def is_streaming(self) -> bool:
        """Whether a reply has begun and not ended."""
        return self._current is not None and self._current.has_begun

    def close(self) -> None:
        self._end()

    def _end(self) -> None:
        """Close; what is left to send still has its time."""
        self._transport.close()
        self._deadline = math.inf
        if self._transport.get_write_buffer_size():
            self._watch_reader()

    # What the parser found.

    def on_message_begin(self) -> None:
        self._is_in_head = self._has_progress = True
        self._head_bytes = self._dropped_bytes = self._hosts_count = 0
        self._url = b""
        self._headers = {}
        if self._late_at == math.inf:
            self._late_at = self._loop.time() + REQUEST_TIME_S

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            # A trailer: nothing here needs one, and it must not pass for a header (RFC 9110 6.5.1).
            return
        field = name.decode("latin-1").lower()
        self._hosts_count += field == "host"
        self._headers[field] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._has_progress = True
        self._head_bytes = 0
        self._requests_count += 1
        parsed = httptools.parse_url(self._url)
        path, query = (parsed.path or b"").decode("ascii"), parsed.query or b""
        version = self._parser.get_http_version()
        refusal = self._refusal(version)
        try:
            request = self._request(path, query)
        except HttpError as error:
            request = self._request(path, b"")
            refusal = refusal or text_reply(error.text, error.status)
        exchange = self._incoming = Exchange(self, request)
        is_old = version == "1.0"
        exchange.keep_alive = not is_old and self._parser.should_keep_alive()
        exchange.is_chunked = not is_old and request.method != "HEAD"
        # A client of HTTP/1.0 cannot have meant it (RFC 9110 10.1.1).
        exchange.expects_continue = (
            not is_old and self._headers.get("expect", "").lower() == CONTINUE
        )
        if refusal is not None:
            exchange.refusal = refusal
            exchange.keep_alive = False
        if self._current is None:
            self._current = exchange
        else:
            self._pause_reading()
            self._waiting.append(exchange)

    def _request(self, path: str, query: bytes) -> Request:
        return build_request(
            self._parser.get_method().decode("ascii"),
            path,
            query,
            self._headers,
            client=self.client or "",
            scheme=self._scheme,
            peer=self._peer,
            made_id=f"{self._ids}-{self._requests_count}",
        )

    def _refusal(self, version: str) -> Response | None:
        """Return why the request with this head is not for the application, None if it is."""
        limit = self._concurrency_max
        if limit and (len(self._connections) >= limit or len(self._tasks) >= limit):
            return text_reply("Service Unavailable", 503)
        if version not in ("1.0", "1.1"):
            return text_reply(f"HTTP/{version} is not spoken here; use HTTP/1.1", 505)
        hosts = self._hosts_count
        if hosts > 1 or (version == "1.1" and hosts == 0):
            return text_reply(f"A request needs one Host header, this one has {hosts}", 400)
        expected = self._headers.get("expect")
        if expected is not None and version == "1.1" and expected.lower() not in EXPECTATIONS:
            return text_reply(f"Of Expect only {' and '.join(EXPECTATIONS)} can be met", 417)
        return None

    def on_body(self, body: bytes) -> None:
        self._has_progress = True
        self._head_bytes = 0
        exchange = self._incoming
        if exchange is None or exchange.is_answered:
            return
        exchange.body += body
        if len(exchange.body) > BODY_AHEAD_BYTES:
            self._pause_reading()
        exchange.note()

    def on_message_complete(self) -> None:
        self._late_at = math.inf
        self._has_progress = True
        exchange = self._incoming
        if exchange is None:
            return
        exchange.is_whole = True
        if exchange.keep_alive and not self._parser.should_keep_alive():
            # Said in a trailer, which the parser heeds: it passes over what follows.
            exchange.keep_alive = False
            if exchange.is_answered:
                self._end()
        if exchange.is_answered:
            return
        exchange.note()
        if exchange is self._current and not exchange.is_started:
            self._start(exchange)

    # Answering.

    def _start(self, exchange: Exchange) -> None:
        """Answer the current exchange, at once or in a task; later while the socket is full."""
        if self._is_write_paused:
            return
        exchange.is_started = True
        if self._transport.is_closing():
            return
        if exchange.refusal is None and self._may_answer_now(exchange):
            self._at_once_count += 1
            exchange.request.body = bytes(exchange.body)
            reply = self._app.answer_now(exchange.request)
            if isinstance(reply, Promised):
                reply.future.add_done_callback(partial(self._keep_promise, exchange, reply))
                return
            if reply is not None:
                self._answer(exchange, reply)
                return
        task = self._loop.create_task(self._serve(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _may_answer_now(self, exchange: Exchange) -> bool:
        is_whole = exchange.is_whole and not exchange.expects_continue
        return is_whole and self._at_once_count < AT_ONCE_COUNT_MAX

    def _keep_promise(
        self, exchange: Exchange, promised: Promised, future: asyncio.Future[object]
    ) -> None:
        if future.cancelled():
            self._end()
        else:
            self._answer(exchange, self._app.redeem(exchange.request, promised))

    async def _serve(self, exchange: Exchange) -> None:
        request = exchange.request
        structlog.contextvars.bind_contextvars(request=request.id)
        try:
            if exchange.refusal is not None:
                self._answer(exchange, exchange.refusal)
                return
            if exchange.is_whole and not exchange.expects_continue:
                request.body = bytes(exchange.body)
                reply = await self._app.reply_to(request, None)
            else:
                reply = await self._app.reply_to(request, exchange.receive)
            if isinstance(reply, StreamResponse):
                await self._app.stream(request, reply, exchange.receive, exchange.send)
            elif reply is not None:
                self._answer(exchange, reply)
        finally:
            if not exchange.is_answered:
                # Without an end the client would wait for one.
                self._end()

    def _answer(self, exchange: Exchange, reply: Response) -> None:
        """Write a whole reply; what the client has left behind is dropped."""
        if exchange.is_gone or exchange.is_answered or self._transport.is_closing():
            return
        standing = self._state.default_headers
        try:
            head = head_of(reply, exchange.request.id, standing, keep_alive=exchange.keep_alive)
        except ValueError as error:
            self._log.error("reply_unsendable", request=exchange.request.id, error=str(error))
            reply = text_reply("Internal error; the server's log has the details", 500)
            head = head_of(reply, exchange.request.id, standing, keep_alive=exchange.keep_alive)
        body = b"" if exchange.request.method == "HEAD" else reply.body
        if len(body) <= _JOINED_BYTES_MAX:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        self.finish(exchange)

    def begin_stream(self, exchange: Exchange, message: Message) -> None:
        """Write the head of a reply whose length is not known."""
        exchange.has_begun = True
        headers = [
            *self._state.default_headers,
            *cast("list[tuple[bytes, bytes]]", message["headers"]),
        ]
        if exchange.is_chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        else:
            exchange.keep_alive = False
        if not exchange.keep_alive:
            headers.append((b"connection", b"close"))
        self._transport.write(fields_of(cast("int", message["status"]), headers))

    def write_part(self, part: bytes) -> None:
        """Write something of a reply, or before it."""
        if not self._transport.is_closing():
            self._transport.write(part)

    def finish(self, exchange: Exchange) -> None:
        """Go on after a reply: close, or answer who waits, or wait for the next request."""
        exchange.is_answered = True
        exchange.note()
        self._state.total_requests += 1
        self._current = None
        if not exchange.keep_alive:
            self._end()
        if self._transport.is_closing():
            return
        if not self._waiting:
            self.resume_reading()
        else:
            self._current = self._waiting.popleft()
            # In a turn of the loop of its own: a long row must not recurse.
            self._loop.call_soon(self._start_waiting, self._current)
        if not self._is_feeding:
            self._watch_time()

    def _start_waiting(self, exchange: Exchange) -> None:
        self._at_once_count = 0
        if exchange is self._current and not exchange.is_started:
            self._start(exchange)

    def _refuse(self, text: str) -> None:
        """Answer what cannot be read as a request, after those before it, and end the connection."""
        if self._transport.is_closing():
            return
        self._is_deaf = True
        self._late_at = math.inf
        self._pause_reading()
        exchange = self._incoming
        if exchange is None or exchange.is_whole:
            exchange = self._incoming = Exchange(self, self._unreadable())
            exchange.is_whole = True
            if self._current is None:
                self._current = exchange
            else:
                self._waiting.append(exchange)
        exchange.refusal = text_reply(text, 400)
        exchange.keep_alive = False
        if exchange.is_answered or exchange.has_begun:
            self._end()
        elif exchange.is_started:
            # The application waits for a body that will not come, and is told so.
            self._answer(exchange, exchange.refusal)

    def _unreadable(self) -> Request:
        """Return what stands for a request of which not even the head could be read."""
        self._requests_count += 1
        made_id = f"{self._ids}-{self._requests_count}"
        client, scheme = self.client or "", self._scheme
        return build_request("", "/", b"", {}, client=client, scheme=scheme, made_id=made_id)

    # Flow and time.

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._transport.is_closing():
            self._is_read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in more of what the client sends."""
        if self._is_deaf or not self._is_read_paused or self._transport.is_closing():
            return
        if self._unparsed:
            self._loop.call_soon(self._take_unparsed)
        else:
            self._is_read_paused = False
            self._transport.resume_reading()

    async def drained(self) -> None:
        """Return when the client has read enough of what it was sent, or is gone."""
        while self._is_write_paused:
            waiter = self._loop.create_future()
            self._drain_waiters.append(waiter)
            await waiter

    def _watch_time(self) -> None:
        """Set the moment at which the connection is ended unless something happens before.

        Moved with every request, so the timer is left where it is while it is early enough.
        """
        if self._late_at != math.inf:
            self._deadline = self._late_at
        elif self._current is None:
            self._deadline = self._loop.time() + self._keep_alive_s
        else:
            self._deadline = math.inf
        self._wake_at(self._deadline)

    def _watch_reader(self) -> None:
        """Give the client its time to take something of what is to be sent."""
        self._unread_bytes = self._transport.get_write_buffer_size()
        self._unread_since = self._loop.time()
        self._unread_until = self._unread_since + REPLY_TIME_S
        self._wake_at(self._unread_until)

    def _bound_unread(self) -> None:
        """Hold what all clients together leave unread under its bound, the slowest readers first."""
        held = {
            each: each._transport.get_write_buffer_size()
            for each in self._connections
            if isinstance(each, HttpProtocol) and each._is_write_paused
        }
        total = sum(held.values())
        if total <= UNREAD_BYTES_MAX:
            return
        now = self._loop.time()
        for each in sorted(filter(_is_network, held), key=lambda each: each._haste(now)):
            if total <= UNREAD_BYTES_MAX:
                break
            total -= held[each]
            self._log.warning("unread_reply_cut_off", client=each.client, bytes=held[each])
            each._transport.abort()

    def _haste(self, now: float) -> tuple[bool, float]:
        """Order connections by the bytes they take in a second; new ones last, the fullest first."""
        size, time_s = self._transport.get_write_buffer_size(), now - self._unread_since
        if time_s < _YOUNG_S:
            return True, -float(size)
        return False, (self._unread_bytes - size) / time_s

    def _wake_at(self, when: float) -> None:
        if when < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = when
            self._alarm = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        now = self._loop.time()
        if self._unread_until <= now:
            if self._transport.get_write_buffer_size() >= self._unread_bytes:
                self._transport.abort()
                return
            self._watch_reader()
        if self._deadline <= now and not self._transport.is_closing():
            if self._late_at != math.inf:
                self._transport.abort()
                return
            self._end()
        self._wake_at(min(self._deadline, self._unread_until))

    def _is_full(self) -> bool:
        network = sum(1 for each in self._connections if _is_network(each))
        return network > NETWORK_CONNECTIONS_COUNT_MAX


def _client_of(transport: asyncio.BaseTransport) -> str | None:
    """Return the other end's address; None for a Unix socket, which has none."""
    name: object = transport.get_extra_info("peername")
    return str(cast("tuple[object, ...]", name)[0]) if isinstance(name, tuple) else None


def _peer_of(transport: asyncio.BaseTransport) -> Peer:
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
    return isinstance(connection, HttpProtocol) and connection.client is not None
