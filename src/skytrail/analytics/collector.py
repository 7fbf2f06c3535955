"""The collector's core: messages of generators in, UVEs kept, everything counted. Pure.

```
 session_up(hello) --> newest sequence numbers --> generator repeats what is newer
 receive(message)  --> UVE: UveTables    logs, statistics: rows that wait for history    others: counted
 session_down ... GRACE_S ... tick() --> what a gone generator said is taken back
```
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from skytrail.analytics.batch import Batch, BlockBatch, Waiting
from skytrail.analytics.copies import Copies
from skytrail.analytics.generators import Generators
from skytrail.analytics.history_rows import LOGGED, gap_row, is_timely, message_row
from skytrail.analytics.pieces import Heard, Told
from skytrail.analytics.sandesh_flows import MESSAGES as FLOWS_MESSAGES
from skytrail.analytics.sandesh_flows import flows_of
from skytrail.analytics.sandesh_sessions import MESSAGE as SESSIONS_MESSAGE
from skytrail.analytics.sandesh_sessions import sessions_of
from skytrail.analytics.sequences import Sequences
from skytrail.analytics.sessions import LATEST_US, NO_NAMES, block_of
from skytrail.analytics.statistics import rows_of_change, rows_of_message
from skytrail.analytics.tags import TagNames
from skytrail.analytics.told_rate import PER_SECOND_DEFAULT, SESSIONS_LEVEL, ToldRate
from skytrail.analytics.trust import Trust
from skytrail.analytics.uve import UveChange, UveTables, change_of
from skytrail.analytics.uve_room import machine_of
from skytrail.analytics.uve_stream import UveChanges
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import ClientHello, SandeshMessage, SandeshType
from skytrail.wire.telemetry import Lost, Sessions, Statistic, Texts

SNAPSHOTS_COUNT_MAX = 20_000
SNAPSHOTS_COUNT = 2_000
"""Rows of UVEs may be long: fewer of them are a batch."""
OVER_RATE = "over_rate"
_UVES = frozenset({SandeshType.UVE, SandeshType.ALARM})
_SESSIONS = frozenset({SandeshType.SESSION, SandeshType.FLOW})


class CollectorRefuses(Exception):
    """A generator cannot be admitted; the text says why."""


class Follower(Protocol):
    """Who is told of everything as it comes, and passes it on."""

    def uve(self, place: tuple[str, str, str, str]) -> None:
        """Take note: what a generator says changed there (table, key, struct, generator)."""
        ...

    def sessions(
        self, message: Sessions, source: str, named: Mapping[str, Texts] = NO_NAMES
    ) -> None:
        """Take over sessions that were checked; ``named`` are columns of tags that have their names."""
        ...


class Collector:
    """Everything one collector knows. Times are seconds of one monotonic clock."""

    def __init__(
        self, uves: UveTables | None = None, bytes_per_second: int = PER_SECOND_DEFAULT
    ) -> None:
        """``bytes_per_second`` is how much each machine may tell."""
        self.rate = ToldRate(bytes_per_second)
        self.uves = uves if uves is not None else UveTables()
        self.changes = UveChanges()
        self.generators = Generators()
        self.messages = Batch()
        """Rows of the message table that wait for the store."""
        self.sessions = BlockBatch()
        """Rows of the session table that wait for the store."""
        self.statistics = Batch()
        """Rows of the statistics' table that wait for the store."""
        self.gaps = Batch()
        """Rows of the table of gaps that wait for the store."""
        self.snapshots = Batch(SNAPSHOTS_COUNT_MAX, SNAPSHOTS_COUNT)
        """Rows of the table of UVEs over time that wait for the store."""
        self.heard = Heard()
        self.sequences = Sequences()
        self.copies = Copies()
        """What other nodes may have as well of what is told here."""
        self.tags = TagNames()
        """As configuration names them."""
        self.taken: Counter[str] = Counter()
        """Messages that came, by type."""
        self.dropped: Counter[str] = Counter()
        """Messages that were not taken, by reason."""
        self.follower: Follower | None = None
        self.trust: Trust | None = None
        """Who judges what machines tell by configuration; None: it is not followed."""

    def waiting(self) -> Mapping[str, Waiting]:
        """Return what waits for the store, by stored table."""
        return {
            "message": self.messages,
            "session": self.sessions,
            "stat": self.statistics,
            "gap": self.gaps,
            "uve": self.snapshots,
        }

    def session_up(
        self, hello: ClientHello, now: float, *, address: str, protocol: str
    ) -> Mapping[str, int]:
        """Admit a generator; returns per struct the sequence number after which it is to repeat what it says now."""
        admitted = self.generators.connected(
            hello.generator,
            now,
            address=address,
            pid=hello.pid,
            http_port=hello.http_port,
            protocol=protocol,
        )
        if admitted is None:
            raise CollectorRefuses("there are too many generators")
        if admitted[1]:
            # A new process counts from one again; by its old numbers it would repeat nothing.
            self._forget(hello.generator)
        newest = self.uves.newest(hello.generator)
        return self.sequences.session_up(hello.generator, hello.pid, newest)

    def session_down(self, generator: str, now: float) -> None:
        self.generators.disconnected(generator, now)

    def receive(
        self, generator: str, message: SandeshMessage, size: int, now: float, *, wall_us: int
    ) -> None:
        """Take a message over; what cannot be used is counted, for its generator as well."""
        self.count(generator, message.header.type.name.lower(), size)
        if message.header.generator != generator:
            self.drop(generator, "speaks_for_another")
            return
        self.sequences.note(generator, message, wall_us)
        header = message.header
        is_now = is_timely(header.timestamp_us, wall_us)
        if not is_now and header.type not in _UVES:
            self.drop(generator, "unusable")
            return
        is_session = header.type in _SESSIONS
        if header.type in _UVES:
            self.rate.pay(generator, size, now)
        elif not self.has_rate(
            generator, size, now, wall_us, level=SESSIONS_LEVEL if is_session else header.level,
            kind="session" if is_session else "log",
        ):  # fmt: skip
            return
        for row in rows_of_message(message):
            if not is_now:
                # What an entity is now counts whatever its clock says; its numbers would be of another day.
                self.drop(generator, "statistics_untimely")
                break
            self.statistics.add(row, source=header.source)
        if header.type in _UVES:
            self._uve(generator, message, now)
        elif header.type in LOGGED:
            self.keep(message)
        elif is_session:
            self._sessions(generator, message)
        else:
            self.drop(generator, "not_kept")

    def _sessions(self, generator: str, message: SandeshMessage) -> None:
        """Have sessions or flows of an agent that speaks Sandesh written to history."""
        named = NO_NAMES
        try:
            if message.name == SESSIONS_MESSAGE:
                found = sessions_of(message, self.tags)
                told, named = found.told, found.tags
            elif message.name in FLOWS_MESSAGES:
                told = flows_of(message)
            else:
                self.drop(generator, "not_kept")
                return
            self.keep_sessions(told, message.header.source, named=named)
        except DecodeError:
            self.drop(generator, "unusable")

    def keep(self, message: SandeshMessage, told: Told | None = None) -> None:
        """Have a message of a log written to history; ``told`` as of :meth:`Batch.add`."""
        header = message.header
        self.messages.add(message_row(message), header.level, header.source, told)

    def keep_sessions(
        self,
        message: Sessions,
        source: str,
        latest_us: int = LATEST_US,
        named: Mapping[str, Texts] = NO_NAMES,
        told: Told | None = None,
    ) -> None:
        """Have sessions of a host written to history; ``DecodeError`` when they cannot be."""
        block = block_of(message, source, self.tags, latest_us, named=named)
        self.sessions.add(block, source, told)
        if self.follower is not None:
            self.follower.sessions(message, source, named)

    def keep_gap(self, source: str, module: str, lost: Lost, told: Told | None = None) -> None:
        """Have it written to history that something is missing there; ``DecodeError`` for no gap."""
        self.gaps.add(gap_row(source, module, lost), source=source, told=told)

    def count(self, generator: str, kind: str, size: int) -> None:
        """Count a message that came."""
        self.taken[kind] += 1
        known = self.generators.get(generator)
        if known is not None:
            known.messages_count += 1
            known.bytes_count += size

    def _uve(self, generator: str, message: SandeshMessage, now: float) -> None:
        try:
            change = change_of(message)
        except DecodeError:
            self.drop(generator, "uve_without_key")
            return
        self.apply(change, now)

    def apply(
        self,
        change: UveChange,
        now: float,
        statistics: Sequence[Statistic] = (),
        wall_us: int = 0,
    ) -> None:
        """Take a change of a UVE over; ``wall_us`` is when its statistics were so."""
        if statistics and not change.is_deleted:
            former = self.uves.said(change.table, change.key, change.struct, change.generator)
            for row in rows_of_change(change, former, statistics, wall_us):
                self.statistics.add(row, source=machine_of(change.generator))
        if self.uves.apply(change, now):
            place = (change.table, change.key, change.struct)
            self.changes.note(place)
            if self.follower is not None:
                self.follower.uve((*place, change.generator))
        else:
            self.drop(change.generator, "no_room")

    def has_rate(
        self,
        generator: str,
        size: int,
        now: float,
        wall_us: int,
        *,
        level: int = SESSIONS_LEVEL,
        kind: str = "session",
        count: int = 1,
    ) -> bool:
        """Tell whether a machine may still tell this; if not, it is counted, and a gap is told."""
        if self.rate.admits(generator, size, level, now):
            return True
        self.drop(generator, OVER_RATE, count)
        self.rate.note_shed(generator, kind, count, wall_us)
        return False

    def drop(self, generator: str, reason: str, count: int = 1) -> None:
        """Count messages, or sessions of one, that were not taken."""
        self.dropped[reason] += count
        known = self.generators.get(generator)
        if known is not None:
            known.dropped[reason] = known.dropped.get(reason, 0) + count

    def tick(self, now: float, wall_us: int = 0) -> None:
        """Take back what generators said that are gone for good, tell gaps; call about every second."""
        for name, shed in self.rate.tick(now):
            for kind, count in shed.counts.items():
                until_us = max(shed.since_us, wall_us)
                lost = Lost(
                    kind=kind, count=count, reason=OVER_RATE, since_us=shed.since_us, until_us=until_us
                )  # fmt: skip
                self._keep_gap_of(name, lost)
        for name, lost in self.sequences.tick():
            self._keep_gap_of(name, lost)
        for name in self.generators.expired(now):
            self._forget(name)
        if self.trust is not None:
            for change in self.trust.tick(now):
                self.apply(change, now)

    def _keep_gap_of(self, generator: str, lost: Lost) -> None:
        source, _, module, _ = (*generator.split(":"), "", "", "")[:4]
        self.keep_gap(source, module, lost)

    def _forget(self, generator: str) -> None:
        """Take back all that a generator said."""
        if self.trust is not None:
            self.trust.forget(generator)
        for place in self.uves.forget(generator):
            self.changes.note(place)
            if self.follower is not None:
                self.follower.uve((*place, generator))
