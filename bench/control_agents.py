"""A control node with 1,000 and then 10,000 real agent sockets: connect, one change, churn, flap.

Every agent subscribes to one network that all share and to one that it shares with nine others, in
which it publishes a route. Mock agents live in a second process and only count; the node has this
one to itself, so CPU seconds are the node's. A flap is every second agent's connection cut and made
again inside the restart time: nobody may be told to forget anything (the bench fails otherwise).
``make bench NAME=control_agents``; AGENTS (1000,10000) says how many agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import resource
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import uvloop
from bench.control import Silent, answer, wait_until
from bench.figures import Figures, percentile
from bench.tools.reflector import Heart

from skytrail.control.io.bgp import BgpServer
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.plane import ControlPlane
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.garbage import ShortCollections
from skytrail.testing.control_plane import (
    SYSTEM,
    inet_route,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigSubscribe,
    Connected,
    EndOfRib,
    Message,
    PublishRoute,
    Session,
    Subscribe,
    Write,
    client_settings,
)
from skytrail.wire.xmpp.codec import CONTROL_JID, encode

COUNTS = [int(n) for n in os.environ.get("AGENTS", "1000,10000").split(",")]
MATES_COUNT = 10
SHARED = instance_of("shared")
DIALS_COUNT = 100
"""Connections made at the same time: hosts do not start in step."""
CHANGES_COUNT = 20
CHURN_PER_S = 100
CHURN_S = 5
MARKED_EVERY = 10
HOLD_TIME_S = 900.0
TICK_S = 0.25
TAIL_BYTES = 64
CHANGE_MS_WANTED = 100.0
BLOCK_MS_WANTED = 50.0


def run() -> None:
    """Print every figure and write them to build/bench/control_agents.json."""
    figures = Figures("control_agents")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        for count in COUNTS:
            uvloop.run(Node(figures, count).measure())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    figures.write()


class Node:
    """The control node, and the other end of the pipe to its agents."""

    def __init__(self, figures: Figures, count: int) -> None:
        self.figures = figures
        self.count = count
        self.plane = ControlPlane()
        self.heart = Heart()
        networks = range(-(-count // MATES_COUNT))
        self.plane.config_replace(
            [
                routing_instance("shared", both=[1]),
                *(routing_instance(f"n{each}", both=[2 + each]) for each in networks),
                *(virtual_router(f"agent-{number}") for number in range(count)),
            ]
        )
        self.plane.commit(1, time.monotonic())
        clock = SystemClock()
        self.server = XmppServer(self.plane, clock, HOLD_TIME_S)
        self.server.log = Silent()
        bgp = BgpServer(self.plane.bgp, clock, self.server.schedule_flush, restart_time_s=60)
        self.server.on_flush = bgp.flush

    async def measure(self) -> None:
        listener = await self.server.listen("127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        context = multiprocessing.get_context("spawn")
        self.pipe, child_pipe = context.Pipe()
        child = context.Process(target=agents_process, args=(child_pipe, port, self.count))
        ended = asyncio.Event()
        beating = asyncio.create_task(self.heart.beat(ended))
        ticking = asyncio.create_task(self.tick(ended))
        child.start()
        await answer(self.pipe)
        try:
            await self.connect()
            await self.changes()
            await self.churn()
            await self.flap()
        finally:
            ended.set()
            with contextlib.suppress(OSError):
                self.pipe.send(None)
            child.join(10)
            child.kill()
            listener.close()
            self.server.close()
            await asyncio.gather(beating, ticking)

    async def tick(self, ended: asyncio.Event) -> None:
        collections = ShortCollections()
        while not ended.is_set():
            self.server.tick()
            collections.tidy()
            await asyncio.sleep(TICK_S)

    def add(self, name: str, value: float, unit: str, wanted: float | None = None) -> None:
        self.figures.add(f"{self.count}_agents_{name}", value, unit, wanted=wanted)

    def add_block(self, name: str) -> None:
        self.add(f"{name}_block", 1000 * self.heart.longest_s, "ms of CPU", BLOCK_MS_WANTED)
        self.heart.longest_s = 0.0

    async def connect(self) -> None:
        self.heart.longest_s = 0.0
        cpu = time.process_time()
        seconds = await self.ask("connect")
        self.add("connect_subscribe_end_of_rib", seconds, "s")
        self.add("connect_cpu", time.process_time() - cpu, "CPU s")
        self.add("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")
        self.add_block("connect")

    async def ask(self, question: object) -> float:
        self.pipe.send(question)
        seconds = await answer(self.pipe)
        assert isinstance(seconds, float)
        return seconds

    async def changes(self) -> None:
        """One change after the other, each to all."""
        self.plane.session_up("publisher", "", time.monotonic())
        self.plane.receive("publisher", Subscribe(SHARED, 1), time.monotonic())
        delays: list[float] = []
        cpu = time.process_time()
        for number in range(CHANGES_COUNT):
            delays += await self.marked(f"192.0.2.{number}/32")
        self.add("one_change_p50", percentile(delays, 50), "ms")
        self.add("one_change_p99", percentile(delays, 99), "ms", CHANGE_MS_WANTED)
        self.add("one_change_cpu", (time.process_time() - cpu) / CHANGES_COUNT * 1000, "CPU ms")
        self.add_block("one_change")

    async def marked(self, prefix: str) -> list[float]:
        """Change a route and return after how many milliseconds each agent had it."""
        self.pipe.send(f'id="{prefix}"'.encode())
        await answer(self.pipe)
        started = time.monotonic()
        self.publish(prefix, started)
        times = await answer(self.pipe)
        assert isinstance(times, list)
        return [1000 * (seen - started) for seen in times]

    def publish(self, prefix: str, now: float) -> None:
        self.plane.receive("publisher", PublishRoute(SHARED, inet_route(prefix)), now)
        self.server.schedule_flush()

    async def churn(self) -> None:
        """Changes at a steady rate; of some it is measured when everybody has them."""
        delays: list[float] = []
        begun, cpu = time.monotonic(), time.process_time()
        measuring: asyncio.Task[list[float]] | None = None
        for number in range(CHURN_PER_S * CHURN_S):
            await asyncio.sleep(max(0.0, begun + number / CHURN_PER_S - time.monotonic()))
            prefix = f"198.51.{number // 256}.{number % 256}/32"
            if number % MARKED_EVERY == 0 and (measuring is None or measuring.done()):
                delays += [] if measuring is None else measuring.result()
                measuring = asyncio.create_task(self.marked(prefix))
            else:
                self.publish(prefix, time.monotonic())
        if measuring is not None:
            delays += await measuring
        seconds = time.monotonic() - begun
        self.add("churn_p50", percentile(delays, 50), "ms")
        self.add("churn_p99", percentile(delays, 99), "ms")
        self.add("churn_cpu_share", (time.process_time() - cpu) / seconds, "of one core")
        self.add_block("churn")

    async def flap(self) -> None:
        """Cut half of the connections; the agents come back inside the restart time."""
        cpu = time.process_time()
        seconds = await self.ask("flap")
        self.add("half_flaps", seconds, "s")
        self.add("half_flaps_cpu", time.process_time() - cpu, "CPU s")
        self.add_block("half_flaps")
        retracts = await self.ask("retracts")
        self.add("half_flaps_retracts", retracts, "retracts", 0.0)
        assert retracts == 0


@dataclass
class MockAgent(asyncio.Protocol):
    """Opens a session, subscribes, publishes, and looks for marks in what arrives."""

    number: int
    transport: asyncio.Transport | None = None
    seen: dict[bytes, float] = field(default_factory=dict)
    marker: bytes = b"\0"
    retracts: int = 0
    tail: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        self.tail = b""
        self.seen.pop(b"EndOfRib", None)
        name = f"agent-{self.number}"
        for action in Session(client_settings(name)).step(Connected(), 0.0):
            assert isinstance(action, Write)
            transport.write(action.chunk)  # type: ignore[attr-defined]
        own = instance_of(f"n{self.number // MATES_COUNT}")
        address = f"10.{self.number >> 16}.{self.number >> 8 & 255}.{self.number & 255}/32"
        messages: list[Message] = [
            ConfigSubscribe(ConfigKey("virtual-router", f"{SYSTEM}:{name}")),
            Subscribe(SHARED, 1),
            Subscribe(own, 2),
            PublishRoute(own, inet_route(address)),
            EndOfRib(),
        ]
        said = b"".join(encode(each, sender=name, receiver=CONTROL_JID) for each in messages)
        transport.write(said)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        window = self.tail + data
        if self.marker not in self.seen and self.marker in window:
            self.seen[self.marker] = time.monotonic()
        if b"EndOfRib" in window:
            self.seen[b"EndOfRib"] = time.monotonic()
        # Counted by the part that is new, with what a mark may have begun before it.
        self.retracts += window.count(b"<retract", max(0, len(self.tail) - len(b"<retract") + 1))
        self.tail = window[-TAIL_BYTES:]


def agents_process(pipe: Connection, port: int, count: int) -> None:
    """Child process: do with all agents what the parent asks for."""
    uvloop.run(serve_agents(pipe, port, count))


async def serve_agents(pipe: Connection, port: int, count: int) -> None:
    agents = [MockAgent(number) for number in range(count)]
    pipe.send("ready")
    while True:
        question = await answer(pipe)
        started = time.monotonic()
        match question:
            case None:
                return
            case "connect":
                await connect(agents, port)
                pipe.send(time.monotonic() - started)
            case "flap":
                victims = agents[::2]
                for agent in victims:
                    assert agent.transport is not None
                    agent.seen.pop(b"EndOfRib", None)
                    agent.transport.abort()
                await connect(victims, port)
                pipe.send(time.monotonic() - started)
            case "retracts":
                # What would come late still counts.
                await asyncio.sleep(1)
                pipe.send(float(sum(agent.retracts for agent in agents)))
            case bytes() as mark:
                for agent in agents:
                    agent.marker = mark
                pipe.send("armed")
                await wait_until(lambda mark=mark: all(mark in agent.seen for agent in agents))
                pipe.send([agent.seen.pop(mark) for agent in agents])
            case _:
                raise ValueError(question)


async def connect(agents: list[MockAgent], port: int) -> None:
    """Connect agents, some at a time, until each has its end of RIB."""
    loop = asyncio.get_running_loop()
    dials = asyncio.Semaphore(DIALS_COUNT)

    async def dial(agent: MockAgent) -> None:
        async with dials:
            await loop.create_connection(lambda: agent, "127.0.0.1", port)

    await asyncio.gather(*map(dial, agents))
    await wait_until(lambda: all(b"EndOfRib" in agent.seen for agent in agents))


if __name__ == "__main__":
    run()
