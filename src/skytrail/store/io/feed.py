"""Following the change log: from the log while behind, from memory once level with the writer.

Each watcher keeps its own position and pulls; there is no queue per watcher to overflow, a slow
one only reads older revisions from the log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import islice
from typing import Final

from skytrail.store.plugin import Batch, Compacted, StoreUnavailable

RECENT_BATCHES_MAX: Final = 8192
RECENT_BYTES_MAX: Final = 32 * 1024 * 1024

ReadLog = Callable[[int], Awaitable[Sequence[Batch]]]
"""Return the first batches with revision >= the argument, in order; raises Compacted."""


class Feed:
    """The most recent batches without gaps, and the wake-up of those who wait for more."""

    def __init__(self, latest: int) -> None:
        self.latest = latest
        self.waiting_count = 0
        self._followers_count = 0
        self._compacted = 0
        self._recent: deque[tuple[Batch, int]] = deque()
        self._recent_bytes = 0
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def has_followers(self) -> bool:
        """Whether anybody would take batches from memory; otherwise a jump will do."""
        return self._followers_count > 0

    def publish(self, batches: Sequence[Batch]) -> None:
        """Add committed batches, in order; wakes the watchers."""
        for batch in batches:
            if batch.revision <= self.latest:
                continue
            if batch.revision != self.latest + 1:
                self._forget_recent()
            size = sum(len(change.value or b"") + len(change.key) for change in batch.changes)
            self._recent.append((batch, size))
            self._recent_bytes += size
            self.latest = batch.revision
        while len(self._recent) > RECENT_BATCHES_MAX or self._recent_bytes > RECENT_BYTES_MAX:
            self._recent_bytes -= self._recent.popleft()[1]
        self._wake()

    def jump(self, revision: int) -> None:
        """Note that another process wrote up to this revision; watchers read it from the log."""
        if revision > self.latest:
            self._forget_recent()
            self.latest = revision
            self._wake()

    def compact(self, revision: int) -> None:
        """Refuse positions up to this revision from now on."""
        self._compacted = max(self._compacted, revision)
        while self._recent and self._recent[0][0].revision <= revision:
            self._recent_bytes -= self._recent.popleft()[1]

    def close(self) -> None:
        """End every watcher with StoreUnavailable."""
        self._closed = True
        self._wake()

    async def follow(
        self, prefix: str, from_revision: int, read_log: ReadLog
    ) -> AsyncIterator[Batch]:
        """Yield batches from a revision on, cut to the prefix; raises Compacted."""
        self._followers_count += 1
        try:
            async for batch in self._batches_from(max(1, from_revision), read_log):
                cut = _cut(batch, prefix)
                if cut is not None:
                    yield cut
        finally:
            self._followers_count -= 1

    async def _batches_from(self, position: int, read_log: ReadLog) -> AsyncIterator[Batch]:
        while True:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            if position <= self._compacted:
                raise Compacted(f"revision {position} is discarded up to {self._compacted}")
            batches = self._recent_from(position)
            if batches is None:
                batches = await read_log(position)
            if not batches:
                await self._wait_beyond(position - 1)
            for batch in batches:
                position = batch.revision + 1
                yield batch

    def _recent_from(self, position: int) -> Sequence[Batch] | None:
        """Return batches from memory, empty when level, None when the log must be read."""
        if position > self.latest:
            return ()
        if not self._recent or self._recent[0][0].revision > position:
            return None
        skipped = position - self._recent[0][0].revision
        return [batch for batch, _size in islice(self._recent, skipped, skipped + 256)]

    async def _wait_beyond(self, revision: int) -> None:
        while self.latest <= revision and not self._closed:
            self.waiting_count += 1
            try:
                await self._changed.wait()
            finally:
                self.waiting_count -= 1

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _forget_recent(self) -> None:
        self._recent.clear()
        self._recent_bytes = 0


def _cut(batch: Batch, prefix: str) -> Batch | None:
    if not prefix:
        return batch
    changes = tuple(change for change in batch.changes if change.key.startswith(prefix))
    if changes and len(changes) == len(batch.changes):
        return batch
    return Batch(batch.revision, changes) if changes else None
