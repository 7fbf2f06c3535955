"""All back ends under one set of claims.

etcd is one real member for each test process; a test sees it as empty because its keys are deleted
and its revisions are counted from there.
"""

import asyncio
import inspect
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest
from aetcd import rpc

from skytrail.runtime.clock import SystemClock
from skytrail.store.io import sqlite_process
from skytrail.store.io.etcd import EtcdStore
from skytrail.store.io.etcd_members import Members
from skytrail.store.io.memory import MemoryStore
from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.io.sqlite_writer import ThreadWriter
from skytrail.testing.etcd import PROGRAM, EtcdCluster

TIME_LIMIT_S = 30


class FakeClock:
    def __init__(self):
        self.seconds = 1000.0

    def now(self):
        return self.seconds

    def wall(self):
        return self.seconds


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(scope="session")
def etcd():
    if PROGRAM is None:
        pytest.skip("etcd is not installed")
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        EtcdCluster(Path(folder), fast=True) as cluster,
    ):
        yield cluster


async def emptied(cluster):
    """Delete every key; return the revision at which nothing was there."""
    members = Members(cluster.location, timeout_s=TIME_LIMIT_S)
    try:
        request = rpc.DeleteRangeRequest(key=b"\0", range_end=b"\0")
        reply = await members.current.kv.DeleteRange(request)
    finally:
        await members.close()
    return reply.header.revision


@pytest.fixture(scope="session")
def grpc_loop():
    """The one event loop of the process that gRPC sees.

    It hands completions to the loops they belong to; a late one for a loop that is closed by then
    is an exception in the middle of handing over, and keeps back those of the living.
    """
    with asyncio.Runner() as runner:
        yield runner


class InThread:
    """The writer process's own loop on the other end of the socket, without the process's start."""

    pid = 0

    def __init__(self, end, path, boot):
        self._end = end.dup()
        self._thread = threading.Thread(target=self._run, args=(path, boot), daemon=True)
        self._thread.start()

    def _run(self, path, boot):
        with self._end:
            sqlite_process.serve(self._end, path, boot)

    def wait(self, timeout=None):
        self._thread.join(timeout)
        return 0

    def kill(self):
        """Threads cannot be; nothing here hangs."""


@pytest.fixture(params=["memory", "sqlite", "sqlite written apart", "etcd"])
def on_store(request, tmp_path, clock):
    """Run a coroutine function on a fresh store of each kind; return its result."""
    asked = inspect.signature(request.function).parameters
    if request.param == "etcd" and "clock" in asked:
        pytest.skip("etcd's leases end by its own clock: see tests/interop/test_etcd.py")
    cluster = run_on = None
    if request.param == "etcd":
        cluster, run_on = (request.getfixturevalue(name) for name in ("etcd", "grpc_loop"))

    async def opened():
        if request.param == "memory":
            return MemoryStore(clock, poll_s=0.001)
        if request.param.startswith("sqlite"):
            apart = partial(sqlite_process.ProcessWriter.start, spawn=InThread)
            start = ThreadWriter.start if request.param == "sqlite" else apart
            place = tmp_path / "store.db"
            return await SqliteStore.open(place, clock=clock, poll_s=0.001, start_writer=start)
        origin = await emptied(cluster)
        return await EtcdStore.open(
            cluster.location,
            clock=SystemClock(),
            poll_s=0.01,
            origin=origin,
            # A busy machine is slow, not broken; what silence means is tested elsewhere.
            timeout_s=TIME_LIMIT_S,
        )

    def run(scenario):
        async def with_store():
            store = await opened()
            try:
                async with asyncio.timeout(TIME_LIMIT_S):
                    return await scenario(store)
            finally:
                await store.close()

        return asyncio.run(with_store()) if run_on is None else run_on.run(with_store())

    return run
