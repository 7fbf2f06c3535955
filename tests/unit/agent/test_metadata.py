"""Requests of workloads to the metadata service: read strictly, told anew in their name."""

import asyncio
import contextlib
import hashlib
import hmac
import socket
from pathlib import Path

import pytest

from skytrail.agent.io.metadata import (
    CONNECTIONS_OF_ONE_MAX,
    REFUSALS_OF_ONE_MAX,
    MetadataProxy,
)
from skytrail.agent.metadata import (
    BODY_BYTES_MAX,
    HEADERS_COUNT_MAX,
    Asker,
    RequestRefused,
    owner_uuids,
    read_head,
    told_anew,
)
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of

ASKER = Asker("10.1.1.3", "0a0b", "11-22")


def head(*lines, request="GET /latest/meta-data HTTP/1.1"):
    return "\r\n".join((request, *lines)).encode()


def status_of(raw):
    with pytest.raises(RequestRefused) as refused:
        read_head(raw)
    return refused.value.status


def said(raw, secret=b"s"):
    lines = told_anew(read_head(raw), ASKER, secret).decode().split("\r\n")
    return lines[0], dict(line.split(": ", 1) for line in lines[1:] if line)


def test_a_request_is_told_in_the_name_of_who_asks():
    line, headers = said(head("Host: 169.254.169.254", "Accept: */*"))

    assert line == "GET /latest/meta-data HTTP/1.1"
    assert headers["Host"] == "169.254.169.254"
    assert headers["X-Forwarded-For"] == "10.1.1.3"
    assert headers["X-Instance-ID"] == "0a0b"
    assert headers["X-Tenant-ID"] == "1122"
    expected = hmac.new(b"s", b"0a0b", hashlib.sha256).hexdigest()
    assert headers["X-Instance-ID-Signature"] == expected


def test_without_a_secret_nothing_is_signed():
    _, headers = said(head(), secret=None)

    assert "X-Instance-ID-Signature" not in headers


@pytest.mark.parametrize(
    "forged",
    [
        "X-Instance-ID: other",
        "x-instance-id: other",
        "X_Instance_ID: other",
        "X-Instance_ID: other",
        "X-Forwarded-For: other",
        "X-Tenant-ID: other",
        "X-Instance-ID-Signature: other",
        "X-Metadata-Provider: other",
        "Connection: other",
        "Proxy-Authorization: other",
    ],
)
def test_nothing_a_workload_says_passes_for_the_proxy_s_word(forged):
    assert b"other" not in told_anew(read_head(head(forged)), ASKER, b"s")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (head("Transfer-Encoding: chunked"), 501),
        (head("transfer_encoding: chunked"), 501),
        (head("Content-Length: 1", "Content-Length: 1"), 400),
        (head("Content-Length: +1"), 400),
        (head("Content-Length: 1, 1"), 400),
        (head("Content-Length: -1"), 400),
        (head(f"Content-Length: {BODY_BYTES_MAX + 1}"), 413),
        (head("Host : x"), 400),
        (head(" folded: x"), 400),
        (head("A: b", " folded"), 400),
        (head("A: b\nX-Instance-ID: c"), 400),
        (head("A: b\rX-Instance-ID: c"), 400),
        (head("A: b\0"), 400),
        (head("no colon"), 400),
        (head(request="GET http://169.254.169.254/ HTTP/1.1"), 400),
        (head(request="CONNECT nova:80 HTTP/1.1"), 400),
        (head(request="TRACE / HTTP/1.1"), 405),
        (head(request="GET / HTTP/2.0"), 400),
        (head(request="GET  / HTTP/1.1"), 400),
        (head(request="GET /\x7f HTTP/1.1"), 400),
        (b"", 400),
        (head(*(f"A{n}: b" for n in range(HEADERS_COUNT_MAX + 1))), 431),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(raw, status):
    assert status_of(raw) == status


def test_owner_is_the_port_s_machine_and_project():
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    port = config.port("a", red, ["10.1.1.3"])
    project = config.node("project", PROJECT, uuid=uuid_of("project"))
    config.link(project, port)
    made = AgentHost()
    made.connect()
    made.configure(config.update())

    owners = owner_uuids(made.sessions.graph, port.name)

    assert owners == (uuid_of("vm-a"), uuid_of("project"))


async def exchange(
    chunks, *, answer=b"HTTP/1.1 200 OK\r\n\r\nhello", asker=ASKER, secret=None, at="127.0.0.1"
):
    """What the workload and the server get of each other."""
    heard = []

    async def nova(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(nova, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        proxy = MetadataProxy(lambda _: asker, lambda: (("127.0.0.1", port),), secret)
        listening = asyncio.get_running_loop().create_future()
        family = socket.AF_INET6 if ":" in at else socket.AF_INET
        task = asyncio.create_task(proxy.serve("lo", family, listening.set_result))
        reader, writer = await asyncio.open_connection(at, await listening)
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        got = await reader.read()
        writer.close()
        await writer.wait_closed()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return got, heard, proxy.statistics


@pytest.mark.root
@pytest.mark.parametrize("at", ["127.0.0.1", "::1"])
def test_a_request_in_pieces_is_passed_on_whole(tmp_path, at):
    secret = tmp_path / "secret"
    secret.write_text("s\n")
    pieces = [b"GET / HT", b"TP/1.1\r\nHost: a\r", b"\n\r\n"]

    got, heard, statistics = asyncio.run(exchange(pieces, secret=secret, at=at))

    assert got == b"HTTP/1.1 200 OK\r\n\r\nhello"
    expected = hmac.new(b"s", b"0a0b", hashlib.sha256).hexdigest().encode()
    assert expected in heard[0]
    assert statistics == {"answered": 1}


@pytest.mark.root
@pytest.mark.parametrize(
    ("request_bytes", "asker", "status"),
    [
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 20_000 + b"\r\n\r\n", ASKER, b"431"),
        (b"GET / HTTP/1.1\r\n\r\n", None, b"403"),
        (b"GET / HTTP/1.1\r\n\r\n", Asker("10.1.1.3", "", ""), b"404"),
        (b"\x16\x03\x01\r\n\r\n", ASKER, b"400"),
    ],
)
def test_a_refusal_says_why_and_nova_hears_nothing(request_bytes, asker, status):
    got, heard, _ = asyncio.run(exchange([request_bytes], asker=asker))

    assert got.startswith(b"HTTP/1.1 " + status)
    assert heard == []


@pytest.mark.root
def test_a_second_request_in_one_connection_is_not_passed_on():
    """However it was smuggled in."""
    both = b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nX-Instance-ID: other\r\n\r\n"

    _, heard, _ = asyncio.run(exchange([both]))

    assert len(heard) == 1
    assert b"other" not in heard[0]


@pytest.mark.root
def test_an_unreadable_secret_signs_nothing(tmp_path):
    got, heard, _ = asyncio.run(exchange([b"GET / HTTP/1.1\r\n\r\n"], secret=tmp_path / "missing"))

    assert got.startswith(b"HTTP/1.1 503")
    assert heard == []


@contextlib.asynccontextmanager
async def proxy_on_loopback(servers=()):
    """A proxy, how to connect to it from an address, and how many sockets it holds for that."""
    proxy = MetadataProxy(lambda _: ASKER, lambda: servers, None)
    listening = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(proxy.serve("lo", socket.AF_INET, listening.set_result))
    port = await listening
    before, writers = sockets_count(), []

    async def connect(source):
        end = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
        reader, writer = await asyncio.open_connection(sock=end, limit=1)
        writers.append(writer)
        return reader, writer

    yield proxy, connect, lambda: sockets_count() - before - len(writers)
    for each in writers:
        each.transport.abort()
    await until(lambda: sockets_count() <= before)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def sockets_count():
    """Of this process. A descriptor that ends meanwhile, as that of the listing does, is none."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- nobody says when
            await asyncio.sleep(0.01)


@pytest.mark.root
def test_one_workload_s_waiting_connections_keep_no_other_out():
    async def crowd():
        async with proxy_on_loopback() as (_, connect, _):
            for _ in range(CONNECTIONS_OF_ONE_MAX):
                await connect("127.0.0.2")
            over, _ = await connect("127.0.0.2")
            refused = await over.read()
            reader, writer = await connect("127.0.0.3")
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            return refused, await reader.read()

    refused, answer = asyncio.run(crowd())

    assert refused.startswith(b"HTTP/1.1 503")
    assert answer.startswith(b"HTTP/1.1 502")


@pytest.mark.root
def test_connections_beyond_the_bounds_are_not_held_to_tell_them_so():
    async def crowd():
        async with proxy_on_loopback() as (proxy, connect, held):
            for _ in range(200):
                await connect("127.0.0.2")
            await until(lambda: proxy.statistics["refused_busy"] == 200 - CONNECTIONS_OF_ONE_MAX)
            await until(lambda: held() <= CONNECTIONS_OF_ONE_MAX + REFUSALS_OF_ONE_MAX)
            return proxy.statistics["reset_busy"], proxy.connections_count

    reset, count = asyncio.run(crowd())

    assert reset == 200 - CONNECTIONS_OF_ONE_MAX - REFUSALS_OF_ONE_MAX
    assert count == CONNECTIONS_OF_ONE_MAX


@pytest.mark.root
def test_an_answer_that_is_not_taken_counts_until_it_is_cut_off(monkeypatch):
    """Else each would leave a socket behind, with what nobody reads."""
    monkeypatch.setattr("skytrail.agent.io.metadata.CLOSE_TIMEOUT_S", 0.5)
    monkeypatch.setattr("skytrail.agent.io.metadata.ANSWER_TIMEOUT_S", 0.5)

    async def nova(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes(12 << 20))
        with contextlib.suppress(ConnectionResetError):
            await writer.drain()
        writer.close()

    async def ask_and_leave_it():
        async with await asyncio.start_server(nova, "127.0.0.1", 0) as server:
            at = (("127.0.0.1", server.sockets[0].getsockname()[1]),)
            async with proxy_on_loopback(at) as (proxy, connect, held):
                _, writer = await connect("127.0.0.2")
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                writer.transport.pause_reading()
                await until(lambda: proxy.statistics["cut_off"] == 1)
                is_counted = proxy.connections_count == 1
                await until(lambda: proxy.statistics["cut_off"] == 2)
                await until(lambda: not proxy.connections_count)
                await until(lambda: held() <= 0)
                return is_counted

    assert asyncio.run(ask_and_leave_it())
