"""A control node with a million VPN routes, each from two clients: time, memory, longest block.

One tester (`tools/bgp_fan.c`) on real sockets in a namespace: the worse copy of every route in,
the better copy in (each best path changes), the better copy's session lost (each falls back), the
worse one's lost (each is withdrawn); two receivers are told all of it. After each step: seconds
until the last receiver was told the last route, CPU seconds of the control node and the longest its
loop was busy in one go. `make bench NAME=vpn_scale` takes 100,000 routes;
ROUTES=1000000 in the environment makes it a million.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from bench.bgp_codec import ROUTES_PER_SET, Table
from bench.figures import Figures
from bench.route_reflector import AS, FAN, answer, ask, build_fan, cpu_s, peak_rss_mb, start_node

from skytrail.testing.bgp_routers import OURS, Bench, bench

ROUTES_COUNT = int(os.environ.get("ROUTES", "100000"))
SENDERS = ["10.9.0.20", "10.9.0.21"]
RECEIVERS = ["10.9.0.22", "10.9.0.23"]
BLOCK_MS_WANTED = 50.0
LOSS_S_PER_100K_WANTED = 1.5
STEPS = {
    "first_copy": "send 1",
    "better_copy": "send 0",
    "better_copy_lost": "lose 0",
    "last_copy_lost": "lose 1",
}


def run() -> None:
    """Print every figure and write them to build/bench/vpn_scale.json."""
    figures = Figures("vpn_scale")
    build_fan()
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder)) as place:
        for address in (*SENDERS, *RECEIVERS):
            place.output("ip", "address", "add", f"{address}/24", "dev", "lo")
        stream = Path(folder) / "updates"
        stream.write_bytes(b"".join(Table(ROUTES_COUNT // ROUTES_PER_SET).packed()))
        measure(figures, place, stream)
    figures.write()


def measure(figures: Figures, place: Bench, stream: Path) -> None:
    peers = [*SENDERS, *RECEIVERS]
    node = start_node(place, peers)
    fan = subprocess.Popen(
        [
            "nsenter", f"--net=/run/netns/{place.namespace}", str(FAN), OURS, "179", str(AS),
            str(stream), str(ROUTES_COUNT), str(len(SENDERS)), *peers,
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert answer(fan) == ["up"]
        empty_mb = peak_rss_mb(node.pid)
        block_ms(place, node)
        for name, command in STEPS.items():
            before = cpu_s(node.pid)
            seconds = float(ask(fan, command)[0])
            wanted = LOSS_S_PER_100K_WANTED * ROUTES_COUNT / 100_000 if "lost" in name else None
            figures.add(f"{name}_wall", seconds, "s", wanted=wanted)
            figures.add(f"{name}_cpu", cpu_s(node.pid) - before, "CPU s")
            figures.add(f"{name}_block", block_ms(place, node), "ms of CPU", wanted=BLOCK_MS_WANTED)
            if name == "better_copy":
                grown = (peak_rss_mb(node.pid) - empty_mb) * (1 << 20)
                figures.add("memory", peak_rss_mb(node.pid), "MB")
                figures.add("memory_per_path", grown / ROUTES_COUNT / 2, "bytes")
    finally:
        fan.kill()
        fan.wait()
        node.terminate()
        node.wait(10)


def block_ms(place: Bench, node: subprocess.Popen[bytes]) -> float:
    """Return the longest block since the last call."""
    log = place.folder / "ours.log"
    lines = len(log.read_text().splitlines()) if log.exists() else 0
    node.send_signal(signal.SIGUSR1)
    while len(log.read_text().splitlines()) <= lines:
        time.sleep(0.01)
    return float(log.read_text().split()[-1])


if __name__ == "__main__":
    run()
