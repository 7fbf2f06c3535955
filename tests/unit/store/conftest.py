"""Both back ends under one set of claims."""

import asyncio

import pytest

from skytrail.store.io.memory import MemoryStore
from skytrail.store.io.sqlite import SqliteStore

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


@pytest.fixture(params=["memory", "sqlite"])
def on_store(request, tmp_path, clock):
    """Run a coroutine function on a fresh store of each kind; return its result."""

    def run(scenario):
        async def with_store():
            if request.param == "memory":
                store = MemoryStore(clock, poll_s=0.001)
            else:
                store = await SqliteStore.open(tmp_path / "store.db", clock=clock, poll_s=0.001)
            try:
                async with asyncio.timeout(TIME_LIMIT_S):
                    return await scenario(store)
            finally:
                await store.close()

        return asyncio.run(with_store())

    return run
