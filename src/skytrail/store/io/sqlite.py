"""The store in one SQLite file: the embedded default.

One writer commits groups durably (see sqlite_writer), reader threads see snapshots, and watchers
follow the log. Several processes may open the same file: every transaction reads the
present revision under SQLite's write lock, and a slow poll notices what other processes wrote.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from skytrail.runtime.clock import Clock
from skytrail.store.io import sqlite_file, sqlite_reader
from skytrail.store.io.election import POLL_S, GrantsLeases
from skytrail.store.io.feed import Feed
from skytrail.store.io.sqlite_jobs import (
    Allocate,
    Campaign,
    DiscardLog,
    DropLease,
    Free,
    Resign,
    SetCompacted,
    WriteLease,
    transaction,
)
from skytrail.store.io.sqlite_writer import StartWriter, ThreadWriter, Writer
from skytrail.store.key_space import allocation_key
from skytrail.store.plugin import (
    Batch,
    Compare,
    KeyValue,
    Operation,
    Page,
    StoreUnavailable,
    TransactionResult,
)
from skytrail.store.transaction import check_key, check_transaction

READER_THREADS: Final = 2
FOLLOW_POLL_S: Final = 0.25
"""How late a watcher may learn of a change another process made; own changes are instant."""

T = TypeVar("T")


class SqliteStore(GrantsLeases):
    """A ConfigStore; make it with ``await SqliteStore.open(path)`` on the loop that uses it."""

    def __init__(
        self, path: Path, feed: Feed, writer: Writer, clock: Clock | None, poll_s: float
    ) -> None:
        super().__init__(clock, poll_s)
        self._path = path
        self._feed = feed
        self._writer = writer
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="store-reader")
        self._per_thread = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False
        self._follower = asyncio.ensure_future(self._follow_others())

    @classmethod
    async def open(
        cls,
        path: str | Path,
        *,
        clock: Clock | None = None,
        poll_s: float = POLL_S,
        start_writer: StartWriter = ThreadWriter.start,
    ) -> SqliteStore:
        """Open or create the file; raises StoreUnavailable or StoreDamaged, saying what to do."""
        place = Path(path)
        present = await asyncio.to_thread(sqlite_file.prepare, place)
        feed = Feed(present.revision)
        feed.compact(present.compacted)
        writer = await start_writer(place, _boot_id(), feed)
        return cls(place, feed, writer, clock, poll_s)

    async def get(self, key: str, revision: int | None = None) -> KeyValue | None:
        check_key(key)
        return await self._read(lambda connection: sqlite_reader.get(connection, key, revision))

    async def range(
        self,
        prefix: str,
        *,
        start: str | None = None,
        limit: int = 500,
        revision: int | None = None,
    ) -> Page:
        if limit < 1:
            raise ValueError(f"limit {limit} is below 1")
        return await self._read(
            lambda connection: sqlite_reader.get_range(
                connection, prefix, start=start, limit=limit, revision=revision
            )
        )

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> TransactionResult:
        check_transaction(compares, then, otherwise)
        done = await self._writer.submit(transaction(compares, then, otherwise))
        return TransactionResult(bool(done.value), done.revision)

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Batch]:
        return self._feed.follow(prefix, from_revision, self._read_log)

    async def allocate(
        self, pool: str, low: int, high: int, owner: str, want: int | None = None
    ) -> int:
        allocation_key(pool, low)
        allocation_key(pool, high)
        if want is not None and not low <= want <= high:
            raise ValueError(f"{want} is outside {low}..{high} of {pool}")
        return (await self._writer.submit(Allocate(pool, low, high, owner, want))).value

    async def free(self, pool: str, value: int, owner: str) -> None:
        await self._writer.submit(Free(pool, value, owner))

    async def revision(self) -> int:
        return (await self._read(sqlite_file.horizon)).revision

    async def compact(self, revision: int) -> None:
        await self._writer.submit(SetCompacted(revision))
        self._feed.compact(revision)
        while (await self._writer.submit(DiscardLog(revision))).value:
            pass

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._follower.cancel()
        await asyncio.gather(self._follower, return_exceptions=True)
        await self._writer.close()
        self._feed.close()
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._connections:
            connection.close()

    async def write_lease(self, lease_id: str, expires: float, now: float, *, renew: bool) -> bool:
        done = await self._writer.submit(WriteLease(lease_id, expires, now, renew))
        return bool(done.value)

    async def drop_lease(self, lease_id: str) -> None:
        await self._writer.submit(DropLease(lease_id))

    async def campaign(self, name: str, lease_id: str, now: float) -> bool:
        return bool((await self._writer.submit(Campaign(name, lease_id, now))).value)

    async def resign(self, name: str, lease_id: str) -> None:
        await self._writer.submit(Resign(name, lease_id))

    async def _read_log(self, position: int) -> Sequence[Batch]:
        return await self._read(lambda connection: sqlite_reader.get_log(connection, position))

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._readers, self._read_in_thread, read)
        except sqlite3.Error as error:
            raise sqlite_file.translate(error, self._path) from error

    def _read_in_thread(self, read: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._per_thread, "connection", None)
        if connection is None:
            connection = sqlite_file.connect(self._path)
            self._per_thread.connection = connection
            self._connections.append(connection)
        return sqlite_reader.in_snapshot(connection, read)

    async def _follow_others(self) -> None:
        """Notice revisions other processes wrote, while a watcher waits."""
        while True:
            await asyncio.sleep(FOLLOW_POLL_S)
            if not self._feed.waiting_count:
                continue
            try:
                self._feed.jump(await self.revision())
            except StoreUnavailable:
                continue  # The watcher's own read will tell.


def _boot_id() -> str:
    """Name the boot whose monotonic clock the leases are reckoned by."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
