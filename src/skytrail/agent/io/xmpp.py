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
from typing import Protocol

from skytrail.runtime.backoff import Backoff
from skytrail.runtime.clock import SystemClock
from skytrail.wire.xmpp import (
    Close,
    CloseRequested,
    Connected,
    Deliver,
    Disconnected,
    Established,
    Message,
    Received,
    Send,
    Session,
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

    def __init__(self, name: str, address: tuple[str, int], listener: SessionListener) -> None:
        self.source = f"{address[0]}:{address[1]}"
        self.sessions = 0
        self.last_reason = ""
        self.established_at = math.nan
        self._name = name
        self._address = address
        self._listener = listener
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
                await self._run_session()
                backoff.reset()
            except (OSError, TimeoutError) as error:
                self.last_reason = f"cannot connect: {error or 'timeout'}"
            await asyncio.sleep(backoff.next_delay_s())

    async def _run_session(self) -> None:
        """Return when an established connection ended; ``OSError`` when there was none."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(*self._address)
        _tune(writer)
        self._writer = writer
        self._session = Session(client_settings(self._name, hold_time_s=HOLD_TIME_S))
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
            self._listener.session_lost(self.source, reason)

    async def _read(self, reader: asyncio.StreamReader) -> str:
        while True:
            try:
                chunk = await reader.read(READ_BYTES)
            except OSError as error:
                return f"connection failed: {error}"
            reason = self._step(Received(chunk) if chunk else Disconnected())
            if reason is not None:
                return reason
            # A long burst must not keep everything else on the loop waiting.
            await asyncio.sleep(0)

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
