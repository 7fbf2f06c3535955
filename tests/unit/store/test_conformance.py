"""What every store back end promises; each claim runs against each of them."""

import asyncio
import random

import pytest

from skytrail.store.key_space import allocation_key, name_key, object_key
from skytrail.store.plugin import (
    AlreadyAllocated,
    Change,
    Compacted,
    Compare,
    Delete,
    KeyValue,
    LeaseLost,
    PoolExhausted,
    Put,
    StoreUnavailable,
)
from skytrail.store.transaction import OPERATIONS_COUNT_MAX, VALUE_BYTES_MAX, Transaction


async def put(store, key, value=b"v"):
    return (await store.transact((), (Put(key, value),))).revision


async def take(iterator, count):
    return [await anext(iterator) for _ in range(count)]


async def read_all(store, prefix, *, limit, revision=None):
    keys, start = [], None
    while True:
        page = await store.range(prefix, start=start, limit=limit, revision=revision)
        keys += [(item.key, item.value) for item in page.items]
        if page.next_start is None:
            return keys, page.revision
        start, revision = page.next_start, page.revision


def test_new_store_is_empty_at_revision_zero(on_store):
    async def scenario(store):
        return await store.revision(), await store.get("/x"), (await store.range("/")).items

    assert on_store(scenario) == (0, None, ())


def test_each_changing_transaction_is_one_revision(on_store):
    async def scenario(store):
        first = await store.transact((), (Put("/a", b"1"), Put("/b", b"2")))
        second = await store.transact((), (Put("/a", b"3"), Delete("/b"), Put("/c", b"4")))
        return first, second, [await store.get(key) for key in ("/a", "/b", "/c")]

    first, second, values = on_store(scenario)

    assert (first.succeeded, first.revision) == (True, 1)
    assert second.revision == 2
    assert values == [
        KeyValue("/a", b"3", create_revision=1, mod_revision=2),
        None,
        KeyValue("/c", b"4", create_revision=2, mod_revision=2),
    ]


def test_transaction_that_changes_nothing_has_no_revision(on_store):
    async def scenario(store):
        await put(store, "/a")
        results = [
            await store.transact((), ()),
            await store.transact((), (Delete("/none"),)),
            await store.transact((Compare("/a", 9),), (Put("/a", b"x"),)),
        ]
        return results, await store.revision()

    results, revision = on_store(scenario)

    assert [(each.succeeded, each.revision) for each in results] == [
        (True, 1),
        (True, 1),
        (False, 1),
    ]
    assert revision == 1


def test_failed_compare_runs_the_other_branch_and_nothing_of_the_first(on_store):
    async def scenario(store):
        await put(store, "/a", b"1")
        result = await store.transact(
            (Compare("/a", 1), Compare("/b", 7)),
            (Put("/a", b"2"), Put("/c", b"2")),
            (Put("/d", b"3"),),
        )
        return result, [(item.key, item.value) for item in (await store.range("/")).items]

    result, items = on_store(scenario)

    assert (result.succeeded, result.revision) == (False, 2)
    assert items == [("/a", b"1"), ("/d", b"3")]


def test_failed_compare_touches_what_was_expected_absent_like_any_key(on_store):
    async def scenario(store):
        await put(store, "/a", b"1")
        result = await store.transact(
            (Compare("/a", 0), Compare("/b", 7)),
            (Put("/a", b"2"), Put("/b", b"2")),
            (Delete("/a"),),
        )
        return result, (await store.range("/")).items

    result, items = on_store(scenario)

    assert (result.succeeded, result.revision, items) == (False, 2, ())


def test_recreated_key_has_a_new_create_revision(on_store):
    async def scenario(store):
        await put(store, "/a")
        await store.transact((), (Delete("/a"),))
        await put(store, "/a")
        return await store.get("/a")

    assert on_store(scenario) == KeyValue("/a", b"v", create_revision=3, mod_revision=3)


def test_compare_zero_makes_names_unique_among_racing_creates(on_store):
    name = name_key("virtual-network", ("default-domain", "p", "blue"))

    async def scenario(store):
        async def create(number):
            change = Transaction()
            change.create(name, str(number).encode())
            change.create(object_key("virtual-network", str(number)), b"{}")
            return (await change.commit(store)).succeeded

        won = await asyncio.gather(*(create(number) for number in range(50)))
        bodies = (await store.range("/o/")).items
        return won, bodies, await store.get(name), await store.revision()

    won, bodies, held, revision = on_store(scenario)

    assert won.count(True) == 1
    assert [body.key for body in bodies] == [object_key("virtual-network", held.value.decode())]
    assert revision == 1


def test_racing_increments_by_compare_lose_no_update(on_store):
    async def scenario(store):
        async def increment():
            while True:
                held = await store.get("/counter")
                number = int(held.value) if held else 0
                expected = held.mod_revision if held else 0
                result = await store.transact(
                    (Compare("/counter", expected),), (Put("/counter", str(number + 1).encode()),)
                )
                if result.succeeded:
                    return

        await asyncio.gather(*(increment() for _ in range(20)))
        return await store.get("/counter")

    held = on_store(scenario)

    assert (held.value, held.mod_revision) == (b"20", 20)


@pytest.mark.parametrize(
    "operations",
    [
        (Put("/a", b"1"), Put("/a", b"2")),
        (Put("/a", b"1"), Delete("/a")),
        (Put("a", b"1"),),
        (Put("/a\0", b"1"),),
        (Put("/\ud800", b"1"),),
        (Put("/" + "x" * 5000, b"1"),),
        (Put("/a/pool/7", b"1"),),
        (Put("/x", b"1" * (VALUE_BYTES_MAX + 1)),),
        tuple(Delete(f"/{number}") for number in range(OPERATIONS_COUNT_MAX + 1)),
    ],
    ids=["twice", "put-delete", "no-slash", "zero", "surrogate", "long", "number", "big", "many"],
)
def test_unkeepable_transaction_is_refused_and_changes_nothing(on_store, operations):
    async def scenario(store):
        with pytest.raises(ValueError):
            await store.transact((), (Put("/first", b""), *operations))
        return await store.revision()

    assert on_store(scenario) == 0


def test_large_transaction_is_one_revision(on_store):
    operations = [Put(f"/x/{number:05}", b"v" * 100) for number in range(5000)]

    async def scenario(store):
        result = await store.transact((), operations)
        batch = await anext(store.watch("/", 1))
        return (
            result.revision,
            len(batch.changes),
            len((await read_all(store, "/x/", limit=999))[0]),
        )

    assert on_store(scenario) == (1, 5000, 5000)


def test_range_is_ordered_bounded_by_prefix_and_keys_of_any_script(on_store):
    keys = ["/o/a/1", "/o/a/2", "/o/a/é", "/o/a/\U0001f600", "/o/ab/1", "/o/b", "/p"]

    async def scenario(store):
        await store.transact((), [Put(key, b"") for key in random.sample(keys, len(keys))])
        return [item.key for item in (await store.range("/o/a/")).items], [
            item.key for item in (await store.range("/")).items
        ]

    under_prefix, everything = on_store(scenario)

    assert under_prefix == keys[:4]
    assert everything == keys


def test_paging_sees_one_revision_while_others_write(on_store):
    async def scenario(store):
        await store.transact((), [Put(f"/x/{number:03}", b"old") for number in range(100)])
        page = await store.range("/x/", limit=10)
        seen, before = list(page.items), page.revision
        turn = 0
        while page.next_start is not None:
            turn += 1
            await store.transact(
                (),
                (
                    Put(f"/x/{99 - turn:03}", b"new"),
                    Delete(f"/x/{50 + turn:03}"),
                    Put(f"/x/{turn * 9:03}a", b"added"),
                    Delete("/x/000"),
                ),
            )
            page = await store.range("/x/", start=page.next_start, limit=10, revision=before)
            seen += page.items
        return seen, before

    seen, before = on_store(scenario)

    assert [(item.key, item.value) for item in seen] == [
        (f"/x/{number:03}", b"old") for number in range(100)
    ]
    assert {item.mod_revision for item in seen} == {before}


def test_past_revisions_read_as_they_were(on_store):
    """Random history: each revision's listing and gets equal what a plain dict was then.

    Values are short and long, for back ends may keep them apart; half way, history is discarded.
    """
    rng = random.Random(7)
    present, history = {}, [{}]

    async def scenario(store):
        for _ in range(120):
            chosen = rng.sample([f"/k/{number}" for number in range(12)], rng.randint(1, 4))
            operations = []
            for key in chosen:
                if key in present and rng.random() < 0.4:
                    operations.append(Delete(key))
                    del present[key]
                else:
                    value = str(rng.random()).encode() * rng.choice((0, 1, 100))
                    operations.append(Put(key, value))
                    present[key] = value
            await store.transact((), operations)
            history.append(dict(present))
            if len(history) == 80:
                await store.compact(40)
        for revision, wanted in enumerate(history[40:], 40):
            listing, _ = await read_all(store, "/k/", limit=3, revision=revision)
            assert listing == sorted(wanted.items())
            held = await store.get("/k/5", revision)
            assert (held.value if held else None) == wanted.get("/k/5")
        return await store.revision()

    assert on_store(scenario) == 120


def test_reading_a_revision_to_come_is_an_error(on_store):
    async def scenario(store):
        await put(store, "/a")
        with pytest.raises(ValueError, match="to come"):
            await store.range("/", revision=2)
        with pytest.raises(ValueError, match="to come"):
            await store.get("/a", 2)

    on_store(scenario)


def test_watch_replays_the_past_then_follows_live_in_order(on_store):
    async def scenario(store):
        for number in range(300):
            await put(store, f"/x/{number}", str(number).encode())
        watcher = store.watch("/", 1)
        seen = await take(watcher, 150)

        async def write_more():
            for number in range(300, 400):
                await put(store, f"/x/{number}", str(number).encode())

        writing = asyncio.create_task(write_more())
        seen += await take(watcher, 250)
        await writing
        return seen

    seen = on_store(scenario)

    assert [batch.revision for batch in seen] == list(range(1, 401))
    assert [batch.changes for batch in seen] == [
        (Change(f"/x/{number}", str(number).encode()),) for number in range(400)
    ]


def test_watch_resumes_from_any_revision(on_store):
    async def scenario(store):
        for number in range(5):
            await put(store, f"/x/{number}")
        return [batch.revision for batch in await take(store.watch("/", 4), 2)]

    assert on_store(scenario) == [4, 5]


def test_watch_from_the_future_begins_there(on_store):
    async def scenario(store):
        watcher = store.watch("/", 3)
        first = asyncio.create_task(anext(watcher))
        for number in range(4):
            await put(store, f"/x/{number}")
        return (await first).revision

    assert on_store(scenario) == 3


def test_watch_keeps_request_order_and_only_its_prefix(on_store):
    async def scenario(store):
        await store.transact((), (Put("/o/z", b"1"), Put("/p/a", b"2"), Put("/o/a", b"3")))
        await put(store, "/p/b")
        await store.transact((), (Delete("/o/z"),))
        return await take(store.watch("/o/", 1), 2)

    first, second = on_store(scenario)

    assert (first.revision, first.changes) == (1, (Change("/o/z", b"1"), Change("/o/a", b"3")))
    assert (second.revision, second.changes) == (3, (Change("/o/z", None),))


def test_many_watchers_all_see_every_revision_under_concurrent_writes(on_store):
    async def scenario(store):
        async def follow():
            return [batch.revision for batch in await take(store.watch("/", 1), 200)]

        watchers = [asyncio.create_task(follow()) for _ in range(10)]
        await asyncio.gather(*(put(store, f"/x/{number}") for number in range(200)))
        return await asyncio.gather(*watchers)

    assert on_store(scenario) == [list(range(1, 201))] * 10


def test_write_is_visible_to_its_writer_and_its_watcher_when_it_returns(on_store):
    async def scenario(store):
        for number in range(1, 50):
            revision = await put(store, "/a", str(number).encode())
            assert (await store.get("/a")).value == str(number).encode()
            assert await store.revision() == revision
            assert (await anext(store.watch("/", revision))).revision == revision

    on_store(scenario)


def test_compaction_discards_history_and_keeps_the_present(on_store):
    async def scenario(store):
        for number in range(10):
            await put(store, f"/x/{number % 3}", str(number).encode())
        await store.compact(6)
        for refused in (
            anext(store.watch("/", 6)),
            store.range("/", revision=5),
            store.get("/x/0", 5),
        ):
            with pytest.raises(Compacted):
                await refused
        at_horizon, _ = await read_all(store, "/", limit=2, revision=6)
        now, _ = await read_all(store, "/", limit=2)
        following = [batch.revision for batch in await take(store.watch("/", 7), 4)]
        return at_horizon, now, following

    at_horizon, now, following = on_store(scenario)

    assert at_horizon == [("/x/0", b"3"), ("/x/1", b"4"), ("/x/2", b"5")]
    assert now == [("/x/0", b"9"), ("/x/1", b"7"), ("/x/2", b"8")]
    assert following == [7, 8, 9, 10]


def test_compaction_is_idempotent_and_refuses_the_future(on_store):
    async def scenario(store):
        for _ in range(4):
            await put(store, "/x")
        await store.compact(3)
        await store.compact(3)
        await store.compact(1)
        with pytest.raises(Compacted):
            await anext(store.watch("/", 3))
        with pytest.raises(ValueError, match="to come"):
            await store.compact(5)
        return (await anext(store.watch("/", 4))).revision

    assert on_store(scenario) == 4


def test_slow_watcher_overtaken_by_compaction_is_told(on_store):
    async def scenario(store):
        for _ in range(5):
            await put(store, "/x")
        watcher = store.watch("/", 1)
        await anext(watcher)
        for _ in range(1000):
            await store.transact((), [Put("/x", b"")])
        await store.compact(900)
        with pytest.raises(Compacted):
            async for _ in watcher:
                pass

    on_store(scenario)


def test_allocation_gives_the_lowest_free_number(on_store):
    async def scenario(store):
        first = [await store.allocate("vni", 4, 9, "a") for _ in range(3)]
        await store.free("vni", 5, "a")
        return first, [await store.allocate("vni", 4, 9, "b") for _ in range(2)]

    assert on_store(scenario) == ([4, 5, 6], [5, 7])


def test_concurrent_allocations_are_unique(on_store):
    async def scenario(store):
        async def take_many(owner):
            return [await store.allocate("rt", 8_000_000, 8_999_999, owner) for _ in range(50)]

        numbers = await asyncio.gather(*(take_many(f"task-{index}") for index in range(8)))
        return sorted(number for each in numbers for number in each)

    assert on_store(scenario) == list(range(8_000_000, 8_000_400))


def test_exhausted_pool_says_so_and_recovers_after_free(on_store):
    async def scenario(store):
        for _ in range(3):
            await store.allocate("p", 1, 3, "a")
        with pytest.raises(PoolExhausted, match=r"1\.\.3"):
            await store.allocate("p", 1, 3, "a")
        await store.free("p", 2, "a")
        return await store.allocate("p", 1, 3, "b")

    assert on_store(scenario) == 2


def test_wanted_number_is_given_once_per_owner(on_store):
    async def scenario(store):
        first = await store.allocate("p", 1, 9, "a", want=5)
        again = await store.allocate("p", 1, 9, "a", want=5)
        with pytest.raises(AlreadyAllocated, match="allocated to a"):
            await store.allocate("p", 1, 9, "b", want=5)
        with pytest.raises(ValueError, match="outside"):
            await store.allocate("p", 1, 9, "b", want=10)
        others = [await store.allocate("p", 4, 9, "b") for _ in range(2)]
        return first, again, others

    assert on_store(scenario) == (5, 5, [4, 6])


def test_free_is_idempotent_and_only_for_the_owner(on_store):
    async def scenario(store):
        await store.allocate("p", 1, 9, "a")
        with pytest.raises(AlreadyAllocated):
            await store.free("p", 1, "b")
        await store.free("p", 1, "a")
        await store.free("p", 1, "a")
        return await store.get(allocation_key("p", 1))

    assert on_store(scenario) is None


def test_transaction_may_free_and_take_numbers(on_store):
    async def scenario(store):
        for _ in range(3):
            await store.allocate("p", 0, 9, "a")
        await store.transact(
            (), (Delete(allocation_key("p", 1)), Put(allocation_key("p", 3), b"b"))
        )
        return [await store.allocate("p", 0, 9, "c") for _ in range(2)]

    assert on_store(scenario) == [1, 4]


def test_pools_do_not_touch_each_other_whatever_their_names(on_store):
    pools = ["a", "a/b", "a%2Fb", "a:b", "A", ""]

    async def scenario(store):
        return [await store.allocate(pool, 1, 1, pool) for pool in pools]

    assert on_store(scenario) == [1] * len(pools)


def test_leader_excludes_others_until_it_leaves(on_store):
    async def scenario(store):
        first, second = await store.lease(10), await store.lease(10)
        order = []

        async def candidate(lease, name):
            async with store.elect("compiler", lease):
                order.append(f"{name} leads")
                for _ in range(20):
                    await asyncio.sleep(0)
                order.append(f"{name} leaves")

        await asyncio.gather(candidate(first, "a"), candidate(second, "b"))
        return order

    order = on_store(scenario)

    assert order in (
        ["a leads", "a leaves", "b leads", "b leaves"],
        ["b leads", "b leaves", "a leads", "a leaves"],
    )


def test_expired_lease_ends_leadership_and_another_takes_over(on_store, clock):
    async def scenario(store):
        old = await store.lease(10)
        leading = asyncio.Event()

        async def lead_for_ever():
            async with store.elect("compiler", old):
                leading.set()
                await asyncio.Event().wait()

        body = asyncio.create_task(lead_for_ever())
        await leading.wait()
        clock.seconds += 9
        await old.keep_alive()
        clock.seconds += 9
        assert not body.done()
        young = await store.lease(10)
        clock.seconds += 2
        with pytest.raises(LeaseLost):
            await body
        with pytest.raises(LeaseLost):
            await old.keep_alive()
        async with store.elect("compiler", young):
            return True

    assert on_store(scenario)


def test_released_lease_frees_its_leadership_at_once(on_store):
    async def scenario(store):
        old, young = await store.lease(1000), await store.lease(1000)
        leading = asyncio.Event()

        async def lead_for_ever():
            async with store.elect("x", old):
                leading.set()
                await asyncio.Event().wait()

        body = asyncio.create_task(lead_for_ever())
        await leading.wait()
        await old.release()
        async with store.elect("x", young):
            with pytest.raises(LeaseLost):
                await body
            with pytest.raises(LeaseLost):
                async with store.elect("x", old):
                    pytest.fail("led with a released lease")

    on_store(scenario)


def test_cancelled_candidate_leaves_no_leader(on_store):
    async def scenario(store):
        first, second = await store.lease(10), await store.lease(10)
        async with store.elect("x", first):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), store.elect("x", second):
                    pytest.fail("two leaders")
        async with store.elect("x", second):
            return True

    assert on_store(scenario)


def test_closed_store_refuses_everything(on_store):
    async def scenario(store):
        await put(store, "/a")
        watcher = store.watch("/", 2)
        waiting = asyncio.create_task(anext(watcher))
        await asyncio.sleep(0)
        await store.close()
        for refused in (store.get("/a"), put(store, "/b"), store.range("/"), waiting):
            with pytest.raises(StoreUnavailable):
                await refused

    on_store(scenario)
