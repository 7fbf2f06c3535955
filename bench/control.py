"""The control node: routes per second through the core, fan-out to a thousand agents on loopback.

Yardsticks of the same run: for the core, libxml2 alone parsing the same stanzas; for the fan-out,
a bare loop that writes the same number of ready-made messages to the same number of sockets. Mock
agents live in a second process that only counts. CPU seconds are the control node's own and move
less with the machine's load than wall time.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from multiprocessing.connection import Connection

import uvloop
from bench.control_config import bench_config
from bench.figures import Figures, interleaved, interleaved_samples, percentile
from lxml import etree

from skytrail.control.io.xmpp import XmppServer
from skytrail.control.plane import ControlPlane
from skytrail.net import Label
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.garbage import ShortCollections
from skytrail.testing.control_plane import inet_route, instance_of, routing_instance
from skytrail.wire.xmpp import (
    Connected,
    Deliver,
    EndOfRib,
    Family,
    ItemsEvent,
    PublishRoute,
    Received,
    Route,
    Session,
    Subscribe,
    WithdrawRoute,
    Write,
    client_settings,
    server_settings,
)
from skytrail.wire.xmpp.codec import CONTROL_JID, encode

ROUNDS = 5
ROUTES_COUNT = 10_000
AGENTS_COUNT = int(os.environ.get("SKYTRAIL_BENCH_AGENTS", "1000"))
BURST_ROUTES_COUNT = 512
CHANGES_COUNT = 20
RED = instance_of("red")
READ_BYTES = 65_536
ITEM_MARK = b"<item id="


def run() -> None:
    """Print every figure and write them to build/bench/control.json."""
    figures = Figures("control")
    ShortCollections()
    bench_core(figures)
    bench_config(figures)
    bench_fan_out(figures)
    figures.write()


def published_routes(count: int) -> list[Route]:
    """Return host routes with a thousand different labels and a few attribute sets."""
    base = inet_route("10.0.0.0/32")
    routes: list[Route] = []
    for number in range(count):
        hop = replace(base.next_hops[0], label=Label(16 + number % 1000))
        attributes = replace(base.attributes, security_groups=(8_000_000 + number % 50,))
        key = IPv4Network(((10 << 24) + number, 32))
        routes.append(Route(key, (hop,), attributes))
    return routes


def bench_core(figures: Figures) -> None:
    """One publisher, one receiver in the same network and one in a network that imports it."""
    routes = published_routes(ROUTES_COUNT)
    stream = b"".join(
        encode(PublishRoute(RED, route), sender="a", receiver=CONTROL_JID) for route in routes
    )
    withdrawals = [WithdrawRoute(RED, route.key) for route in routes]
    samples = interleaved_samples(
        ROUNDS,
        {
            "parse": lambda: rate(lambda: parse_only(stream)),
            "publish": lambda: rate(lambda: publish_all(stream)),
            "withdraw": lambda: withdraw_rate(stream, withdrawals),
        },
        warm_up=1,
    )
    medians = {name: percentile(values, 50) for name, values in samples.items()}
    figures.add("core_lxml_parse_only", medians["parse"], "routes/CPU s")
    figures.add(
        "core_parse_rib_import_encode_2_receivers",
        medians["publish"],
        "routes/CPU s",
        yardstick=medians["parse"],
        yardstick_name="bare XML parsing",
        samples=samples["publish"],
    )
    figures.add("core_withdraw_2_receivers", medians["withdraw"], "routes/CPU s")
    figures.add("core_peak_rss", peak_rss_mb(), "MB")


def rate(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return ROUTES_COUNT / (time.process_time() - started)


def parse_only(stream: bytes) -> None:
    """Parse the same stanzas with libxml2 and look at every element, nothing else."""
    parser = etree.XMLPullParser(events=("end",), tag="iq")
    parser.feed(b"<stream>")
    for start in range(0, len(stream), READ_BYTES):
        parser.feed(stream[start : start + READ_BYTES])
        for _, stanza in parser.read_events():
            for element in stanza.iter():
                element.text  # noqa: B018 - reading it is the work
            stanza.clear()


def publish_all(stream: bytes) -> ControlPlane:
    """Bytes of one agent through session, plane and update groups, to two receivers."""
    plane = ControlPlane()
    plane.config_replace(
        [routing_instance("red", both=[1]), routing_instance("blue", both=[2], imports=[1])]
    )
    plane.commit(1, 0.0)
    client, session = Session(client_settings("a")), Session(server_settings())
    session.step(Connected(), 0.0)
    for action in client.step(Connected(), 0.0):
        if isinstance(action, Write):
            session.step(Received(action.chunk), 0.0)
    for name, network in (("a", "red"), ("b", "red"), ("c", "blue")):
        plane.session_up(name, "", 0.0)
        plane.receive(name, Subscribe(instance_of(network), 1), 0.0)
    for start in range(0, len(stream), READ_BYTES):
        for action in session.step(Received(stream[start : start + READ_BYTES]), 0.0):
            if isinstance(action, Deliver):
                plane.receive("a", action.message, 0.0)
        drain(plane)
    return plane


def drain(plane: ControlPlane) -> None:
    for name in plane.take_ready():
        while plane.collect(name, 0.0, READ_BYTES):
            pass


def withdraw_rate(stream: bytes, withdrawals: list[WithdrawRoute]) -> float:
    plane = publish_all(stream)

    def work() -> None:
        for message in withdrawals:
            plane.receive("a", message, 0.0)
        drain(plane)

    return rate(work)


def peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Fan-out.


@dataclass
class MockAgent(asyncio.Protocol):
    """Opens a session, subscribes, and counts what arrives."""

    name: str
    items: int = 0
    seen: dict[bytes, float] = field(default_factory=dict)
    marker: bytes = b"\0"
    tail: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        session = Session(client_settings(self.name))
        for action in session.step(Connected(), 0.0):
            assert isinstance(action, Write)
            transport.write(action.chunk)
        for message in (Subscribe(RED, 1), EndOfRib()):
            transport.write(encode(message, sender=self.name, receiver=CONTROL_JID))

    def data_received(self, data: bytes) -> None:
        window = self.tail + data
        self.items += window.count(ITEM_MARK)
        if self.marker not in self.seen and self.marker in window:
            self.seen[self.marker] = time.monotonic()
        if b"EndOfRib" in window and b"EndOfRib" not in self.seen:
            self.seen[b"EndOfRib"] = time.monotonic()
        # Shorter than any mark, so that nothing is counted twice.
        self.tail = window[-(len(ITEM_MARK) - 1) :]


def agents_process(pipe: Connection, port: int, count: int) -> None:
    """Child process: connect all agents, then answer the parent's questions."""
    uvloop.run(serve_agents(pipe, port, count))


async def serve_agents(pipe: Connection, port: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    agents = [MockAgent(f"agent-{number}") for number in range(count)]
    started = time.monotonic()
    for agent in agents:
        await loop.create_connection(lambda agent=agent: agent, "127.0.0.1", port)
    await wait_until(lambda: all(b"EndOfRib" in agent.seen for agent in agents))
    pipe.send(time.monotonic() - started)
    while True:
        question = await answer(pipe)
        if question is None:
            return
        if isinstance(question, bytes):
            for agent in agents:
                agent.marker = question
            pipe.send("armed")
            await wait_until(lambda mark=question: all(mark in agent.seen for agent in agents))
            pipe.send([agent.seen.pop(question) for agent in agents])
        elif isinstance(question, int):
            goal = sum(agent.items for agent in agents) + question * count
            pipe.send("armed")
            await wait_until(lambda goal=goal: sum(agent.items for agent in agents) >= goal)
            pipe.send(time.monotonic())


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - counters are polled, not signalled
            await asyncio.sleep(0.001)


async def answer(pipe: Connection) -> object:
    await wait_until(pipe.poll)
    return pipe.recv()


def bench_fan_out(figures: Figures) -> None:
    """Measure with real sockets; the control node has this process to itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        raw = interleaved(ROUNDS, {"raw": raw_sends})["raw"]
        figures.add("fan_out_raw_socket_writes", raw, "item-sends/s")
        uvloop.run(measure_fan_out(figures, raw))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def measure_fan_out(figures: Figures, raw: float) -> None:
    plane = ControlPlane()
    plane.config_replace([routing_instance("red", both=[1])])
    plane.commit(1, time.monotonic())
    server = XmppServer(plane, SystemClock(), 90.0)
    server.log = Silent()
    listener = await server.listen("127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    context = multiprocessing.get_context("spawn")
    pipe, child_pipe = context.Pipe()
    child = context.Process(target=agents_process, args=(child_pipe, port, AGENTS_COUNT))
    cpu = time.process_time()
    child.start()
    try:
        connected_s = await answer(pipe)
        assert isinstance(connected_s, float)
        figures.add(f"connect_subscribe_end_of_rib_{AGENTS_COUNT}_agents", connected_s, "s")
        figures.add("connect_cpu", time.process_time() - cpu, "CPU s")
        plane.session_up("publisher", "", time.monotonic())
        plane.receive("publisher", Subscribe(RED, 1), time.monotonic())
        await measure_bursts(figures, server, pipe, raw)
        await measure_changes(figures, server, pipe)
    finally:
        with contextlib.suppress(OSError):
            pipe.send(None)
        child.join(10)
        child.kill()
        listener.close()
        server.close()


async def measure_bursts(
    figures: Figures, server: XmppServer, pipe: Connection, raw: float
) -> None:
    rates: list[float] = []
    cpu_rates: list[float] = []
    for number in range(ROUNDS):
        pipe.send(BURST_ROUTES_COUNT)
        await answer(pipe)
        started, cpu = time.monotonic(), time.process_time()
        for route in published_routes(BURST_ROUTES_COUNT):
            attributes = replace(route.attributes, med=number + 1)
            message = PublishRoute(RED, replace(route, attributes=attributes))
            server.plane.receive("publisher", message, started)
        server.schedule_flush()
        finished = await answer(pipe)
        assert isinstance(finished, float)
        sends = BURST_ROUTES_COUNT * AGENTS_COUNT
        rates.append(sends / (finished - started))
        cpu_rates.append(sends / (time.process_time() - cpu))
    figures.add(
        "fan_out_burst",
        percentile(rates, 50),
        "item-sends/s",
        yardstick=raw,
        yardstick_name="raw socket writes",
        samples=rates,
    )
    figures.add("fan_out_burst_cpu", percentile(cpu_rates, 50), "item-sends/CPU s")


async def measure_changes(figures: Figures, server: XmppServer, pipe: Connection) -> None:
    delays: list[float] = []
    for number in range(CHANGES_COUNT):
        prefix = f"192.0.2.{number}/32"
        pipe.send(f'id="{prefix}"'.encode())
        await answer(pipe)
        started = time.monotonic()
        server.plane.receive("publisher", PublishRoute(RED, inet_route(prefix)), started)
        server.schedule_flush()
        times = await answer(pipe)
        assert isinstance(times, list)
        delays += [1000 * (seen - started) for seen in times]
    name = f"one_change_to_{AGENTS_COUNT}_agents"
    figures.add(f"{name}_p50", percentile(delays, 50), "ms")
    figures.add(f"{name}_p99", percentile(delays, 99), "ms", wanted=100.0)


def raw_sends() -> float:
    """Write ready messages of 32 items to as many sockets, from a loop that does nothing else."""
    return uvloop.run(measure_raw_sends())


async def measure_raw_sends() -> float:
    routes = tuple(published_routes(32))
    chunk = encode(ItemsEvent(Family.INET, RED, routes), sender="c", receiver="a")
    transports: list[asyncio.Transport] = []

    class Writer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)  # type: ignore[arg-type]

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(Writer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    context = multiprocessing.get_context("spawn")
    pipe, child_pipe = context.Pipe()
    child = context.Process(target=sinks_process, args=(child_pipe, port, AGENTS_COUNT))
    child.start()
    try:
        await answer(pipe)
        await wait_until(lambda: len(transports) == AGENTS_COUNT)
        started = time.monotonic()
        messages = BURST_ROUTES_COUNT // 32
        for transport in transports:
            for _ in range(messages):
                transport.write(chunk)
        pipe.send(messages * len(chunk))
        finished = await answer(pipe)
        assert isinstance(finished, float)
        return BURST_ROUTES_COUNT * AGENTS_COUNT / (finished - started)
    finally:
        listener.close()
        child.join(10)
        child.kill()


def sinks_process(pipe: Connection, port: int, count: int) -> None:
    uvloop.run(serve_sinks(pipe, port, count))


class Sink(asyncio.Protocol):
    total = 0

    def data_received(self, data: bytes) -> None:
        Sink.total += len(data)


async def serve_sinks(pipe: Connection, port: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.create_connection(Sink, "127.0.0.1", port)
    pipe.send("connected")
    size = await answer(pipe)
    assert isinstance(size, int)
    await wait_until(lambda: Sink.total >= size * count)
    pipe.send(time.monotonic())


class Silent:
    """Stands in for the log: a thousand connection lines are not part of the figures."""

    def info(self, *_: object, **__: object) -> None: ...

    warning = exception = info


if __name__ == "__main__":
    run()
