"""The one who writes the SQLite file, many callers' jobs in one durable commit.

    callers --jobs--> up to GROUP_JOBS_MAX --> BEGIN IMMEDIATE, carry out each, COMMIT (fsync)
                                                        |
    callers <--results, then batches to the watchers----+   (on the loop, in commit order)

While one commit waits for the disk the next group gathers, so throughput grows with concurrency
and a lone writer waits for one fsync. The writer is a thread here; where writing is a server's main
work it is a process (``sqlite_process``), so that it takes nothing of the server's interpreter.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog

from skytrail.store.io.feed import Feed
from skytrail.store.io.sqlite_jobs import Done, Failed, Job, Outcome, batch_of, error_of
from skytrail.store.io.sqlite_session import GROUP_JOBS_MAX, Session
from skytrail.store.plugin import StoreUnavailable

WAITING_JOBS_MAX: Final = 4096


class Writer(Protocol):
    """Carries out jobs durably; every method is called on the event loop."""

    async def submit(self, job: Job) -> Done:
        """Return what came of a job once that is durable; raise what it was refused with.

        Waits when WAITING_JOBS_MAX jobs are under way. A cancelled caller's job may still run.
        """
        ...

    async def close(self) -> None:
        """Finish the accepted jobs and end."""
        ...


StartWriter = Callable[[Path, str, Feed], Awaitable[Writer]]
"""Starts a writer for a file, in a boot of the host, that tells a feed what it did."""


class Pending:
    """Jobs whose outcome is to come, in the order they were handed over."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.places = asyncio.Semaphore(WAITING_JOBS_MAX)

    def deliver(
        self, waiting: Sequence[tuple[Job, asyncio.Future[Done]]], outcomes: Sequence[Outcome]
    ) -> None:
        """Tell the watchers of a group that has ended, then its callers."""
        pairs = list(zip(waiting, outcomes, strict=True))
        if self._feed.has_followers:
            batches = [batch_of(job, done) for (job, _), done in pairs if isinstance(done, Done)]
            self._feed.publish([batch for batch in batches if batch is not None])
        else:
            done = [each.revision for each in outcomes if isinstance(each, Done)]
            self._feed.jump(max(done, default=0))
        self._note_defect(outcomes)
        for (_, future), outcome in pairs:
            if future.done():
                continue
            if isinstance(outcome, Done):
                future.set_result(outcome)
            else:
                future.set_exception(error_of(outcome))

    def _note_defect(self, outcomes: Sequence[Outcome]) -> None:
        """Log once for a group what was no refusal and no error of the disk."""
        first = outcomes[0] if outcomes else None
        if isinstance(first, Failed) and first.defect:
            log = structlog.get_logger("skytrail.store")
            log.error("store_write_failed", error=first.text, exception=first.defect)


class ThreadWriter:
    """A writer in a thread of this process."""

    def __init__(self, path: Path, boot: str, feed: Feed) -> None:
        self._session = Session(path, boot)
        self._pending = Pending(feed)
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[tuple[Job, asyncio.Future[Done]] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @classmethod
    async def start(cls, path: Path, boot: str, feed: Feed) -> ThreadWriter:
        """Return a writer whose thread runs."""
        return cls(path, boot, feed)

    async def submit(self, job: Job) -> Done:
        async with self._pending.places:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            future: asyncio.Future[Done] = self._loop.create_future()
            self._jobs.put((job, future))
            return await future

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        ending = False
        while not ending:
            group, ending = self._next_group()
            if group:
                outcomes = self._session.run_group([job for job, _ in group])
                self._loop.call_soon_threadsafe(self._pending.deliver, group, outcomes)
        self._session.close()

    def _next_group(self) -> tuple[list[tuple[Job, asyncio.Future[Done]]], bool]:
        """Wait for a job, take what else is there; tell whether the end was among it."""
        group: list[tuple[Job, asyncio.Future[Done]]] = []
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
