"""How near limits of rate are to what was asked for: TCP and UDP, sent and received.

What arrives is counted from the third second on, so that the first burst does not count. TCP as its user sees it: payload; UDP: payload of one and a half times the rate.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

from bench.datapath import background, output
from bench.datapath_paths import Ours
from bench.figures import Figures

from skytrail.agent.tables import InterfaceRow, RateRow

SECONDS = int(os.environ.get("RATES_SECONDS", "4"))
MBITS = (10, 100)
WITHIN = 0.95
_BURST_S = 0.8
_BURST_BYTES_MIN = 131_072


def limit(ours: Ours, mbits: int, *, received: bool) -> None:
    """Limit what the client sends, or what the workload on the other host receives."""
    workload = ours.remote if received else ours.client
    rows = [
        replace(row, rated_sent=bool(mbits and not received), rated_received=received and mbits > 0)
        for row in ours.rig.rows(workload.host)
        if isinstance(row, InterfaceRow) and row.vif_id == workload.vif
    ]
    rate = mbits * 125_000
    burst = max(int(rate * _BURST_S), _BURST_BYTES_MIN)
    rates = [RateRow(workload.vif, received, rate, burst)] if mbits else []
    workload.host.datapath.apply([*rows, *rates], [])


def measured(ours: Ours, options: str) -> float:
    """Megabits a second that arrive."""
    with background(ours.remote.namespace, "iperf3 -s -1 --forceflush") as server:
        assert server.stdout is not None
        while "listening" not in server.stdout.readline():
            pass
        command = f"iperf3 -c {ours.remote.address4} -t {SECONDS} -O 2 -J {options}"
        report = json.loads(output(ours.client.namespace, command))
    return float(report["end"]["sum_received"]["bits_per_second"]) / 1e6


def run() -> None:
    figures = Figures("rates")
    ours = Ours()
    try:
        for received in (False, True):
            way = "received" if received else "sent"
            for mbits in MBITS:
                limit(ours, mbits, received=received)
                for name, options in (
                    ("tcp", ""),
                    ("udp", f"-u -l 1400 -b {mbits * 3 // 2}M"),
                ):
                    value = measured(ours, options)
                    # Headers count: 14 + 20 + 32 (TCP with timestamps) or 8 bytes of each packet.
                    share = 1448 / 1514 if name == "tcp" else 1400 / 1442
                    figures.add(
                        f"{name}.{way}.{mbits}",
                        value / share,
                        "Mbit/s",
                        yardstick=float(mbits),
                        yardstick_name="asked",
                        wanted=WITHIN,
                    )
                limit(ours, 0, received=received)
    finally:
        ours.close()
    figures.write()
