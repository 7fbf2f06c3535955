"""While one batch is being made durable the next is planned on top of it: what may show, and what not."""

import asyncio

import pytest

from skytrail.api import admission
from skytrail.api.feed import Derived
from skytrail.api.refusal import Refused
from skytrail.api.schema import Schema
from skytrail.api.service import SLICE_WEIGHT, ConfigService
from skytrail.model.catalog import CATALOG
from skytrail.store.io.memory import MemoryStore
from skytrail.store.plugin import StoreUnavailable

TIME_LIMIT_S = 20


class HeldStore(MemoryStore):
    """A store whose commits wait to be let through, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.is_holding = False
        self.waiting: list[asyncio.Future[None]] = []
        self.has_begun = asyncio.Event()

    async def transact(self, compares, then, otherwise=()):
        if self.is_holding:
            self.waiting.append(asyncio.get_running_loop().create_future())
            self.has_begun.set()
            await self.waiting[-1]
        return await super().transact(compares, then, otherwise)


class Server:
    def __init__(self, service: ConfigService, store: HeldStore) -> None:
        self.service, self.store = service, store

    def create(
        self, name: str, derived_from: int | None = None, **members: object
    ) -> asyncio.Task[object]:
        resource = self.service.schema.resources["namespace"]
        body = {"fq_name": ["default-domain", name], **members}
        return asyncio.ensure_future(
            self.service.write(
                lambda change: admission.create(change, resource, body), derived_from=derived_from
            )
        )

    def update(self, name: str) -> asyncio.Task[object]:
        def plan(change):
            record = change.view.get(
                change.view.uuid_of("namespace", ("default-domain", name)) or ""
            )
            if record is None:
                raise Refused(404, "there is none")
            return admission.update(change, record, {"display_name": "renamed"})

        return asyncio.ensure_future(self.service.write(plan))

    def has(self, name: str) -> bool:
        return self.service.graph.uuid_of("namespace", ("default-domain", name)) is not None

    async def begun(self, count: int) -> None:
        """Wait until so many commits have been begun; then give the writer time to plan ahead."""
        while len(self.store.waiting) < count:
            self.store.has_begun.clear()
            await self.store.has_begun.wait()
        for _ in range(10):
            await asyncio.sleep(0)

    def let_through(self) -> None:
        self.store.waiting[-1].set_result(None)


def run(scenario):
    async def whole():
        store = HeldStore()
        service = await ConfigService.start(Schema(CATALOG), store)
        writer = asyncio.ensure_future(service.run())
        store.is_holding = True
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                return await scenario(Server(service, store))
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    return asyncio.run(whole())


def test_nothing_planned_ahead_shows_or_is_answered_before_it_is_durable():
    async def scenario(server):
        first = server.create("a")
        await server.begun(1)
        second, refused = server.update("a"), server.create("a")
        await asyncio.sleep(0.01)
        early = (first.done(), second.done(), refused.done(), server.has("a"))
        server.let_through()
        await first
        await server.begun(2)
        between = (server.has("a"), second.done())
        with pytest.raises(Refused, match="already exists"):
            await refused
        server.let_through()
        written = await second
        return early, between, written.revision - first.result().revision

    assert run(scenario) == ((False, False, False, False), (True, False), 1)


def test_what_comes_during_a_commit_becomes_one_batch():
    async def scenario(server):
        before = server.service.batches_count
        tasks = [server.create("first")]
        await server.begun(1)
        for number in range(50):
            tasks.append(server.create(f"t{number}"))
            await asyncio.sleep(0)
        server.let_through()
        await server.begun(2)
        server.let_through()
        await asyncio.gather(*tasks)
        return server.service.batches_count - before, len(server.store.waiting)

    assert run(scenario) == (2, 2)


def test_a_commit_begins_before_all_that_waits_is_planned():
    async def scenario(server):
        before = server.service.writes_count
        tasks = [server.create(f"t{number}") for number in range(3 * SLICE_WEIGHT)]
        await server.begun(1)
        server.let_through()
        await server.begun(2)
        first = server.service.writes_count - before
        server.let_through()
        await asyncio.gather(*tasks)
        return first, server.service.writes_count - before

    assert run(scenario) == (SLICE_WEIGHT, 3 * SLICE_WEIGHT)


def test_a_batch_that_stood_on_a_failed_one_is_planned_again():
    async def scenario(server):
        first = server.create("a")
        await server.begun(1)
        on_top, beside = server.update("a"), server.create("b")
        await asyncio.sleep(0.01)
        server.store.waiting[-1].set_exception(StoreUnavailable("disk full"))
        with pytest.raises(Refused) as failed:
            await first
        await server.begun(2)
        server.let_through()
        with pytest.raises(Refused) as missing:
            await on_top
        await beside
        return failed.value.status, missing.value.status, server.has("a"), server.has("b")

    assert run(scenario) == (503, 404, False, True)


def test_a_name_taken_by_a_failed_batch_is_free_for_the_next():
    async def scenario(server):
        first = server.create("a")
        await server.begun(1)
        again = server.create("a")
        await asyncio.sleep(0.01)
        server.store.waiting[-1].set_exception(StoreUnavailable("disk full"))
        await server.begun(2)
        server.let_through()
        await again
        return isinstance(first.exception(), Refused), server.has("a")

    assert run(scenario) == (True, True)


def test_stopping_answers_what_is_under_way_and_what_is_planned():
    async def scenario(server):
        first = server.create("a")
        await server.begun(1)
        ahead = server.create("b")
        await asyncio.sleep(0.01)
        return first, ahead

    first, ahead = run(scenario)

    assert [each.exception().status for each in (first, ahead)] == [503, 503]
    assert "stopping" in str(ahead.exception().text)


def test_what_comes_after_the_stop_is_answered():
    async def scenario(server):
        await asyncio.sleep(0)
        return server

    server = run(scenario)

    async def late():
        await server.service.write(lambda _change: None)

    with pytest.raises(Refused, match="stopping"):
        asyncio.run(late())


def test_a_long_row_of_batches_rests_on_the_committed_objects():
    async def scenario(server):
        server.store.is_holding = False
        tasks = []
        for number in range(200):
            tasks.append(server.create(f"t{number}"))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        depths = []
        server.store.is_holding = True
        last = server.create("last")
        await server.begun(1)

        def plan(change):
            depth, view = 0, change.view
            while hasattr(view, "base"):
                depth, view = depth + 1, view.base
            depths.append(depth)

        looked = asyncio.ensure_future(server.service.write(plan))
        await asyncio.sleep(0.01)
        server.let_through()
        await asyncio.gather(last, looked)
        return max(depths)

    assert run(scenario) <= 3


def test_watchers_hear_what_a_commit_was_derived_from_and_whether_others_wrote_in_it():
    async def scenario(server):
        first = server.create("a", derived_from=7)
        await server.begun(1)
        together = server.create("b", derived_from=8), server.create("c")
        server.let_through()
        begin = (await first).revision
        await server.begun(2)
        server.let_through()
        await asyncio.gather(*together)
        alone = server.create("d")
        await server.begun(3)
        server.let_through()
        await alone
        return [batch.derived for batch in server.service.feed.since(begin)]

    assert run(scenario) == [Derived(7), Derived(8, is_mixed=True), None]
