"""The etcd store on a real cluster: what a single healthy member cannot show."""

import asyncio

import pytest

from skytrail.store.io.etcd import EtcdStore
from skytrail.store.plugin import LeaseLost, Put, StoreUnavailable
from skytrail.testing.etcd import PROGRAM, EtcdCluster

TIME_LIMIT_S = 60
LOOP = asyncio.Runner()
"""gRPC is given one loop: what comes late for a closed one keeps back what others wait for."""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="etcd is not installed")


@pytest.fixture
def cluster(tmp_path):
    with EtcdCluster(tmp_path, size=3) as running:
        yield running


def on(cluster, scenario):
    async def limited():
        store = await EtcdStore.open(cluster.location)
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                return await scenario(store)
        finally:
            await store.close()

    return LOOP.run(limited())


async def write_until(store, done, acknowledged):
    """Write one numbered key after the other; remember those that were acknowledged."""
    number = 0
    while not done.is_set():
        number += 1
        try:
            await store.transact((), (Put(f"/x/{number:06}", b"v"),))
        except StoreUnavailable:
            await asyncio.sleep(0.05)
            continue
        acknowledged.append(number)


async def until(holds):
    for _ in range(TIME_LIMIT_S * 20):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


async def all_keys(store):
    keys, start = set(), None
    while True:
        page = await store.range("/x/", start=start, limit=1000)
        keys |= {item.key for item in page.items}
        start = page.next_start
        if start is None:
            return keys


def test_killed_leader_loses_no_acknowledged_write_and_no_watched_revision(cluster):
    async def scenario(store):
        done, acknowledged, seen = asyncio.Event(), [], []

        async def follow():
            async for batch in store.watch("/x/", 1):
                seen.extend(change.key for change in batch.changes)

        writing = asyncio.create_task(write_until(store, done, acknowledged))
        following = asyncio.create_task(follow())
        await asyncio.sleep(0.5)
        leader = await asyncio.to_thread(cluster.leader)
        leader.kill()
        before = len(acknowledged)
        await until(lambda: len(acknowledged) >= before + 100)
        done.set()
        await writing
        kept = await all_keys(store)
        await until(lambda: len(seen) >= len(kept))
        following.cancel()
        return acknowledged, kept, seen

    acknowledged, kept, seen = on(cluster, scenario)

    assert {f"/x/{number:06}" for number in acknowledged} <= kept
    assert len(seen) == len(set(seen))
    assert set(seen) == kept


def test_minority_refuses_reads_and_writes_and_recovers(cluster):
    async def scenario(store):
        await store.transact((), (Put("/x/1", b"v"),))
        lost = cluster.members[:2]
        for member in lost:
            member.kill()
        for refused in (store.transact((), (Put("/x/2", b"v"),)), store.get("/x/1")):
            with pytest.raises(StoreUnavailable):
                await refused
        for member in lost:
            cluster.start(member)
        await asyncio.to_thread(cluster.wait_healthy)
        result = await store.transact((), (Put("/x/3", b"v"),))
        return result.succeeded, await store.get("/x/1")

    succeeded, held = on(cluster, scenario)

    assert succeeded
    assert held.value == b"v"


def test_watch_moves_away_from_a_member_that_falls_silent(cluster):
    async def scenario(store):
        watched = store.watch("/x/", 1)
        await store.transact((), (Put("/x/1", b"v"),))
        await anext(watched)
        silent = next(each for each in cluster.members if not each.is_leader())
        first = next(i for i, e in enumerate(cluster.members) if e is silent)
        # The store asks members in order: make the silent one its present one.
        while store._members.current.endpoint != cluster.members[first].endpoint:
            store._members.leave(store._members.current, "test")
        await store.get("/x/1")
        silent.pause()
        other = await EtcdStore.open(type(cluster.location)(cluster.location.endpoints[::-1]))
        try:
            revision = 0
            for _ in range(20):
                try:
                    revision = (await other.transact((), (Put("/x/2", b"v"),))).revision
                    break
                except StoreUnavailable:
                    continue
            await store.revision()
            return revision, (await anext(watched)).revision
        finally:
            silent.resume()
            await other.close()

    written, seen = on(cluster, scenario)

    assert seen == written


def test_expired_lease_ends_leadership_and_another_takes_over(cluster):
    async def scenario(store):
        old = await store.lease(2)
        leading = asyncio.Event()

        async def lead_for_ever():
            async with store.elect("compiler", old):
                leading.set()
                await asyncio.Event().wait()

        body = asyncio.create_task(lead_for_ever())
        await leading.wait()
        for _ in range(4):
            await asyncio.sleep(1)
            await old.keep_alive()
        assert not body.done()
        young = await store.lease(60)
        with pytest.raises(LeaseLost):
            await body
        async with store.elect("compiler", young):
            with pytest.raises(LeaseLost):
                await old.keep_alive()
            return True

    assert on(cluster, scenario)


def test_too_large_transaction_names_the_settings(tmp_path):
    with EtcdCluster(tmp_path) as single:

        async def scenario(store):
            with pytest.raises(ValueError, match="--max-txn-ops"):
                await store.transact((), [Put(f"/x/{n}", b"v" * 1000) for n in range(50_000)])
            return await store.revision()

        assert on(single, scenario) == 0
