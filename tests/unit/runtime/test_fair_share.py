"""Turns of clients: a share of each in work, the rest in order, too many refused, nobody held up."""

from __future__ import annotations

import asyncio
import random

import pytest

from skytrail.runtime.asgi import HttpError
from skytrail.runtime.fair_share import FairShare


class Work:
    """Requests that last until they are ended."""

    def __init__(self, share: FairShare) -> None:
        self.share = share
        self.running: list[str] = []
        self.most = 0
        self.ends: dict[str, asyncio.Event] = {}

    def begin(self, client: str, name: str, weight: int = 1) -> asyncio.Task[None]:
        end = self.ends[name] = asyncio.Event()

        async def request() -> None:
            async with self.share.turn(client, weight):
                self.running.append(name)
                self.most = max(self.most, len(self.running))
                try:
                    await end.wait()
                finally:
                    self.running.remove(name)

        return asyncio.get_running_loop().create_task(request())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_client_s_many_wait_in_order_and_another_s_goes_at_once() -> None:
    async def run() -> None:
        work = Work(FairShare(at_once=2, waiting_count_max=10))
        tasks = [work.begin("a", f"a{number}") for number in range(5)]
        await settle()
        assert work.running == ["a0", "a1"]
        tasks.append(work.begin("b", "b0"))
        await settle()
        assert work.running == ["a0", "a1", "b0"]
        work.ends["a1"].set()
        await settle()
        assert work.running == ["a0", "b0", "a2"]
        for end in work.ends.values():
            end.set()
        await asyncio.gather(*tasks)
        await settle()
        assert (work.share.clients_count, work.share.waiting_count, work.share.refused_count) == (
            0,
            0,
            0,
        )

    asyncio.run(run())


def test_work_that_waits_for_nothing_leaves_others_their_turns() -> None:
    async def run() -> None:
        share, done = FairShare(at_once=2), list[str]()

        async def request(client: str, name: str) -> None:
            async with share.turn(client):
                done.append(name)

        async def later() -> None:
            # It comes when the others are there, and takes some turns of the loop to be known.
            for _ in range(3):
                await asyncio.sleep(0)
            await request("b", "b")

        many = (request("a", f"a{number}") for number in range(100))
        await asyncio.gather(*many, later())
        assert [each for each in done if each != "b"] == [f"a{number}" for number in range(100)]
        assert done.index("b") < 15

    asyncio.run(run())


def test_too_many_of_a_client_are_refused_with_when_to_come_back() -> None:
    async def run() -> None:
        work = Work(FairShare(at_once=1, waiting_count_max=1))
        first, second = work.begin("a", "1"), work.begin("a", "2")
        await settle()
        with pytest.raises(HttpError, match="wait for their turn") as refused:
            await work.begin("a", "3")
        assert (refused.value.status, refused.value.headers) == (429, (("retry-after", "1"),))
        assert [each.value for each in work.share.samples("x")] == [1, 1]
        for end in work.ends.values():
            end.set()
        await asyncio.gather(first, second)

    asyncio.run(run())


def test_heavy_request_has_the_share_alone_and_is_not_passed_by_light_ones() -> None:
    async def run() -> None:
        work = Work(FairShare(at_once=4))
        tasks = [work.begin("a", "light"), work.begin("a", "heavy", 100), work.begin("a", "late")]
        await settle()
        assert work.running == ["light"]
        work.ends["light"].set()
        await settle()
        assert work.running == ["heavy"]
        work.ends["heavy"].set()
        await settle()
        assert work.running == ["late"]
        work.ends["late"].set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(20))
def test_requests_that_are_given_up_at_any_moment_give_their_share_back(seed: int) -> None:
    async def run() -> None:
        dice = random.Random(seed)
        work = Work(FairShare(at_once=3, waiting_count_max=50))
        tasks = [
            work.begin(dice.choice("ab"), str(number), dice.choice([1, 1, 2, 5]))
            for number in range(60)
        ]
        for number in dice.sample(range(60), 60):
            if dice.random() < 0.5:
                tasks[number].cancel()
            else:
                work.ends[str(number)].set()
            if dice.random() < 0.7:
                await asyncio.sleep(0)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(each is None or isinstance(each, asyncio.CancelledError) for each in done)
        await settle()
        assert work.most <= 6
        assert (work.share.clients_count, work.share.waiting_count, work.share.refused_count) == (
            0,
            0,
            0,
        )

    asyncio.run(run())
