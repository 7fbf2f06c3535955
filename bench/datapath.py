"""Throughput, packets per second, latency and flow set-up of the eBPF datapath.

Five paths, interleaved: a plain veth pair, two routed hops, the kernel's bridge with VXLAN, ours
across two hosts (MPLS over UDP) and ours on one host. Policy and flows are on. Everything is veth
on one machine: ratios say something, absolute figures do not.

``DATAPATH_ROUNDS`` sets the number of rounds.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import datapath_minimal
from bench.datapath_paths import (
    Namespaces,
    Ours,
    TrafficPath,
    bridge_and_vxlan,
    frames,
    plain_veth,
    two_routed_hops,
)
from bench.figures import BUILD_FOLDER, Figures, interleaved_samples

ROUNDS = int(os.environ.get("DATAPATH_ROUNDS", "5"))
TOOL = BUILD_FOLDER / "traffic"
TCP_SECONDS, FLOOD_SECONDS, ASK_SECONDS, CONNECT_SECONDS = 1.0, 0.8, 0.5, 0.5
SMALL_PAYLOAD_BYTES = 18
"""Makes a 64-byte Ethernet frame with its frame check sequence."""
PORT_ECHO, PORT_SINK = 7000, 7100
NEW_FLOWS = 100_000

GATES = {
    ("across", "tcp_1", "veth"): 0.90,
    ("across", "tcp_4", "veth"): 0.80,
    ("across", "udp64", "veth"): 0.72,
    ("across", "tcp_1", "bridge_vxlan"): 1.4,
    ("across", "tcp_4", "bridge_vxlan"): 1.7,
    ("across", "udp64", "bridge_vxlan"): 1.75,
    ("across", "ask_tcp_p50", "bridge_vxlan"): 0.88,
    ("same_host", "tcp_1", "veth"): 1.0,
    ("same_host", "udp64", "veth"): 1.0,
}
MINIMAL = {"across": "minimal", "same_host": "minimal_same_host"}
"""Beside each path of ours, the same without policy, flows and checks."""
UNITS = {
    "tcp_1": "Gbit/s",
    "tcp_4": "Gbit/s",
    "udp64": "packets/s",
    "ask_tcp_p50": "us",
    "ask_udp_p50": "us",
    "connect": "connections/s",
}


def inside_command(namespace: str, command: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{namespace}", *shlex.split(command)]


def output(namespace: str, command: str) -> str:
    done = subprocess.run(
        inside_command(namespace, command), capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode:
        raise RuntimeError(f"{command} in {namespace}: {done.stderr or done.stdout}")
    return done.stdout


@contextmanager
def background(namespace: str, command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        inside_command(namespace, command), stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def tcp_gbits(path: TrafficPath, streams: int) -> float:
    with background(path.server, "iperf3 -s -1 -J --forceflush"):
        deadline = time.monotonic() + 3
        while not output(path.server, "ss -Hltn sport = :5201").strip():
            if time.monotonic() > deadline:
                raise RuntimeError("iperf3 does not listen")
        text = output(path.client, f"iperf3 -c {path.address} -t {TCP_SECONDS:g} -P {streams} -J")
    return json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e9


def flood_pps(path: TrafficPath) -> float:
    """64-byte packets that arrive, one sender."""
    with background(path.server, f"{TOOL} sink {PORT_SINK} {FLOOD_SECONDS * 0.9}") as sink:
        ready(sink)
        output(
            path.client,
            f"{TOOL} flood {path.address} {PORT_SINK} {FLOOD_SECONDS} {SMALL_PAYLOAD_BYTES}",
        )
        return float(sink.communicate(timeout=10)[0])


def ready(process: subprocess.Popen[str]) -> None:
    if process.stdout is None or process.stdout.readline().strip() != "ready":
        raise RuntimeError("the tool did not start")


def ask_us(path: TrafficPath, kind: str) -> float:
    with background(path.server, f"{TOOL} serve {PORT_ECHO}") as server:
        ready(server)
        text = output(path.client, f"{TOOL} ask {kind} {path.address} {PORT_ECHO} {ASK_SECONDS}")
    return int(text.split()[1]) / 1000


def connects(path: TrafficPath) -> float:
    with background(path.server, f"{TOOL} serve {PORT_ECHO}") as server:
        ready(server)
        return float(
            output(path.client, f"{TOOL} connect {path.address} {PORT_ECHO} {CONNECT_SECONDS}")
        )


MEASUREMENTS: dict[str, Callable[[TrafficPath], float]] = {
    "tcp_1": lambda path: tcp_gbits(path, 1),
    "tcp_4": lambda path: tcp_gbits(path, 4),
    "udp64": flood_pps,
    "ask_tcp_p50": lambda path: ask_us(path, "tcp"),
    "ask_udp_p50": lambda path: ask_us(path, "udp"),
    "connect": connects,
}


def compare(figures: Figures, paths: list[TrafficPath]) -> None:
    """Every measurement on every path, interleaved; ours beside both yardsticks."""
    for name, measure in MEASUREMENTS.items():
        cases = {path.name: partial(measure, path) for path in paths}
        samples = interleaved_samples(ROUNDS, cases, warm_up=1)
        for path in paths:
            value = statistics.median(samples[path.name])
            if path.name == "veth":
                figures.add(f"{name}.veth", value, UNITS[name], samples=samples["veth"])
                continue
            for yardstick in ("veth", "bridge_vxlan", MINIMAL.get(path.name)):
                if yardstick not in {None, path.name}:
                    ratio = paired(samples[path.name], samples[yardstick])
                    figures.add(
                        f"{name}.{path.name}.to_{yardstick}",
                        value,
                        UNITS[name],
                        yardstick=value / ratio,
                        yardstick_name=yardstick,
                        wanted=GATES.get((path.name, name, yardstick)),
                        samples=samples[path.name],
                    )


def paired(values: list[float], yardsticks: list[float]) -> float:
    """Median of the rounds' own ratios: each round saw one state of a shared machine."""
    return statistics.median(
        value / yardstick for value, yardstick in zip(values, yardsticks, strict=True)
    )


def small_frame(ours: Ours) -> str:
    """A 64-byte UDP frame of the client to the remote sink, in hexadecimal."""
    client, remote = ours.client, ours.remote
    datagram = frames.udp(1024, PORT_SINK, bytes(SMALL_PAYLOAD_BYTES))
    packet = frames.ipv4(str(client.address4), str(remote.address4), frames.UDP, datagram)
    return frames.ethernet(remote.mac.packed, client.mac.packed, 0x0800, packet).hex()


def frames_pps(ours: Ours, flows: int) -> float:
    """Packets that arrive when they belong to so many flows in turn."""
    with background(
        ours.remote.namespace, f"{TOOL} sink {PORT_SINK} {FLOOD_SECONDS * 0.9}"
    ) as sink:
        ready(sink)
        command = f"{TOOL} frames eth0 {small_frame(ours)} {FLOOD_SECONDS} {flows} 0"
        output(ours.client.namespace, command)
        return float(sink.communicate(timeout=10)[0])


def new_flow_rate(ours: Ours) -> float:
    """Flows a second when every packet is a new one; both hosts create a pair for each."""
    ours.forget_flows()
    command = f"{TOOL} frames eth0 {small_frame(ours)} 30 {NEW_FLOWS} {NEW_FLOWS}"
    rate = float(output(ours.client.namespace, command))
    for host in ours.rig.hosts:
        refused = {"FLOW_LIMIT", "FLOW_TABLE_FULL"} & set(host.datapath.drop_counts())
        if refused:
            raise RuntimeError(f"not every flow was created: {', '.join(sorted(refused))}")
    return rate


def scale(figures: Figures, ours: Ours) -> None:
    cases = {f"flows_{count}": count for count in (1, 1000, 100_000)}
    for count in (1, 1000, 100_000):
        frames_pps(ours, count)
    samples = interleaved_samples(
        ROUNDS, {name: partial(frames_pps, ours, count) for name, count in cases.items()}
    )
    for name in cases:
        value = statistics.median(samples[name])
        ratio = paired(samples[name], samples["flows_1"])
        figures.add(
            f"pps.{name}",
            value,
            "packets/s",
            yardstick=value / ratio,
            yardstick_name="one flow",
        )
    rates = [new_flow_rate(ours) for _ in range(ROUNDS)]
    figures.add("new_flows", statistics.median(rates), "flows/s", wanted=10_000, samples=rates)


def scale_routes(figures: Figures) -> None:
    """One rig for each number of routes, so that the rounds can be interleaved."""
    rigs: dict[str, Ours] = {}
    try:
        for count in (0, 1000, 100_000):
            rig = rigs[f"routes_{count}"] = Ours()
            start = time.perf_counter()
            rig.add_routes(count)
            if count:
                took_s = (time.perf_counter() - start) / len(rig.rig.hosts)
                figures.add(f"install_routes_{count}", took_s, "s a host")
        for name, measure in (
            ("pps", lambda rig: frames_pps(rig, 1)),
            ("new_flows", new_flow_rate),
        ):
            cases = {label: partial(measure, rig) for label, rig in rigs.items()}
            samples = interleaved_samples(ROUNDS, cases)
            unit = "packets/s" if name == "pps" else "flows/s"
            for label, values in samples.items():
                value = statistics.median(values)
                ratio = paired(values, samples["routes_0"])
                figures.add(
                    f"{name}.{label}",
                    value,
                    unit,
                    yardstick=value / ratio,
                    yardstick_name="no other routes",
                )
    finally:
        for rig in rigs.values():
            rig.close()


def build_tool() -> None:
    TOOL.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent / "tools/traffic.c"
    subprocess.run(["clang", "-O2", "-Wall", "-o", str(TOOL), str(source)], check=True)


def run() -> None:
    build_tool()
    figures = Figures("datapath")
    space = Namespaces()
    ours: Ours | None = None
    minimal: datapath_minimal.Minimal | None = None
    datapath_minimal.build()
    try:
        ours = Ours()
        minimal = datapath_minimal.Minimal(space)
        paths = [
            plain_veth(space),
            two_routed_hops(space),
            bridge_and_vxlan(space),
            ours.across(),
            ours.same_host(),
            minimal.across(),
            minimal.same_host(),
        ]
        compare(figures, paths)
        scale(figures, ours)
        scale_routes(figures)
    finally:
        if ours is not None:
            ours.close()
        if minimal is not None:
            minimal.close()
        space.close()
    figures.write()
