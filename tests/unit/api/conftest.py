"""The whole HTTP surface over a memory store, in process: no socket, no real network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from skytrail.api.caller import Caller
from skytrail.api.io.http import HttpApi
from skytrail.api.schema import Schema
from skytrail.api.service import ConfigService
from skytrail.model.catalog import CATALOG
from skytrail.runtime.asgi import Request
from skytrail.store.io.memory import MemoryStore

PROJECT = ["default-domain", "default-project"]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Api:
    """Synchronous calls into the application; the writer task runs between them."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.caller: Caller | None = None
        """Who the next requests come from; nobody is asked while it is None."""
        self.loop = asyncio.new_event_loop()
        self.store = store
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        if self.store is None:
            self.store = MemoryStore()
        self.service = await ConfigService.start(Schema(CATALOG), self.store)
        self.app = HttpApi(self.service, admit=self._admit)
        self.writer = asyncio.ensure_future(self.service.run())

    async def _admit(self, request: Request) -> None:
        request.identity = self.caller

    @contextmanager
    def as_caller(self, caller: Caller) -> Iterator[None]:
        """Send requests as somebody."""
        before, self.caller = self.caller, caller
        try:
            yield
        finally:
            self.caller = before

    def close(self) -> None:
        self.writer.cancel()
        self.loop.run_until_complete(asyncio.gather(self.writer, return_exceptions=True))
        self.loop.close()

    def call(self, method: str, target: str, body: object = None, **headers: str) -> Reply:
        return self.loop.run_until_complete(self.acall(method, target, body, **headers))

    async def acall(self, method: str, target: str, body: object = None, **headers: str) -> Reply:
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        path, _, query = target.partition("?")
        given = {"host": "api.test:8082", "content-type": "application/json", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query.encode(),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items()],
            "client": ("127.0.0.1", 1),
        }
        sent: list[dict[str, object]] = []

        waiting = [{"type": "http.request", "body": raw, "more_body": False}]

        async def receive():
            if not waiting:
                await asyncio.Event().wait()  # The client stays until it has everything.
            return waiting.pop()

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        start = sent[0]
        return Reply(
            start["status"],
            {k.decode(): v.decode() for k, v in start["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
        )

    def create(self, type_name: str, **members: object) -> str:
        reply = self.call("POST", f"/{type_name}s", {type_name: members})
        assert reply.status == 200, reply.text
        return reply.json[type_name]["uuid"]

    def read(self, type_name: str, uuid: str, query: str = "") -> dict:
        reply = self.call("GET", f"/{type_name}/{uuid}{query}")
        assert reply.status == 200, reply.text
        return reply.json[type_name]

    def network(self, name: str, *subnets: dict, **members: object) -> str:
        return self.create(
            "virtual-network",
            fq_name=[*PROJECT, name],
            parent_type="project",
            network_ipam_refs=[
                {
                    "to": [*PROJECT, "default-network-ipam"],
                    "attr": {"ipam_subnets": list(subnets)},
                }
            ],
            **members,
        )

    def address(self, network: str, name: str, **members: object) -> Reply:
        body = {"fq_name": [name], "virtual_network_refs": [{"uuid": network}], **members}
        return self.call("POST", "/instance-ips", {"instance-ip": body})

    @staticmethod
    def subnet(prefix: str, **members: object) -> dict:
        address, _, length = prefix.partition("/")
        return {"subnet": {"ip_prefix": address, "ip_prefix_len": int(length)}, **members}

    def restarted(self) -> Api:
        """A second server on the same store, as after a crash."""
        return Api(self.store)


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Api]:
    running = Api()
    running.network("fuzz", running.subnet("10.0.0.0/24"))
    running.create(
        "floating-ip-pool", fq_name=[*PROJECT, "fuzz", "pool"], parent_type="virtual-network"
    )
    yield running
    running.close()


@pytest.fixture
def api() -> Iterator[Api]:
    running = Api()
    yield running
    running.close()


@pytest.fixture
def fresh() -> type[Api]:
    """For tests that need a server per generated example."""
    return Api
