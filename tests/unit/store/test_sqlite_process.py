"""A writer in a process of its own: whoever is killed, nothing acknowledged is lost."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from skytrail.store.io import sqlite_process
from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.io.sqlite_process import Frames, ProcessWriter, frame, spawn
from skytrail.store.plugin import Put, StoreUnavailable

TIME_LIMIT_S = 30

SERVER = """
import asyncio, sys
from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.io.sqlite_process import ProcessWriter, spawn
from skytrail.store.plugin import Put

def told(end, path, boot):
    child = spawn(end, path, boot)
    print("child", child.pid, flush=True)
    return child

async def main():
    store = await SqliteStore.open(
        sys.argv[1], start_writer=lambda *rest: ProcessWriter.start(*rest, spawn=told)
    )
    async def write(task):
        for number in range(1_000_000):
            result = await store.transact((), (Put(f"/x/{task}/{number}", b"v"),))
            print(f"/x/{task}/{number} {result.revision}", flush=True)
    await asyncio.gather(*(write(task) for task in range(8)))

asyncio.run(main())
"""


def run(scenario):
    async def limited():
        async with asyncio.timeout(TIME_LIMIT_S):
            return await scenario()

    return asyncio.run(limited())


class Children:
    """Starts real children and remembers them."""

    def __init__(self):
        self.started = []
        self.refuses = False

    def __call__(self, end, path, boot):
        if self.refuses:
            raise OSError(12, "Cannot allocate memory")
        self.started.append(spawn(end, path, boot))
        return self.started[-1]

    async def open(self, place):
        return await SqliteStore.open(place, start_writer=partial(ProcessWriter.start, spawn=self))


async def patiently(store, key):
    """Write, again while the store says that its writer is to come."""
    while True:
        try:
            return await store.transact((), (Put(key, b"v"),))
        except StoreUnavailable:
            await asyncio.sleep(0.01)


def test_killed_writer_fails_what_was_under_way_and_is_started_again(tmp_path):
    children = Children()

    async def scenario():
        store = await children.open(tmp_path / "store.db")
        before = await store.transact((), (Put("/before", b"1"),))
        os.kill(children.started[0].pid, signal.SIGSTOP)
        under_way = asyncio.ensure_future(store.transact((), (Put("/lost", b"1"),)))
        await asyncio.sleep(0)
        children.started[0].kill()
        with pytest.raises(StoreUnavailable, match="not known"):
            await under_way
        after = await patiently(store, "/after")
        held = await store.get("/before")
        await store.close()
        return before.revision, after.revision, held.value

    assert run(scenario) == (1, 2, b"1")
    assert len(children.started) == 2
    assert [each.returncode for each in children.started] == [-signal.SIGKILL, 0]


def test_idle_writer_that_was_killed_costs_no_write(tmp_path):
    children = Children()

    async def scenario():
        store = await children.open(tmp_path / "store.db")
        await store.transact((), (Put("/a", b"1"),))
        children.started[0].kill()
        await asyncio.to_thread(children.started[0].wait)
        await asyncio.sleep(0.1)  # The loop hears of it; the pause after a start goes by.
        result = await store.transact((), (Put("/b", b"1"),))
        await store.close()
        return result.revision

    assert run(scenario) == 2


def test_writer_that_cannot_be_started_is_unavailable_until_it_can(tmp_path):
    children = Children()

    async def scenario():
        store = await children.open(tmp_path / "store.db")
        children.started[0].kill()
        await asyncio.to_thread(children.started[0].wait)
        await asyncio.sleep(0.1)
        children.refuses = True
        with pytest.raises(StoreUnavailable, match="Cannot allocate memory"):
            await store.transact((), (Put("/a", b"1"),))
        children.refuses = False
        result = await patiently(store, "/a")
        await store.close()
        return result.revision

    assert run(scenario) == 1


def test_writer_heeds_no_signal_but_ends_with_its_server(tmp_path):
    children = Children()

    async def scenario():
        store = await children.open(tmp_path / "store.db")
        await store.transact((), (Put("/a", b"1"),))
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(children.started[0].pid, number)
        result = await store.transact((), (Put("/b", b"1"),))
        await store.close()
        return result.revision

    assert run(scenario) == 2
    assert [each.returncode for each in children.started] == [0]


def test_killed_server_leaves_no_writer_and_loses_no_acknowledged_write(tmp_path):
    path, acknowledged = tmp_path / "store.db", []
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), path], stdout=subprocess.PIPE, text=True
    ) as server:
        child = int(server.stdout.readline().split()[1])
        watched = os.pidfd_open(child)
        for line in server.stdout:
            acknowledged.append(line)
            if len(acknowledged) == 300:
                server.kill()
    complete = [line.split() for line in acknowledged if line.endswith("\n")]

    async def scenario():
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(watched, ended.set)
        await ended.wait()
        loop.remove_reader(watched)
        store = await SqliteStore.open(path)
        held = {key: (await store.get(key)).mod_revision for key, _ in complete}
        await store.close()
        return held

    held = run(scenario)
    os.close(watched)

    assert len(complete) >= 300
    assert held == {key: int(revision) for key, revision in complete}


def test_writer_that_hangs_is_killed_and_another_carries_on(tmp_path, monkeypatch):
    children = Children()

    async def scenario():
        store = await children.open(tmp_path / "store.db")
        monkeypatch.setattr(sqlite_process, "SILENCE_S", 0.1)
        os.kill(children.started[0].pid, signal.SIGSTOP)
        with pytest.raises(StoreUnavailable, match="not known"):
            await store.transact((), (Put("/lost", b"1"),))
        monkeypatch.setattr(sqlite_process, "SILENCE_S", 30.0)
        result = await patiently(store, "/a")
        await store.close()
        return result.revision

    assert run(scenario) == 1
    assert children.started[0].returncode == -signal.SIGKILL


def test_closing_does_not_wait_for_a_writer_that_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_process, "END_S", 0.1)
    children = Children()

    async def scenario():
        store = await children.open(tmp_path / "store.db")
        os.kill(children.started[0].pid, signal.SIGSTOP)
        write = asyncio.ensure_future(store.transact((), (Put("/lost", b"1"),)))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreUnavailable, match="not known"):
            await write

    run(scenario)
    assert children.started[0].wait() == -signal.SIGKILL


def test_job_that_cannot_be_told_is_refused_and_leaves_the_others_alone(tmp_path):
    children = Children()

    async def scenario():
        store = await children.open(tmp_path / "store.db")
        with pytest.raises(ValueError, match="cannot keep"):
            await store.allocate("vni", 1, 10, "half a pair \ud800")
        number = await store.allocate("vni", 1, 10, "owner")
        await store.close()
        return number

    assert run(scenario) == 1


def test_writer_takes_no_modules_from_the_folder_it_is_started_in(tmp_path, monkeypatch):
    (tmp_path / "msgspec.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    children = Children()

    async def scenario():
        store = await children.open(tmp_path / "store.db")
        result = await store.transact((), (Put("/a", b"1"),))
        await store.close()
        return result.revision

    assert run(scenario) == 1


def test_defect_of_a_job_fails_its_group_and_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_process.Session, "_transact", lambda *_: 1 / 0)

    async def scenario():
        store = await SqliteStore.open(tmp_path / "store.db")
        with pytest.raises(StoreUnavailable, match="ZeroDivisionError"):
            await store.transact((), (Put("/a", b"1"),))
        number = await store.allocate("vni", 1, 10, "owner")
        await store.close()
        return number

    with capture_logs() as logs:
        assert run(scenario) == 1
    assert [each["event"] for each in logs] == ["store_write_failed"]
    assert "1 / 0" in logs[0]["exception"]


@given(st.lists(st.binary(max_size=64)), st.lists(st.integers(1, 40)))
def test_frames_come_out_as_they_went_in_however_they_are_cut(documents, cuts):
    stream, frames, found, place = b"".join(map(frame, documents)), Frames(), [], 0
    for cut in [*cuts, len(stream)]:
        found += frames.feed(stream[place : place + cut])
        place += cut

    assert found == [frame(each)[4:] for each in documents]
