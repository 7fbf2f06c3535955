"""Writers that find the queue full: each is served in the end, or told that there is none."""

import asyncio

import pytest

from skytrail.api import service
from skytrail.api.caller import NOBODY_ASKED
from skytrail.api.change import Change
from skytrail.api.refusal import Refused

from .conftest import Api


def plan(_change: Change) -> int:
    return 1


def test_writers_wait_for_room_and_all_are_served(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "QUEUE_COUNT_MAX", 2)

    async def many() -> list[service.Written[int]]:
        return await asyncio.gather(*(api.service.write(plan) for _ in range(20)))

    assert [each.value for each in api.loop.run_until_complete(many())] == [1] * 20


def test_writers_that_wait_for_room_are_told_of_the_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "QUEUE_COUNT_MAX", 2)

    async def many() -> tuple[object, list[int]]:
        writes = [asyncio.ensure_future(api.service.write(plan)) for _ in range(20)]
        await asyncio.sleep(0)
        promised = api.service.write_promised(plan, NOBODY_ASKED, "r")
        api.writer.cancel()
        await asyncio.wait(writes)
        refusals = [each.exception() for each in writes]
        return promised, [each.status for each in refusals if isinstance(each, Refused)]

    assert api.loop.run_until_complete(many()) == (None, [503] * 20)
