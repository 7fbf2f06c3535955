"""The server around an application: stop with open streams, several sockets."""

import asyncio
import contextlib

import httpx
import pytest

from skytrail.runtime import http_protocol
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


async def answers(path, chunks):
    """Send the chunks on a connection of their own and return all that comes until it ends."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    received = b""
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        received = await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.close()
    return received


def served(tmp_path, scenario):
    """Run the scenario, given the socket's path, beside a server; then a decent client."""

    async def whole():
        ready = asyncio.Event()
        path = tmp_path / "s"
        server = asyncio.create_task(
            serve(application(), [listen_unix(path)], when_ready=ready.set)
        )
        await ready.wait()
        found = await scenario(path)
        decent = await answers(
            path, [b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"]
        )
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server
        assert decent.endswith(b"hello")
        return found

    return run(whole)


def test_endless_request_head_is_refused(tmp_path):
    def head():
        yield b"GET /hello HTTP/1.1\r\nx-long: "
        yield from [b"a" * 65536] * 100

    replied = served(tmp_path, lambda path: answers(path, head()))

    assert replied.startswith(b"HTTP/1.1 400 ") or not replied


def test_flood_of_pipelined_requests_waits_and_is_answered_whole(tmp_path, monkeypatch):
    request = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"
    last = request[:-2] + b"connection: close\r\n\r\n"
    most = []
    serve_one = http_protocol.HttpProtocol._serve

    async def serve_noted(self, exchange):
        most.append(len(self._waiting))
        await serve_one(self, exchange)

    monkeypatch.setattr(http_protocol.HttpProtocol, "_serve", serve_noted)

    replied = served(tmp_path, lambda path: answers(path, [request * 1999, last]))

    assert replied.count(b"200 OK") == 2000
    assert max(most) < http_protocol.PIPELINE_COUNT_MAX + http_protocol.FEED_BYTES // len(request)


def test_large_body_before_the_next_head_is_no_large_head(tmp_path):
    first = b"GET /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000
    last = b"GET /hello HTTP/1.1\r\nconnection: close\r\n"

    replied = served(tmp_path, lambda path: answers(path, [first + last, b"host: x\r\n\r\n"]))

    assert replied.count(b"200 OK") == 2


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [b"GET /hel"],
        [b"GET /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"],
    ],
)
def test_request_that_does_not_come_ends_its_connection(tmp_path, monkeypatch, chunks):
    monkeypatch.setattr(http_protocol, "REQUEST_TIME_S", 0.2)

    served(tmp_path, lambda path: answers(path, chunks))


def test_empty_line_after_a_reply_does_not_keep_the_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(http_protocol, "REQUEST_TIME_S", 0.2)

    async def scenario(path):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\nhello")
        writer.write(b"\r\n")
        rest = await reader.read()
        writer.close()
        return rest

    assert served(tmp_path, scenario) == b""


def test_network_clients_leave_room_for_local_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(http_protocol, "NETWORK_CONNECTIONS_COUNT_MAX", 2)

    async def scenario():
        ready = asyncio.Event()
        network = listen_tcp("127.0.0.1", 0)
        port = network.getsockname()[1]
        server = asyncio.create_task(
            serve(application(), [network, listen_unix(tmp_path / "s")], when_ready=ready.set)
        )
        await ready.wait()
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        refused = await held[2][0].read()
        request = b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        local = await answers(tmp_path / "s", [request])
        for _, writer in held:
            writer.close()
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server
        return refused, local

    refused, local = run(scenario)

    assert refused == b""
    assert local.endswith(b"hello")
