"""Keeps waiting rows: first where the end of this process does not lose them, then in the store.

```
 batches --every second, or when one is full--> bundle --> spool (disk) --> acknowledged
                                                             `--oldest first, until taken--> store
```
Pieces of a bundle have tokens, so that one whose answer was lost is not stored twice, nor one that was read again after a
restart. Where there are other nodes, only what no other node can have goes into the store at once
(:mod:`skytrail.analytics.io.judging`). While the store is away bundles stay in the spool; when that is full rows wait in their
:mod:`batch <skytrail.analytics.batch>`, which sheds by severity; nothing here grows.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from skytrail.analytics.collector import Collector
from skytrail.analytics.copies import Copies
from skytrail.analytics.io.history import History, HistoryRefused, HistoryUnavailable
from skytrail.analytics.io.spool import Spool, SpoolUnusable
from skytrail.analytics.pieces import Bundle, Copied, Piece
from skytrail.analytics.uve_past import NODE_WAS_DOWN
from skytrail.runtime.clock import Clock
from skytrail.wire.telemetry import Lost

EVERY_S: Final = 1.0
LOOK_S: Final = 0.1
"""How often it is looked whether there is enough for a bundle before its time."""
RETRY_S: Final = 1.0
PING_S: Final = 2.0
"""After so long without rows it is asked whether the store is there."""
PIECE_COUNT: Final = 100
"""So few rows are not divided further. They are in no more partitions than the store takes at once."""
MODULE: Final = "contrail-collector"
_KINDS: Final = {"message": "log", "session": "session", "uve": "uve"}

Acknowledge = Callable[[Mapping[str, int]], None]
Judge = Callable[[Bundle], Awaitable[Bundle]]
"""Returns what of a bundle may go into the store now."""


class HistoryWriter:
    """Two tasks: one empties the batches into the spool, one the spool into the store.

    With ``judge`` it is waited for what judges a bundle, which may set rows aside that another node may have.
    """

    def __init__(
        self,
        history: History,
        collector: Collector,
        spool: Spool,
        clock: Clock,
        *,
        name: str,
        acknowledge: Acknowledge,
        judge: Judge | None = None,
    ) -> None:
        self._history = history
        self._collector = collector
        self._spool = spool
        self._clock = clock
        self._name = name
        self._acknowledge = acknowledge
        # What is not on disk is acknowledged when the store has it: it cannot wait beside.
        self._judge = judge if spool.is_durable else None
        self._adding = asyncio.Lock()
        self._shed: dict[str, int] = {}
        self._bundled_us = round(clock.wall() * 1e6)
        self._log = structlog.get_logger("skytrail.analytics.history")
        self.is_away = True
        """Whether the store did not take the last thing it was given."""
        self.written_count = 0
        self.refused_count = 0
        """Rows that the store would never take."""
        self.spool_failures_count = 0

    def resume(self) -> None:
        """Go on from what a former process of this node left. Call it before anybody is heard."""
        left = self._spool.settled
        if left is None:
            return
        copied = Copied({}, [], []) if left.copied is None else left.copied
        self._copies.resume(copied, left.positions, len(self._spool))
        self._collector.heard.kept = dict(left.positions)
        # What is not numbered (Sandesh, syslog, numbers over time) was not told again, or not to us.
        self.keep_gap("all", 0, NODE_WAS_DOWN, left.until_us)

    @property
    def _copies(self) -> Copies:
        return self._collector.copies

    async def run(self, keep_hours: Mapping[str, int]) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._bundle(), name="analytics-spool")
            group.create_task(self._store(keep_hours), name="analytics-store")

    async def _bundle(self) -> None:
        waited_s = 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            waited_s += LOOK_S
            batches = self._collector.waiting().values()
            is_due = waited_s >= EVERY_S or any(each.is_full for each in batches)
            if is_due and self._spool.has_room:
                waited_s = 0.0
                async with self._adding:
                    await self._keep(self._taken())

    def _taken(self) -> Bundle:
        """Take all that waits."""
        pieces: list[Piece] = []
        self._note_shed()
        for table, batch in self._collector.waiting().items():
            while len(batch):
                form, parts = batch.take_parts()
                pieces.append(Piece(table, form, secrets.token_hex(16), parts))
        self._bundled_us = round(self._clock.wall() * 1e6)
        copied = self._copies.taken(self._bundled_us) if self._copies.is_wanted else None
        return Bundle(pieces, self._collector.heard.positions(), self._bundled_us, copied)

    async def add_judged(self, pieces: Sequence[Piece]) -> None:
        """Have rows stored that were set aside, and what is known of copies kept with them."""
        async with self._adding:
            copied = self._copies.known()
            self._copies.made += 1
            positions = self._collector.heard.kept
            await self._keep(
                Bundle(list(pieces), positions, self._bundled_us, copied, is_judged=True)
            )

    async def _keep(self, bundle: Bundle) -> None:
        """Have a bundle kept, as long as that takes. An empty one says when the node was there last."""
        while True:
            try:
                await asyncio.to_thread(self._spool.add, bundle)
            except OSError as error:
                self.spool_failures_count += 1
                self._log.error("spool_failed", reason=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                break
        if self._spool.is_durable:
            self._acknowledge(self._collector.heard.keep(bundle.positions))

    def _note_shed(self) -> None:
        """Have gaps told of what found no room since the last bundle."""
        for table, batch in self._collector.waiting().items():
            total = batch.shed.total()
            count = total - self._shed.get(table, 0)
            self._shed[table] = total
            if count:
                self.keep_gap(_KINDS.get(table, "all"), count, "no_room", self._bundled_us)

    def keep_gap(self, kind: str, count: int, reason: str, since_us: int) -> None:
        """Have it told that something is missing since then; a ``count`` of 0: nobody knows how much."""
        until_us = max(since_us, round(self._clock.wall() * 1e6))
        lost = Lost(kind=kind, count=count, reason=reason, since_us=since_us, until_us=until_us)
        self._collector.keep_gap(self._name, MODULE, lost)

    async def _store(self, keep_hours: Mapping[str, int]) -> None:
        await self._prepare(keep_hours)
        idle_s = 0.0
        while True:
            bundle = await self._first()
            if bundle is None or not bundle.pieces:
                idle_s += LOOK_S if bundle is None else 0.0
                if idle_s >= PING_S:
                    idle_s = 0.0
                    await self._ping()
            else:
                idle_s = 0.0
                if self._judge is not None and not bundle.is_judged:
                    bundle = await self._judge(bundle)
                for piece in bundle.pieces:
                    await self._write(piece)
            if bundle is None:
                await asyncio.sleep(LOOK_S)
                continue
            self._copies.passed()
            await asyncio.to_thread(self._spool.done, bundle)
            if not self._spool.is_durable:
                self._acknowledge(self._collector.heard.keep(bundle.positions))

    async def _first(self) -> Bundle | None:
        try:
            return await asyncio.to_thread(self._spool.first)
        except SpoolUnusable as error:
            self._log.error("spool_unusable", reason=str(error))
            await asyncio.to_thread(self._spool.skip)
            self._copies.passed()
            self.keep_gap("all", 0, "spool_unreadable", self._bundled_us)
            return None

    async def _ping(self) -> None:
        """Find out whether the store is there, though nobody has rows for it."""
        try:
            await self._history.ping()
        except (HistoryUnavailable, HistoryRefused) as error:
            self._note(HistoryUnavailable(str(error)))
        else:
            self._note(None)

    async def _prepare(self, keep_hours: Mapping[str, int]) -> None:
        while True:
            try:
                await self._history.prepare(keep_hours)
            except HistoryUnavailable as error:
                self._note(error)
                await asyncio.sleep(RETRY_S)
            else:
                self._note(None)
                return

    async def _write(self, taken: Piece) -> None:
        """Write some rows. Of what the store refuses, halves are tried: one row is not all others' loss."""
        pieces = [taken]
        while pieces:
            piece = pieces.pop()
            count = piece.count
            reason = await self._insert(piece)
            halves = piece.halves() if reason and count > PIECE_COUNT else []
            pieces += reversed(halves)
            if not reason:
                self.written_count += count
            elif not halves:
                # A row that does not fit its column is our defect; others must not wait for it.
                self.refused_count += count
                self._log.error("rows_refused", table=piece.table, rows=count, reason=reason)

    async def _insert(self, piece: Piece) -> str:
        """Write rows, as long as that takes; return why the store refuses them, or nothing."""
        body = piece.body()
        while True:
            try:
                await self._history.insert(piece.table, body, piece.format, piece.token)
            except HistoryUnavailable as error:
                self._note(error)
                await asyncio.sleep(RETRY_S)
            except HistoryRefused as error:
                self._note(None)
                return str(error)
            else:
                self._note(None)
                return ""

    def _note(self, error: HistoryUnavailable | None) -> None:
        if error is not None and not self.is_away:
            self._log.warning("history_away", reason=str(error))
        elif error is None and self.is_away:
            self._log.info("history_there")
        self.is_away = error is not None
