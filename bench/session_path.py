"""Sessions all the way: a kernel's ring buffer, an agent, telemetry over TCP, collector, store with rollups.

A BPF program writes records into a real ring as the datapath does (tools/sessions.bpf.c), only as fast as all behind it
follow: nothing may be lost, and each session must be found in the store. Half of all records are beginnings.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.bpf_tools import TOOLS, compile_bpf
from bench.figures import Figures

from skytrail.agent.io import libbpf
from skytrail.agent.io.bpf_syscall import run_on_context

SESSIONS_A_RUN = 512
KINDS = 4096
HALF_FULL = 100_000
"""What the program returns when it told nothing."""
ROWS_WAITING_MAX = 300_000
_KIND = struct.Struct("=4s4sIIHH")
_RUN = struct.Struct("=QQ")


class Node(Protocol):
    """A collector and its store."""

    telemetry: int

    def cpu_of(self) -> Mapping[str, float]: ...
    def stored(self) -> int: ...
    def metric(self, name: str) -> float: ...


@dataclass(slots=True)
class Writer:
    """The kernel's end."""

    program: int
    told: int = 0
    cpu_s: float = 0.0

    def write(self) -> bool:
        """Write some sessions; False when the ring is half full."""
        before = time.process_time()
        lost = run_on_context(self.program, _RUN.pack(self.told, 0))
        self.cpu_s += time.process_time() - before
        if lost == HALF_FULL:
            return False
        if lost:
            raise RuntimeError(f"{lost} records had no room in the ring")
        self.told += SESSIONS_A_RUN
        return True


class Agent:
    """The process that empties the ring."""

    def __init__(self, maps: Mapping[str, Any], port: int, per_second: int) -> None:
        fds = [maps[name].fd for name in ("sessions", "sessions_wanted", "session_counters")]
        self._process = subprocess.Popen(
            [sys.executable, str(TOOLS / "session_agent.py"), *map(str, (*fds, port, per_second))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=fds,
            text=True,
        )
        self.kinds = self._line()

    @property
    def cpu_s(self) -> float:
        return cpu_s_of(self._process.pid)

    def counts(self) -> dict[str, Any]:
        """Return what it lost by reason, and ``unkept``: messages not acknowledged."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the agent ended")
        return json.loads(line)


def cpu_s_of(pid: int) -> float:
    """Return the processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def running(port: int, per_second: int) -> Iterator[tuple[Writer, Agent]]:
    """A writer, and the agent that tells a collector what it writes."""
    loaded = libbpf.load_object(compile_bpf("sessions"), pins=None, entries={}, constants=b"")
    agent = None
    try:
        agent = Agent(loaded.maps, port, per_second)
        _fill_kinds(loaded.maps["kinds"], agent.kinds)
        yield Writer(loaded.programs["write_sessions"]), agent
    finally:
        if agent is not None:
            agent.stop()
        loaded.close()


def _fill_kinds(kinds: Any, known: Mapping[str, Any]) -> None:
    draw = random.Random(1)
    for number in range(KINDS):
        port = draw.randrange(len(known["vifs"]))
        networks = len(known["identities"])
        ends = bytes([10, port % networks, 1, port // networks]), bytes(
            [10, draw.randrange(networks), 2, draw.randrange(200)]
        )  # fmt: skip
        row = _KIND.pack(
            *ends,
            draw.choice(known["rules"]),
            draw.choice(known["identities"]),
            known["vifs"][port],
            draw.choice(known["nexthops"]),
        )
        kinds.update(struct.pack("=I", number), row)


def measure(
    node: Node,
    figures: Figures,
    wait: Callable[[Callable[[], bool]], None],
    packed_per_cpu_s: float,
) -> None:
    """``packed_per_cpu_s``: sessions that collector and store take of a host that has packed them."""
    count = 2_000_000 // SESSIONS_A_RUN * SESSIONS_A_RUN
    with running(node.telemetry, per_second=1_000_000) as (writer, agent):
        stored, before, agent_s = node.stored(), dict(node.cpu_of()), agent.cpu_s
        started = time.perf_counter()
        looked = 0.0
        while writer.told < count:
            if not writer.write():
                time.sleep(0.002)
            if time.perf_counter() - looked > 0.1:
                looked = time.perf_counter()
                while (
                    node.metric('skytrail_analytics_rows_waiting{table="session"}')
                    > ROWS_WAITING_MAX
                ):
                    time.sleep(0.02)
        wait(lambda: node.stored() >= stored + count)
        took_s = time.perf_counter() - started
        parts = {"agent": agent.cpu_s - agent_s, "ring_writer": writer.cpu_s}
        parts |= {name: cpu_s - before[name] for name, cpu_s in node.cpu_of().items()}
        lost = {name: n for name, n in agent.counts().items() if n and name != "unkept"}
        if lost or node.stored() != stored + count:
            raise RuntimeError(f"{node.stored() - stored} of {count} sessions are stored: {lost}")
    figures.add("ring_to_store_sessions_per_s", count / took_s, "1/s", wanted=150_000)
    figures.add(
        "ring_to_store_sessions_per_cpu_s",
        count / sum(parts.values()),
        "1/s",
        yardstick=packed_per_cpu_s,
        yardstick_name="packed before",
    )
    for name, cpu_s in parts.items():
        figures.add(f"ring_to_store_{name}", cpu_s / count * 1e6, "us of processor a session")
    _sampled(node, figures)


def _sampled(node: Node, figures: Figures) -> None:
    """As hosts are set: most of a flood is counted by a sample."""
    count = 1_000_000 // SESSIONS_A_RUN * SESSIONS_A_RUN
    with running(node.telemetry, per_second=500) as (writer, agent):
        agent_s = agent.cpu_s
        while writer.told < count:
            if not writer.write():
                time.sleep(0.002)
        time.sleep(0.2)
        figures.add(
            "sampled_agent", (agent.cpu_s - agent_s) / count * 1e6, "us of processor a session"
        )
