"""Collections stay short: what is old is set aside, and looked at only while it is little."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from skytrail.api.io.http import HttpApi
from skytrail.api.refusal import Refused
from skytrail.api.schema import Schema
from skytrail.api.service import ConfigService
from skytrail.model.catalog import CATALOG
from skytrail.runtime import garbage, server
from skytrail.runtime.garbage import ShortCollections
from skytrail.runtime.http_protocol import HttpProtocol
from skytrail.store.io.memory import MemoryStore

REQUESTS = (
    b"GET /projects HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
    b"no request\r\n\r\n",
    b"POST /projects HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
)


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_outlived_a_collection_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    collections = ShortCollections()
    kept = [Ring() for _ in range(100)]

    gc.collect(0)
    collections.tidy()

    assert gc.get_freeze_count() > len(kept)
    assert gc.get_count()[1] == 1 or not gc.get_objects(generation=1)


def test_old_rings_are_found_while_there_are_few_old_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "FEW_COUNT", 10_000_000)
    monkeypatch.setattr(garbage, "WALKS_TICKS", 2)
    collections = ShortCollections()
    ring = Ring()
    lost = weakref.ref(ring)
    gc.collect(0)
    collections.tidy()

    del ring
    gc.collect(0)
    assert lost() is not None
    collections.tidy()

    assert lost() is None


def test_many_old_objects_are_never_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "FEW_COUNT", 100)
    monkeypatch.setattr(garbage, "WALKS_TICKS", 1)
    collections = ShortCollections()
    kept = [Ring() for _ in range(100)]
    gc.freeze()
    walked: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        walked.append(f"{phase} {info['generation']}")

    gc.callbacks.append(note)
    collections.tidy()
    gc.callbacks.remove(note)

    assert walked == []
    assert kept


def test_requests_and_connections_leave_no_rings_behind() -> None:
    async def scenario() -> int:
        service = await ConfigService.start(Schema(CATALOG), MemoryStore())
        writing = asyncio.ensure_future(service.run())
        listener = server.listen_tcp("127.0.0.1", 0)
        port = int(listener.getsockname()[1])
        serving = asyncio.ensure_future(server.serve(HttpApi(service), [listener]))
        for turn in range(2):
            for request in REQUESTS:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                await reader.read(64)
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(0.05)  # The server's side hears of the end.
            if turn == 0:
                gc.collect()
                gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        left = [each for each in gc.garbage if isinstance(each, HttpProtocol | Refused)]
        gc.garbage.clear()
        serving.cancel()
        writing.cancel()
        await asyncio.gather(serving, writing, return_exceptions=True)
        return len(left)

    assert asyncio.run(scenario()) == 0
