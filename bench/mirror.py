"""What mirroring costs: throughput and packets per second between two hosts, with and without.

Three cases, interleaved: no mirror, a mirror of another port on the same hosts (what everybody else
pays), and the sender's own port mirrored, both directions, to an analyzer on its host. The analyzer
has nobody who reads, so it is the cost of copying alone. Everything is on one machine: copies take
the CPU that senders need, too.

``MIRROR_ROUNDS`` sets the number of rounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from bench.datapath import build_tool, flood_pps, tcp_gbits
from bench.datapath_paths import Ours, TrafficPath
from bench.figures import Figures, interleaved
from rig import Workload, inside

from skytrail.agent.mirror import Copied, MirrorTo, mirror_row
from skytrail.agent.tables import InterfaceRow, MirrorId, NextHopId, PortMirrorRow

ROUNDS = int(os.environ.get("MIRROR_ROUNDS", "3"))
MIRROR = MirrorId(1)


def mirror(ours: Ours, mirrored: Workload | None) -> None:
    """Mirror this workload of the first host and no other."""
    host = ours.rig.hosts[0]
    to = MirrorTo(ours.neighbour.address4, "the:analyzer's:own:instance")
    copied = mirror_row(Copied(to), MIRROR, host.address, (ours.client.vrf, NextHopId(0)))
    with inside(host.namespace):
        for row in ours.rig.rows(host):
            if not isinstance(row, InterfaceRow) or row.tunnel_address is not None:
                continue
            is_mirrored = mirrored is not None and row.vif_id == mirrored.vif
            watch = PortMirrorRow(row.vif_id, MIRROR, MIRROR)
            host.datapath.apply(
                [copied, *([watch] if is_mirrored else []), replace(row, is_watched=is_mirrored)],
                [] if is_mirrored else [watch],
            )


def with_mirror(
    ours: Ours, mirrored: Workload | None, measure: Callable[[TrafficPath], float]
) -> float:
    mirror(ours, mirrored)
    return measure(ours.across())


def run() -> None:
    """Print the cost for the mirrored and for everybody else."""
    build_tool()
    figures = Figures("mirror")
    ours = Ours()
    cases: dict[str, Workload | None] = {
        "off": None,
        "of_another_port": ours.neighbour,
        "of_this_port": ours.client,
    }
    kinds: dict[str, tuple[Callable[[TrafficPath], float], str]] = {
        "tcp_1": (partial(tcp_gbits, streams=1), "Gbit/s"),
        "udp64": (flood_pps, "packets/s"),
    }
    try:
        for kind, (measure, unit) in kinds.items():
            medians = interleaved(
                ROUNDS,
                {name: partial(with_mirror, ours, case, measure) for name, case in cases.items()},
                warm_up=1,
            )
            figures.add(f"{kind}_off", medians["off"], unit)
            for name in ("of_another_port", "of_this_port"):
                figures.add(
                    f"{kind}_mirror_{name}", medians[name], unit,
                    yardstick=medians["off"], yardstick_name="off",
                )  # fmt: skip
        copies, truncated, lost = ours.rig.hosts[0].datapath.mirror_counts()[MIRROR]
        figures.add("copies", copies, "packets")
        figures.add("copies_cut_off", truncated, "packets")
        figures.add("copies_lost", lost, "packets")
    finally:
        ours.close()
    figures.write()
