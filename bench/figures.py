"""Figures of a benchmark: interleaved rounds, medians, one line each, one JSON file per bench.

Every bench of this folder uses it, so that all figures look and are compared alike::

    figures = Figures("store")
    medians = interleaved(5, {"veth": measure_veth, "skytrail": measure_skytrail})
    figures.add("tcp_one_stream", medians["skytrail"], "Gbit/s", yardstick=medians["veth"])
    figures.write()

prints ``tcp_one_stream: 21.3 Gbit/s (0.93 x yardstick)`` and writes build/bench/store.json. The
yardstick's own name stands there when it is told (``yardstick_name="veth"``). Rounds are
interleaved (A B A B ...) because a shared machine changes speed in the course of minutes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

BUILD_FOLDER = Path(__file__).resolve().parent.parent / "build" / "bench"


def interleaved(
    rounds: int, cases: Mapping[str, Callable[[], float]], *, warm_up: int = 0
) -> dict[str, float]:
    """Measure every case once per round, in turn; return each case's median."""
    samples = interleaved_samples(rounds, cases, warm_up=warm_up)
    return {name: statistics.median(values) for name, values in samples.items()}


def interleaved_samples(
    rounds: int, cases: Mapping[str, Callable[[], float]], *, warm_up: int = 0
) -> dict[str, list[float]]:
    """Return every sample of every case, in round order; warm-up rounds are thrown away."""
    if rounds < 1:
        message = f"a bench needs at least one round, not {rounds}"
        raise ValueError(message)
    samples: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(warm_up + rounds):
        for name, measure in cases.items():
            value = measure()
            if number >= warm_up:
                samples[name].append(value)
    return samples


def percentile(samples: list[float], percent: float) -> float:
    """Return the nearest-rank percentile (0 < percent <= 100) of a non-empty list."""
    ordered = sorted(samples)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def text_of(value: float) -> str:
    """Format with three significant digits below a thousand, whole numbers above."""
    if value != value:  # noqa: PLR0124 - the test for NaN that needs no import
        return "nan"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"


class Figures:
    """Collects the figures of one bench, prints each at once, writes them all at the end."""

    def __init__(self, name: str, folder: Path = BUILD_FOLDER) -> None:
        self.name = name
        self.path = folder / f"{name}.json"
        self.rows: list[dict[str, object]] = []

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        yardstick: float | None = None,
        yardstick_name: str = "yardstick",
        wanted: float | None = None,
        samples: list[float] | None = None,
    ) -> float | None:
        """Print one figure; return its ratio to the yardstick (None without one).

        ``wanted`` is recorded beside it (the promised ratio, or the value without a yardstick).
        """
        ratio = value / yardstick if yardstick else None
        row: dict[str, object] = {"name": name, "value": value, "unit": unit}
        if ratio is not None:
            row |= {"yardstick": yardstick, "yardstick_name": yardstick_name, "ratio": ratio}
        if wanted is not None:
            row["wanted"] = wanted
        if samples is not None:
            row["samples"] = samples
        self.rows.append(row)
        suffix = "" if ratio is None else f" ({ratio:.2f} x {yardstick_name})"
        print(f"{name}: {text_of(value)} {unit}{suffix}", flush=True)
        return ratio

    def write(self) -> Path:
        """Write build/bench/<name>.json and return its path."""
        document = {
            "bench": self.name,
            "machine": {
                "kernel": platform.release(),
                "cpus": os.cpu_count(),
                "load": os.getloadavg(),
                "python": platform.python_version(),
            },
            "figures": self.rows,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        return self.path
