"""How near limits of rate are to what was asked for: TCP and UDP, sent and received.

What arrives is counted from the third second on, so that the first burst does not count. TCP as its user sees it: payload; UDP: payload of one and a half times the rate.
At 1 Gbit/s iperf3's receiver of UDP may be what is short: ``udp.unlimited`` is what arrives without any
limit, and ``udp.passed`` what the limit lets through without its burst: what was sent, less what is counted as dropped.
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
MBITS = (10, 100, 1000)
WITHIN = 0.95
TCP_SHARE, UDP_SHARE = 1448 / 1514, 1400 / 1442
"""Payload of what is counted: with headers, 14 + 20 + 32 (TCP with timestamps) or 8 bytes of each packet."""
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


def passed(ours: Ours, mbits: int) -> float:
    """Megabits a second of UDP that a limit lets through, after the burst at the beginning."""
    before = refused(ours)
    with background(ours.remote.namespace, "iperf3 -s -1 --forceflush") as server:
        assert server.stdout is not None
        while "listening" not in server.stdout.readline():
            pass
        command = (
            f"iperf3 -c {ours.remote.address4} -t {SECONDS} -J -u -l 1400 -b {mbits * 3 // 2}M"
        )
        sent = json.loads(output(ours.client.namespace, command))["end"]["sum_sent"]
    packets = int(sent["packets"]) - (refused(ours) - before)
    burst = max(mbits * _BURST_S, _BURST_BYTES_MIN * 8 / 1e6)
    return (packets * 1442 * 8 / 1e6 - burst) / float(sent["seconds"])


def refused(ours: Ours) -> int:
    """Packets beyond a limit so far, on both hosts."""
    counts = [host.datapath.drop_counts() for host in ours.rig.hosts]
    return sum(each.get(f"RATE_{way}", 0) for each in counts for way in ("SENT", "RECEIVED"))


def run() -> None:
    figures = Figures("rates")
    ours = Ours()
    try:
        most = MBITS[-1] * 3 // 2
        unlimited = measured(ours, f"-u -l 1400 -b {most}M") / UDP_SHARE
        figures.add("udp.unlimited", unlimited, "Mbit/s", yardstick=most, yardstick_name="sent")
        for received in (False, True):
            way = "received" if received else "sent"
            for mbits in MBITS:
                limit(ours, mbits, received=received)
                for name, options in (
                    ("tcp", ""),
                    ("udp", f"-u -l 1400 -b {mbits * 3 // 2}M"),
                ):
                    value = measured(ours, options)
                    share = TCP_SHARE if name == "tcp" else UDP_SHARE
                    figures.add(
                        f"{name}.{way}.{mbits}",
                        value / share,
                        "Mbit/s",
                        yardstick=float(mbits),
                        yardstick_name="asked",
                        wanted=None if (name, mbits) == ("udp", MBITS[-1]) else WITHIN,
                    )
                # Granted anew, with its burst.
                limit(ours, 0, received=received)
                limit(ours, mbits, received=received)
                figures.add(
                    f"udp.passed.{way}.{mbits}",
                    passed(ours, mbits),
                    "Mbit/s",
                    yardstick=float(mbits),
                    yardstick_name="asked",
                    wanted=WITHIN,
                )
                limit(ours, 0, received=received)
    finally:
        ours.close()
    figures.write()
