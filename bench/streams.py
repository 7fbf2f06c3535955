"""UVE streams to 200 browsers: how late changes arrive, and what the node and the API pay.

Real processes (store, collector, API) over loopback. 1,000 ports change 500 times a second; every reader
gets every change, or the newest of several of one port. Read from the analytics node, through the API, and
by the stream of the console (``live``). ``late`` is from the telemetry's socket to the reader's, rounds included;
processor time is of a second of wall time (1.0: a whole core).
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.analytics import Node, hello
from bench.figures import Figures, percentile

from skytrail.lab.io.machine import free_port
from skytrail.wire.telemetry import Uve, encode

READERS_COUNT = 200
PORTS_COUNT = 1000
CHANGES_PER_S = 500
SECONDS = 10
TICK_S = 0.02
_AT = re.compile(rb'"sent":(\d+)')
_MARK = b"event: update"


class Reader:
    """One browser."""

    def __init__(self) -> None:
        self.events_count = 0
        self.late_ms = list[float]()

    async def follow(self, port: int, path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        writer.write(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (path.encode(), port))
        try:
            if b" 200 " not in await reader.readline():
                raise RuntimeError("a stream is refused")
            while chunk := await reader.read(1 << 20):
                self.events_count += chunk.count(_MARK)
                now = time.monotonic_ns()
                # What was there before tells nothing of being late.
                if self.events_count > PORTS_COUNT:
                    self.late_ms += [(now - int(at)) / 1e6 for at in _AT.findall(chunk)]
        finally:
            writer.close()


async def _tell(port: int, seconds: float) -> int:
    """Send changes as ports would; returns how many."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(hello("h9"))
    number, start = 0, time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        while number < passed * CHANGES_PER_S:
            fields = {"in_bytes": number, "vrouter": "h9", "sent": time.monotonic_ns()}
            name = f"a:b:port{number % PORTS_COUNT}"
            number += 1
            uve = Uve(table="ObjectVMITable", key=name, struct="S", sequence=number, fields=fields)
            writer.write(encode(uve))
        await writer.drain()
        await asyncio.sleep(TICK_S)
    writer.close()
    return number


async def _measure(node: Node, port: int, path: str, readers: list[Reader]) -> tuple[float, int]:
    """Let readers read; returns how long until all knew everything, and changes sent then."""
    tasks = [asyncio.create_task(each.follow(port, path)) for each in readers]
    started = time.perf_counter()
    while min(each.events_count for each in readers) < PORTS_COUNT:
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.01)
    opened_s = time.perf_counter() - started
    sent = await _tell(node.telemetry, SECONDS)
    await asyncio.sleep(1.0)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return opened_s, sent


@contextmanager
def _api(folder: Path, node: Node) -> Iterator[tuple[int, int]]:
    """Yield port and process of an API that passes on to the node."""
    port = free_port()
    command = [sys.executable, "-m", "skytrail.daemons.api", "--data", str(folder)]
    command += ["--port", str(port), "--analytics", f"http://127.0.0.1:{node.rest}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or " ready" not in process.stdout.readline():
            raise RuntimeError("the API does not start")
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def run() -> None:
    figures = Figures("streams")
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder))
        try:
            with _api(Path(folder) / "api", node) as (port, pid):
                ways = {
                    "node": (node.rest, "/analytics/uve-stream"),
                    "api": (port, "/api/v1/analytics/uve-stream"),
                    "live": (port, "/api/v1/live?types=virtual-machine-interface&alarms=all"),
                }
                asyncio.run(_tell(node.telemetry, PORTS_COUNT / CHANGES_PER_S + 1))
                for way, (at, path) in ways.items():
                    readers = [Reader() for _ in range(READERS_COUNT)]
                    before = node.processes[1].pid, _cpu_s(node.processes[1].pid), _cpu_s(pid)
                    start = time.perf_counter()
                    opened_s, sent = asyncio.run(_measure(node, at, path, readers))
                    took = time.perf_counter() - start
                    late = [each for reader in readers for each in reader.late_ms]
                    got = [reader.events_count for reader in readers]
                    figures.add(f"{way}_all_opened", opened_s * 1000, "ms")
                    figures.add(f"{way}_events_per_s", sum(got) / took, "1/s")
                    figures.add(
                        f"{way}_least_events_of_sent", (min(got) - PORTS_COUNT) / sent, "of sent"
                    )
                    figures.add(f"{way}_late_p50", percentile(late, 50), "ms")
                    figures.add(f"{way}_late_p99", percentile(late, 99), "ms")
                    figures.add(f"{way}_node_cpu", (_cpu_s(before[0]) - before[1]) / took, "cores")
                    if way != "node":
                        figures.add(f"{way}_api_cpu", (_cpu_s(pid) - before[2]) / took, "cores")
        finally:
            node.stop()
    figures.write()
