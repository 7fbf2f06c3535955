"""The one thread that writes the SQLite file, many callers' jobs in one durable commit.

    callers --jobs--> queue --up to GROUP_JOBS_MAX--> BEGIN IMMEDIATE, run each, COMMIT (fsync)
                                                        |
    callers <--results, then batches to the watchers----+   (on the loop, in commit order)

While one commit waits for the disk the next group gathers, so throughput grows with concurrency
and a lone writer waits for one fsync. A job raises before it changes anything, or not at all;
an error of SQLite undoes the whole group and fails all its jobs.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import structlog

from skytrail.store.allocate import LowestFree, first_gap
from skytrail.store.io import sqlite_file
from skytrail.store.key_space import ALLOCATIONS, allocation_key, split_allocation_key
from skytrail.store.plugin import (
    AlreadyAllocated,
    Batch,
    Change,
    Compare,
    Delete,
    KeyValue,
    Operation,
    PoolExhausted,
    Put,
    StoreUnavailable,
    TransactionResult,
)

GROUP_JOBS_MAX: Final = 256
WAITING_JOBS_MAX: Final = 4096
COMPACT_ROWS_PER_JOB: Final = 5000
T = TypeVar("T")


class Session:
    """What a job may do, inside the group's transaction; used by the writer thread alone.

    Changes gather in memory and go to the file in bulk when the group ends.
    """

    def __init__(self, connection: sqlite3.Connection, boot: str) -> None:
        self._connection = connection
        self._boot = boot
        self._hints = LowestFree()
        self._seen: dict[str, KeyValue | None] = {}
        self._changed: set[str] = set()
        self._log_rows: list[tuple[object, ...]] = []
        self._revision = 0
        self._begun_at = 0
        self._batches: list[Batch] = []

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._revision = self._begun_at = sqlite_file.horizon(self._connection).revision
        self._batches = []
        self._seen.clear()

    def commit(self) -> Sequence[Batch]:
        """Make the group durable; return its batches."""
        self._flush()
        if self._revision != self._begun_at:
            self._connection.execute(
                "UPDATE meta SET number = ? WHERE name = 'revision'", (self._revision,)
            )
        self._connection.execute("COMMIT")
        return self._batches

    def roll_back(self) -> None:
        self._hints.forget()
        self._changed.clear()
        self._log_rows.clear()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation],
    ) -> TransactionResult:
        holds = all(self._mod_revision(each.key) == each.mod_revision for each in compares)
        self._apply(then if holds else otherwise)
        return TransactionResult(holds, self._revision)

    def allocate(self, pool: str, low: int, high: int, owner: str) -> int:
        start = self._hints.start(pool, low)
        chosen = self._first_free(pool, start, high)
        if chosen is None and start > low:  # Another process may have freed one below.
            chosen = self._first_free(pool, low, high)
        if chosen is None:
            raise PoolExhausted(f"{pool} has no free number in {low}..{high}")
        self._apply((Put(allocation_key(pool, chosen), owner.encode()),))
        self._hints.taken_below(pool, low, chosen + 1)
        return chosen

    def allocate_wanted(self, pool: str, want: int, owner: str) -> int:
        key = allocation_key(pool, want)
        held = self._current(key)
        if held is None:
            self._apply((Put(key, owner.encode()),))
        elif held.value != owner.encode():
            raise AlreadyAllocated(pool, want, held.value.decode())
        return want

    def free(self, pool: str, value: int, owner: str) -> None:
        key = allocation_key(pool, value)
        held = self._current(key)
        if held is None:
            return
        if held.value != owner.encode():
            raise AlreadyAllocated(pool, value, held.value.decode())
        self._apply((Delete(key),))

    def set_compacted(self, revision: int) -> None:
        if revision > self._revision:
            raise ValueError(f"revision {revision} is to come; the current is {self._revision}")
        self._connection.execute(
            "UPDATE meta SET number = max(number, ?) WHERE name = 'compacted'", (revision,)
        )

    def discard_log(self, revision: int) -> int:
        """Delete some log rows up to the revision; return how many (0: none are left)."""
        self._flush()
        return self._connection.execute(
            "DELETE FROM log WHERE (rev, position) IN"
            " (SELECT rev, position FROM log WHERE rev <= ? LIMIT ?)",
            (revision, COMPACT_ROWS_PER_JOB),
        ).rowcount

    def write_lease(self, lease_id: str, expires: float, now: float, *, renew: bool) -> bool:
        if renew and not self._lease_valid(lease_id, now):
            return False
        self._connection.execute(
            "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)", (lease_id, self._boot, expires)
        )
        self._connection.execute(
            "DELETE FROM lease WHERE boot != ? OR expires < ?", (self._boot, now - 3600)
        )
        return True

    def drop_lease(self, lease_id: str) -> None:
        self._connection.execute("DELETE FROM lease WHERE id = ?", (lease_id,))

    def campaign(self, name: str, lease_id: str, now: float) -> bool:
        row: tuple[str] | None = self._connection.execute(
            "SELECT lease FROM leader WHERE name = ?", (name,)
        ).fetchone()
        if row is not None and row[0] != lease_id and self._lease_valid(row[0], now):
            return False
        self._connection.execute("INSERT OR REPLACE INTO leader VALUES (?, ?)", (name, lease_id))
        return True

    def resign(self, name: str, lease_id: str) -> None:
        self._connection.execute(
            "DELETE FROM leader WHERE name = ? AND lease = ?", (name, lease_id)
        )

    def _lease_valid(self, lease_id: str, now: float) -> bool:
        row: tuple[str, float] | None = self._connection.execute(
            "SELECT boot, expires FROM lease WHERE id = ?", (lease_id,)
        ).fetchone()
        return row is not None and row[0] == self._boot and row[1] > now

    def _current(self, key: str) -> KeyValue | None:
        if key in self._seen:
            return self._seen[key]
        row: tuple[str, bytes, int, int] | None = self._connection.execute(
            "SELECT key, value, create_rev, mod_rev FROM kv WHERE key = ?", (key,)
        ).fetchone()
        held = None if row is None else KeyValue(*row)
        self._seen[key] = held
        return held

    def _mod_revision(self, key: str) -> int:
        held = self._current(key)
        return 0 if held is None else held.mod_revision

    def _apply(self, operations: Sequence[Operation]) -> None:
        revision = self._revision + 1
        changes: list[Change] = []
        for operation in operations:
            key, held = operation.key, self._current(operation.key)
            value = operation.value if isinstance(operation, Put) else None
            if value is None and held is None:
                continue
            old = (
                (None, 0, 0)
                if held is None
                else (held.value, held.create_revision, held.mod_revision)
            )
            self._log_rows.append((revision, len(changes), key, value, *old))
            changes.append(Change(key, value))
            self._changed.add(key)
            if value is None:
                self._seen[key] = None
                if key.startswith(ALLOCATIONS):
                    self._hints.freed(*split_allocation_key(key))
            else:
                created = revision if held is None else held.create_revision
                self._seen[key] = KeyValue(key, value, created, revision)
        if changes:
            self._revision = revision
            self._batches.append(Batch(revision, tuple(changes)))

    def _flush(self) -> None:
        """Write what gathered to the transaction, so that SQL sees it."""
        if not self._changed:
            return
        puts: list[tuple[str, bytes, int, int]] = []
        deletes: list[tuple[str]] = []
        for key in sorted(self._changed):
            held = self._seen[key]
            if held is None:
                deletes.append((key,))
            else:
                puts.append((key, held.value, held.create_revision, held.mod_revision))
        execute_many = self._connection.executemany
        execute_many("INSERT OR REPLACE INTO kv VALUES (?, ?, ?, ?)", puts)
        execute_many("DELETE FROM kv WHERE key = ?", deletes)
        execute_many("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", self._log_rows)
        self._changed.clear()
        self._log_rows.clear()

    def _first_free(self, pool: str, low: int, high: int) -> int | None:
        if low > high:
            return None
        if self._current(allocation_key(pool, low)) is None:
            return low
        self._flush()
        return first_gap(low, high, self._taken(pool, low, high))

    def _taken(self, pool: str, low: int, high: int) -> Iterator[int]:
        rows: Iterator[tuple[str]] = self._connection.execute(
            "SELECT key FROM kv WHERE key >= ? AND key <= ? ORDER BY key",
            (allocation_key(pool, low), allocation_key(pool, high)),
        )
        return (split_allocation_key(row[0])[1] for row in rows)


@dataclass(slots=True)
class _Job:
    run: Callable[[Session], object]
    future: asyncio.Future[object]


@dataclass(slots=True)
class _Outcome:
    future: asyncio.Future[object]
    result: object = None
    error: Exception | None = None


class Writer:
    """Owns the writer thread; every method is called on the event loop."""

    def __init__(self, path: Path, boot: str, publish: Callable[[Sequence[Batch]], None]) -> None:
        self._path = path
        self._boot = boot
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._places = asyncio.Semaphore(WAITING_JOBS_MAX)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def submit(self, run: Callable[[Session], T]) -> T:
        """Run a job in the next group; return its result once that is durable.

        Waits when WAITING_JOBS_MAX jobs are under way. A cancelled caller's job may still run.
        """
        async with self._places:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            future: asyncio.Future[object] = self._loop.create_future()
            self._jobs.put(_Job(run, future))
            return await future  # pyright: ignore[reportReturnType] - the result of run

    async def close(self) -> None:
        """Finish the accepted jobs and end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        session: Session | None = None
        ending = False
        while not ending:
            group, ending = self._next_group()
            failure: Exception
            try:
                if session is None:
                    session = Session(sqlite_file.connect(self._path), self._boot)
                outcomes, batches = _run_group(session, group)
            except sqlite3.Error as error:
                failure = sqlite_file.translate(error, self._path)
                outcomes, batches = _all_failed(group, failure), ()
            except Exception as error:  # The thread's boundary: a defect must not stop all writes.
                structlog.get_logger("skytrail.store").exception("store_write_failed")
                failure = StoreUnavailable(f"the store's writer failed: {error!r}")
                outcomes, batches = _all_failed(group, failure), ()
            self._loop.call_soon_threadsafe(self._deliver, outcomes, batches)
        if session is not None:
            session.close()

    def _next_group(self) -> tuple[list[_Job], bool]:
        """Wait for a job, take what else is there; tell whether the end was among it."""
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == GROUP_JOBS_MAX:
                return group, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _deliver(self, outcomes: Sequence[_Outcome], batches: Sequence[Batch]) -> None:
        self._publish(batches)
        for outcome in outcomes:
            if outcome.future.done():
                continue
            if outcome.error is not None:
                outcome.future.set_exception(outcome.error)
            else:
                outcome.future.set_result(outcome.result)


def _all_failed(group: Sequence[_Job], failure: Exception) -> list[_Outcome]:
    return [_Outcome(job.future, error=failure) for job in group]


def _run_group(session: Session, group: Sequence[_Job]) -> tuple[list[_Outcome], Sequence[Batch]]:
    if not group:
        return [], ()
    outcomes: list[_Outcome] = []
    try:
        session.begin()
        for job in group:
            try:
                outcomes.append(_Outcome(job.future, result=job.run(session)))
            except (AlreadyAllocated, PoolExhausted, ValueError) as error:
                outcomes.append(_Outcome(job.future, error=error))
        return outcomes, session.commit()
    except BaseException:
        session.roll_back()
        raise
