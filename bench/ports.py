"""How long from creating a port by REST to its first reply across hosts, by how many ports exist.

At each size the host already has that many plugged ports; 20 more are then created one after the
other and timed. What is counted and what is not is told in ``skytrail.lab.port_timing``.
``SKYTRAIL_BENCH_PORTS="1 100"`` chooses other sizes.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from pathlib import Path

from bench.figures import Figures, percentile
from bench.ports_network import GROUP, NETWORK, PROJECT

from skytrail.lab import check
from skytrail.lab.port_timing import PortTimer, Site
from skytrail.lab.service import Lab
from skytrail.net import Mac

SIZES = (1, 100, 1000)
TIMED_COUNT = 20
HERE = Path(__file__).resolve().parent

TOPOLOGY = f"""
name: bench-ports
hosts: [compute1, compute2]
provision: {HERE / "ports_network.py"}
workloads:
  - {{name: target, host: compute2, port: "default-domain:bench:target"}}
"""


def run() -> None:
    sizes = [int(text) for text in os.environ.get("SKYTRAIL_BENCH_PORTS", "").split()] or SIZES
    figures = Figures("ports")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "topology.yaml"
        file.write_text(TOPOLOGY)
        lab = Lab.create(file, name=f"bench{secrets.token_hex(2)}")
        try:
            lab.up()
            measure(lab, sizes, figures)
        finally:
            lab.down()
    figures.write()


def measure(lab: Lab, sizes: list[int] | tuple[int, ...], figures: Figures) -> None:
    with PortTimer(lab, site(lab), leave=True) as timer:
        existing = 0
        for size in sorted(sizes):
            wanted = size - 1 - existing
            if wanted > 0:
                started = time.monotonic()
                timer.prepare(wanted)
                timer.fill(wanted)
                rate = wanted / (time.monotonic() - started)
                figures.add(f"ports_{size}_fill_rate", rate, "ports/s")
                existing += wanted
            timer.prepare(TIMED_COUNT)
            timings = [timer.measure() for _ in range(TIMED_COUNT)]
            existing += TIMED_COUNT
            for name, values in (
                ("rest", [timing.created_s for timing in timings]),
                ("plugged", [timing.plugged_s for timing in timings]),
                ("first_reply", [timing.replied_s for timing in timings]),
            ):
                for percent in (50, 99):
                    figures.add(
                        f"ports_{size}_{name}_p{percent}", percentile(values, percent) * 1e3, "ms"
                    )


def site(lab: Lab) -> Site:
    target = check.members(lab)["target"]
    address = target.address(version=4)
    assert address is not None
    return Site(
        host="compute1",
        project=tuple(PROJECT),
        network=tuple(NETWORK),
        security_group=tuple(GROUP),
        target="target",
        target_mac=Mac.parse(lab.attached("target").mac),
        target_address=address,
    )
