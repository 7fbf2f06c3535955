"""An agent with 1,000 interfaces and 100,000 routes: restart to converged, memory, churn, big policies.

The agent's core with the real datapath in a namespace of 1,000 links: stanzas are decoded, desired
tables computed, the kernel's read and written, programs attached; only sockets are left out. Restart
means: the kernel has everything, the process nothing but its numbers.

``AGENT_SCALE_PORTS`` and ``AGENT_SCALE_ROUTES`` set other numbers.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.agent_policy import Host
from bench.datapath_paths import Namespaces
from bench.figures import Figures

from skytrail.agent.io.ebpf import EbpfDatapath, remove_datapath

PORTS = int(os.environ.get("AGENT_SCALE_PORTS", "1000"))
ROUTES = int(os.environ.get("AGENT_SCALE_ROUTES", "100000"))
RULES = 10_000
CHANGES = 5
TOOL = Path(__file__).parent / "tools/agent_host.py"
TIMEOUT_S = 900
"""A minute on a quiet machine."""
UNITS = {"_cpu_us": "us", "_s": "s", "_bytes": "MB", "_share": "of one CPU", "_rate": "routes/s"}


def measure_host(figures: Figures) -> None:
    space, name = Namespaces(), f"std{secrets.token_hex(3)}"
    try:
        host = space.add("h")
        # Both ends of a pair serve as links of workloads.
        pairs = range(0, PORTS + PORTS % 2, 2)
        batch = "".join(f"link add d{n} type veth peer name d{n + 1}\n" for n in pairs)
        subprocess.run(["ip", "-n", host, "-batch", "-"], input=batch, text=True, check=True)
        command = f"nsenter --net=/run/netns/{host} {sys.executable} {TOOL} {name} {PORTS} {ROUTES}"
        done = subprocess.run(
            command.split(), stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT_S
        )
    finally:
        remove_datapath(name)
        space.close()
    for name, value in json.loads(done.stdout).items():
        unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
        figures.add(name, value / 1e6 if unit == "MB" else value, unit)


def measure_policy(figures: Figures) -> None:
    """A rule of 10,000 changes, until the kernel has it."""
    name = f"std{secrets.token_hex(3)}"
    datapath = EbpfDatapath.open(name)
    try:
        host = Host(RULES, datapath)
        gc.collect()
        figures.add(f"policy_{RULES}_start", seconds(host.start), "s")
        changes = {"rule": host.rule_changed, "tag": host.tag_changed}
        for what, change in changes.items():
            samples = [seconds(lambda c=change, t=turn: c(t)) for turn in range(CHANGES)]
            figures.add(f"policy_{RULES}_{what}", statistics.median(samples), "s", samples=samples)
    finally:
        datapath.close()
        remove_datapath(name)


def seconds(change: Callable[[], None]) -> float:
    """Of processor time: what others do meanwhile does not count."""
    started = time.process_time()
    change()
    return time.process_time() - started


def run() -> None:
    """Print what a start, a restart, churn and a change of policy take."""
    figures = Figures("agent_scale")
    measure_host(figures)
    measure_policy(figures)
    figures.write()
