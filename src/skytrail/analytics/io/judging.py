"""Judges rows before they go into the store: what another node may have as well is set aside until that is known.

```
 bundle --judge--> confirmed by their processes: stay, into the store
              `--> not confirmed, and not any more: aside (disk) --copies?--> all other nodes
                       another node keeps them: dropped and counted <---------------'
                       none does: a bundle of their own, into the store
```
While one of the other nodes does not answer they wait: answers say that its part is missing.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from skytrail.analytics.copies import Copies, given_up
from skytrail.analytics.io.other_nodes import OtherNodes, Parts
from skytrail.analytics.io.retold import JUDGED_S, CopiesPart, CopiesQuestion
from skytrail.analytics.io.spool import Spool, SpoolUnusable
from skytrail.analytics.io.writer import HistoryWriter
from skytrail.analytics.pieces import Bundle, Piece, Range
from skytrail.runtime.clock import Clock

CONFIRM_S: Final = 2.0
"""So long it is waited for processes that are connected to confirm."""
ASK_EVERY_S: Final = 2.0
ASIDE_BYTES_MAX: Final = 64 << 20
"""Set aside; beyond, the oldest goes into the store though another node may have it, counted."""
_LOOK_S: Final = 0.02


class Judging:
    """What is set aside, and asked of others."""

    def __init__(
        self, copies: Copies, spool: Spool, others: OtherNodes | None, clock: Clock, name: str
    ) -> None:
        """Without ``others`` only what is left from a time when there were some is stored."""
        self._copies = copies
        self._spool = spool
        self._others = others
        self._clock = clock
        self._name = name
        self._log = structlog.get_logger("skytrail.analytics.copies")
        self.withdrawn_count = 0
        """Rows that another node keeps."""
        self.unjudged_count = 0
        """Rows that were stored though another node may have them: too many waited."""
        copies.is_wanted = spool.is_durable and others is not None

    async def judge(self, bundle: Bundle) -> Bundle:
        """Return what of the oldest bundle may go into the store; the rest is set aside."""
        ranges = bundle.ranges()
        deadline = self._clock.now() + CONFIRM_S
        while self._copies.may_confirm(ranges):
            if self._clock.now() >= deadline:
                break
            await asyncio.sleep(_LOOK_S)
        doubtful = self._copies.doubtful(ranges)
        if not doubtful:
            if ranges:
                await asyncio.to_thread(self._spool.judged)
            return bundle
        stays, aside = _divided(bundle, doubtful)
        await asyncio.to_thread(self._spool.set_aside, stays, aside)
        return stays

    async def run(self, writer: HistoryWriter) -> None:
        """Find out what becomes of what is set aside, until cancelled."""
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            for number in sorted(self._spool.aside):
                await self._settle(number, writer)

    async def _settle(self, number: int, writer: HistoryWriter) -> None:
        waiting_bytes = sum(size for size, _ in self._spool.aside.values())
        _, ranges = self._spool.aside[number]
        parts = await self._asked(CopiesQuestion(ranges))
        is_over = waiting_bytes > ASIDE_BYTES_MAX
        if parts.missing and not is_over:
            return
        elsewhere = [
            each
            for part in parts.told
            for each in given_up(ranges, self._name, part.node, part.kept, part.aside)
        ]
        try:
            bundle = await asyncio.to_thread(self._spool.read_aside, number)
        except SpoolUnusable as error:
            self._log.error("spool_unusable", reason=str(error))
            self._spool.aside.pop(number)
            return
        stays, gone = _divided(bundle, elsewhere)
        self._copies.forget(elsewhere)
        self._copies.keep(stays.ranges(), round(self._clock.wall() * 1e6))
        await writer.add_judged(stays.pieces)
        await asyncio.to_thread(self._spool.aside_done, number)
        withdrawn = sum(piece.count for piece in gone)
        self.withdrawn_count += withdrawn
        if parts.missing:
            count = sum(piece.count for piece in stays.pieces)
            self.unjudged_count += count
            self._log.warning("rows_perhaps_twice", rows=count, missing=dict(parts.missing))
        elif withdrawn:
            self._log.info(
                "rows_withdrawn", rows=withdrawn, nodes=[each.node for each in parts.told]
            )

    async def _asked(self, question: CopiesQuestion) -> Parts[CopiesPart]:
        if self._others is None:
            return Parts([])
        return await self._others.ask(
            "copies", question, CopiesPart, within_s=JUDGED_S + ASK_EVERY_S
        )


def _divided(bundle: Bundle, aside: list[Range]) -> tuple[Bundle, list[Piece]]:
    by_run: dict[tuple[str, int], list[Range]] = {}
    for each in aside:
        by_run.setdefault((each.generator, each.run), []).append(each)
    return bundle.divided(
        lambda generator, run, number: any(
            each.first <= number <= each.last for each in by_run.get((generator, run), ())
        )
    )
