"""A thin ASGI application: one dict step per path segment, msgspec JSON, streaming replies.

Used by the API server and by every daemon's introspection. The whole interface::

    Handler = Callable[[Request], Awaitable[Response | StreamResponse]]

    router = Router()
    router.add("GET", "/api/v1/watch", handler)            # literal segments win over {captures}
    router.add("GET", "/introspect/{table}", handler)      # request.params["table"]
    router.add("GET", "/docs/{path...}", handler)          # the rest, joined by "/"; last only
    app = AsgiApp(router, body_limit_bytes=1_024_000)      # an ASGI 3 application
    app = AsgiApp(dispatch)                                # or any Handler: your own dict dispatch

    app = AsgiApp(router, admit=gate)                      # asked before the body is read
    app = AsgiApp(router, at_once=quick)                   # asked first; None leaves it to the rest
                                                           # a Promised reply comes with its future

    Request:  method, path, segments: tuple[str, ...] (percent-decoded), query: Mapping[str, str]
              (last value wins), query_all: Mapping[str, tuple[str, ...]], headers: Mapping[str,
              str] (lower case), body: bytes, params: dict[str, str], client: str,
              scheme, peer (what the connection proves), id (accepted or made, in every reply)
              .json(type) -> T      decoded body; HttpError(400, "...") when it does not fit
              .flag(name) -> bool   "true", "True", "1" are true, absent is false
    Response(status, body, content_type=TEXT, headers=())
    StreamResponse(chunks: AsyncIterator[bytes], status=200, content_type=NDJSON, headers=())
    HttpError(status, text, headers=())  raised by a handler, answered as plain text

    json_reply(value, status=200, headers=()) -> Response   bytes are taken as encoded JSON
    text_reply(text, status=200) -> Response
    empty_reply(status=200) -> Response
    encode_json(value) -> bytes     structs, dataclasses, mappings; addresses as their text

Promises: a body over the limit is answered 413 without being read to its end; an unknown path
404; a wrong method 405 with Allow; an exception of a handler 500 with no detail, logged once.
A StreamResponse's iterator is closed (``aclose``) when the client goes away, or the stream is one too many (an iterator
that holds something before it is first asked closes that as well, which a generator would not); ``send`` waits while
the client's socket is full, so a slow reader holds back only its own iterator.
It must not know any resource of the API.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar, cast
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

import msgspec
import structlog

from skytrail.runtime.fair_share import FairShare
from skytrail.runtime.http_error import Header, HttpError
from skytrail.runtime.stream_limits import StreamLimits

BODY_LIMIT_BYTES: Final = 1_024_000
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PEER_EXTENSION: Final = "skytrail.peer"
"""Key of an ASGI scope's extensions under which a server may hand over a ``Peer``."""
TEXT: Final = "text/plain; charset=utf-8"

Message = MutableMapping[str, object]
Scope = Mapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")


class Response(msgspec.Struct, frozen=True):
    status: int
    body: bytes = b""
    content_type: str = TEXT
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamResponse:
    chunks: AsyncIterator[bytes]
    status: int = 200
    content_type: str = NDJSON
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Peer:
    """What the connection itself proves about the other end."""

    uid: int | None = None
    """User of the process at the other end of a Unix socket, as the kernel tells it."""
    certificate: Mapping[str, object] | None = None
    """The verified client certificate of a TLS connection, in the form of ``getpeercert``."""


_NO_PEER: Final = Peer()


@dataclass(slots=True)
class Request:
    method: str
    path: str
    segments: tuple[str, ...]
    query_all: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str]
    body: bytes = b""
    client: str = ""
    identity: object | None = None
    """What the application's authenticator found out about the sender; the type is its own."""
    params: dict[str, str] = field(default_factory=dict[str, str])
    scheme: str = "http"
    peer: Peer = field(default_factory=lambda: _NO_PEER)
    id: str = ""
    """Names the request in logs and in the reply's ``X-Request-Id``."""

    @property
    def query(self) -> Mapping[str, str]:
        """Each query parameter's last value."""
        return {name: values[-1] for name, values in self.query_all.items()}

    def flag(self, name: str) -> bool:
        """Tell whether a query parameter says true (any case, or 1)."""
        values = self.query_all.get(name)
        return values is not None and values[-1].lower() in ("true", "1")

    def json(self, kind: type[T]) -> T:
        """Decode the body; raises HttpError(400) naming the place that does not fit."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.ValidationError as error:
            raise HttpError(400, f"The body does not fit: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HttpError(400, f"The body is not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Promised:
    """A reply that takes no task to wait for: it is made when a future is done."""

    future: asyncio.Future[Any]
    reply: Callable[[asyncio.Future[Any]], Response]
    """Makes it of the future; raises what a handler may raise."""


Reply = Response | StreamResponse
Handler = Callable[[Request], Awaitable[Reply]]
Admit = Callable[[Request], Awaitable[None]]
"""Looks at a request before its body is read; raises HttpError to turn it away."""
CheckHost = Callable[[Request], None]
"""Raises HttpError for a request to a name that is not this server's."""
AtOnce = Callable[[Request], "Response | Promised | None"]
"""Answers what has come whole and needs no waiting, admission included; None: ask the others."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_QUERY_KEPT_BYTES = 256
_LENGTH_DIGITS_MAX = 19
QUERY_COUNT_MAX: Final = 1000
"""Parameters of one query."""


def encode_json(value: object) -> bytes:
    """Encode any row or reply; objects without a JSON form (addresses, MACs) become text.

    Sets become lists in no particular order: whoever shows one sorts it first.
    """
    try:
        return msgspec.json.encode(value, enc_hook=str)
    except TypeError:  # A mapping whose keys are, for example, prefixes.
        return msgspec.json.encode(msgspec.to_builtins(value, str_keys=True, enc_hook=str))


def json_reply(value: object, status: int = 200, headers: tuple[Header, ...] = ()) -> Response:
    """Reply with JSON; bytes are taken as already encoded."""
    body = value if isinstance(value, bytes) else encode_json(value)
    return Response(status, body, JSON, headers)


def text_reply(text: str, status: int = 200, headers: tuple[Header, ...] = ()) -> Response:
    return Response(status, text.encode(), TEXT, headers)


def empty_reply(status: int = 200) -> Response:
    return Response(status, b"", TEXT)


@dataclass(slots=True)
class _Node:
    """One step of the path: literal children, one capture, the handlers that end here."""

    literals: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    capture: tuple[str, _Node] | None = None
    rest: tuple[str, _Node] | None = None
    handlers: dict[str, Handler] = field(default_factory=dict[str, Handler])


class Router:
    """Finds the handler of a path in one dict step per segment, however many routes there are."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """Add a route; ValueError when it is taken or two captures of one place differ in name."""
        node = self._root
        for part in pattern.strip("/").split("/") if pattern != "/" else ():
            if part.startswith("{") and part.endswith("...}"):
                node.rest = self._same_name(node.rest, part[1:-4], pattern)
                node = node.rest[1]
            elif part.startswith("{"):
                node.capture = self._same_name(node.capture, part[1:-1], pattern)
                node = node.capture[1]
            else:
                node = node.literals.setdefault(part, _Node())
        if method in node.handlers:
            message = f"{method} {pattern} has a handler already"
            raise ValueError(message)
        node.handlers[method] = handler

    async def __call__(self, request: Request) -> Reply:
        """Run the handler of the request; HttpError 404 or 405 when there is none."""
        node = self._find(request)
        if node is None or not node.handlers:
            raise HttpError(404, f"Not found: {request.path}")
        handler = node.handlers.get(request.method)
        if handler is None and request.method == "HEAD":
            handler = node.handlers.get("GET")
        if handler is None:
            allowed = ", ".join(sorted(node.handlers))
            text = f"Method {request.method} is not allowed here, only {allowed}"
            raise HttpError(405, text, (("allow", allowed),))
        return await handler(request)

    @staticmethod
    def _same_name(taken: tuple[str, _Node] | None, name: str, pattern: str) -> tuple[str, _Node]:
        if taken is None:
            return name, _Node()
        if taken[0] != name:
            message = f"{pattern}: this place is already called {taken[0]}"
            raise ValueError(message)
        return taken

    def _find(self, request: Request) -> _Node | None:
        node = self._root
        for index, segment in enumerate(request.segments):
            literal = node.literals.get(segment)
            if literal is not None:
                node = literal
            elif node.capture is not None:
                request.params[node.capture[0]] = segment
                node = node.capture[1]
            elif node.rest is not None:
                request.params[node.rest[0]] = "/".join(request.segments[index:])
                return node.rest[1]
            else:
                return None
        return node


class _ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class AsgiApp:
    """An application around one handler (usually a Router), for our server and for any ASGI 3 one."""

    def __init__(
        self,
        handler: Handler,
        *,
        body_limit_bytes: int = BODY_LIMIT_BYTES,
        admit: Admit | None = None,
        at_once: AtOnce | None = None,
        check_host: CheckHost | None = None,
        streams: StreamLimits | None = None,
        shares: FairShare | None = None,
    ) -> None:
        """``check_host`` is asked first, of every request."""
        self._handler = handler
        self._streams = streams or StreamLimits()
        self.shares = shares or FairShare()
        self._check_host = check_host
        self._admit = admit
        self._at_once = at_once
        self._body_limit_bytes = body_limit_bytes
        self._log = structlog.get_logger("skytrail.asgi")

    def body_limit(self, request: Request) -> int:
        """Return how many bytes the request's body may have."""
        return self._body_limit_bytes

    def stream_client(self, request: Request) -> str:
        """Return for whom an open stream counts; empty: for nobody."""
        return request.client

    def share_of(self, request: Request) -> tuple[str, int]:
        """Return whose share of the work a request takes, and how much; empty: nobody's."""
        return "", 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            request = _request_of(scope)
        except HttpError as error:
            refusal = text_reply(error.text, error.status)
            await send(_start(f"req-{uuid4()}", refusal, len(refusal.body)))
            await send({"type": "http.response.body", "body": refusal.body})
            return
        with structlog.contextvars.bound_contextvars(request=request.id):
            reply = await self.reply_to(request, receive)
            if reply is None:
                return
            if isinstance(reply, StreamResponse):
                await self.stream(request, reply, receive, send)
                return
            await send(_start(request.id, reply, len(reply.body)))
            body = b"" if request.method == "HEAD" else reply.body
            await send({"type": "http.response.body", "body": body})

    def answer_now(self, request: Request) -> Response | Promised | None:
        """Return the reply to a request that has come whole, None if it takes a task to make."""
        if self._at_once is None or len(request.body) > self.body_limit(request):
            return None
        try:
            if self._check_host is not None:
                self._check_host(request)
            return self._at_once(request)
        except HttpError as error:
            return text_reply(error.text, error.status, error.headers)
        except Exception:  # The boundary of one request: logged once, answered.
            return self._failed(request)

    def redeem(self, request: Request, promised: Promised) -> Response:
        """Return the promised reply; its future is done."""
        try:
            return promised.reply(promised.future)
        except HttpError as error:
            return text_reply(error.text, error.status, error.headers)
        except Exception:  # The boundary of one request: logged once, answered.
            return self._failed(request)

    async def reply_to(self, request: Request, receive: Receive | None) -> Reply | None:
        """Return the reply; None when the client left before its request was complete.

        ``receive`` gives the body; None says that the request has it already.
        """
        try:
            if self._check_host is not None:
                self._check_host(request)
            if self._admit is not None:
                await self._admit(request)
            self._check_length(request)
            if receive is not None:
                request.body = await self._read_body(request, receive)
            sender, weight = self.share_of(request)
            async with self.shares.turn(sender, weight) if sender else nullcontext():
                reply = await self._handler(request)
            client = self.stream_client(request)
            if client and isinstance(reply, StreamResponse):
                # Nothing waits between here and ``stream``, which counts it.
                await self._check_stream(client, reply)
            return reply
        except HttpError as error:
            return text_reply(error.text, error.status, error.headers)
        except _ClientGone:
            return None
        except Exception:  # The task boundary of one request: logged once, answered.
            return self._failed(request)

    async def _check_stream(self, client: str, reply: StreamResponse) -> None:
        try:
            self._streams.check(client)
        except HttpError:
            await _close(reply.chunks)
            raise

    def _failed(self, request: Request) -> Response:
        self._log.exception(
            "request_failed", request=request.id, method=request.method, path=request.path
        )
        return text_reply("Internal error; the server's log has the details", 500)

    def _check_length(self, request: Request) -> None:
        declared = request.headers.get("content-length", "0")
        if not declared.isascii() or not declared.isdigit() or len(declared) > _LENGTH_DIGITS_MAX:
            raise HttpError(
                400, f"Content-Length is no number of up to {_LENGTH_DIGITS_MAX} digits"
            )
        limit = self.body_limit(request)
        if int(declared) > limit:
            raise HttpError(413, f"Body of {declared} bytes exceeds the limit of {limit} bytes")
        if len(request.body) > limit:
            raise HttpError(413, f"Body exceeds the limit of {limit} bytes")

    async def _read_body(self, request: Request, receive: Receive) -> bytes:
        limit = self.body_limit(request)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            body += cast("bytes", message.get("body", b""))
            if len(body) > limit:
                raise HttpError(413, f"Body exceeds the limit of {limit} bytes")
            if not message.get("more_body", False):
                return bytes(body)

    async def stream(
        self, request: Request, reply: StreamResponse, receive: Receive, send: Send
    ) -> None:
        """Send chunks until they end or the client leaves, whichever is first."""
        client = self.stream_client(request)
        try:
            with self._streams.held(client) if client else nullcontext():
                await self._stream(request, reply, receive, send)
        finally:
            # Also where nothing of it was asked for.
            await _close(reply.chunks)

    async def _stream(
        self, request: Request, reply: StreamResponse, receive: Receive, send: Send
    ) -> None:
        await send(_start(request.id, reply, None))
        sender = asyncio.ensure_future(self._send_chunks(request, reply, send))
        leaver = asyncio.ensure_future(_wait_disconnect(receive))
        try:
            await asyncio.wait((sender, leaver), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sender, leaver):
                task.cancel()
            await asyncio.gather(sender, leaver, return_exceptions=True)

    async def _send_chunks(self, request: Request, reply: StreamResponse, send: Send) -> None:
        try:
            try:
                await _send_all(reply.chunks, send)
            finally:
                await _close(reply.chunks)
        except OSError:
            return
        except Exception:  # The task boundary of one stream: logged once, connection ends.
            self._log.exception("stream_failed", path=request.path)
        await send({"type": "http.response.body", "body": b""})


class _Closable(Protocol):
    """What can be ended before its end, as an asynchronous generator."""

    async def aclose(self) -> None: ...


async def _close(chunks: AsyncIterator[bytes]) -> None:
    """End an iterator that can be ended; one that is over stays so."""
    if hasattr(chunks, "aclose"):
        await cast("_Closable", chunks).aclose()


async def _send_all(chunks: AsyncIterator[bytes], send: Send) -> None:
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # Neither a ready iterator nor a send to a closed connection waits; without this turn
        # of the loop the departure of the client would never be seen.
        await asyncio.sleep(0)


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _start(request_id: str, reply: Reply, length: int | None) -> Message:
    headers = [
        (b"content-type", reply.content_type.encode("latin-1")),
        (b"x-request-id", request_id.encode("latin-1")),
    ]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


def _request_of(scope: Scope) -> Request:
    raw_path = cast("bytes | None", scope.get("raw_path")) or str(scope["path"]).encode()
    client = cast("tuple[str, int] | None", scope.get("client"))
    extensions = cast("Mapping[str, object]", scope.get("extensions") or {})
    return build_request(
        str(scope["method"]),
        raw_path.decode("latin-1").partition("?")[0],
        cast("bytes", scope.get("query_string", b"")),
        {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"])
        },
        client=client[0] if client else "",
        scheme="https" if scope.get("scheme") == "https" else "http",
        made_id=f"req-{uuid4()}",
        peer=cast("Peer", extensions.get(PEER_EXTENSION, _NO_PEER)),
    )


def build_request(
    method: str,
    path: str,
    query: bytes,
    headers: Mapping[str, str],
    *,
    client: str,
    scheme: str,
    made_id: str,
    peer: Peer = _NO_PEER,
) -> Request:
    """Return a request as a server parsed it: the path still percent-encoded, no body yet.

    ``made_id`` is its id unless the client gave it one that can stand in a log.
    HttpError(400) when the query has too many parameters.
    """
    given_id = headers.get("x-request-id", "")
    return Request(
        method=method,
        path=path,
        segments=tuple(unquote(part) if "%" in part else part for part in path.split("/") if part),
        query_all=_query(query) if len(query) <= _QUERY_KEPT_BYTES else _parsed(query),
        headers=headers,
        client=client,
        scheme=scheme,
        peer=peer,
        id=given_id if given_id and _REQUEST_ID.fullmatch(given_id) else made_id,
    )


@lru_cache(maxsize=1024)
def _query(text: bytes) -> Mapping[str, tuple[str, ...]]:
    return _parsed(text)


def _parsed(text: bytes) -> Mapping[str, tuple[str, ...]]:
    count = text.count(b"&") + 1
    if count > QUERY_COUNT_MAX:
        raise HttpError(400, f"The query has {count} parameters, at most {QUERY_COUNT_MAX} may be")
    found: dict[str, list[str]] = {}
    if text:
        for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True):
            found.setdefault(name, []).append(value)
    return MappingProxyType({name: tuple(values) for name, values in found.items()})
