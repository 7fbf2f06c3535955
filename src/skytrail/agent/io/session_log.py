"""``GET /flow-log``: sessions as they begin and end, a line of JSON each, for as long as one reads.

The kernel's ring is emptied in batches, ten times a second or as fast as it fills, while there are readers or sessions are
told to an analytics node; each reader has a bounded queue. What either has no room for is left out, and a line ``{"kind": "lost", "count": n}``
says how many records are missing there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from skytrail.agent.logging_objects import LoggingObjects
from skytrail.agent.outcome import Desired
from skytrail.agent.service import AgentService
from skytrail.agent.session_batch import SessionBatch
from skytrail.agent.session_follow import Followed, SessionFollower
from skytrail.agent.session_log import SessionBook, SessionFilter
from skytrail.agent.tables import IdentityId
from skytrail.runtime.asgi import HttpError, Request, Router, StreamResponse, encode_json
from skytrail.runtime.metrics import Sample

READERS_COUNT_MAX = 4
QUEUE_RECORDS_MAX = 16_384
BATCH_RECORDS_MAX = 8_192
"""A turn of the event loop: some 10 ms of work. The ring holds four of them."""
LINES_RECORDS_MAX = 2_000
INTERVAL_S = 0.1
BUSY_RECORDS_MIN = 1_000
BUSY_INTERVAL_S = 0.02
"""After a batch of so many: the ring could be full within a tenth of a second."""
IDLE_S = 15.0
"""A line is empty after so much silence, so that a reader that has gone is noticed."""
_PARAMETERS = frozenset({"vmi", "logged"})
Record = Mapping[str, object]
Tap = Callable[[SessionBatch, Followed, Desired], None]


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
        self._follower = SessionFollower(agent.numbers, self.objects)
        self._readers: list[_Reader] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lost_before = 0
        self._shed = 0
        self._tap: Tap | None = None
        self._is_closed = False
        agent.closing.append(self._close)

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/flow-log", self._open)

    def tap(self, tap: Tap) -> None:
        """Have ``tap`` told of every batch from now on."""
        self._tap = tap
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
        while not reader.queue.empty() and len(records) < LINES_RECORDS_MAX:
            records.append(reader.queue.get_nowait())
        if reader.lost:
            records.append({"kind": "lost", "count": reader.lost})
            reader.lost = 0
        return b"".join(encode_json(record) + b"\n" for record in records)

    def _pump(self) -> None:
        """Take a batch of events, and come again."""
        source = self._agent.datapath.sessions()
        batch = source.drain(BATCH_RECORDS_MAX)
        if len(batch):
            self._take(batch)
        else:
            self._follower.look(self._agent.desired)
        lost = source.counts()[1] - self._lost_before
        if lost:
            self._lost_before += lost
            for reader in self._readers:
                reader.put({"kind": "lost", "count": lost})
        wait_s = INTERVAL_S if len(batch) < BUSY_RECORDS_MIN else BUSY_INTERVAL_S
        if len(batch) >= BATCH_RECORDS_MAX:
            wait_s = 0.0
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._pump)

    def _take(self, batch: SessionBatch) -> None:
        desired = self._agent.desired
        followed = self._follower.follow(batch, desired)
        if self._tap is not None:
            self._tap(batch, followed, desired)
        if not self._readers:
            return
        identities: list[int] = followed.identities.tolist()
        for place, event in enumerate(batch.events()):
            identity = IdentityId(identities[place])
            logged_by = followed.logged_by.get(place, ())
            record = self._book.record(event, identity, desired, logged_by, followed.names)
            for reader in self._readers:
                if reader.wanted.wants(record):
                    before = reader.lost
                    reader.put(record)
                    self._shed += reader.lost - before
