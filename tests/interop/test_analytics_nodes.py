"""Two analytics nodes: processes and the API go to the first that answers, and return to it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from skytrail.lab.io.machine import free_port
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.telemetry import Collectors, Telemetry, hello_of_this_process
from skytrail.testing.controller import DEADLINE_S, Daemons
from skytrail.wire.telemetry import Uve

KEY = "default-domain:p:told"


class Nodes:
    """Two nodes and an API that knows both."""

    def __init__(self, daemons):
        self._daemons, folder = daemons, daemons.folder
        self.rest = [free_port(), free_port()]
        self.sockets = [folder / f"node{n}.sock" for n in range(2)]
        for number in range(2):
            self.start(number)
        self.api = free_port()
        places = [f"http://127.0.0.1:{port}" for port in self.rest]
        daemons.start("api", "--data", folder / "store", "--port", self.api,
            "--analytics", places[0], "--analytics", places[1])  # fmt: skip

    def start(self, number):
        self._daemons.start(
            f"node{number}", "--name", f"node{number}", "--port", self.rest[number],
            "--telemetry-socket", self.sockets[number], module="analytics",
        )  # fmt: skip

    def kill(self, number):
        self._daemons.kill(f"node{number}")

    def known(self, url):
        try:
            return httpx.get(f"{url}/uves/virtual-network/{KEY}?flat", timeout=10).json()
        except httpx.HTTPError:
            return None

    def known_at(self, number):
        return self.known(f"http://127.0.0.1:{self.rest[number]}/analytics")

    def known_by_api(self):
        return self.known(f"http://127.0.0.1:{self.api}/api/v1/analytics")


@pytest.fixture
def nodes(tmp_path):
    with Daemons(tmp_path) as daemons:
        yield Nodes(daemons)


async def until(condition, what):
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.05)
    return what


def test_processes_and_api_fail_over_and_return(nodes):
    told = {"Said": {"in_bytes": 7}}

    async def source():
        return [Uve(table="ObjectVNTable", key=KEY, struct="Said", fields={"in_bytes": 7})]

    async def story():
        telemetry = Telemetry(
            hello_of_this_process("h1", "Compute", "m"), source,
            Collectors(nodes.sockets, return_every_s=0.1), SystemClock(),
        )  # fmt: skip
        telling = asyncio.create_task(telemetry.run())
        steps = [
            await until(lambda: nodes.known_by_api() == told, "the first node is told"),
        ]
        assert nodes.known_at(1) == {}
        nodes.kill(0)
        steps.append(await until(lambda: nodes.known_at(1) == told, "the second is told"))
        steps.append(await until(lambda: nodes.known_by_api() == told, "and asked by the API"))
        nodes.start(0)
        steps.append(await until(lambda: nodes.known_at(0) == told, "the first is told again"))
        steps.append(
            await until(lambda: telemetry.collector == str(nodes.sockets[0]), "and no other")
        )
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        return steps

    assert len(asyncio.run(story())) == 5


def test_nobody_is_asked_when_no_node_is_there(nodes):
    nodes.kill(0)
    nodes.kill(1)

    reply = httpx.get(f"http://127.0.0.1:{nodes.api}/api/v1/analytics/uves", timeout=10)

    assert reply.status_code == 503
    assert "does not answer" in reply.text
