"""The server around an application: stop with open streams, several sockets."""

import asyncio
import contextlib

import httpx

from skytrail.runtime.asgi import AsgiApp, Router, StreamResponse, text_reply
from skytrail.runtime.server import SHUTDOWN_S, listen_tcp, listen_unix, serve

TIME_LIMIT_S = 20


async def endless():
    yield b"first\n"
    await asyncio.Event().wait()


async def stream(request):
    return StreamResponse(endless())


async def hello(request):
    return text_reply("hello")


def application():
    router = Router()
    router.add("GET", "/stream", stream)
    router.add("GET", "/hello", hello)
    return AsgiApp(router)


def run(scenario):
    async def limited():
        async with asyncio.timeout(TIME_LIMIT_S):
            return await scenario()

    return asyncio.run(limited())


def test_stop_ends_open_streams_without_waiting_or_complaint(tmp_path, caplog):
    async def scenario():
        ready = asyncio.Event()
        server = asyncio.create_task(
            serve(application(), [listen_unix(tmp_path / "s")], when_ready=ready.set)
        )
        await ready.wait()
        transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s"))
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
            client.stream("GET", "/stream") as reply,
        ):
            await anext(aiter(reply.aiter_bytes()))
            before = asyncio.get_running_loop().time()
            server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await server
            return asyncio.get_running_loop().time() - before

    assert run(scenario) < SHUTDOWN_S
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_one_server_answers_on_tcp_and_on_a_unix_socket(tmp_path):
    async def scenario():
        ready = asyncio.Event()
        tcp = listen_tcp("127.0.0.1", 0)
        port = tcp.getsockname()[1]
        server = asyncio.create_task(
            serve(application(), [tcp, listen_unix(tmp_path / "s")], when_ready=ready.set)
        )
        await ready.wait()
        transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "s"))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            by_unix = (await client.get("/hello")).text
        async with httpx.AsyncClient(trust_env=False) as client:
            by_tcp = (await client.get(f"http://127.0.0.1:{port}/hello")).text
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server
        return by_unix, by_tcp

    assert run(scenario) == ("hello", "hello")
