"""Externally visible names over real sockets, UDP and TCP, and what is beyond the bounds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from skytrail.control.io import outside_names
from skytrail.control.io.outside_names import OutsideServer
from skytrail.control.outside_names import OutsideNames
from skytrail.control.plane import ControlPlane
from skytrail.testing.dns_world import TENANT, dns_record, dns_server
from skytrail.wire.dns import DnsMessage, Question, RecordType, decode_dns

MANY = 60
QUERY = DnsMessage(message_id=7, questions=(Question("many.demo.test", RecordType.A),)).encode()


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[OutsideServer, int]]:
    plane = ControlPlane()
    server = OutsideServer(OutsideNames(plane, list.reverse))
    records = [dns_record(TENANT, n, "many", "A", f"192.0.2.{n}") for n in range(1, MANY + 1)]
    plane.config_replace([dns_server(TENANT, "demo.test", external_visible=True), *records])
    plane.commit(1, 0.0)
    try:
        yield server, await server.listen("127.0.0.1", 0)
    finally:
        server.close()


class Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.put_nowait(data)


async def by_stream(port: int, *queries: bytes) -> list[DnsMessage]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(len(query).to_bytes(2) + query for query in queries))
    writer.write_eof()
    stream = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    found: list[DnsMessage] = []
    while stream:
        length = int.from_bytes(stream[:2])
        found.append(decode_dns(stream[2 : 2 + length]))
        stream = stream[2 + length :]
    return found


def test_answer_is_cut_by_udp_and_whole_by_tcp() -> None:
    async def play() -> None:
        async with served() as (_, port):
            loop = asyncio.get_running_loop()
            transport, asker = await loop.create_datagram_endpoint(
                Asker, remote_addr=("127.0.0.1", port)
            )
            transport.sendto(QUERY)
            cut = await asyncio.wait_for(asker.heard.get(), 10)
            transport.close()
            whole = await by_stream(port, QUERY, QUERY)

        assert len(cut) <= 512
        assert decode_dns(cut).truncated
        assert [len(each.answers) for each in whole] == [MANY, MANY]

    asyncio.run(play())


def test_stream_of_something_else_is_closed_and_others_go_on() -> None:
    async def play() -> None:
        async with served() as (_, port):
            assert await by_stream(port, b"junk") == []
            assert len(await by_stream(port, QUERY)) == 1

    asyncio.run(play())


def test_more_streams_than_there_may_be_are_closed_at_once() -> None:
    async def play() -> None:
        async with served() as (server, port):
            opened = [
                await asyncio.open_connection("127.0.0.1", port)
                for _ in range(outside_names.STREAMS_COUNT_MAX)
            ]
            async with asyncio.timeout(10):
                assert await by_stream(port) == []
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert await reader.read() == b""
            for _, each in (*opened, (reader, writer)):
                each.close()

        assert server.dropped_count >= 1

    asyncio.run(play())
