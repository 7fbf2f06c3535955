"""New flows a second: decided in the kernel, by a process that is asked, by the kernel's own firewall.

Pairs of namespaces on one host each, interleaved: ours with a policy of a hundred rules; a datapath
that hands each first packet to a Python process, which writes two entries and sends the packet on
(``tools/punting.bpf.c``), once deciding by the same tables as our programs (``asking``), once only nodding
(``nodding``: the price of asking alone); bridge, nf_tables and conntrack. One sender sends one packet of
each of 100,000 new flows as fast as it may (``rate``), or one on each processor sends a part of them
(``rate_all``: a host's workloads send side by side, and one process is asked by all); counted is the time until the table has all of them, and
the processor time of everybody, which holds on a busy machine as well. The same packets again, now of known flows,
tell what of that is not for being new: ``setup``.

``NEW_FLOWS_ROUNDS`` sets the number of rounds.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.bpf_tools import compile_bpf
from bench.datapath import PORT_SINK, SMALL_PAYLOAD_BYTES, TOOL, build_tool, inside_command
from bench.datapath_minimal import link_of
from bench.datapath_paths import Namespaces, Ours, frames
from bench.figures import BUILD_FOLDER, Figures
from bench.kernel_firewall import forget_connections, guard_bridge
from rig import inside
from rig import run as shell

from skytrail.agent.io import bpf_syscall, libbpf

ROUNDS = int(os.environ.get("NEW_FLOWS_ROUNDS", "5"))
FLOWS = 100_000
PROCESSORS = len(os.sched_getaffinity(0))
PORTS_OF_A_SENDER = 2
"""Destination ports that a sender's flows take: 60,000 flows each (``tools/traffic.c``)."""
TIMEOUT_S = 30
TRIES, STILL_S = 4, 1.0
LOST_MAX = FLOWS // 1000
"""A queue of the kernel may lose so many packets of a round: they count for none of its figures."""
RING_BYTES = 1 << 24
AGENT = Path(__file__).parent / "tools/punting_agent.py"
BETTER = 10.0
"""Wanted: so many times the flows a second of a datapath that asks."""


class Subject(Protocol):
    """Something that keeps flows."""

    client: str
    server: str
    frames: list[str]

    def begin(self) -> None: ...

    def count(self) -> int:
        """Flows there are."""
        ...

    def end(self) -> float:
        """Forget all; returns processor time of processes of its own, in seconds."""
        ...


@dataclass(frozen=True)
class Sample:
    flows_per_s: float
    flows_per_s_all: float
    """With a sender on each processor."""
    cpu_us: float
    setup_us: float
    """Of ``cpu_us`` what a packet of a known flow does not take."""


def frames_between(client: str, server: str, addresses: tuple[str, str]) -> list[str]:
    """The first frame of each sender, in hexadecimal; their flows differ by destination ports."""
    ends = [link_of(namespace, "eth0")[1] for namespace in (server, client)]
    first = list[str]()
    for n in range(PROCESSORS):
        datagram = frames.udp(1024, PORT_SINK + PORTS_OF_A_SENDER * n, bytes(SMALL_PAYLOAD_BYTES))
        packet = frames.ipv4(*addresses, frames.UDP, datagram)
        first.append(frames.ethernet(*ends, 0x0800, packet).hex())
    return first


def discard(stack: ExitStack, servers: list[str]) -> None:
    """Let receivers be done with what arrives: their own work is nobody's figure."""
    program = punting(stack).programs["discard"]
    for server in servers:
        with inside(server):
            link = bpf_syscall.tcx_link_create(program, link_of(server, "eth0")[0])
        stack.callback(os.close, link)


def punting(stack: ExitStack) -> libbpf.LoadedObject:
    """Return the programs of a datapath that asks, loaded once more."""
    compile_bpf("punting")
    loaded = libbpf.load_object(
        BUILD_FOLDER / "punting.bpf.o", pins=None, entries={}, constants=b""
    )
    stack.callback(loaded.close)
    return loaded


class PacketsLost(Exception):
    """Too few packets got to who decides: a queue of the kernel was full, nothing was measured."""


@dataclass(frozen=True)
class Burst:
    """100,000 first packets, each of a flow of its own."""

    flows: int
    took_s: float
    cpu_s: float
    again_s: float
    """Processor time of the same packets again, now of known flows."""


def measure(subject: Subject) -> Sample:
    alone, beside = tried(subject, senders=1), tried(subject, senders=PROCESSORS)
    return Sample(
        alone.flows / alone.took_s,
        beside.flows / beside.took_s,
        alone.cpu_s / alone.flows * 1e6,
        (alone.cpu_s - alone.again_s) / alone.flows * 1e6,
    )


def tried(subject: Subject, senders: int) -> Burst:
    for _ in range(TRIES - 1):
        try:
            return measure_once(subject, senders)
        except PacketsLost:
            subject.end()
    return measure_once(subject, senders)


def measure_once(subject: Subject, senders: int) -> Burst:
    """Send each flow's packet, wait until all flows are known, and send all again."""
    subject.begin()
    with ready(subject, senders) as sending:
        start, before = time.perf_counter(), _children_cpu()
        sending()
    # While it sends, nobody looks: counting costs.
    known, grew = -1, time.perf_counter()
    while known < FLOWS:
        count, now = subject.count(), time.perf_counter()
        known, grew = (count, now) if count > known else (known, grew)
        if now - grew > STILL_S:
            break
        time.sleep(0.005)
    if known < FLOWS - LOST_MAX:
        raise PacketsLost(f"{type(subject).__name__}: {known} flows of {FLOWS}")
    took_s, fresh = grew - start, _children_cpu() - before
    with ready(subject, senders) as sending:
        before = _children_cpu()
        sending()
    again = _children_cpu() - before
    fresh += subject.end()
    return Burst(known, took_s, fresh, again)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def ready(subject: Subject, senders: int) -> Iterator[Callable[[], None]]:
    """Processes about to send a packet of each flow, each its part of the flows; the call lets them."""
    part, running = FLOWS // senders, list[subprocess.Popen[bytes]]()

    def send() -> None:
        for process in running:
            process.stdin.close()
        for process in running:
            if process.wait(TIMEOUT_S):
                raise RuntimeError(f"a sender ended with {process.returncode}")

    try:
        for n in range(senders):
            command = f"{TOOL} frames eth0 {subject.frames[n]} {TIMEOUT_S} {part} {part} waiting"
            words = inside_command(subject.client, command)
            running.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for process in running:
            process.stdout.readline()
        yield send
    finally:
        for process in running:
            process.kill()
            process.wait()
            process.stdout.close()


class InKernel:
    """Ours, policy on, on one host."""

    def __init__(self, stack: ExitStack) -> None:
        self._ours = Ours()
        stack.callback(self._ours.close)
        ours, self.client = self._ours, self._ours.client.namespace
        near, far = ours.client, ours.neighbour
        self.frames = frames_between(
            near.namespace, far.namespace, (str(near.address4), str(far.address4))
        )
        self.server = far.namespace
        self._uses = ours.rig.hosts[0].datapath._maps["interface_flows"]

    def begin(self) -> None:
        self._ours.forget_flows()

    def count(self) -> int:
        return int.from_bytes(self._uses.lookup(bytes(4)) or b"", "little")

    def end(self) -> float:
        return 0.0


class Asking:
    """The datapath that asks a process."""

    def __init__(self, space: Namespaces, how: str, stack: ExitStack) -> None:
        host = space.add(f"{how}h")
        self.client, self.server = space.add(f"{how}c"), space.add(f"{how}s")
        self._host, self._how = host, how
        for n, end in ((1, self.client), (2, self.server)):
            space.link(host, end, names=(f"tap{n}", "eth0"), mtu=1500)
            space.address(end, "eth0", f"10.9.5.{n}/24")
        self.frames = frames_between(self.client, self.server, ("10.9.5.1", "10.9.5.2"))
        self._loaded = punting(stack)
        with inside(host):
            program = self._loaded.programs["asking_workload"]
            link = bpf_syscall.tcx_link_create(program, link_of(host, "tap1")[0])
        stack.callback(os.close, link)
        self._agent: subprocess.Popen[str] | None = None
        stack.callback(self._kill)

    def begin(self) -> None:
        flows = self._loaded.maps["asked_flows"]
        flows.delete_many([key for key, _ in flows.items()])
        ring = self._loaded.maps["questions"]
        shell_words = (
            f"{sys.executable} {AGENT} {self._how} {flows.fd} {ring.fd} {RING_BYTES} "
            f"{link_of(self._host, 'tap2')[0]} tap2"
        )
        self._agent = subprocess.Popen(
            inside_command(self._host, shell_words),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            pass_fds=(flows.fd, ring.fd),
        )  # fmt: skip
        if self._agent.stdout is None or self._agent.stdout.readline().strip() != "ready":
            raise RuntimeError("the asked process did not start")

    def count(self) -> int:
        return self._loaded.maps["asked_flows"].count() // 2

    def end(self) -> float:
        if self._agent is None:
            return 0.0
        text, _ = self._agent.communicate(timeout=TIMEOUT_S)
        self._agent = None
        return float(text)

    def _kill(self) -> None:
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait()


class Firewall:
    """Bridge, nf_tables, conntrack."""

    def __init__(self, space: Namespaces) -> None:
        self._host = space.add("fh")
        self.client, self.server = space.add("fc"), space.add("fs")
        shell(f"ip -n {self._host} link add br0 type bridge")
        shell(f"ip -n {self._host} link set br0 up")
        for n, end in ((1, self.client), (2, self.server)):
            space.link(self._host, end, names=(f"tap{n}", "eth0"), mtu=1500)
            shell(f"ip -n {self._host} link set tap{n} master br0")
            space.address(end, "eth0", f"10.9.6.{n}/24")
        guard_bridge(self._host)
        # The bridge learns where both are.
        shell(f"nsenter --net=/run/netns/{self.server} ping -c1 -W1 10.9.6.1", check=False)
        self.frames = frames_between(self.client, self.server, ("10.9.6.1", "10.9.6.2"))

    def begin(self) -> None:
        forget_connections(self._host)

    def count(self) -> int:
        with inside(self._host):
            return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())

    def end(self) -> float:
        forget_connections(self._host)
        return 0.0


def run() -> None:
    """Print flows a second and microseconds of processor time a flow, ours beside both others."""
    build_tool()
    figures = Figures("new_flows")
    with ExitStack() as stack:
        space = Namespaces()
        stack.callback(space.close)
        subjects: dict[str, Subject] = {
            "kernel": InKernel(stack),
            "firewall": Firewall(space),
            "asking": Asking(space, "decides", stack),
            "nodding": Asking(space, "nods", stack),
        }
        discard(stack, [subject.server for subject in subjects.values()])
        samples: dict[str, list[Sample]] = {name: [] for name in subjects}
        for _ in range(ROUNDS):
            for name, subject in subjects.items():
                samples[name].append(measure(subject))
        tell(figures, samples)
    figures.write()


def tell(figures: Figures, samples: dict[str, list[Sample]]) -> None:
    kinds: dict[str, tuple[str, Callable[[Sample], float]]] = {
        "rate": ("flows/s", lambda sample: sample.flows_per_s),
        "rate_all": ("flows/s", lambda sample: sample.flows_per_s_all),
        "cpu": ("us/flow", lambda sample: sample.cpu_us),
        "setup": ("us/flow", lambda sample: sample.setup_us),
    }
    for kind, (unit, of) in kinds.items():
        values = {name: [of(sample) for sample in each] for name, each in samples.items()}
        ours = statistics.median(values["kernel"])
        for name, each in values.items():
            figures.add(f"{kind}_{name}", statistics.median(each), unit, samples=each)
        for name in sorted(values.keys() - {"kernel"}):
            figures.add(
                f"{kind}_beside_{name}", ours, unit,
                yardstick=statistics.median(values[name]), yardstick_name=name,
                wanted=BETTER if (kind, name) == ("rate_all", "asking") else None,
            )  # fmt: skip
