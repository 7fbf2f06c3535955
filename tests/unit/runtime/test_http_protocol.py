"""HTTP on a connection: order, bodies, ends, and what must never reach a client."""

import asyncio
import contextlib

import pytest

from skytrail.runtime import http_head, http_protocol
from skytrail.runtime.asgi import (
    AsgiApp,
    HttpError,
    Promised,
    Response,
    StreamResponse,
    text_reply,
)
from skytrail.runtime.server import listen_tcp, listen_unix, serve

TIME_LIMIT_S = 20
GET = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def quick(request):
    """Answer at once what begins with /now."""
    match request.path:
        case "/now/refused":
            raise HttpError(403, "no", (("x-why", "so"),))
        case "/now/defect":
            raise KeyError(request.path)
        case "/now/large":
            return Response(200, b"x" * 3_000_000)
        case path if path.startswith("/now"):
            return text_reply(f"now {path}")
        case path if path.startswith("/soon"):
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.002, settle, future, path)
            return Promised(future, lambda done: promised_reply(request, done))
    return None


def settle(future, path):
    if path == "/soon/cancelled":
        future.cancel()
    else:
        future.set_result(path)


def promised_reply(request, done):
    match done.result():
        case "/soon/refused":
            raise HttpError(403, "no")
        case "/soon/defect":
            raise KeyError(request.path)
        case path:
            return text_reply(f"soon {path} {len(request.body)}")


async def numbers():
    for number in range(3):
        yield b"%d\n" % number


async def slow(request):
    if isinstance(reply := quick(request), Response):
        return reply
    if request.path == "/split":
        return Response(200, b"", headers=(("x-name", "a\r\nset-cookie: stolen"),))
    if request.path == "/stream":
        return StreamResponse(numbers())
    await asyncio.sleep(0.01)
    return text_reply(f"slow {request.method} {request.path} {len(request.body)}")


async def only_friends(request):
    if "x-foe" in request.headers:
        raise HttpError(401, "who are you")


def answers(tmp_path, *chunks, between_s=0.0):
    """Send the chunks on one connection, return all that came until its end."""

    async def scenario():
        ready = asyncio.Event()
        app = AsgiApp(slow, body_limit_bytes=200_000, admit=only_friends, at_once=quick)
        server = asyncio.create_task(
            serve(app, [listen_unix(tmp_path / "s")], when_ready=ready.set)
        )
        await ready.wait()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        received = bytearray()

        async def read():
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1 << 20):
                    received.extend(part)

        # Beside the writing: a connection that is cut off forgets what was not read by then.
        reading = asyncio.create_task(read())
        for chunk in chunks:
            writer.write(chunk)
            await asyncio.sleep(between_s)
        await reading
        writer.close()
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server
        return bytes(received)

    async def limited():
        async with asyncio.timeout(TIME_LIMIT_S):
            return await scenario()

    return asyncio.run(limited())


def test_pipelined_replies_come_in_order_whoever_answers_faster(tmp_path):
    paths = [b"/a", b"/now/b", b"/c", b"/now/d"]

    received = answers(tmp_path, b"".join(GET % path for path in paths) + LAST % b"/now/e")

    places = [received.index(path) for path in (b" /a ", b"/now/b", b" /c ", b"/now/d", b"/now/e")]
    assert sorted(places) == places
    assert received.count(b"HTTP/1.1 200 OK") == 5


def test_many_requests_in_one_read_are_all_answered(tmp_path):
    received = answers(tmp_path, GET % b"/now/x" * 99 + LAST % b"/now/y")

    assert received.count(b"now /now/x") == 99
    assert received.endswith(b"now /now/y")


def test_large_replies_to_a_row_of_requests_arrive_whole(tmp_path):
    received = answers(tmp_path, GET % b"/now/large" * 5 + LAST % b"/now/large")

    assert received.count(b"x" * 3_000_000) == 6


def test_refusal_and_defect_answered_at_once_end_no_connection(tmp_path, caplog):
    received = answers(tmp_path, GET % b"/now/refused", GET % b"/now/defect", LAST % b"/now")

    assert b"HTTP/1.1 403 Forbidden\r\n" in received
    assert b"x-why: so\r\n" in received
    assert b"HTTP/1.1 500 " in received
    assert b"KeyError" not in received
    assert received.endswith(b"now /now")


def test_promised_replies_come_in_order_with_all_others(tmp_path):
    post = b"POST /soon/b HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabcde"

    received = answers(tmp_path, GET % b"/a" + post + GET % b"/now/c" + LAST % b"/soon/d")

    places = [received.index(path) for path in (b" /a ", b"/soon/b 5", b"/now/c", b"/soon/d 0")]
    assert sorted(places) == places
    assert received.count(b"HTTP/1.1 200 OK") == 4


def test_promise_that_comes_to_a_refusal_or_a_defect_is_answered(tmp_path, caplog):
    received = answers(tmp_path, GET % b"/soon/refused", GET % b"/soon/defect", LAST % b"/now")

    assert b"HTTP/1.1 403 Forbidden\r\n" in received
    assert b"HTTP/1.1 500 " in received
    assert b"KeyError" not in received
    assert received.endswith(b"now /now")


def test_promise_that_nobody_keeps_ends_its_connection(tmp_path):
    assert answers(tmp_path, GET % b"/soon/cancelled") == b""


def test_body_over_the_limit_is_refused_before_anything_is_promised(tmp_path):
    head = b"POST /soon HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 200001\r\n\r\n"

    received = answers(tmp_path, head + b"a" * 200_001)

    assert received.startswith(b"HTTP/1.1 413 ")


def test_request_in_single_bytes_is_one_request(tmp_path):
    request = b"POST /p HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\nabcde"

    received = answers(tmp_path, *(request[i : i + 1] for i in range(len(request))))

    assert received.endswith(b"slow POST /p 5")


def test_chunked_body_over_many_reads_arrives_whole(tmp_path):
    head = b"POST /p HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    part = b"%x\r\n%b\r\n" % (50_000, b"a" * 50_000)

    received = answers(tmp_path, head, part, part, part, b"0\r\n\r\n", between_s=0.002)

    assert received.endswith(b"slow POST /p 150000")


def test_body_that_is_refused_early_does_not_disturb_the_next_request(tmp_path):
    refused = b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n"

    received = answers(tmp_path, refused, b"a" * 300_000, LAST % b"/now/after", between_s=0.002)

    assert received.startswith(b"HTTP/1.1 413 ")
    assert received.endswith(b"now /now/after")
    assert received.count(b"HTTP/1.1 ") == 2


def test_who_waits_for_continue_gets_it_once_and_only_if_admitted(tmp_path):
    head = LAST[:-2].replace(b"GET %b", b"POST /p")
    head += b"expect: 100-continue\r\ncontent-length: 2\r\n"

    admitted = answers(tmp_path, head + b"\r\n", b"ab", between_s=0.05)
    turned_away = answers(tmp_path, head + b"x-foe: 1\r\n\r\n")

    assert admitted.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert turned_away.startswith(b"HTTP/1.1 401 ")


def test_head_reply_has_the_length_and_no_body(tmp_path):
    received = answers(tmp_path, b"HEAD /now/h HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")

    assert b"content-length: 10\r\n" in received
    assert received.endswith(b"\r\n\r\n")


def test_old_clients_get_a_stream_without_chunks_that_ends_with_the_connection(tmp_path):
    received = answers(tmp_path, b"GET /stream HTTP/1.0\r\n\r\n")

    assert b"transfer-encoding" not in received
    assert received.endswith(b"\r\n\r\n0\n1\n2\n")


def test_connection_goes_on_after_a_stream(tmp_path):
    received = answers(tmp_path, GET % b"/stream", LAST % b"/now/after", between_s=0.05)

    assert b"2\r\n2\n\r\n0\r\n\r\n" in received
    assert received.endswith(b"now /now/after")


def test_reply_is_never_split_by_a_field_value(tmp_path, caplog):
    received = answers(tmp_path, LAST % b"/split")

    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"stolen" not in received


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"])
def test_garbage_is_400_and_the_end(tmp_path, garbage):
    received = answers(tmp_path, garbage)

    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in received


def test_idle_connection_is_closed_and_a_used_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("skytrail.runtime.server.KEEP_ALIVE_S", 0.15)

    received = answers(tmp_path, *[GET % b"/now/x"] * 4, between_s=0.1)

    assert received.count(b"HTTP/1.1 200 OK") == 4
    assert b"connection: close" not in received


def test_slow_request_behind_others_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(http_protocol, "REQUEST_TIME_S", 0.2)

    received = answers(tmp_path, GET % b"/now/x" * 3, b"GET /never")

    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_ids_are_the_clients_or_unlike_each_other(tmp_path):
    named = b"GET /now HTTP/1.1\r\nhost: x\r\nx-request-id: mine-1\r\n\r\n"

    received = answers(tmp_path, named, GET % b"/now", LAST % b"/now")

    lines = [line for line in received.split(b"\r\n") if line.startswith(b"x-request-id: ")]
    assert lines[0] == b"x-request-id: mine-1"
    assert len(set(lines)) == 3


@pytest.mark.parametrize("field", [("na me", "x"), ("name", "x\ny"), ("name", "€")])
def test_field_no_client_could_read_is_refused(field):
    with pytest.raises(ValueError, match=r".+"):
        http_head.head_of(Response(200, headers=(field,)), "id", (), keep_alive=True)


CHUNKED = b"POST /p HTTP/1.1\r\nhost: x\r\n%btransfer-encoding: chunked\r\n\r\n"


def test_trailer_never_passes_for_a_header(tmp_path):
    trailer = b"2\r\nab\r\n0\r\nx-foe: 1\r\n\r\n"

    received = answers(tmp_path, CHUNKED % b"" + trailer + LAST % b"/now/after")

    assert b"slow POST /p 2" in received
    assert received.endswith(b"now /now/after")


@pytest.mark.parametrize("who", [b"", b"x-foe: 1\r\n"])
def test_close_in_a_trailer_leaves_nobody_waiting(tmp_path, who):
    trailer = b"0\r\nconnection: close\r\n\r\n"

    received = answers(tmp_path, CHUNKED % who, trailer + GET % b"/now", between_s=0.02)

    assert received.startswith(b"HTTP/1.1 401 " if who else b"HTTP/1.1 200 ")
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("who", [b"", b"x-foe: 1\r\n"])
@pytest.mark.parametrize("part", [b"x-%d: " + b"a" * 4000 + b"\r\n", b"x%d" * 2000])
def test_trailers_without_end_end_the_connection(tmp_path, monkeypatch, who, part):
    monkeypatch.setattr(http_protocol, "HEAD_BYTES_MAX", 10_000)
    trailers = [part.replace(b"%d", b"%d" % number) for number in range(20)]

    received = answers(tmp_path, CHUNKED % who, b"0\r\n", *trailers, between_s=0.002)

    assert received.startswith(b"HTTP/1.1 401 " if who else b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_body_without_end_behind_its_refusal_ends_the_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(http_protocol, "DROPPED_BYTES_MAX", 300_000)
    head = b"POST /p HTTP/1.1\r\nhost: x\r\nx-foe: 1\r\ncontent-length: 99999999\r\n\r\n"

    received = answers(tmp_path, head, *[b"a" * 100_000] * 8, between_s=0.002)

    assert received.startswith(b"HTTP/1.1 401 ")


def test_requests_behind_an_upgrade_are_answered(tmp_path):
    upgrade = b"GET /now/1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    post = b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nGET /"

    received = answers(
        tmp_path, upgrade + GET % b"/now/2" + upgrade + post, b"abcd", LAST % b"/now/3"
    )

    assert received.count(b"HTTP/1.1 200 OK") == 5
    assert received.count(b"now /now/1") == 2
    assert b"now /now/2" in received
    assert b"slow POST /p 9" in received
    assert received.endswith(b"now /now/3")


def test_refusal_of_garbage_comes_after_the_replies_before_it(tmp_path):
    received = answers(tmp_path, GET % b"/a" + b"\x00\r\n\r\n" + GET % b"/b")

    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.endswith(b"Invalid HTTP request received.")
    assert received.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /now HTTP/2.0\r\nhost: x\r\n\r\n", b"505"),
        (b"GET /now HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /now HTTP/1.1\r\nhost: x\r\nHost: y\r\n\r\n", b"400"),
        (b"GET /now HTTP/1.1\r\nhost: x\r\nexpect: cake\r\n\r\n", b"417"),
        (b"GET /now?" + b"a&" * 1000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
    ],
)
def test_request_that_http_forbids_is_refused_by_its_status(tmp_path, request_bytes, status):
    received = answers(tmp_path, request_bytes)

    assert received.startswith(b"HTTP/1.1 %b " % status)
    assert b"connection: close" in received


def test_old_client_needs_no_host(tmp_path):
    received = answers(tmp_path, b"GET /now/old HTTP/1.0\r\n\r\n")

    assert received.endswith(b"now /now/old")


@contextlib.asynccontextmanager
async def large_replies(tmp_path, computed):
    """Serve replies larger than a socket takes; yield a connection that has not read yet."""

    async def large(request):
        computed.put_nowait(request.path)
        return Response(200, b"x" * 3_000_000)

    ready = asyncio.Event()
    app = AsgiApp(large)
    server = asyncio.create_task(serve(app, [listen_unix(tmp_path / "s")], when_ready=ready.set))
    await ready.wait()
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"), limit=1024)
    async with asyncio.timeout(TIME_LIMIT_S):
        yield reader, writer
    writer.close()
    server.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await server


def test_no_reply_is_computed_while_the_one_before_it_is_unread(tmp_path):
    async def scenario():
        computed = asyncio.Queue()
        async with large_replies(tmp_path, computed) as (reader, writer):
            writer.write(GET % b"/1" * 20 + LAST % b"/2")
            await computed.get()
            await asyncio.sleep(0.05)
            before = computed.qsize()
            length = 0
            while part := await reader.read(1 << 20):
                length += part.count(b"x" * 1000) * 1000
            return before, computed.qsize(), length

    before, after, length = asyncio.run(scenario())

    assert (before, after) == (0, 20)
    assert length > 20 * 2_900_000


@pytest.mark.parametrize("form", [GET, LAST])
def test_client_that_takes_nothing_is_cut_off(tmp_path, monkeypatch, form):
    monkeypatch.setattr(http_protocol, "REPLY_TIME_S", 0.05)

    async def scenario():
        lost = asyncio.Event()
        whole = http_protocol.HttpProtocol.connection_lost

        def note(self, exc):
            lost.set()
            whole(self, exc)

        monkeypatch.setattr(http_protocol.HttpProtocol, "connection_lost", note)
        async with large_replies(tmp_path, asyncio.Queue()) as (_, writer):
            writer.write(form % b"/1")
            await lost.wait()

    asyncio.run(scenario())


def test_readers_that_take_least_are_cut_off_when_all_together_leave_too_much(
    tmp_path, monkeypatch
):
    """Two clients ask for large replies, the bound holds one: the idle one goes, not the reader."""
    monkeypatch.setattr(http_protocol, "UNREAD_BYTES_MAX", 100_000_000)
    monkeypatch.setattr(http_protocol, "_YOUNG_S", 0.1)
    size = 60_000_000

    async def scenario():
        async def large(request):
            return Response(200, b"x" * size)

        ready = asyncio.Event()
        listener = listen_tcp("127.0.0.1", 0)
        port = listener.getsockname()[1]
        server = asyncio.create_task(serve(AsgiApp(large), [listener], when_ready=ready.set))
        await ready.wait()
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        busy, busy_writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        idle_writer.write(LAST % b"/idle")
        await idle.readexactly(100)
        await asyncio.sleep(0.2)
        busy_writer.write(LAST % b"/busy")
        length = 0
        while part := await busy.read(1 << 20):
            length += len(part)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await idle.readexactly(size)
        for writer in (idle_writer, busy_writer):
            writer.close()
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server
        return length

    async def limited():
        async with asyncio.timeout(TIME_LIMIT_S):
            return await scenario()

    assert asyncio.run(limited()) > size


def test_a_client_that_asks_for_too_much_at_once_loses_its_newest_and_fullest(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(http_protocol, "UNREAD_BYTES_MAX", 20_000_000)

    async def scenario():
        lost = []
        whole = http_protocol.HttpProtocol.connection_lost

        def note(self, exc):
            lost.append(self)
            whole(self, exc)

        monkeypatch.setattr(http_protocol.HttpProtocol, "connection_lost", note)

        async def large(request):
            return Response(200, b"x" * (30_000_000 if request.path == "/30" else 9_000_000))

        ready = asyncio.Event()
        listener = listen_tcp("127.0.0.1", 0)
        server = asyncio.create_task(serve(AsgiApp(large), [listener], when_ready=ready.set))
        await ready.wait()
        port = listener.getsockname()[1]
        clients = [await asyncio.open_connection("127.0.0.1", port, limit=1024) for _ in range(2)]
        clients[0][1].write(GET % b"/9")
        await clients[0][0].readexactly(100)
        clients[1][1].write(GET % b"/30")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await clients[1][0].readexactly(30_000_000)
        count = len(lost)
        await clients[0][0].readuntil(b"x" * 1000)
        for _, writer in clients:
            writer.close()
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server
        return count

    async def limited():
        async with asyncio.timeout(TIME_LIMIT_S):
            return await scenario()

    assert asyncio.run(limited()) == 1


@pytest.mark.parametrize(
    ("status", "body"), [(204, b"x"), (304, b"x"), (101, b""), (100, b""), (1000, b""), (-3, b"")]
)
def test_no_reply_is_written_that_the_next_one_would_be_taken_for_a_part_of(status, body) -> None:
    with pytest.raises(ValueError, match=str(status)):
        http_head.head_of(Response(status, body), "id", (), keep_alive=True)
