"""What a hostile process or host can do to the port of our own processes: nothing to others."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skytrail.analytics.collector import Collector
from skytrail.analytics.io.telemetry_server import MACHINE_CONNECTIONS_MAX, TelemetryServer
from skytrail.analytics.told_rate import PER_SECOND_DEFAULT
from skytrail.daemons.tls_folder import TlsFolder
from skytrail.runtime.certificates import Authority
from skytrail.runtime.clock import Clock, SystemClock
from skytrail.wire.telemetry import Hello, Log, Uve, encode
from skytrail.wire.telemetry.sessions import pack

PATIENCE_S = 20.0


class AtOnce(SystemClock):
    """However slow the machine is, everything comes within the same moment."""

    def now(self) -> float:
        return 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of the node and of a host."""
    place = tmp_path_factory.mktemp("tls")
    authority = Authority(place / "authority")
    authority.issue_folder(place / "node", "node1", hosts=["127.0.0.1"])
    authority.issue_folder(place / "h1", "h1", hosts=["h1"], is_client=True)
    return place


@asynccontextmanager
async def node(
    folder: Path | None, bytes_per_second: int = PER_SECOND_DEFAULT, clock: Clock | None = None
) -> AsyncIterator[tuple[Collector, int]]:
    collector = Collector(bytes_per_second=bytes_per_second)
    tls = TlsFolder(folder / "node").server() if folder is not None else None
    server = TelemetryServer(collector, clock or SystemClock(), tls)
    listener = server.serve("127.0.0.1", 0)
    try:
        yield collector, int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()


def hello(source: str, instance: int = 0) -> bytes:
    return encode(
        Hello(
            source=source, node_type="Compute", module="agent", instance_id=str(instance), pid=1,
            started_us=1,
        )
    )  # fmt: skip


async def connected(
    port: int, folder: Path | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = None
    if folder is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(folder / "h1" / "ca.pem")
        context.load_cert_chain(folder / "h1" / "certificate.pem", folder / "h1" / "key.pem")
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing tells of a change
            await asyncio.sleep(0.01)


def test_host_with_a_certificate_says_nothing_of_other_machines(folder: Path) -> None:
    async def scenario() -> None:
        async with node(folder) as (collector, port):
            _, writer = await connected(port, folder)
            writer.write(hello("h1"))
            for table, key, name in (
                ("ObjectVRouter", "h2", "VrouterAgent"),
                ("ObjectVNTable", "d:red:net", "UVEAlarms"),
                ("ObjectVRouter", "h1", "VrouterAgent"),
            ):
                writer.write(encode(Uve(table=table, key=key, struct=name, fields={"a": 1})))
            await until(lambda: collector.uves.get("ObjectVRouter", "h1"))

            assert collector.uves.get("ObjectVRouter", "h2") is None
            assert collector.uves.get("ObjectVNTable", "d:red:net") is None
            assert collector.dropped["speaks_for_another"] == 2
            writer.close()

    asyncio.run(scenario())


def test_host_with_a_certificate_has_so_many_connections(folder: Path) -> None:
    async def scenario() -> None:
        async with node(folder) as (collector, port):
            writers = []
            for number in range(MACHINE_CONNECTIONS_MAX + 1):
                reader, writer = await connected(port, folder)
                writer.write(hello("h1", number))
                writers.append(writer)
                answer = await reader.read(4096)
                assert bool(answer) == (number < MACHINE_CONNECTIONS_MAX)
            assert collector.dropped["too_many_connections"] == 1
            for writer in writers:
                writer.close()

    asyncio.run(scenario())


def test_strangers_at_one_address_hold_so_many_connections(folder: Path) -> None:
    async def scenario() -> None:
        async with node(folder) as (collector, port):
            streams = [
                socket.create_connection(("127.0.0.1", port), PATIENCE_S)
                for _ in range(MACHINE_CONNECTIONS_MAX + 10)
            ]
            await until(lambda: collector.dropped["too_many_connections"] == 10)
            for stream in streams:
                stream.close()

    asyncio.run(scenario())


def test_host_that_floods_loses_of_its_own_and_others_are_heard(folder: Path) -> None:
    """State it tells is not lost; what was left out is counted, and a gap in history."""
    now_us = round(time.time() * 1e6)
    flood = [
        encode(Log(timestamp_us=now_us, level=7, event="flood", fields={"text": "x" * 60_000}))
        for _ in range(200)
    ]
    state = Uve(table="ObjectVRouter", key="h1", struct="S", fields={"a": 1})
    urgent = Log(timestamp_us=now_us, level=1, event="urgent")
    quiet = Log(timestamp_us=now_us, level=7, event="quiet")

    async def scenario() -> None:
        async with node(None, 2 << 20, AtOnce()) as (collector, port):
            _, evil = await connected(port, None)
            evil.write(hello("h1") + b"".join(flood) + encode(state) + encode(urgent))
            _, honest = await connected(port, None)
            honest.write(hello("h2") + encode(quiet))
            await until(lambda: collector.uves.get("ObjectVRouter", "h1"))
            await until(lambda: collector.generators.get("h1:Compute:agent:0") is not None)
            await until(lambda: collector.taken["log"] == len(flood) + 2)
            collector.tick(0.0, round(time.time() * 1e6))

            shed = collector.dropped["over_rate"]
            assert shed == len(flood) - (4 << 20) // (len(flood[0]) - 4)
            rows = collector.messages.take(1000, 1 << 30)
            events = [row["Messagetype"] for row in rows]
            assert events.count("flood") == len(flood) - shed
            assert events.count("urgent") == events.count("quiet") == 1
            [gap] = collector.gaps.take()
            assert (gap["Source"], gap["Kind"], gap["Count"]) == ("h1", "log", shed)
            evil.close()
            honest.close()

    asyncio.run(scenario())


def test_logs_and_sessions_of_a_far_future_or_past_make_no_parts_of_the_store() -> None:
    now_us = round(time.time() * 1e6)

    async def scenario() -> None:
        async with node(None) as (collector, port):
            _, writer = await connected(port, None)
            writer.write(hello("h1"))
            for days in (-40_000, -32, 2, 40_000):
                at_us = now_us + days * 86_400_000_000
                writer.write(encode(Log(timestamp_us=at_us, level=0, event="e")))
            writer.write(encode(pack([{"T": now_us + 2 * 86_400_000_000, "vn": "x"}])))
            writer.write(encode(Log(timestamp_us=now_us, level=6, event="now")))
            await until(lambda: len(collector.messages))

            assert [row["Messagetype"] for row in collector.messages.take()] == ["now"]
            assert len(collector.sessions) == 0
            assert collector.dropped == {"unusable": 5}
            writer.close()

    asyncio.run(scenario())


def test_message_that_is_short_on_the_wire_and_huge_in_memory_is_not_made(folder: Path) -> None:
    """Four million empty mappings are as many bytes, and more than a gigabyte of objects."""
    head = encode(Uve(table="ObjectVNTable", key="k", struct="S", fields={"a": []}))[4:-1]
    content = head + b"\xdd" + struct.pack("!I", 4_000_000) + b"\x80" * 4_000_000

    async def scenario() -> None:
        async with node(None) as (collector, port):
            _, writer = await connected(port, None)
            said = Log(timestamp_us=1, level=0, event="e", fields={"text": "x" * 300_000})
            writer.write(hello("h1") + struct.pack("!I", len(content)) + content + encode(said))
            writer.write(encode(Uve(table="ObjectVNTable", key="after", struct="S")))
            await until(lambda: collector.uves.get("ObjectVNTable", "after"))

            assert collector.dropped == {"too_long": 2}
            assert collector.uves.get("ObjectVNTable", "k") is None
            writer.close()

    asyncio.run(scenario())
