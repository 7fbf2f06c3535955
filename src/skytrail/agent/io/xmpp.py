"""One connection to one control node: TCP, the sans-IO session, events to the service.

```
 reader (this task) --bytes--> Session.step --Deliver--> listener.received(...)
 timer (child task) --Tick---> Session.step --Write----> transport
 send(message) ----------------^
```
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from typing import Protocol, cast

import structlog

from skytrail.runtime.backoff import Backoff
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.mutual_tls import HANDSHAKE_S, MutualTls, failure_text
from skytrail.wire.xmpp import (
    Close,
    CloseReason,
    CloseRequested,
    Connected,
    Deliver,
    Disconnected,
    Established,
    Message,
    Received,
    Secured,
    SecuringFailed,
    Send,
    Session,
    StartTls,
    State,
    Tick,
    Write,
    client_settings,
)
from skytrail.wire.xmpp.session import Action, Event

CONNECT_TIMEOUT_S = 5.0
RECONNECT_DELAY_S_MAX = 2.0
"""Well below the time stale routes are kept after a control node's restart."""
READ_BYTES = 262144
TLS_ALERT = "the control node ends tls:"
HOLD_TIME_S = 90.0
WRITE_BUFFER_BYTES_MAX = 64 << 20
"""An unread backlog beyond this ends the session: the peer does not read."""


class SessionListener(Protocol):
    """Who uses the connection. Called on the loop, in order."""

    def session_established(self, source: str) -> None: ...

    def message_received(self, source: str, message: Message) -> None: ...

    def session_lost(self, source: str, reason: str) -> None: ...


class ControlConnection:
    """Runs one session with one control node after the other, with growing delays between."""

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        listener: SessionListener,
        tls: MutualTls | None = None,
    ) -> None:
        host, port = address
        self.source = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.sessions = 0
        self.last_reason = ""
        self.established_at = -math.inf
        self._name = name
        self._address = address
        self._listener = listener
        self._tls = tls
        self._must_secure = False
        self._refusal = ""
        self._log = structlog.get_logger("skytrail.agent.xmpp")
        self._clock = SystemClock()
        self._session: Session | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._wake = asyncio.Event()

    @property
    def is_established(self) -> bool:
        return self._session is not None and self._session.state is State.ESTABLISHED

    def send(self, message: Message) -> None:
        """Send, or do nothing unless established (everything is repeated at the next start)."""
        self._step(Send(message))

    def row(self) -> dict[str, object]:
        session = self._session
        return {
            "source": self.source,
            "state": session.state.value if session else "down",
            "peer": session.peer if session else "",
            "sessions": self.sessions,
            "received_messages": session.received_messages if session else 0,
            "sent_messages": session.sent_messages if session else 0,
            "encrypted": self.is_established and self._tls is not None,
            "last_reason": self.last_reason,
            "established_for_s": round(self._clock.now() - self.established_at, 1)
            if self.is_established
            else None,
        }

    async def run(self) -> None:
        """Keep a session until cancelled. A control node that is away is the normal case of
        headless operation: it shows in :meth:`row`, not in the log.
        """
        backoff = Backoff(maximum_s=RECONNECT_DELAY_S_MAX)
        while True:
            try:
                known_since = self.established_at
                await self._run_session()
                if self.established_at != known_since:
                    backoff.reset()
            except (OSError, TimeoutError) as error:
                self.last_reason = f"cannot connect: {error or 'timeout'}"
            await asyncio.sleep(backoff.next_delay_s())

    async def _run_session(self) -> None:
        """Return when a connection ended; ``OSError`` when there was none."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(*self._address)
        _tune(writer)
        self._writer = writer
        self._session = Session(
            client_settings(self._name, hold_time_s=HOLD_TIME_S, uses_tls=self._tls is not None)
        )
        self._must_secure = False
        self.sessions += 1
        reason = "cancelled"
        try:
            self._step(Connected())
            async with asyncio.TaskGroup() as group:
                timer = group.create_task(self._tick())
                reason = await self._read(reader)
                timer.cancel()
        finally:
            self._step(CloseRequested())
            self._session = None
            self._writer = None
            writer.close()
            self.last_reason = reason
            self._tell_refusal(reason)
            self._listener.session_lost(self.source, reason)

    async def _read(self, reader: asyncio.StreamReader) -> str:
        while True:
            try:
                chunk = await reader.read(READ_BYTES)
            except OSError as error:
                if isinstance(error, ssl.SSLError):
                    return f"{TLS_ALERT} {error.reason}".lower().replace("_", " ")
                return f"connection failed: {error}"
            reason = self._step(Received(chunk) if chunk else Disconnected())
            if reason is None and self._must_secure:
                reason = await self._secure()
            if reason is not None:
                return reason
            # A long burst must not keep everything else on the loop waiting.
            await asyncio.sleep(0)

    async def _secure(self) -> str | None:
        """Do the TLS handshake; return why the session ended by it."""
        writer, tls = self._writer, self._tls
        self._must_secure = False
        if writer is None or tls is None:
            return None
        try:
            await writer.start_tls(
                tls.context(), server_hostname=self._address[0], ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError as error:
            return self._step(SecuringFailed(failure_text(error)))
        return self._step(Secured())

    def _tell_refusal(self, reason: str) -> None:
        """Log a refusal once, not at every attempt: it needs somebody who mends it."""
        refusal = reason if reason.startswith((CloseReason.REFUSED.value, TLS_ALERT)) else ""
        if refusal and refusal != self._refusal:
            self._log.warning("session_refused", control=self.source, reason=refusal)
        self._refusal = refusal

    async def _tick(self) -> None:
        session = self._session
        while session is not None and session.state is not State.CLOSED:
            wait_s = min(max(session.next_deadline() - self._clock.now(), 0.0), HOLD_TIME_S)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            if self._step(Tick()) is not None and self._writer is not None:
                self._writer.transport.abort()
                return

    def _step(self, event: Event) -> str | None:
        """Advance the machine and carry its actions out; return the reason when it closed."""
        session = self._session
        if session is None:
            return None
        closed: str | None = None
        for action in session.step(event, self._clock.now()):
            closed = self._act(action) or closed
        return closed

    def _act(self, action: Action) -> str | None:
        match action:
            case Write(chunk):
                if self._writer is not None and not self._writer.is_closing():
                    self._writer.write(chunk)
                    if self._writer.transport.get_write_buffer_size() > WRITE_BUFFER_BYTES_MAX:
                        self._writer.transport.abort()
            case StartTls():
                self._must_secure = True
                if self._writer is not None and not self._writer.is_closing():
                    # What comes from now on is for the handshake.
                    cast("asyncio.Transport", self._writer.transport).pause_reading()
            case Established():
                self.established_at = self._clock.now()
                self._wake.set()
                self._listener.session_established(self.source)
            case Deliver(message):
                self._listener.message_received(self.source, message)
            case Close(reason, text):
                return f"{reason.value} {text}".strip()
        return None


def _tune(writer: asyncio.StreamWriter) -> None:
    """Notice a dead peer host within half a minute, whatever the hold time is."""
    connection = writer.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 6)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20000)
