"""Listening sockets and the HTTP server around an ASGI application.

One server may hold several sockets, so the API answers on TCP and on a Unix socket alike; a Unix
socket reaches across network namespaces.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Final, cast

import structlog
import uvicorn
from uvicorn._types import ASGIApplication

from skytrail.runtime.asgi import AsgiApp
from skytrail.runtime.http_protocol import HttpProtocol
from skytrail.runtime.tls import TlsFiles, TlsUnusable, server_context

BACKLOG: Final = 1024
SHUTDOWN_S: Final = 2
"""How long open replies (watch streams) may go on after the stop request."""
CONNECTIONS_COUNT_MAX: Final = 4096
KEEP_ALIVE_S: Final = 75
HANDSHAKE_S: Final = 10.0
CERTIFICATES_EVERY_S: Final = 2.0


class AddressInUse(OSError):
    """Another process listens there."""


def listen_tcp(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket (port 0 picks one); raises AddressInUse with the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host} port {port}: {error.strerror}"
        raise AddressInUse(error.errno, message) from error
    listener.setblocking(False)
    return listener


def listen_unix(path: str | Path, *, mode: int = 0o660) -> socket.socket:
    """Return a listening Unix stream socket, replacing the leftover of a dead process.

    Creates the parent folder. Raises AddressInUse when a live process listens there, and
    OSError when the path is something else than a socket.
    """
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftover(place)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Bind with closed rights, then open them: no moment in which anybody may connect.
        mask = os.umask(0o177)
        try:
            listener.bind(str(place))
        finally:
            os.umask(mask)
        place.chmod(mode)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {place}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _remove_leftover(place: Path) -> None:
    try:
        kind = place.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        message = f"{place} exists and is not a socket; remove it or choose another path"
        raise OSError(message)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(place))
        except (ConnectionRefusedError, FileNotFoundError):
            place.unlink(missing_ok=True)
            return
        except OSError:
            pass
    message = f"another process listens on {place}"
    raise AddressInUse(message)


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the daemon owns the signals."""

    def __init__(
        self,
        config: uvicorn.Config,
        when_ready: Callable[[], None] | None,
        tls: TlsFiles | None = None,
    ) -> None:
        super().__init__(config)
        self._when_ready = when_ready
        self._tls = tls
        # Read before the files, so that a change in between is seen as one.
        self._stamp = None if tls is None else tls.stamp()
        self._context = None if tls is None else server_context(tls)
        self._encrypted: list[tuple[socket.socket, asyncio.Server]] = []
        self._log = structlog.get_logger("skytrail.server")

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        given = sockets or []
        encrypted = [each for each in given if self._tls and each.family != socket.AF_UNIX]
        await super().startup([each for each in given if each not in encrypted])
        for listener in encrypted:
            self._encrypted.append((listener, await self._listen(listener)))
        if self._when_ready is not None:
            self._when_ready()

    async def _listen(self, listener: socket.socket) -> asyncio.Server:
        """Accept TLS connections of a listening socket with the current context.

        On a copy of the descriptor: closing this server then leaves the socket listening, and
        connections that wait to be accepted wait for the next one.
        """
        server = await asyncio.get_running_loop().create_server(
            self._protocol,
            sock=listener.dup(),
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_S,
            backlog=BACKLOG,
        )
        self.servers.append(server)
        return server

    def _protocol(self) -> asyncio.Protocol:
        return HttpProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    async def keep_certificates_fresh(self) -> None:
        """Look at the TLS files every now and then; serve new connections by changed ones."""
        while True:
            await asyncio.sleep(CERTIFICATES_EVERY_S)
            await self.refresh_certificates()

    async def refresh_certificates(self) -> None:
        """Take over changed TLS files; if they are unusable the old ones stay."""
        if self._tls is None:
            return
        stamp = self._tls.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._context = server_context(self._tls)
        except TlsUnusable as error:
            self._log.error("certificate_refused", reason=str(error))
            return
        for index, (listener, former) in enumerate(self._encrypted):
            self._encrypted[index] = listener, await self._listen(listener)
            self.servers.remove(former)
            await _retire(former)
        self._log.info("certificate_loaded", file=str(self._tls.certificate))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A watch never ends by itself. A reply that has begun but not ended is a stream: closing
        # its connection tells its iterator; short replies under way get their grace time.
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpProtocol) and connection.is_streaming:
                connection.close()
        await super().shutdown(sockets)


async def _retire(acceptor: asyncio.Server) -> None:
    """Close an acceptor without dropping what it has just accepted.

    A connection is attached to its acceptor one turn of the loop after it was accepted; asyncio
    drops it when the acceptor is closed by then.
    """
    loop = asyncio.get_running_loop()
    for listener in acceptor.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(2):
        await asyncio.sleep(0)
    acceptor.close()


async def serve(
    app: AsgiApp,
    sockets: Sequence[socket.socket],
    *,
    when_ready: Callable[[], None] | None = None,
    tls: TlsFiles | None = None,
) -> None:
    """Serve until cancelled; then stop accepting, end open replies within two seconds, return.

    ``when_ready`` is called once, when connections are accepted. Unix socket files are removed.
    With ``tls`` every socket but Unix ones speaks TLS; files that change are taken over within
    seconds. Raises TlsUnusable at once when they cannot be used.
    """
    config = uvicorn.Config(
        app=cast("ASGIApplication", app),
        http=HttpProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=CONNECTIONS_COUNT_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        backlog=BACKLOG,
    )
    server = _Server(config, when_ready, tls)
    paths = [Path(name) for name in map(_unix_path, sockets) if name]
    running = asyncio.ensure_future(server.serve(sockets=list(sockets)))
    refreshing = asyncio.ensure_future(server.keep_certificates_fresh())
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        server.should_exit = True
        await running
        raise
    finally:
        refreshing.cancel()
        for listener in sockets:
            listener.close()
        for path in paths:
            path.unlink(missing_ok=True)


def _unix_path(listener: socket.socket) -> str:
    if listener.family != socket.AF_UNIX:
        return ""
    return cast("str", listener.getsockname())
