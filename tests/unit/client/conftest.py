"""A small API in this process, on a Unix socket, that says what each test scripts."""

import asyncio
import contextlib

import pytest

from skytrail.runtime.asgi import AsgiApp, Request, StreamResponse, json_reply
from skytrail.runtime.server import listen_unix, serve

TIME_LIMIT_S = 20


class ScriptedApi:
    """Answers with scripted replies, else always the same, and keeps the requests."""

    def __init__(self):
        self.requests: list[Request] = []
        self.reply = json_reply({})
        self.replies: list = []
        self.streams: list = []

    async def __call__(self, request):
        self.requests.append(request)
        if request.path != "/api/v1/watch":
            return self.replies.pop(0) if self.replies else self.reply
        if not self.streams:
            return StreamResponse(_silence())
        stream = self.streams.pop(0)
        return StreamResponse(_lines(stream)) if isinstance(stream, (list, tuple)) else stream

    @property
    def asked_revisions(self):
        return [each.query.get("from_revision") for each in self.requests]


async def _lines(lines):
    for line in lines:
        yield line


async def _silence():
    await asyncio.Event().wait()
    yield b""


@pytest.fixture
def api():
    return ScriptedApi()


@pytest.fixture
def with_api(api, tmp_path):
    """Run scenario(socket path) while the scripted API serves."""

    def run(scenario):
        async def serving():
            path = tmp_path / "api"
            ready = asyncio.Event()
            server = asyncio.create_task(
                serve(AsgiApp(api), [listen_unix(path)], when_ready=ready.set)
            )
            try:
                async with asyncio.timeout(TIME_LIMIT_S):
                    await ready.wait()
                    return await scenario(str(path))
            finally:
                server.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await server

        return asyncio.run(serving())

    return run
