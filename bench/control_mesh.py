"""Ten control nodes on one machine, meshed and behind two reflectors: memory, time of one change.

Each node is a process with an address of its own. Agents are given two nodes each as
hosts choose them (``agent/control_choice.py``), share a network with nine others, in which each
publishes ROUTES_PER_AGENT routes at both of its nodes, and one network with all. Measured: until
all nodes have all routes, what nodes use for it, and one change of an agent: until the others were
told it by each of their two nodes. Everything shares the machine's cores, the mock agents too.
``make bench NAME=control_mesh``; SKYTRAIL_BENCH_NODES (10), SKYTRAIL_BENCH_AGENTS
(100) and SKYTRAIL_BENCH_SHAPES (mesh,reflectors) say what of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from bench.control_agents import DIALS_COUNT, MATES_COUNT, SHARED, MockAgent
from bench.figures import Figures, percentile
from bench.route_reflector import cpu_s, peak_rss_mb
from bench.tools.mesh_node import address_of, peers_of

from skytrail.agent.control_choice import ControlNode, chosen_pair
from skytrail.testing.control_plane import inet_route, instance_of
from skytrail.wire.xmpp import PublishRoute
from skytrail.wire.xmpp.codec import CONTROL_JID, encode

NODES_COUNT = int(os.environ.get("SKYTRAIL_BENCH_NODES", "10"))
AGENTS_COUNT = int(os.environ.get("SKYTRAIL_BENCH_AGENTS", "100"))
ROUTES_PER_AGENT = 20
NODES_PER_MACHINE = 2
CHANGES_COUNT = 20
ASK_EVERY_S = 0.5
SETTLED_S = 3.0
"""Nobody learned anything for so long: all have all."""
POLL_S = 0.02
SCRIPT = Path(__file__).parent / "tools" / "mesh_node.py"


def run() -> None:
    """Print every figure and write them to build/bench/control_mesh.json."""
    figures = Figures("control_mesh")
    for shape in os.environ.get("SKYTRAIL_BENCH_SHAPES", "mesh,reflectors").split(","):
        uvloop.run(Mesh(figures, shape).measure())
    figures.write()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Mesh:
    """The nodes' processes and the agents' sessions."""

    figures: Figures
    shape: str
    nodes: list[Process] = field(default_factory=list[Process])
    block_ms: float = 0.0
    """The longest any node's loop was busy in one go."""
    sessions: dict[int, list[MockAgent]] = field(default_factory=dict[int, list[MockAgent]])

    async def measure(self) -> None:
        bgp_port, xmpp_port = free_port(), free_port()
        networks = -(-AGENTS_COUNT // MATES_COUNT)
        try:
            for number in range(1, NODES_COUNT + 1):
                words = (number, NODES_COUNT, self.shape, bgp_port, xmpp_port, networks)
                node = await asyncio.create_subprocess_exec(
                    sys.executable, str(SCRIPT), *map(str, words), str(AGENTS_COUNT), stdout=PIPE
                )
                self.nodes.append(node)
            for node in self.nodes:
                await said_by(node)
            await self.peered()
            await self.fill(xmpp_port)
            await self.changes()
        finally:
            for sessions in self.sessions.values():
                for session in sessions:
                    if session.transport is not None:
                        session.transport.abort()
            for node in self.nodes:
                node.terminate()
            for node in self.nodes:
                await node.wait()

    def add(self, name: str, value: float, unit: str) -> None:
        self.figures.add(f"{self.shape}_{name}", value, unit)

    def cpu_s(self) -> float:
        return sum(cpu_s(node.pid) for node in self.nodes)

    async def ask(self, name: str) -> list[float]:
        answers: list[float] = []
        for node in self.nodes:
            node.send_signal(signal.SIGUSR1)
            answer = json.loads(await said_by(node))
            answers.append(float(answer[name]))
            self.block_ms = max(self.block_ms, float(answer["block_ms"]))
        return answers

    async def add_block(self, name: str) -> None:
        await self.ask("block_ms")
        self.add(name, self.block_ms, "ms of CPU")
        self.block_ms = 0.0

    async def peered(self) -> None:
        """Wait until every session between nodes is up."""
        numbers = range(1, NODES_COUNT + 1)
        wanted = 2 * sum(len(peers_of(each, NODES_COUNT, self.shape)) for each in numbers)
        self.add("sessions_between_nodes", wanted / 2, "sessions")
        while sum(await self.ask("peers")) < wanted:  # noqa: ASYNC110 - as above
            await asyncio.sleep(ASK_EVERY_S)

    async def fill(self, port: int) -> None:
        """Connect all agents, each to its two nodes; wait until no node learns anything more."""
        started, cpu = time.monotonic(), self.cpu_s()
        known = [
            ControlNode(address_of(number), port, f"machine{(number - 1) // NODES_PER_MACHINE}")
            for number in range(1, NODES_COUNT + 1)
        ]
        dials = asyncio.Semaphore(DIALS_COUNT)
        loop = asyncio.get_running_loop()

        async def dial(agent: MockAgent, node: ControlNode) -> None:
            async with dials:
                await loop.create_connection(lambda: agent, node.host, node.port)
                publish(agent, instance_of(f"n{agent.number // MATES_COUNT}"), own_prefixes(agent))

        calls = []
        for number in range(AGENTS_COUNT):
            pair = chosen_pair(f"agent-{number}", known)
            self.sessions[number] = [MockAgent(number) for _ in pair]
            calls += map(dial, self.sessions[number], pair)
        await asyncio.gather(*calls)
        paths, settled_at = [0.0], time.monotonic()
        while not min(paths) or time.monotonic() < settled_at + SETTLED_S:
            await asyncio.sleep(ASK_EVERY_S)
            found = await self.ask("paths")
            if found != paths:
                paths, settled_at = found, time.monotonic()
        self.add("all_routes_everywhere", settled_at - started, "s")
        self.add("all_routes_cpu", self.cpu_s() - cpu, "CPU s of all nodes")
        sizes = [peak_rss_mb(node.pid) for node in self.nodes]
        self.add("paths_most", max(paths), "VPN paths on a node")
        self.add("memory_most", max(sizes), "MB of a node")
        self.add("memory_all", sum(sizes), "MB of all nodes")
        await self.add_block("fill_block")

    async def changes(self) -> None:
        """One change after the other, told to every agent by both of its nodes."""
        delays: list[float] = []
        cpu = self.cpu_s()
        for number in range(CHANGES_COUNT):
            prefix = f"192.0.2.{number}/32"
            mark = f'id="{prefix}"'.encode()
            publisher = number * (AGENTS_COUNT // CHANGES_COUNT)
            told = [
                session
                for each, sessions in self.sessions.items()
                if each != publisher
                for session in sessions
            ]
            for session in told:
                session.marker = mark
            started = time.monotonic()
            for session in self.sessions[publisher]:
                publish(session, SHARED, [prefix])
            while not all(mark in each.seen for each in told):  # noqa: ASYNC110 - polled
                await asyncio.sleep(POLL_S)
            delays += [1000 * (session.seen.pop(mark) - started) for session in told]
        self.add("one_change_p50", percentile(delays, 50), "ms")
        self.add("one_change_p99", percentile(delays, 99), "ms")
        self.add("one_change_cpu", (self.cpu_s() - cpu) / CHANGES_COUNT * 1000, "CPU ms of all")
        await self.add_block("change_block")


def own_prefixes(agent: MockAgent) -> list[str]:
    """Return what the agent publishes beside the one route that it does by itself."""
    return [
        f"10.{100 + each}.{agent.number >> 8}.{agent.number & 255}/32"
        for each in range(1, ROUTES_PER_AGENT)
    ]


def publish(agent: MockAgent, instance: str, prefixes: list[str]) -> None:
    router = f"172.16.{agent.number >> 8}.{agent.number & 255}"
    name = f"agent-{agent.number}"
    assert agent.transport is not None
    for prefix in prefixes:
        message = PublishRoute(instance, inet_route(prefix, router))
        agent.transport.write(encode(message, sender=name, receiver=CONTROL_JID))


async def said_by(node: Process) -> str:
    assert node.stdout is not None
    line = await node.stdout.readline()
    if not line:
        raise RuntimeError("a node ended before its time; its reason is above")
    return line.decode()


if __name__ == "__main__":
    run()
