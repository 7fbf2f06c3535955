"""Open watches end with the identity they were opened by, before they tell anything more."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest

from skytrail.api.io.auth_keystone import Keystone
from skytrail.api.io.gate import RECHECK_S
from skytrail.api.io.keystone_client import KeystoneClient
from skytrail.api.io.keystone_mirror import KeystoneMirror
from skytrail.api.security_settings import KeystoneSettings, SecuritySettings
from skytrail.testing.keystone import FakeKeystone

from .security_server import NETWORK_CLIENT, Secured, basic

SETTINGS = SecuritySettings(authentication=["local"], cloud_admin_role="admin")
NATIVE, COMPATIBLE = "/api/v1/watch", "/watch?resource_type=virtual-network"
WATCHES = pytest.mark.parametrize("path", [NATIVE, COMPATIBLE])
STOP = b"event: stop\ndata: {}\n\n"


@pytest.fixture
def server(api) -> Secured:
    made = Secured(api, SETTINGS)
    made.now = time.time()
    made.user("ann", roles=["admin"])
    made.user("bob", roles=["admin"])
    return made


class Stream:
    """A watch that is open while the test goes on."""

    def __init__(self, server: Secured, target: str, **headers: str) -> None:
        self.server = server
        self.status = 0
        self.received = b""
        self._news = asyncio.Event()
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
            "client": NETWORK_CLIENT,
            "extensions": {},
        }
        self.task = server.api.loop.create_task(server.app(scope, self._receive, self._send))
        server.run(self._started())

    async def _receive(self) -> dict:
        if not self.status:
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, message: dict) -> None:
        self.status = message.get("status", self.status)
        self.received += message.get("body", b"")
        self._news.set()

    async def _started(self) -> None:
        async with asyncio.timeout(5):
            while not self.received:
                await self._news.wait()
                self._news.clear()
        # What follows the snapshot in the same breath is part of the start.
        for _ in range(20):
            await asyncio.sleep(0)

    def has_ended(self, within_s: float = 5.0) -> bool:
        async def wait() -> bool:
            done, _ = await asyncio.wait([self.task], timeout=within_s)
            return bool(done)

        return self.server.run(wait())

    def close(self) -> None:
        self.task.cancel()
        self.server.run(asyncio.wait([self.task]))


@pytest.fixture
def opened(server):
    streams = []

    def start(path: str, user: str = "ann", **headers: str) -> Stream:
        given = headers or {"x_auth_token": server.login(user)}
        streams.append(Stream(server, path, **given))
        assert streams[-1].status == 200
        return streams[-1]

    yield start
    for stream in streams:
        stream.close()


@WATCHES
@pytest.mark.parametrize("by_token", [True, False])
def test_watch_of_a_removed_user_ends_and_tells_nothing_more(
    server, opened, path, by_token
) -> None:
    headers = {} if by_token else {"authorization": basic("ann", "correct horse")}
    stream, other = opened(path, **headers), opened(path, "bob")

    server.as_root("DELETE", "/api/v1/users/ann")
    server.api.network("secret")

    assert stream.has_ended()
    assert b"secret" not in stream.received
    assert stream.received.endswith(STOP) or path == NATIVE
    assert not other.has_ended(0.02)
    assert b"secret" in other.received


@WATCHES
@pytest.mark.parametrize(
    "change", [{"password": "another horse"}, {"roles": ["member"]}, {"roles": []}]
)
def test_watch_ends_when_the_user_becomes_another_one(server, opened, path, change) -> None:
    stream = opened(path)

    reply = server.as_root("PUT", "/api/v1/users/ann", change)

    assert reply.status == 200
    assert stream.has_ended()


@WATCHES
def test_watch_goes_on_when_others_change(server, opened, path) -> None:
    stream = opened(path)

    server.as_root("PUT", "/api/v1/users/bob", {"roles": ["member"]})
    server.as_root("PUT", "/api/v1/users/ann", {"roles": ["admin"]})
    server.api.network("public")

    assert not stream.has_ended(0.02)
    assert b"public" in stream.received


@WATCHES
def test_watch_that_nobody_was_asked_for_ends_when_authentication_is_switched_on(
    server, opened, path
) -> None:
    server.as_root("PUT", "/aaa-mode", {"aaa-mode": "no-auth"})
    stream = opened(path, host="x")
    server.as_root("PUT", "/aaa-mode", {"aaa-mode": "rbac"})
    server.api.network("secret")

    assert stream.has_ended()
    assert b"secret" not in stream.received


class KeystoneWorld:
    def __init__(self, api) -> None:
        keystone = SecuritySettings(
            authentication=["keystone"],
            cloud_admin_role="admin",
            keystone=KeystoneSettings(url="http://keystone:5000/v3", user="svc", password_file="-"),
        )
        self.keystone = FakeKeystone()
        self.keystone.add("svc", "service pw", "service", "service")
        self.ann = self.keystone.add("ann", "pw", "admin", "admin")

        def make(service, settings, clock) -> Keystone:
            http = httpx.AsyncClient(transport=httpx.ASGITransport(self.keystone.app))
            client = KeystoneClient(settings.keystone, "service pw", http=http)
            mirror = KeystoneMirror(service, client, clock=clock)
            return Keystone(service, settings, client, mirror, clock=clock)

        self.server = Secured(api, keystone, make)
        self.server.now = time.time()


@WATCHES
def test_watch_of_a_user_whom_keystone_disabled_ends_at_the_next_check(api, path) -> None:
    world = KeystoneWorld(api)
    server = world.server
    stream = Stream(server, path, x_auth_token=world.keystone.issue(world.ann))

    server.now += RECHECK_S + 1
    api.network("before")
    assert not stream.has_ended(0.05)
    world.keystone.revoke_all()
    server.now += max(RECHECK_S, server.settings.keystone.cache_s) + 1
    api.network("after")

    assert stream.has_ended()
    assert b"before" in stream.received
    assert b"after" not in stream.received


def test_native_lines_stay_whole_when_a_watch_ends(server, opened) -> None:
    stream = opened(NATIVE)
    server.api.network("one")
    server.as_root("DELETE", "/api/v1/users/ann")

    assert stream.has_ended()
    assert [json.loads(line)["kind"] for line in stream.received.splitlines()]
