"""Durable transactions per second of the embedded store, beside a bare SQLite file.

The yardstick is one connection that does the same three inserts with one fsync per commit: what
the disk and SQLite allow a program that waits for each write.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from figures import Figures, interleaved

from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.key_space import child_key, name_key, object_key
from skytrail.store.transaction import Transaction

ROUNDS = 5
SERIAL_COUNT = 200
CONCURRENT_COUNT = 4000
CONCURRENT_CALLERS = 512
READ_COUNT = 2000
BODY = b"x" * 305


def bare_sqlite() -> float:
    """Three inserts per fsync'd commit, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        started = time.perf_counter()
        for number in range(SERIAL_COUNT):
            connection.execute("BEGIN IMMEDIATE")
            for kind in "ofc":
                connection.execute("INSERT INTO kv VALUES (?, ?)", (f"/{kind}/{number}", BODY))
            connection.execute("COMMIT")
        elapsed = time.perf_counter() - started
        connection.close()
    return SERIAL_COUNT / elapsed


async def create(store: SqliteStore, number: int) -> None:
    """One object create as the API does it: two uniqueness compares, three keys."""
    uuid = f"{number:032x}"
    change = Transaction()
    change.create(object_key("virtual-network", uuid), BODY)
    change.create(name_key("virtual-network", ("d", "p", str(number))), uuid.encode())
    change.put(child_key("p", "virtual-network", uuid), b"")
    result = await change.commit(store)
    if not result.succeeded:
        raise RuntimeError(f"create {number} lost a race nobody else ran")


async def serial(store: SqliteStore) -> float:
    started = time.perf_counter()
    for number in range(SERIAL_COUNT):
        await create(store, number)
    return SERIAL_COUNT / (time.perf_counter() - started)


async def concurrent(store: SqliteStore) -> float:
    """Callers that each wait for their own write, as API requests do."""
    numbers = iter(range(CONCURRENT_COUNT))

    async def caller() -> None:
        for number in numbers:
            await create(store, number)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CONCURRENT_CALLERS)))
    return CONCURRENT_COUNT / (time.perf_counter() - started)


async def allocations(store: SqliteStore) -> float:
    numbers = iter(range(CONCURRENT_COUNT))

    async def caller() -> None:
        for number in numbers:
            await store.allocate("route-target", 8_000_000, 8_999_999, str(number))

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CONCURRENT_CALLERS)))
    return CONCURRENT_COUNT / (time.perf_counter() - started)


async def reads(store: SqliteStore) -> float:
    await create(store, 1)
    key = object_key("virtual-network", f"{1:032x}")
    started = time.perf_counter()
    for _ in range(READ_COUNT):
        await store.get(key)
    return READ_COUNT / (time.perf_counter() - started)


async def watch_delay_ms(store: SqliteStore) -> float:
    """Mean time from the call of a write until a watcher has its batch."""
    watcher = store.watch("/", 1)
    started = time.perf_counter()
    for number in range(SERIAL_COUNT):
        waiting = asyncio.ensure_future(anext(watcher))
        await create(store, number)
        await waiting
    return (time.perf_counter() - started) / SERIAL_COUNT * 1000


def on_fresh_store(measure: Callable[[SqliteStore], Awaitable[float]]) -> Callable[[], float]:
    async def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            store = await SqliteStore.open(Path(folder) / "store.db")
            try:
                return await measure(store)
            finally:
                await store.close()

    return lambda: asyncio.run(run())


def run() -> None:
    medians = interleaved(
        ROUNDS,
        {
            "bare": bare_sqlite,
            "serial": on_fresh_store(serial),
            "concurrent": on_fresh_store(concurrent),
            "allocations": on_fresh_store(allocations),
            "reads": on_fresh_store(reads),
            "watch": on_fresh_store(watch_delay_ms),
        },
    )
    figures = Figures("store")
    bare = medians["bare"]
    figures.add("bare_sqlite_serial_commits", bare, "txn/s")
    figures.add(
        "store_serial_creates",
        medians["serial"],
        "txn/s",
        yardstick=bare,
        yardstick_name="bare SQLite",
    )
    figures.add(
        "store_group_commit_creates",
        medians["concurrent"],
        "txn/s",
        yardstick=bare,
        yardstick_name="bare SQLite",
    )
    figures.add(
        "store_group_commit_allocations",
        medians["allocations"],
        "1/s",
        yardstick=bare,
        yardstick_name="bare SQLite",
    )
    figures.add("store_point_reads", medians["reads"], "1/s")
    figures.add("store_write_to_watcher", medians["watch"], "ms")
    figures.write()


if __name__ == "__main__":
    run()
