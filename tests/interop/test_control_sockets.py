"""The control node on real sockets: what one agent does must not reach the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import ClassVar

from skytrail.control.io import xmpp
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.plane import ControlPlane
from skytrail.net import Label
from skytrail.runtime.clock import SystemClock
from skytrail.testing.control_plane import inet_route, instance_of, routing_instance
from skytrail.wire.xmpp import (
    Close,
    Connected,
    Deliver,
    Disconnected,
    ItemsEvent,
    Message,
    PublishRoute,
    Received,
    Send,
    Session,
    State,
    Subscribe,
    Write,
    client_settings,
)

RED = instance_of("red")
PATIENCE_S = 30.0


class Client:
    """An agent on a real connection; all are closed with the server."""

    opened: ClassVar[list[Client]] = []

    def __init__(self, name: str) -> None:
        self.session = Session(client_settings(name))
        self.received: list[Message] = []
        self.is_closed = False

    async def connect(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.opened.append(self)
        self.step(Connected())

    async def read(self) -> None:
        chunk = await self.reader.read(65536)
        self.step(Received(chunk) if chunk else Disconnected())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.read()

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.step(Send(message))

    def step(self, event: Connected | Received | Send | Disconnected) -> None:
        for action in self.session.step(event, time.monotonic()):
            match action:
                case Write(chunk):
                    self.writer.write(chunk)
                case Deliver(message):
                    self.received.append(message)
                case Close():
                    self.is_closed = True
                case _:
                    pass

    def labels(self) -> dict[str, int]:
        return {
            str(route.key): int(route.next_hops[0].label)
            for event in self.received
            if isinstance(event, ItemsEvent)
            for route in event.routes
        }


@asynccontextmanager
async def running(plane: ControlPlane | None = None) -> AsyncIterator[tuple[XmppServer, int]]:
    plane = plane or ControlPlane()
    plane.config_replace([routing_instance("red", both=[1])])
    plane.commit(1, 0.0)
    server = XmppServer(plane, SystemClock(), 90.0)
    listener = await server.listen("127.0.0.1", 0)
    try:
        yield server, int(listener.sockets[0].getsockname()[1])
    finally:
        server.close()
        listener.close()
        for client in Client.opened:
            client.writer.close()
            with suppress(OSError):
                await client.writer.wait_closed()
        Client.opened.clear()


async def established(port: int, name: str) -> Client:
    client = Client(name)
    await client.connect(port)
    await client.until(lambda: client.session.state is State.ESTABLISHED)
    client.say(Subscribe(RED, 1))
    return client


def test_garbage_ends_its_own_connection_only() -> None:
    async def scenario() -> None:
        async with running() as (_, port):
            good, bad = await established(port, "good"), await established(port, "bad")
            bad.writer.write(b"<iq><!DOCTYPE bomb></iq>")
            await bad.until(lambda: bad.is_closed)
            other = await established(port, "other")
            other.say(PublishRoute(RED, inet_route("10.1.1.3/32")))
            await good.until(lambda: "10.1.1.3/32" in good.labels())

    asyncio.run(scenario())


def test_newer_connection_of_an_agent_replaces_the_older() -> None:
    async def scenario() -> None:
        async with running() as (server, port):
            older = await established(port, "a")
            newer = await established(port, "a")
            await older.until(lambda: older.is_closed)

            assert newer.session.state is State.ESTABLISHED
            assert server.plane.peers["a"].is_up  # type: ignore[index]
            assert server.plane.peers["a"].counters.sessions == 2  # type: ignore[index]

    asyncio.run(scenario())


def test_agent_that_does_not_read_delays_nobody_and_gets_the_latest_in_the_end() -> None:
    async def scenario() -> None:
        async with running() as (server, port):
            publisher = await established(port, "publisher")
            reader, sleeper = await established(port, "reader"), await established(port, "sleeper")
            prefixes = [f"10.1.{n // 250}.{n % 250}/32" for n in range(1000)]
            for label in range(16, 36):
                for prefix in prefixes:
                    route = inet_route(prefix)
                    hop = replace(route.next_hops[0], label=Label(label))
                    publisher.say(PublishRoute(RED, replace(route, next_hops=(hop,))))
                await publisher.writer.drain()
                wanted = dict.fromkeys(prefixes, label)
                await reader.until(lambda wanted=wanted: reader.labels() == wanted)
            (connection,) = [c for c in server.connections if c.name == "sleeper"]
            assert connection._transport is not None
            buffered = connection._transport.get_write_buffer_size()
            assert buffered < 2 * (xmpp.WRITE_BUFFER_BYTES + xmpp.BATCH_BYTES)

            await sleeper.until(lambda: sleeper.labels() == wanted)

    asyncio.run(scenario())


def test_connections_beyond_the_bound_are_refused() -> None:
    async def scenario() -> None:
        async with running() as (server, port):
            await established(port, "a")
            server.connections_count_max = 1
            late = Client("late")
            await late.connect(port)
            with suppress(ConnectionError):
                await late.until(lambda: late.is_closed)

            assert server.refused_count == 1
            assert late.session.state is not State.ESTABLISHED

    asyncio.run(scenario())


def test_a_flood_of_connections_that_say_nothing_keeps_no_agent_out_and_ends_no_session() -> None:
    async def scenario() -> None:
        async with running() as (server, port):
            server.connections_count_max = 20
            first = await established(port, "first")
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]

            second = await established(port, "second")

            second.say(PublishRoute(RED, inet_route("10.1.1.3/32")))
            await first.until(lambda: "10.1.1.3/32" in first.labels())
            assert len(server.connections) <= 20
            for _, writer in silent:
                writer.close()

    asyncio.run(scenario())


class Spoilt(ControlPlane):
    """A plane that cannot work out what one agent is to be told."""

    def collect(self, name: str, now: float, bytes_max: int) -> list[bytes]:
        if name == "spoilt":
            raise ValueError("nobody can say this")
        return super().collect(name, now, bytes_max)


def test_what_cannot_be_worked_out_for_one_agent_is_no_matter_to_the_others() -> None:
    async def scenario() -> None:
        async with running(Spoilt()) as (_, port):
            spoilt, reader = Client("spoilt"), await established(port, "reader")
            await spoilt.connect(port)
            with suppress(ConnectionError):
                await spoilt.until(lambda: spoilt.is_closed)

            other = await established(port, "other")
            other.say(PublishRoute(RED, inet_route("10.1.1.3/32")))
            await reader.until(lambda: "10.1.1.3/32" in reader.labels())

            assert spoilt.is_closed

    asyncio.run(scenario())
