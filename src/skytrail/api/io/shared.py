"""One store, several servers: following it, committing with conflicts, knowing how old a copy is.

    store --watch--> follow --> graph, feed             commit: compare everything that was read
    store <--revision (quorum)-- freshness              unknown outcome: settled by the server's mark

Every commit moves the server's mark, a key of its own, from the revision it knows. After a commit
whose outcome nobody told, either the mark says it happened, or moving the mark once more forbids it
for ever. So a change is never made twice and never reported lost when it was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import structlog

from skytrail.api import audit, feed, persistence, replica
from skytrail.api.audit import Entry, Head
from skytrail.api.graph import Graph, Overlay
from skytrail.api.heads import HeadReader
from skytrail.runtime.backoff import Backoff
from skytrail.store.plugin import Batch, Compare, ConfigStore, KeyValue, Put, StoreUnavailable
from skytrail.store.transaction import Transaction

PATIENCE_S: Final = 10.0
"""A write waits this long for a store without leader before its client gets an error."""
FRESH_WITHIN_S: Final = 0.6
"""A read waits this long for the store before it is answered from the copy, marked as old."""
PROBE_EVERY_S: Final = 0.5
MARKS: Final = "/e/mark/"
_GONE: Final = b"gone:"
_AUDIT_HEAD: Final = audit.HEADS + audit.CHAIN


class Fenced(Exception):
    """Another server has taken over the store; this one must not write any more."""


class SharedStore:
    """The store as one of several servers uses it."""

    def __init__(
        self, store: ConfigStore, graph: Graph, changes: feed.Feed, heads: HeadReader, fence: int
    ) -> None:
        self.server = uuid4().hex
        self.fence = fence
        self.conflicts_count = 0
        self.number_conflicts_count = 0
        """Of these, where another server had taken one of the numbers."""
        self._store = store
        self._graph = graph
        self._feed = changes
        self._heads = heads
        self._moved = asyncio.Event()
        self.audit_head = Head()
        self._audit_revision = 0
        self._mark_key = MARKS + self.server
        self._mark_revision = 0
        self._mark_count = 0
        self._unsettled: bytes | None = None
        self._probe: asyncio.Task[float | None] | None = None
        self._next_probe: asyncio.Task[float | None] | None = None
        self._fresh_at = asyncio.get_running_loop().time()
        self._lost = False
        self._log = structlog.get_logger("skytrail.api")

    def note_audit_head(self, held: KeyValue | None) -> None:
        """Take over where the audit log stands."""
        if held is not None:
            self.audit_head = audit.head_of(held)
            self._audit_revision = held.mod_revision

    def audit(self, transaction: Transaction, entries: Sequence[Entry], trim: Head | None) -> None:
        """Have the transaction continue the one audit log of all servers, or fail."""
        if trim is not None and trim.base_number <= self.audit_head.base_number:
            trim = None  # Another server was faster.
        writing = audit.writing_of(self.audit_head, entries, self._feed.revision, trim)
        if not writing.puts:
            return
        transaction.expect(_AUDIT_HEAD, self._audit_revision)
        for key, value in writing.puts:
            transaction.put(key, value)
        for key in writing.deletes:
            transaction.delete(key)

    async def follow(self) -> None:
        """Apply what the store tells, until cancelled.

        Raises Compacted when more was missed than the store remembers: start again.
        """
        while True:
            try:
                async for batch in self._store.watch("", self._feed.revision + 1):
                    self._apply(batch)
            except StoreUnavailable as error:
                self._log.warning("store_watch_failed", error=str(error))
                await asyncio.sleep(PROBE_EVERY_S)

    async def commit(self, transaction: Transaction) -> int | None:
        """Return the revision, once the graph has it; None for a conflict, once it is visible.

        Raises StoreUnavailable when the store could not be asked, or did not say in time what
        became of it.
        """
        if self._unsettled is not None:
            await self._settle(self._unsettled)
        self._mark_count += 1
        mark = str(self._mark_count).encode()
        transaction.expect(self._mark_key, self._mark_revision)
        transaction.put(self._mark_key, mark)
        try:
            result = await transaction.commit(self._store)
        except ValueError as error:
            raise StoreUnavailable(f"the store cannot keep this: {error}") from error
        except StoreUnavailable as error:
            self._log.warning("commit_unsettled", error=str(error))
            revision = await self._settle(mark)
            if revision is None:
                return None
        else:
            revision = result.revision
            if not result.succeeded:
                self.conflicts_count += 1
                await self.reach(revision)
                return None
            self._mark_revision = revision
        await self.reach(revision)
        return revision

    def note_conflict(self, plan: Overlay) -> None:
        """Count a conflict that has become visible as one about numbers, if it was one."""
        numbers = self._graph.numbers
        self.number_conflicts_count += any(
            owner is not None and numbers.owner(pool, value) not in (None, owner)
            for (pool, value), owner in plan.numbers.changed.items()
        )

    async def read_index(self) -> int:
        """Return the store's present revision; raises StoreUnavailable without a majority."""
        return await self._store.revision()

    async def reach(self, revision: int) -> bool:
        """Wait until the graph has this revision; tell whether it has."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self._feed.revision < revision:
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def staleness(self) -> float | None:
        """Return None once the graph is as new as the store was when asked; else its age in s.

        Requests that come while the store is being asked share the next question. While the
        store does not answer, nobody waits for it: it is asked in the background.
        """
        if self._lost:
            self._ask()
            return self._age()
        return await asyncio.shield(self._ask())

    async def close(self) -> None:
        """Leave nothing behind in the store."""
        for task in (self._probe, self._next_probe):
            if task is not None:
                task.cancel()
        try:
            await Transaction.deleting(self._mark_key).commit(self._store)
        except StoreUnavailable as error:
            self._log.info("mark_left_behind", key=self._mark_key, error=str(error))

    def _apply(self, batch: Batch) -> None:
        if any(change.key == persistence.FENCE for change in batch.changes):
            raise Fenced(
                "a server that shares with nobody, a restore or a move has taken the store"
            )
        for change in batch.changes:
            if change.key == _AUDIT_HEAD and change.value is not None:
                revision = batch.revision
                self.note_audit_head(KeyValue(change.key, change.value, revision, revision))
        history = self.audit_head.mark
        known = replica.apply(self._graph, self._heads, batch, history)
        if known.events or history != self._feed.history:
            self._feed.publish(known)
        else:
            self._feed.advance(batch.revision)
        self._moved.set()
        self._moved = asyncio.Event()

    async def _settle(self, mark: bytes) -> int | None:
        """Find out what became of a commit; None when it did not happen, and never will."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        delays = Backoff(first_s=0.05, maximum_s=0.5)
        self._unsettled = mark
        while True:
            try:
                held = await self._store.get(self._mark_key)
                if held is not None and held.value in (mark, _GONE + mark):
                    self._unsettled, self._mark_revision = None, held.mod_revision
                    return held.mod_revision if held.value == mark else None
                forbid = (Put(self._mark_key, _GONE + mark),)
                expected = (Compare(self._mark_key, self._mark_revision),)
                await self._store.transact(expected, forbid)
            except StoreUnavailable:
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(delays.next_delay_s())

    def _ask(self) -> asyncio.Task[float | None]:
        if self._next_probe is None:
            self._next_probe = asyncio.ensure_future(self._probe_after(self._probe))
        return self._next_probe

    async def _probe_after(self, previous: asyncio.Task[float | None] | None) -> float | None:
        if previous is not None:
            await asyncio.wait((previous,))
        if self._lost:
            await asyncio.sleep(PROBE_EVERY_S)
        self._probe, self._next_probe = self._next_probe, None
        asked_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(FRESH_WITHIN_S):
                await self.reach(await self._store.revision())
        except (TimeoutError, StoreUnavailable) as error:
            if not self._lost:
                self._log.warning("reads_may_be_stale", error=str(error) or "no answer in time")
            self._lost = True
            return self._age()
        if self._lost:
            self._log.info("reads_are_current")
        self._lost = False
        self._fresh_at = asked_at
        return None

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._fresh_at
