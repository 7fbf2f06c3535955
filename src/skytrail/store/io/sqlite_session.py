"""Carries out jobs on the SQLite file, many in one durable commit.

A job is refused before it changes anything, or not at all; an error of SQLite undoes the whole
group and fails all its jobs. Used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from traceback import format_exc
from typing import Final, assert_never

from skytrail.store.allocate import LowestFree, first_gap
from skytrail.store.io import sqlite_file
from skytrail.store.io.sqlite_jobs import (
    Allocate,
    Campaign,
    DiscardLog,
    Done,
    DropLease,
    Failed,
    Free,
    Job,
    Operations,
    Outcome,
    Refused,
    Resign,
    SetCompacted,
    Transact,
    WriteLease,
)
from skytrail.store.key_space import ALLOCATIONS, allocation_key, split_allocation_key
from skytrail.store.plugin import StoreDamaged

GROUP_JOBS_MAX: Final = 256
COMPACT_ROWS_PER_JOB: Final = 5000

_Held = tuple[bytes | None, int | None, int, int]
"""Value if it is small, else its body; revision of creation, revision of last change."""
_LAST_CHANGE: Final = 3


class Session:
    """The jobs of one group after another, on one connection that is opened when needed.

    Changes gather in memory and go to the file in bulk when the group ends.
    """

    def __init__(self, path: Path, boot: str) -> None:
        self._path = path
        self._boot = boot
        self._opened: sqlite3.Connection | None = None
        self._hints = LowestFree()
        self._seen: dict[str, _Held | None] = {}
        self._changed: set[str] = set()
        self._supposed: set[str] = set()
        """Keys that are to be put and were not looked for; the file has none of them, or refuses."""
        self._log_rows: list[tuple[object, ...]] = []
        self._bodies: list[tuple[int, bytes]] = []
        self._revision = 0
        self._begun_at = 0

    def run_group(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Carry out the jobs and make them durable; return what came of each."""
        try:
            try:
                # Nothing but its own compares lets a lone job suppose something of a key.
                return self._run_group(jobs, supposing=len(jobs) == 1)
            except sqlite3.IntegrityError:
                return self._run_group(jobs, supposing=False)
        except sqlite3.Error as error:
            told = sqlite_file.translate(error, self._path)
            failure = Failed(str(told), is_damage=isinstance(told, StoreDamaged))
        except Exception as error:  # The writer's boundary: a defect must not stop all writes.
            failure = Failed(f"the store's writer failed: {error!r}", defect=format_exc())
        return [failure] * len(jobs)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = sqlite_file.connect(self._path)
        return self._opened

    def _run_group(self, jobs: Sequence[Job], *, supposing: bool) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            self._begin()
            if supposing:
                self._suppose(jobs[0])
            outcomes = [self._run(job) for job in jobs]
            self._commit()
        except BaseException:
            self._roll_back()
            raise
        return outcomes

    def _begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._revision = self._begun_at = sqlite_file.horizon(self._connection).revision
        self._seen.clear()
        self._supposed.clear()

    def _suppose(self, job: Job) -> None:
        """Take keys for absent that a job expects to be and puts: inserting them will tell."""
        if isinstance(job, Transact):
            puts = {key for key, value in job.then if value is not None}
            self._supposed.update(
                key for key, expected in job.compares if not expected and key in puts
            )
            self._seen.update(dict.fromkeys(self._supposed))

    def _stop_supposing(self) -> None:
        for key in self._supposed:
            del self._seen[key]
        self._supposed.clear()

    def _commit(self) -> None:
        self._flush()
        if self._revision != self._begun_at:
            self._connection.execute(
                "UPDATE meta SET number = ? WHERE name = 'revision'", (self._revision,)
            )
        self._connection.execute("COMMIT")

    def _roll_back(self) -> None:
        self._hints.forget()
        self._forget_changes()
        if self._opened is not None and self._opened.in_transaction:
            self._opened.execute("ROLLBACK")

    def _run(self, job: Job) -> Outcome:
        match job:
            case Transact():
                return self._transact(job)
            case Allocate():
                return self._allocate(job)
            case Free():
                return self._free(job)
            case SetCompacted():
                return self._set_compacted(job)
            case DiscardLog():
                return self._discard_log(job)
            case WriteLease():
                return self._write_lease(job)
            case DropLease():
                self._connection.execute("DELETE FROM lease WHERE id = ?", (job.lease_id,))
            case Campaign():
                return self._campaign(job)
            case Resign():
                self._connection.execute(
                    "DELETE FROM leader WHERE name = ? AND lease = ?", (job.name, job.lease_id)
                )
            case _:
                assert_never(job)
        return Done(self._revision)

    def _transact(self, job: Transact) -> Outcome:
        seen = self._seen
        for key, expected in job.compares:
            held = seen[key] if key in seen else self._current(key)
            if (0 if held is None else held[_LAST_CHANGE]) != expected:
                self._stop_supposing()
                return self._applied(job.otherwise, 0)
        return self._applied(job.then, 1)

    def _allocate(self, job: Allocate) -> Outcome:
        if job.want is not None:
            return self._allocate_wanted(job, job.want)
        start = self._hints.start(job.pool, job.low)
        chosen = self._first_free(job.pool, start, job.high)
        if chosen is None and start > job.low:  # Another process may have freed one below.
            chosen = self._first_free(job.pool, job.low, job.high)
        if chosen is None:
            text = f"{job.pool} has no free number in {job.low}..{job.high}"
            return Refused("exhausted", text)
        done = self._applied(((allocation_key(job.pool, chosen), job.owner.encode()),), chosen)
        self._hints.taken_below(job.pool, job.low, chosen + 1)
        return done

    def _allocate_wanted(self, job: Allocate, want: int) -> Outcome:
        key = allocation_key(job.pool, want)
        held = self._current(key)
        if held is None:
            return self._applied(((key, job.owner.encode()),), want)
        owner = self._value_of(held).decode()
        if owner != job.owner:
            return Refused("taken", pool=job.pool, number=want, owner=owner)
        return Done(self._revision, value=want)

    def _free(self, job: Free) -> Outcome:
        key = allocation_key(job.pool, job.number)
        held = self._current(key)
        if held is None:
            return Done(self._revision)
        owner = self._value_of(held).decode()
        if owner != job.owner:
            return Refused("taken", pool=job.pool, number=job.number, owner=owner)
        return self._applied(((key, None),), 1)

    def _set_compacted(self, job: SetCompacted) -> Outcome:
        if job.revision > self._revision:
            text = f"revision {job.revision} is to come; the current is {self._revision}"
            return Refused("value", text)
        self._connection.execute(
            "UPDATE meta SET number = max(number, ?) WHERE name = 'compacted'", (job.revision,)
        )
        return Done(self._revision)

    def _discard_log(self, job: DiscardLog) -> Outcome:
        self._flush()
        oldest = (sqlite_file.change_id(job.revision + 1), COMPACT_ROWS_PER_JOB)
        self._connection.execute(
            "DELETE FROM body WHERE change IN"
            " (SELECT old_body FROM log WHERE change < ? ORDER BY change LIMIT ?)",
            oldest,
        )
        count = self._connection.execute(
            "DELETE FROM log WHERE change IN"
            " (SELECT change FROM log WHERE change < ? ORDER BY change LIMIT ?)",
            oldest,
        ).rowcount
        return Done(self._revision, value=count)

    def _write_lease(self, job: WriteLease) -> Outcome:
        if job.renew and not self._lease_valid(job.lease_id, job.now):
            return Done(self._revision)
        self._connection.execute(
            "INSERT OR REPLACE INTO lease VALUES (?, ?, ?)", (job.lease_id, self._boot, job.expires)
        )
        self._connection.execute(
            "DELETE FROM lease WHERE boot != ? OR expires < ?", (self._boot, job.now - 3600)
        )
        return Done(self._revision, value=1)

    def _campaign(self, job: Campaign) -> Outcome:
        row: tuple[str] | None = self._connection.execute(
            "SELECT lease FROM leader WHERE name = ?", (job.name,)
        ).fetchone()
        if row is not None and row[0] != job.lease_id and self._lease_valid(row[0], job.now):
            return Done(self._revision)
        self._connection.execute(
            "INSERT OR REPLACE INTO leader VALUES (?, ?)", (job.name, job.lease_id)
        )
        return Done(self._revision, value=1)

    def _lease_valid(self, lease_id: str, now: float) -> bool:
        row: tuple[str, float] | None = self._connection.execute(
            "SELECT boot, expires FROM lease WHERE id = ?", (lease_id,)
        ).fetchone()
        return row is not None and row[0] == self._boot and row[1] > now

    def _current(self, key: str) -> _Held | None:
        if key in self._seen:
            return self._seen[key]
        held: _Held | None = self._connection.execute(
            "SELECT value, body, create_rev, mod_rev FROM kv WHERE key = ?", (key,)
        ).fetchone()
        self._seen[key] = held
        return held

    def _value_of(self, held: _Held) -> bytes:
        value, body, *_ = held
        if value is None:
            self._flush()
            row: tuple[bytes] = self._connection.execute(
                "SELECT value FROM body WHERE change = ?", (body,)
            ).fetchone()
            value = row[0]
        return value

    def _applied(self, operations: Operations, value: int) -> Done:
        """Note the changes as the next revision; return that, with the job's value."""
        revision, seen, log = self._revision + 1, self._seen, self._log_rows
        idle: list[int] = []
        for place, (key, new) in enumerate(operations):
            held = seen[key] if key in seen else self._current(key)
            if held is None and new is None:
                idle.append(place)
                continue
            change = sqlite_file.change_id(revision, place)
            small, body = new, None
            if new is not None and len(new) > sqlite_file.SMALL_BYTES_MAX:
                small, body = None, change
                self._bodies.append((change, new))
            created = revision
            if held is None:
                log.append((change, key, small, None, None, 0, 0))
            else:
                log.append((change, key, small, *held))
                created = held[2]
                if new is None and key.startswith(ALLOCATIONS):
                    self._hints.freed(*split_allocation_key(key))
            seen[key] = None if new is None else (small, body, created, revision)
            self._changed.add(key)
        if len(idle) == len(operations):
            return Done(self._revision, value=value)
        self._revision = revision
        return Done(revision, changed=True, value=value, idle=tuple(idle))

    def _flush(self) -> None:
        """Write what gathered to the transaction, so that SQL sees it."""
        if not self._changed:
            return
        fresh: list[tuple[object, ...]] = []
        puts: list[tuple[object, ...]] = []
        deletes: list[tuple[str]] = []
        for key in sorted(self._changed):
            held = self._seen[key]
            if held is None:
                deletes.append((key,))
            else:
                (fresh if key in self._supposed else puts).append((key, *held))
        execute_many = self._connection.executemany
        execute_many("INSERT INTO kv VALUES (?, ?, ?, ?, ?)", fresh)
        execute_many("INSERT OR REPLACE INTO kv VALUES (?, ?, ?, ?, ?)", puts)
        execute_many("DELETE FROM kv WHERE key = ?", deletes)
        execute_many("INSERT INTO body VALUES (?, ?)", self._bodies)
        execute_many("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", self._log_rows)
        self._forget_changes()

    def _forget_changes(self) -> None:
        self._changed.clear()
        self._supposed.clear()
        self._log_rows.clear()
        self._bodies.clear()

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
