"""Writes waiting rows to history: every second, in batches, again until the store took them.

A batch has a token, so that one whose answer was lost is not written twice. While the store is away rows wait in their
:mod:`batch <skytrail.analytics.batch>`, which sheds by severity; nothing here grows.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final

import structlog

from skytrail.analytics.batch import Piece, Waiting
from skytrail.analytics.io.history import History, HistoryRefused, HistoryUnavailable

EVERY_S: Final = 1.0
LOOK_S: Final = 0.1
"""How often it is looked whether there is enough for a batch before its time."""
RETRY_S: Final = 1.0
PIECE_COUNT: Final = 100
"""So few rows are not divided further. They are in no more partitions than the store takes at once."""


class HistoryWriter:
    """One task that empties the batches, by stored table."""

    def __init__(self, history: History, batches: Mapping[str, Waiting]) -> None:
        self._history = history
        self._batches = batches
        self._log = structlog.get_logger("skytrail.analytics.history")
        self.is_away = True
        """Whether the store did not take the last thing it was given."""
        self.written_count = 0
        self.refused_count = 0
        """Rows that the store would never take."""

    async def run(self, keep_hours: Mapping[str, int]) -> None:
        """Write until cancelled."""
        await self._prepare(keep_hours)
        waited_s = 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            waited_s += LOOK_S
            is_due = waited_s >= EVERY_S
            for table, batch in self._batches.items():
                while len(batch) >= (1 if is_due else batch.full_count):
                    await self._write(table, batch)
            waited_s = 0.0 if is_due else waited_s

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

    async def _write(self, table: str, batch: Waiting) -> None:
        """Write some rows. Of what the store refuses, halves are tried: one row is not all others' loss."""
        pieces = [batch.take_piece()]
        while pieces:
            piece = pieces.pop()
            count = piece.count
            reason = await self._insert(table, piece)
            halves = piece.halves() if reason and count > PIECE_COUNT else []
            pieces += reversed(halves)
            if not reason:
                self.written_count += count
            elif not halves:
                # A row that does not fit its column is our defect; others must not wait for it.
                self.refused_count += count
                self._log.error("rows_refused", table=table, rows=count, reason=reason)

    async def _insert(self, table: str, piece: Piece) -> str:
        """Write rows, as long as that takes; return why the store refuses them, or nothing."""
        token = secrets.token_hex(16)
        body = piece.body()
        while True:
            try:
                await self._history.insert(table, body, piece.format, token)
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
