"""What only the SQLite back end can show: durability, damage, several processes."""

import asyncio
import random
import re
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.plugin import Delete, Put, StoreDamaged, StoreUnavailable

TIME_LIMIT_S = 30

WRITER = """
import asyncio, sys
from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.plugin import Put

async def main():
    store = await SqliteStore.open(sys.argv[1])
    async def write(task):
        for number in range(1_000_000):
            result = await store.transact((), (Put(f"/x/{task}/{number}", b"v"),))
            print(f"/x/{task}/{number} {result.revision}", flush=True)
    await asyncio.gather(*(write(task) for task in range(8)))

asyncio.run(main())
"""

ALLOCATOR = """
import asyncio, sys
from skytrail.store.io.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1])
    for _ in range(15):
        print(await store.allocate("vni", 1, 1000, sys.argv[2]))
    await store.close()

asyncio.run(main())
"""


def run(scenario):
    async def limited():
        async with asyncio.timeout(TIME_LIMIT_S):
            return await scenario()

    return asyncio.run(limited())


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_writer_loses_no_acknowledged_write(tmp_path):
    path = tmp_path / "store.db"
    acknowledged = []
    with start(WRITER, path) as writer:
        for line in writer.stdout:
            acknowledged.append(line)
            if len(acknowledged) == 300:
                writer.kill()
    complete = [line.split() for line in acknowledged if line.endswith("\n")]

    async def scenario():
        store = await SqliteStore.open(path)
        held = {key: await store.get(key) for key, _ in complete}
        batches = store.watch("/", 1)
        present = await store.revision()
        revisions = [(await anext(batches)).revision for _ in range(present)]
        await store.transact((), (Put("/after", b""),))
        await store.close()
        return held, revisions, present

    held, revisions, present = run(scenario)

    assert len(complete) >= 300
    assert {key: value.mod_revision for key, value in held.items()} == {
        key: int(revision) for key, revision in complete
    }
    assert revisions == list(range(1, present + 1))


def test_eight_processes_allocate_unique_numbers(tmp_path):
    path = tmp_path / "store.db"
    allocators = [start(ALLOCATOR, path, f"process-{index}") for index in range(8)]

    outputs = [each.communicate(timeout=TIME_LIMIT_S)[0] for each in allocators]

    numbers = [int(line) for output in outputs for line in output.split()]
    assert [each.returncode for each in allocators] == [0] * 8
    assert sorted(numbers) == list(range(1, 121))


def test_watcher_sees_what_another_opener_of_the_file_wrote(tmp_path):
    path = tmp_path / "store.db"

    async def scenario():
        ours, other = await SqliteStore.open(path), await SqliteStore.open(path)
        watcher = ours.watch("/", 1)
        seen = []
        for turn in range(6):
            writer = other if turn % 2 else ours
            await writer.transact((), (Put(f"/x/{turn}", b""),))
            seen.append((await anext(watcher)).revision)
        await ours.close()
        await other.close()
        return seen

    assert run(scenario) == [1, 2, 3, 4, 5, 6]


def test_contents_survive_closing_and_opening(tmp_path):
    path = tmp_path / "folder" / "store.db"

    async def write():
        store = await SqliteStore.open(path)
        await store.transact((), (Put("/a", b"1"), Put("/b", b"2")))
        await store.transact((), (Delete("/b"),))
        await store.compact(1)
        await store.close()

    async def read():
        store = await SqliteStore.open(path)
        result = (
            (await store.range("/")).items[0].value,
            await store.revision(),
            (await anext(store.watch("/", 2))).changes[0].value,
            (await store.range("/", revision=1)).items[1].value,
        )
        await store.close()
        return result

    run(write)

    assert run(read) == (b"1", 2, None, b"2")


def test_file_that_is_no_database_is_damaged_and_left_alone(tmp_path):
    path = tmp_path / "store.db"
    path.write_bytes(b"precious" * 1000)

    with pytest.raises(StoreDamaged, match=re.escape(str(path))):
        run(lambda: SqliteStore.open(path))
    assert path.read_bytes() == b"precious" * 1000


def test_overwritten_pages_are_reported_as_damage(tmp_path):
    path = tmp_path / "store.db"

    async def fill():
        store = await SqliteStore.open(path)
        await store.transact((), [Put(f"/x/{number:04}", b"v" * 500) for number in range(500)])
        await store.close()

    async def read_everything():
        store = await SqliteStore.open(path)
        try:
            await store.range("/", limit=1000)
        finally:
            await store.close()

    run(fill)
    content = bytearray(path.read_bytes())
    for page in range(8, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)

    with pytest.raises(StoreDamaged, match="restore a backup"):
        run(read_everything)


FORMAT_1 = """
CREATE TABLE kv (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, create_rev INTEGER NOT NULL,
    mod_rev INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (
    rev INTEGER NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL, value BLOB,
    old_value BLOB, old_create_rev INTEGER NOT NULL, old_mod_rev INTEGER NOT NULL,
    PRIMARY KEY (rev, position)) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lease (id TEXT PRIMARY KEY, boot TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE leader (name TEXT PRIMARY KEY, lease TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def write_format_1(path, history, compacted):
    """Write what the first format kept of a history: per revision, values by key."""
    connection = sqlite3.connect(path)
    connection.executescript(FORMAT_1)
    present = {}
    for revision, changes in enumerate(history, 1):
        for position, (key, value) in enumerate(changes.items()):
            old = present.get(key, (None, 0, 0))
            present.pop(key, None)
            if value is not None:
                present[key] = (value, old[1] or revision, revision)
            if revision > compacted:
                row = (revision, position, key, value, *old)
                connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    rows = [(key, *held) for key, held in present.items()]
    connection.executemany("INSERT INTO kv VALUES (?, ?, ?, ?)", rows)
    meta = [("revision", len(history)), ("compacted", compacted)]
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
    connection.commit()
    connection.close()


def test_file_of_the_first_format_keeps_present_and_past(tmp_path):
    path = tmp_path / "store.db"
    rng = random.Random(3)
    sizes = (0, 36, 256, 257, 5000)
    keys = [f"/k/{number}" for number in range(9)]
    history, states = [], [{}]
    for number in range(60):
        chosen = rng.sample(keys, 3)
        changes = {key: b"%02d" % number * (rng.choice(sizes) // 2) for key in chosen}
        if states[-1].get(chosen[0]) is not None:
            changes[chosen[0]] = None
        history.append(changes)
        merged = states[-1] | changes
        states.append({key: value for key, value in merged.items() if value is not None})
    write_format_1(path, history, compacted=20)

    async def scenario():
        store = await SqliteStore.open(path)
        kept = {
            revision: {item.key: item.value for item in page.items}
            for revision in range(20, 61)
            for page in [await store.range("/", revision=revision)]
        }
        watch = store.watch("/", 21)
        told = [{c.key: c.value for c in (await anext(watch)).changes} for _ in range(40)]
        await store.compact(60)
        await store.transact((), (Put(keys[0], b"n" * 1000),))
        present = {item.key: item.value for item in (await store.range("/")).items}
        await store.close()
        return kept, told, present

    kept, told, present = run(scenario)

    assert kept == {revision: states[revision] for revision in range(20, 61)}
    assert told == history[20:]
    assert present == states[-1] | {keys[0]: b"n" * 1000}


def test_values_that_nobody_can_read_any_more_leave_the_file(tmp_path):
    path = tmp_path / "store.db"

    async def scenario():
        store = await SqliteStore.open(path)
        for number in range(1, 31):
            put = Put(f"/x/{number % 4}", b"%d" % number * 1000)
            await store.transact((), (put if number % 7 else Delete(put.key),))
        await store.compact(30)
        await store.close()

    run(scenario)
    connection = sqlite3.connect(path)
    counts = [
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("kv", "body", "log")
    ]
    connection.close()

    assert counts == [3, 3, 0]


def test_newer_format_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "store.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StoreUnavailable, match="upgrade"):
        run(lambda: SqliteStore.open(path))


def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="cannot create folder"):
        run(lambda: SqliteStore.open(tmp_path / "file" / "below" / "store.db"))


def test_files_are_readable_by_their_owner_only(tmp_path):
    path = tmp_path / "store.db"

    async def scenario():
        store = await SqliteStore.open(path)
        await store.transact((), (Put("/secret", b"1"),))
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        await store.close()
        return modes

    assert run(scenario) == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_full_disk_fails_the_write_and_keeps_the_store(tmp_path, monkeypatch):
    from skytrail.store.io import sqlite_file

    path, connect = tmp_path / "store.db", sqlite_file.connect

    def connect_small(place):
        connection = connect(place)
        connection.execute("PRAGMA max_page_count = 60")
        return connection

    async def scenario():
        store = await SqliteStore.open(path)
        monkeypatch.setattr(sqlite_file, "connect", connect_small)
        await store.transact((), (Put("/small", b"1"),))
        with pytest.raises(StoreUnavailable, match="full"):
            await store.transact((), [Put(f"/x/{n}", b"v" * 10_000) for n in range(100)])
        kept = await store.get("/small"), await store.revision()
        result = await store.transact((), (Put("/small", b"2"),))
        await store.close()
        return kept[0].value, kept[1], result.revision

    assert run(scenario) == (b"1", 1, 2)


def test_cancelled_caller_leaves_the_writer_working(tmp_path):
    async def scenario():
        store = await SqliteStore.open(tmp_path / "store.db")
        writes = [
            asyncio.create_task(store.transact((), (Put(f"/x/{number}", b""),)))
            for number in range(50)
        ]
        await asyncio.sleep(0)
        for write in writes[::2]:
            write.cancel()
        await asyncio.gather(*writes, return_exceptions=True)
        revision = (await store.transact((), (Put("/y", b""),))).revision
        count = len((await store.range("/")).items)
        await store.close()
        return revision == count

    assert run(scenario)
