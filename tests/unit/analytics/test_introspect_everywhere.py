"""Tables of all processes by one call: real processes' side, real sockets, the node's REST router."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from skytrail.analytics.collector import Collector
from skytrail.analytics.io import introspect_http
from skytrail.analytics.io.asking import Processes, Unanswered
from skytrail.analytics.io.introspect_http import IntrospectEverywhere
from skytrail.analytics.io.telemetry_server import TelemetryServer
from skytrail.runtime.answering import ANSWER_BYTES_MAX, PART_BYTES, answer_to
from skytrail.runtime.asgi import HttpError, Request, Response, Router
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.introspection import Introspection
from skytrail.runtime.metrics import METRICS_TYPE, Sample
from skytrail.runtime.telemetry import Collectors, Telemetry
from skytrail.wire.telemetry import Answer, Ask, Hello


def hello(source, module="contrail-vrouter-agent"):
    return Hello(
        source=source, node_type="Compute", module=module, instance_id="0", pid=7, started_us=1
    )


async def _nothing():
    return []


class Watched(Processes):
    """Knows when so many processes are connected."""

    def __init__(self):
        super().__init__()
        self.awaited = 0
        self.all_there = asyncio.Event()

    def connected(self, who, writer):
        super().connected(who, writer)
        if len(self.known()) == self.awaited:
            self.all_there.set()


class Site:
    """An analytics node, and processes that tell it of themselves."""

    def __init__(self, folder):
        self._path = folder / "telemetry.sock"
        self.processes = Watched()
        self.router = Router()
        self.collector = Collector()
        self._tasks = []

    @contextlib.asynccontextmanager
    async def running(self, *processes):
        self.processes.awaited = len(processes)
        own = Introspection({"uves": lambda: [{"table": "T"}]}).router()
        name = hello("ctl", "contrail-analytics-api")
        IntrospectEverywhere(self.processes, own, name).add_routes(self.router)
        server = TelemetryServer(self.collector, SystemClock(), processes=self.processes)
        async with server.serve_unix(self._path):
            for who, pages in processes:
                telemetry = Telemetry(
                    who, _nothing, Collectors([self._path]), SystemClock(), pages=pages
                )
                self._tasks.append(asyncio.create_task(telemetry.run()))
            async with asyncio.timeout(10):
                await self.processes.all_there.wait()
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def get(self, page, **query):
        path = f"/api/v1/introspect{page}"
        request = Request(
            "GET", path, tuple(path.strip("/").split("/")),
            {name: (value,) for name, value in query.items()}, {},
        )  # fmt: skip
        reply = await self.router(request)
        return json.loads(reply.body)


def fib(*rows):
    return Introspection({"fib": lambda: rows}).router()


def test_table_is_of_all_who_have_it_with_a_column_of_who_shows_it(tmp_path):
    async def run():
        control = Introspection({"peers": list}).router()
        async with Site(tmp_path).running(
            (hello("h1"), fib({"prefix": "10.0.0.0/24", "node": "x"})),
            (hello("h2"), fib({"prefix": "10.1.0.0/24"}, {"prefix": "10.2.0.0/24"})),
            (hello("ctl", "contrail-control"), control),
        ) as site:
            found = await site.get("/fib")
            listed = await site.get("")
            one = await site.get("/fib", node="h2", prefix="10.2.0.0/24")
            cut = await site.get("/fib", limit="1")
            return found, listed, one, cut

    found, listed, one, cut = asyncio.run(run())

    agent = {"process": "contrail-vrouter-agent"}
    assert found == {
        "table": "fib",
        "rows": [
            {"node": "h1", **agent, "prefix": "10.0.0.0/24", "node_": "x"},
            {"node": "h2", **agent, "prefix": "10.1.0.0/24"},
            {"node": "h2", **agent, "prefix": "10.2.0.0/24"},
        ],
        "total": 3,
        "asked": 2,
        "failures": [],
    }
    assert {row["process"]: row["tables"] for row in listed["processes"]} == {
        "contrail-analytics-api": ["process", "uves"],
        "contrail-control": ["peers", "process"],
        "contrail-vrouter-agent": ["fib", "process"],
    }
    assert [row["prefix"] for row in one["rows"]] == ["10.2.0.0/24"]
    assert (len(cut["rows"]), cut["total"]) == (1, 3)


def test_page_of_a_long_table_is_of_one_process(tmp_path):
    async def run():
        rows = [{"prefix": f"10.{number}.0.0/24"} for number in range(9)]
        async with Site(tmp_path).running((hello("h1"), fib(*rows)), (hello("h2"), fib())) as site:
            found = await site.get("/fib", node="h1", offset="4", limit="2")
            with pytest.raises(HttpError, match="name one by node= and process=") as refused:
                await site.get("/fib", offset="4")
            return found, refused.value.status

    found, status = asyncio.run(run())

    assert [row["prefix"] for row in found["rows"]] == ["10.4.0.0/24", "10.5.0.0/24"]
    assert found["total"] == 9
    assert status == 400


def test_who_does_not_answer_is_named_and_the_rest_is_shown(tmp_path):
    async def stuck(_request):
        await asyncio.Event().wait()

    async def broken(_request):
        raise ZeroDivisionError

    async def run():
        async with Site(tmp_path).running(
            (hello("h1"), fib({"a": 1})), (hello("h2"), stuck), (hello("h3"), broken)
        ) as site:
            return await site.get("/fib", node="h1,h2,h3,gone", timeout="3")

    found = asyncio.run(run())

    assert [row["node"] for row in found["rows"]] == ["h1"]
    reasons = {each["node"]: each["reason"] for each in found["failures"]}
    assert set(reasons) == {"h2", "h3", "gone"}
    assert "within" in reasons["h2"]
    assert "not made" in reasons["h3"]
    assert "no process of this node" in reasons["gone"]


@pytest.mark.parametrize(
    ("page", "query", "status"),
    [
        ("/nope", {}, 404),
        ("/fib", {"limit": "-1"}, 400),
        ("/fib", {"limit": "1000001"}, 400),
        ("/fib", {"timeout": "31"}, 400),
        ("/fib", {"timeout": "0"}, 400),
        ("/fib", {"timeout": "x"}, 400),
        ("", {"prefix": "1"}, 400),
    ],
)
def test_question_that_makes_no_sense_is_refused(tmp_path, page, query, status):
    async def run():
        async with Site(tmp_path).running((hello("h1"), fib())) as site:
            with pytest.raises(HttpError) as refused:
                await site.get(page, **query)
            return refused.value.status

    assert asyncio.run(run()) == status


def test_calls_beyond_a_few_are_turned_away(tmp_path):
    release = asyncio.Event()

    async def slow(_request):
        await release.wait()
        return Response(200, b'{"table":"fib","rows":[],"total":0}')

    async def run():
        async with Site(tmp_path).running((hello("h1"), slow)) as site:
            calls = [
                asyncio.create_task(site.get("/fib"))
                for _ in range(introspect_http.CALLS_COUNT_MAX)
            ]
            await asyncio.sleep(0)
            with pytest.raises(HttpError) as refused:
                await site.get("/fib")
            release.set()
            await asyncio.gather(*calls)
            return refused.value.status

    assert asyncio.run(run()) == 503


@pytest.mark.parametrize(
    "page", ["capture", "flow-log", "introspect/a/b", "", "/introspect", "introspect/../x"]
)
def test_nothing_but_pages_that_are_read_is_asked_for(page):
    async def anything(_request):
        return Response(200, b"done")

    (answer,) = asyncio.run(answer_to(Ask(id=1, page=page), anything))

    assert answer.status == 404


def test_long_answer_comes_in_parts_and_one_too_long_is_refused():
    async def long(request):
        return Response(200, b"x" * int(request.query["size"]))

    def parts(size):
        ask = Ask(id=1, page="metrics", query={"size": str(size)})
        return asyncio.run(answer_to(ask, long))

    assert [(len(each.part), each.is_last) for each in parts(PART_BYTES + 5)] == [
        (PART_BYTES, False),
        (5, True),
    ]
    assert [each.status for each in parts(ANSWER_BYTES_MAX + 1)] == [413]


class Sink:
    def __init__(self):
        self.asked = asyncio.Event()

    def write(self, _data):
        self.asked.set()

    async def drain(self):
        pass


def test_answer_is_taken_from_who_was_asked_only():
    async def run():
        processes, writer = Processes(), Sink()
        processes.connected(hello("h1"), writer)
        waiting = asyncio.create_task(processes.ask(hello("h1").generator, "metrics", {}, 5.0))
        await writer.asked.wait()
        answer = Answer(id=1, status=200, part=b"1")
        forged = processes.heard(hello("h2").generator, answer)
        taken = processes.heard(hello("h1").generator, answer)
        late = processes.heard(hello("h1").generator, answer)
        return forged, taken, late, (await waiting).body

    assert asyncio.run(run()) == (False, True, False, b"1")


def test_lost_connection_ends_the_wait():
    async def run():
        processes, writer = Processes(), Sink()
        processes.connected(hello("h1"), writer)
        waiting = asyncio.create_task(processes.ask(hello("h1").generator, "metrics", {}, 60.0))
        await writer.asked.wait()
        processes.gone(hello("h1").generator, writer)
        with pytest.raises(Unanswered, match="connection ended"):
            await waiting
        with pytest.raises(Unanswered, match="not connected"):
            await processes.ask(hello("h1").generator, "metrics", {}, 60.0)

    asyncio.run(run())


def test_metrics_of_every_process_are_at_one_address(tmp_path):
    agent = Introspection({}, lambda: ["config"], lambda: [Sample("agent_drops_total", 3)]).router()

    async def run():
        async with Site(tmp_path).running((hello("h1"), agent)) as site:

            async def page(path):
                segments = ("api", "v1", "processes", *path.split("/"))
                request = Request("GET", "/" + "/".join(segments), segments, {}, {})
                return await site.router(request)

            with pytest.raises(HttpError) as unknown:
                await page("h2/agent/metrics")
            return await page("h1/agent/metrics"), await page("h1/agent/healthz"), unknown.value

    metrics, health, unknown = asyncio.run(run())

    assert b"agent_drops_total 3" in metrics.body
    assert metrics.content_type == METRICS_TYPE
    assert (health.status, json.loads(health.body)["unmet"]) == (503, ["config"])
    assert unknown.status == 404


@pytest.mark.parametrize("status", [100, 101, 204, 304, 301, 999, -3])
def test_a_process_cannot_have_the_next_reply_taken_for_its_own(tmp_path, status):
    """Statuses without a body, or of no reply: what follows would be read as another page's answer."""

    async def hostile(_request):
        return Response(status, b"HTTP/1.1 200 OK")

    async def run():
        async with Site(tmp_path).running((hello("h1"), hostile)) as site:
            path = "/api/v1/processes/h1/contrail-vrouter-agent/metrics"
            request = Request("GET", path, tuple(path.strip("/").split("/")), {}, {})
            with pytest.raises(HttpError, match=f"a status of {status}") as refused:
                await site.router(request)
            return refused.value.status

    assert asyncio.run(run()) == 502
