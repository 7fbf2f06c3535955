"""``GET /flow-log``: sessions as they begin and end, a line of JSON each, for as long as one reads.

The kernel's ring is emptied in batches ten times a second while there are readers; each reader has a
bounded queue. What either has no room for is left out, and a line ``{"kind": "lost", "count": n}``
says how many records are missing there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

from skytrail.agent.logging_objects import LoggingObjects
from skytrail.agent.service import AgentService
from skytrail.agent.session_log import LoggedSessions, SessionBook, SessionEvent, SessionFilter
from skytrail.agent.session_rows import SessionRows
from skytrail.runtime.asgi import HttpError, Request, Router, StreamResponse, encode_json
from skytrail.runtime.metrics import Sample

READERS_COUNT_MAX = 4
QUEUE_RECORDS_MAX = 16_384
BATCH_EVENTS_MAX = 2_000
INTERVAL_S = 0.1
IDLE_S = 15.0
"""A line is empty after so much silence, so that a reader that has gone is noticed."""
_PARAMETERS = frozenset({"vmi", "logged"})
Record = Mapping[str, object]


@dataclass(slots=True, eq=False)
class _Reader:
    wanted: SessionFilter
    queue: asyncio.Queue[Record] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE_RECORDS_MAX)
    )
    lost: int = 0

    def put(self, record: Record) -> None:
        try:
            self.queue.put_nowait(record)
        except asyncio.QueueFull:
            self.lost += 1


class SessionLogPages:
    """The readers of one agent's session log."""

    def __init__(self, agent: AgentService) -> None:
        self._agent = agent
        self._book = SessionBook(agent.numbers)
        self.objects = LoggingObjects(lambda: agent.sessions.graph)
        self._logged = LoggedSessions(agent.numbers, self.objects)
        self._readers: list[_Reader] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lost_before = 0
        self._shed = 0
        self._tap: SessionRows | None = None
        self._is_closed = False
        agent.closing.append(self._close)

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/flow-log", self._open)

    def tap(self, rows: SessionRows) -> None:
        """Have sessions kept as rows for the analytics node from now on."""
        self._tap = rows
        self._start()

    def _close(self) -> None:
        """The datapath closes: nothing is asked of it any more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        if self._timer is None and not self._is_closed:
            source = self._agent.datapath.sessions()
            source.want(wanted=True)
            self._lost_before = source.counts()[1]
            self._pump()

    def samples(self) -> Iterable[Sample]:
        if self._is_closed:
            return
        events, lost = self._agent.datapath.sessions().counts()
        yield Sample("agent_session_events_total", float(events))
        yield Sample("agent_session_events_lost_total", float(lost + self._shed))

    async def _open(self, request: Request) -> StreamResponse:
        unknown = sorted(request.query.keys() - _PARAMETERS)
        if unknown:
            raise HttpError(400, f"{unknown[0]} is not known; known are logged, vmi")
        if len(self._readers) >= READERS_COUNT_MAX:
            raise HttpError(409, f"{READERS_COUNT_MAX} readers are there already")
        uuid = request.query.get("vmi", "").lower()
        if uuid and uuid not in self._agent.plugged:
            raise HttpError(400, f"vmi={uuid}: no such port is plugged here")
        return StreamResponse(self._lines(SessionFilter(uuid, request.flag("logged"))))

    async def _lines(self, wanted: SessionFilter) -> AsyncIterator[bytes]:
        # Only here: who went away before the first line was asked for has nothing to give back.
        reader = _Reader(wanted)
        self._readers.append(reader)
        try:
            self._start()
            yield b'{"kind":"start"}\n'
            while True:
                yield await self._next(reader)
        finally:
            self._readers.remove(reader)
            if not self._readers and self._tap is None and self._timer is not None:
                self._timer.cancel()
                self._timer = None
                self._agent.datapath.sessions().want(wanted=False)

    async def _next(self, reader: _Reader) -> bytes:
        """Return what waits, joined; an empty line after long silence."""
        try:
            async with asyncio.timeout(IDLE_S):
                records = [await reader.queue.get()]
        except TimeoutError:
            return b"\n"
        while not reader.queue.empty() and len(records) < BATCH_EVENTS_MAX:
            records.append(reader.queue.get_nowait())
        if reader.lost:
            records.append({"kind": "lost", "count": reader.lost})
            reader.lost = 0
        return b"".join(encode_json(record) + b"\n" for record in records)

    def _pump(self) -> None:
        """Take a batch of events, and come again."""
        source = self._agent.datapath.sessions()
        taken = source.drain(self._take, BATCH_EVENTS_MAX)
        lost = source.counts()[1] - self._lost_before
        if lost:
            self._lost_before += lost
            for reader in self._readers:
                reader.put({"kind": "lost", "count": lost})
        loop = asyncio.get_running_loop()
        # A full batch: there is more.
        wait_s = 0.0 if taken >= BATCH_EVENTS_MAX else INTERVAL_S
        self._timer = loop.call_later(wait_s, self._pump)

    def _take(self, event: SessionEvent) -> None:
        logged_by = self._logged.by(event, self._agent.desired)
        if self._tap is not None:
            self._tap.note(event, self._agent.desired, logged_by)
        if not self._readers:
            return
        record = self._book.record(event, self._agent.desired, logged_by)
        for reader in self._readers:
            if reader.wanted.wants(record):
                before = reader.lost
                reader.put(record)
                self._shed += reader.lost - before
