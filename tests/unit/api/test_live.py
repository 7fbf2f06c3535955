"""The one stream of a browser: the configuration's changes and what processes say, each as it may be read."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing

import pytest

from skytrail.api.io import live
from skytrail.api.io.analytics_passage import AnalyticsPassage
from skytrail.api.io.http import HttpApi
from skytrail.api.io.live import LiveApi
from skytrail.api.security_settings import SecuritySettings
from skytrail.runtime import server
from skytrail.runtime.asgi import AsgiApp, Request, Response, StreamResponse, json_reply

from .security_server import Secured
from .test_stream_identity import Stream

SETTINGS = SecuritySettings(authentication=["local"], cloud_admin_role="admin")
UVE = b'event: update\ndata: {"key":"T:a"}\n\n'


class Node:
    """An analytics node whose stream says what is put into it; None ends it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.status = 200

    async def answer(self, request: Request) -> Response | StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        if self.status != 200:
            return json_reply({}, self.status)
        return StreamResponse(self._lines(), 200, "text/event-stream")

    async def _lines(self):
        while (chunk := await self.chunks.get()) is not None:
            yield chunk


@pytest.fixture
def node(api, tmp_path):
    node = Node()
    listener = server.listen_unix(tmp_path / "node.sock")
    serving = api.loop.create_task(server.serve(AsgiApp(node.answer), [listener]))
    yield node
    serving.cancel()
    api.loop.run_until_complete(asyncio.wait([serving]))


@pytest.fixture
def secured(api, node, tmp_path):
    secured = Secured(api, SETTINGS)
    secured.now = time.time()
    passage = AnalyticsPassage(api.service, [f"unix:{tmp_path}/node.sock"], gate=secured.gate)
    secured.app = HttpApi(
        api.service, gate=secured.gate, also=[LiveApi(api.service, secured.gate, passage)]
    )
    secured.user("ann", roles=["admin"])
    secured.user("root", roles=["admin"])
    secured.user("bob", roles=["member"], project="default-domain:default-project")
    return secured


@pytest.fixture
def nobody_watches(secured):
    """Everything is for administrators alone."""
    assert secured.as_root("PUT", "/aaa-mode", {"aaa-mode": "cloud-admin"}).status == 200


def follow(secured, user, query=""):
    return Stream(secured, f"/api/v1/live{query}", x_auth_token=secured.login(user))


def told(stream) -> list[tuple[str, object]]:
    """Return the events that have come whole."""
    events = stream.received.decode().split("\n\n")[:-1]
    found = []
    for event in events:
        name, _, data = event.partition("\ndata: ")
        found.append((name.removeprefix("event: "), json.loads(data)))
    return found


def soon(secured, stream, holds) -> None:
    """Wait until something holds of what was told."""

    until = time.monotonic() + 5
    while not holds(told(stream)):
        assert time.monotonic() < until, stream.received
        secured.run(asyncio.sleep(0.01))


def names(events) -> list[str]:
    return [name for name, _ in events]


def test_changes_and_uves_come_by_one_stream(secured, node) -> None:
    stream = follow(secured, "ann", "?types=vrouter,bgp-peer&alarms=all")
    node.chunks.put_nowait(UVE)
    soon(secured, stream, lambda events: "update" in names(events))
    body = {"fq_name": ["default-domain", "default-project", "new"]}
    assert secured.as_root("POST", "/api/v1/virtual-network", body).status == 201
    changed = {"virtual-network"}

    def is_told(events) -> bool:
        lines = [data for name, data in events if name == "config"]
        return changed <= {each["type"] for line in lines for each in line.get("changes", ())}

    soon(secured, stream, is_told)

    assert node.asked == [
        ("/analytics/uve-stream", {"tablefilt": "vrouter,bgp-peer", "alarms": "all"})
    ]
    stream.task.cancel()


def test_a_reader_that_comes_back_is_told_what_it_missed(secured) -> None:
    stream = follow(secured, "ann")
    start = told(stream)[0][1]
    stream.task.cancel()
    body = {"fq_name": ["default-domain", "default-project", "meanwhile"]}
    secured.as_root("POST", "/api/v1/virtual-network", body)

    query = f"?from_revision={start['revision'] + 1}&history={start['history']}"
    again = follow(secured, "ann", query)

    soon(secured, again, lambda events: "meanwhile" in str(events))
    again.task.cancel()


def test_events_are_cut_nowhere_but_between_them(secured, node) -> None:
    stream = follow(secured, "ann", "?types=vrouter")
    for number in range(len(UVE)):
        node.chunks.put_nowait(UVE[number : number + 1])
        if number % 7 == 0:
            body = {"fq_name": ["default-domain", "default-project", f"n{number}"]}
            secured.as_root("POST", "/api/v1/virtual-network", body)

    soon(secured, stream, lambda events: "update" in names(events))

    assert set(names(told(stream))) == {"config", "update"}
    stream.task.cancel()


def test_only_alarms_are_asked_for_as_such(secured, node) -> None:
    stream = follow(secured, "ann", "?alarms=all")
    soon(secured, stream, lambda _: node.asked)

    assert node.asked == [("/analytics/alarm-stream", {})]
    stream.task.cancel()


def test_nothing_is_asked_of_analytics_when_nothing_of_it_is_shown(secured, node) -> None:
    stream = follow(secured, "ann")

    assert names(told(stream)) == ["config"]
    assert node.asked == []
    stream.task.cancel()


def test_a_node_that_went_is_told_and_followed_again(secured, node, monkeypatch) -> None:
    monkeypatch.setattr(live, "AGAIN_S", 0.01)
    stream = follow(secured, "ann", "?types=vrouter")
    node.chunks.put_nowait(None)
    soon(secured, stream, lambda events: "absent" in names(events))
    node.chunks.put_nowait(UVE)
    soon(secured, stream, lambda events: "update" in names(events))

    absent = next(data for name, data in told(stream) if name == "absent")
    assert (absent["part"], absent["status"]) == ("analytics", 503)
    assert len(node.asked) == 2
    stream.task.cancel()


def test_a_node_that_hangs_is_left(secured, node, monkeypatch) -> None:
    monkeypatch.setattr(live, "SILENT_S", 0.05)
    stream = follow(secured, "ann", "?types=vrouter")

    soon(secured, stream, lambda events: "says nothing" in str(events))

    stream.task.cancel()


def test_a_refusal_of_the_node_is_told_once(secured, node, monkeypatch) -> None:
    monkeypatch.setattr(live, "AGAIN_S", 0.0)
    node.status = 400
    stream = follow(secured, "ann", "?types=nothing")
    soon(secured, stream, lambda events: "absent" in names(events))
    body = {"fq_name": ["default-domain", "default-project", "still"]}
    secured.as_root("POST", "/api/v1/virtual-network", body)
    soon(secured, stream, lambda events: "still" in str(events))

    assert names(told(stream)).count("absent") == 1
    assert len(node.asked) == 1
    stream.task.cancel()


def test_who_may_not_watch_is_refused(secured, nobody_watches) -> None:
    stream = follow(secured, "bob")

    assert stream.status == 403


def test_who_may_read_neither_part_is_told_of_both_and_left(secured, node, nobody_watches) -> None:
    stream = follow(secured, "bob", "?types=vrouter")

    assert stream.has_ended()
    parts = [(data["part"], data["status"]) for name, data in told(stream) if name == "absent"]
    assert parts == [("config", 403), ("analytics", 403)]
    assert node.asked == []


def test_the_stream_ends_with_the_account_whatever_the_node_says(secured, node) -> None:
    stream = follow(secured, "ann", "?types=vrouter")
    soon(secured, stream, lambda _: node.asked)

    secured.as_root("DELETE", "/api/v1/users/ann")
    node.chunks.put_nowait(UVE)

    assert stream.has_ended()
    assert "update" not in names(told(stream))


def test_without_analytics_the_configuration_is_told(api) -> None:
    secured = Secured(api, SETTINGS)
    secured.now = time.time()
    secured.app = HttpApi(
        api.service, gate=secured.gate, also=[LiveApi(api.service, secured.gate, None)]
    )
    secured.user("ann", roles=["admin"])

    stream = follow(secured, "ann", "?types=vrouter")

    soon(secured, stream, lambda events: "absent" in names(events))
    assert ("absent", 404) in [(name, data.get("status")) for name, data in told(stream)]
    stream.task.cancel()


@pytest.mark.parametrize("query", ["?alarms=some", "?from_revision=x", "?tables=vrouter"])
def test_questions_that_make_no_sense_are_refused(secured, query) -> None:
    assert follow(secured, "ann", query).status == 400


def test_a_reader_that_leaves_leaves_the_node(secured, node) -> None:
    stream = follow(secured, "ann", "?types=vrouter")
    soon(secured, stream, lambda _: node.asked)
    stream.task.cancel()

    loop = secured.api.loop
    soon(
        secured,
        stream,
        lambda _: not [t for t in asyncio.all_tasks(loop) if "_next" in str(t.get_coro())],
    )


def test_sources_are_closed_when_nobody_reads_any_more(api) -> None:
    closed = []

    async def source(name: str, pause_s: float):
        try:
            while True:
                await asyncio.sleep(pause_s)
                yield name.encode()
        finally:
            closed.append(name)

    async def read() -> None:
        sources = [source("a", 0.0), source("b", 60.0)]
        async with aclosing(live._together(b"x", sources)) as both:
            assert [await anext(both), await anext(both)] == [b"x", b"a"]

    api.loop.run_until_complete(read())

    assert sorted(closed) == ["a", "b"]
