"""How a process tells the analytics node what it knows of itself and its entities.

```
 source() every EVERY_S --> rows --> diff with what was said --> numbered changes --> collector
 log --> LogTap -------------------------- every LOGS_EVERY_S --> events -----------^
 pages <-- Ask ------------------------------------------------- Answer ----------> collector
 sessions ---------------------------------^        `--> Unkept: until the collector says that they are kept
```
The collector may ask for the pages this process shows of itself (``answering``): it is known by its certificate, and the
process itself opened the connection, so that no port is needed for it.
The source returns everything, always; only what changed is sent. The first collector in the list that
answers is told, and what it does not have; when an earlier one has answered for a while, that one is told
again: all processes are at one node, which so knows everything. No row of state waits for a collector:
what nobody takes is said by the next. Logs and sessions wait until they are kept, so many at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from skytrail.runtime.answering import Pages, answer_to
from skytrail.runtime.backoff import Backoff
from skytrail.runtime.clock import Clock
from skytrail.runtime.log_tap import LogTap
from skytrail.runtime.mutual_tls import HANDSHAKE_S, MutualTls
from skytrail.runtime.unkept import BYTES_MAX, Loss, Losses, Unkept
from skytrail.wire.errors import DecodeError
from skytrail.wire.telemetry import (
    Ask,
    Confirmed,
    Hello,
    Kept,
    Known,
    Log,
    Lost,
    Sessions,
    TelemetryFramer,
    Uve,
    decode,
    encode,
)

EVERY_S: Final = 10.0
LOGS_EVERY_S: Final = 1.0
CONNECT_S: Final = 5.0
READ_BYTES: Final = 65_536
SEND_TURN: Final = 256
SESSION_BYTES: Final = 160
RETURN_EVERY_S: Final = 10.0
RETURN_AFTER: Final = 3
"""So many times in a row a preferred collector answers before it is told again."""
KEPT_S: Final = 4
"""Until what was told is known to be kept: sessions of so many seconds have room beside all else."""

Place = tuple[str, str, str]
Source = Callable[[], Awaitable[Iterable[Uve]]]
"""Everything a process says, without numbers."""


@dataclass(frozen=True, slots=True)
class SessionSource:
    """Where a host's sessions come from."""

    take: Callable[[], Iterator[Sessions]]
    """Yields those that were not told yet; what is not asked for stays to be told."""
    lost: Callable[[], Mapping[str, int]]
    """Returns how many were lost since the start, by reason."""
    per_second: Callable[[], int]
    """Returns how many are told in a second at most."""


class Report:
    """What was said, numbered: the newest state of every place, and places taken back."""

    def __init__(self) -> None:
        self._said: dict[Place, Uve] = {}
        self._sequence = 0

    def update(self, rows: Iterable[Uve]) -> list[Uve]:
        """Take over a whole new state; returns what changed, numbered."""
        changed: list[Uve] = []
        found: set[Place] = set()
        for row in rows:
            place = (row.table, row.key, row.struct)
            found.add(place)
            former = self._said.get(place)
            if former is None or former.is_deleted or not _same(former, row):
                changed.append(self._number(place, row))
        for place, former in list(self._said.items()):
            if place not in found and not former.is_deleted:
                gone = Uve(table=place[0], key=place[1], struct=place[2], is_deleted=True)
                changed.append(self._number(place, gone))
        return changed

    def newer(self, newest: dict[str, int]) -> list[Uve]:
        """Return what a collector lacks that knows these numbers, oldest first."""
        lacking = [
            each for each in self._said.values() if each.sequence > newest.get(each.struct, 0)
        ]
        return sorted(lacking, key=lambda each: each.sequence)

    def _number(self, place: Place, row: Uve) -> Uve:
        self._sequence += 1
        numbered = msgspec.structs.replace(row, sequence=self._sequence)
        self._said[place] = numbered
        return numbered


def _same(one: Uve, other: Uve) -> bool:
    return one.fields == other.fields and one.rules == other.rules


Endpoint = tuple[str, int] | Path
"""Where an analytics node listens: host and port, or its Unix socket."""


@dataclass(frozen=True, slots=True)
class Collectors:
    """Where the analytics nodes are, in the order in which they are tried."""

    endpoints: Sequence[Endpoint]
    tls: MutualTls | None = None
    """For hosts and ports."""
    return_every_s: float = RETURN_EVERY_S
    """Between two looks whether a preferred one is there again."""


def hello_of_this_process(source: str, node_type: str, module: str) -> Hello:
    """Return how this process introduces itself; an empty ``source`` is the machine's name."""
    return Hello(
        source=source or socket.gethostname(),
        node_type=node_type,
        module=module,
        instance_id="0",
        pid=os.getpid(),
        started_us=time.time_ns() // 1000,
    )


class Telemetry:
    """Keeps one collector informed. Run :meth:`run` as a task."""

    def __init__(
        self,
        hello: Hello,
        source: Source,
        collectors: Collectors,
        clock: Clock,
        tap: LogTap | None = None,
        sessions: SessionSource | None = None,
        pages: Pages | None = None,
    ) -> None:
        """``pages`` are what the collector may ask for."""
        self._hello = hello
        self._source = source
        self._collectors = collectors
        self._clock = clock
        self._tap = tap
        self._sessions = sessions
        self._pages = pages
        self._report = Report()
        self._unkept = Unkept()
        self._losses = Losses(round(clock.wall() * 1e6))
        self._log = structlog.get_logger("skytrail.telemetry")
        self.collector = ""
        """The one that is told now."""
        self.sent_count = 0
        self.sessions_count = 0

    @property
    def unkept_count(self) -> int:
        """How many messages are told and not known to be kept."""
        return len(self._unkept)

    async def run(self) -> None:
        """Tell until cancelled."""
        if not self._collectors.endpoints:
            return
        delays = Backoff(maximum_s=EVERY_S)
        turn = 0
        while True:
            endpoint = self._collectors.endpoints[turn]
            started = self._clock.now()
            try:
                await self._tell(turn)
            except (OSError, DecodeError, TimeoutError, ValueError) as error:
                self._log.debug("collector_lost", collector=str(endpoint), reason=str(error))
            self.collector = ""
            if self._clock.now() - started > 2 * EVERY_S:
                delays.reset()
                turn = 0
            else:
                turn = (turn + 1) % len(self._collectors.endpoints)
            await asyncio.sleep(delays.next_delay_s())

    async def _connect(
        self, endpoint: Endpoint
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(endpoint, Path):
            return await asyncio.open_unix_connection(endpoint)
        tls = self._collectors.tls
        reader, writer = await asyncio.open_connection(*endpoint)
        if tls is not None:
            await writer.start_tls(
                tls.context(), server_hostname=endpoint[0], ssl_handshake_timeout=HANDSHAKE_S
            )
        return reader, writer

    async def _preferred(self, turn: int) -> None:
        """Return when one of the first ``turn`` collectors has answered for a while."""
        answers = Counter[int]()
        while max(answers.values(), default=0) < RETURN_AFTER:
            await asyncio.sleep(self._collectors.return_every_s)
            for number, endpoint in enumerate(self._collectors.endpoints[:turn]):
                try:
                    async with asyncio.timeout(CONNECT_S + HANDSHAKE_S):
                        _, writer = await self._connect(endpoint)
                except (OSError, TimeoutError, ValueError):
                    answers[number] = 0
                else:
                    writer.close()
                    answers[number] += 1

    async def _tell(self, turn: int) -> None:
        endpoint = self._collectors.endpoints[turn]
        async with asyncio.timeout(CONNECT_S + HANDSHAKE_S):
            reader, writer = await self._connect(endpoint)
        returning = (
            asyncio.create_task(self._preferred(turn), name="telemetry-returning") if turn else None
        )
        try:
            hello = msgspec.structs.replace(self._hello, confirms=True, retold=self._unkept.newest)
            writer.write(encode(hello))
            framer = TelemetryFramer()
            async with asyncio.timeout(CONNECT_S):
                known = await _admitted(reader, framer)
            self.collector = str(endpoint)
            self.sessions_count += 1
            self._report.update(await self._source())
            await self._send(writer, map(encode, self._report.newer(known.newest)))
            self._unkept.keep(known.kept)
            await self._send(writer, self._unkept.frames())
            hearing = asyncio.create_task(
                self._hear(reader, framer, writer, confirms=known.wants_confirmation),
                name="telemetry-hearing",
            )
            try:
                await self._keep_telling(hearing, returning, writer)
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
        finally:
            if returning is not None:
                returning.cancel()
                await asyncio.gather(returning, return_exceptions=True)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _keep_telling(
        self,
        hearing: asyncio.Task[None],
        returning: asyncio.Task[None] | None,
        writer: asyncio.StreamWriter,
    ) -> None:
        due = self._clock.now() + EVERY_S
        while True:
            await asyncio.wait({hearing}, timeout=LOGS_EVERY_S)
            if hearing.done():
                await hearing
            if returning is not None and returning.done():
                await returning
                return
            await self._tell_news(writer)
            if self._clock.now() >= due:
                due = self._clock.now() + EVERY_S
                await self._send(writer, map(encode, self._report.update(await self._source())))

    async def _tell_news(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, [self._unkept.add(each) for each in self._told()])
        if self._sessions is None:
            return
        self._unkept.bytes_max = BYTES_MAX + self._sessions.per_second() * SESSION_BYTES * KEPT_S
        for each in self._sessions.take():
            await self._send(writer, [self._unkept.add(each)])
            # Thousands of sessions: others have their turn before the next are packed.
            await asyncio.sleep(0)

    async def _hear(
        self,
        reader: asyncio.StreamReader,
        framer: TelemetryFramer,
        writer: asyncio.StreamWriter,
        *,
        confirms: bool,
    ) -> None:
        """Hear what is kept; answer questions one after the other, beside what is told.

        ``OSError`` at the connection's end.
        """
        while True:
            message = decode(await _next_frame(reader, framer))
            if isinstance(message, Kept):
                self._unkept.keep(message.number)
                if confirms:
                    writer.write(encode(Confirmed(number=message.number)))
                    await writer.drain()
                continue
            if not isinstance(message, Ask):
                raise DecodeError("a collector that admitted a process asks, and says what is kept")
            for part in await answer_to(message, self._pages):
                writer.write(encode(part))
                await writer.drain()

    def _told(self) -> Iterator[Log | Lost]:
        """Take logs, and losses."""
        totals: Counter[Loss] = Counter(self._unkept.lost)
        if self._tap is not None:
            yield from self._tap.take()
            totals["log", "tap_overflow"] = self._tap.lost_count
        if self._sessions is not None:
            totals.update({("session", why): n for why, n in self._sessions.lost().items()})
        yield from self._losses.news(totals, round(self._clock.wall() * 1e6))

    async def _send(self, writer: asyncio.StreamWriter, frames: Iterable[bytes]) -> None:
        rest = iter(frames)
        while some := list(itertools.islice(rest, SEND_TURN)):
            writer.write(b"".join(some))
            await writer.drain()
            self.sent_count += len(some)


def usage_of_this_process() -> dict[str, float]:
    """Return processor seconds and memory, rounded so that they are not news every time."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime),
        "resident_bytes": pages * resource.getpagesize() >> 20 << 20,
    }


async def _admitted(reader: asyncio.StreamReader, framer: TelemetryFramer) -> Known:
    known = decode(await _next_frame(reader, framer))
    if not isinstance(known, Known):
        raise DecodeError("the collector does not answer the hello")
    return known


async def _next_frame(reader: asyncio.StreamReader, framer: TelemetryFramer) -> bytes:
    while (frame := framer.next_frame()) is None:
        chunk = await reader.read(READ_BYTES)
        if not chunk:
            raise ConnectionResetError("the collector ended the connection")
        framer.feed(chunk)
    return frame
