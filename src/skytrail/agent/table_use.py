"""How full the kernel's tables are, and when that is worth an alarm. Pure.

A table that the agent fills refuses more when it is full, and the flow table then drops new
connections; so both are told of before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from typing import Final

from skytrail.agent.tables import InterfaceRow, LabelRow, MirrorRow, NextHopRow, Row, VifId

HIGH: Final = 0.80
FULL: Final = 0.95
_CALM: Final = 0.05
"""So much below a mark a table must be to count no more: one at the mark would flap."""
FORGETTING: Final = frozenset({"bgp_clients", "fragments", "interface_drops"})
"""Full is how these are meant to be: the oldest goes, or only a share of a counter is lost."""
REFUSALS: Final = ("FLOW_LIMIT", "FLOW_LIMIT_MACHINE", "FLOW_TABLE_FULL")
EXHAUSTIONS: Final = ("PORTS_EXHAUSTED", "PORT_SHARE")
"""No port of the host, or of the interface's share, was left to stand for the workload's."""
ROWS_OF_ARRAYS: Final[Mapping[str, type[Row]]] = {
    "interfaces": InterfaceRow,
    "nexthops": NextHopRow,
    "labels": LabelRow,
    "mirrors": MirrorRow,
}
"""The kernel cannot say how much of an array is in use; rows can."""


@dataclass(frozen=True, slots=True)
class TableUse:
    name: str
    entries: int | None
    """None: not a table that fills."""
    entries_max: int
    bytes: int
    """Kernel memory. Kernels before 6.4 tell what a full table would take."""

    @property
    def share(self) -> float:
        return (self.entries or 0) / self.entries_max if self.entries_max else 0.0


def with_rows(
    uses: Iterable[TableUse], rows: Mapping[type[Row], Sized]
) -> Iterator[TableUse]:  # fmt: skip
    """Say of arrays how many rows they hold."""
    for use in uses:
        kind = ROWS_OF_ARRAYS.get(use.name)
        held = rows.get(kind, ()) if kind else None
        yield use if held is None else replace(use, entries=len(held))


class TableWatch:
    """Which tables are nearly full, and which as good as full."""

    def __init__(self) -> None:
        self.high: frozenset[str] = frozenset()
        self.full: frozenset[str] = frozenset()

    def update(self, uses: Iterable[TableUse]) -> None:
        shares = {
            use.name: use.share
            for use in uses
            if use.entries is not None and use.name not in FORGETTING
        }
        self.high = _beyond(shares, HIGH, self.high)
        self.full = _beyond(shares, FULL, self.full)


class RefusedFlows:
    """At which interfaces new flows were refused between the last two looks, and how many packets."""

    def __init__(self, reasons: Iterable[str] = REFUSALS) -> None:
        self._reasons = tuple(reasons)
        self.now: Mapping[VifId, int] = {}
        self._before: Mapping[VifId, int] | None = None

    def update(self, drops: Mapping[VifId, Mapping[str, int]]) -> None:
        """``drops`` are by interface and reason, since the datapath was loaded."""
        counts = {vif: sum(by.get(each, 0) for each in self._reasons) for vif, by in drops.items()}
        before = counts if self._before is None else self._before
        self.now = {
            vif: count - before.get(vif, 0)
            for vif, count in counts.items()
            if count > before.get(vif, 0)
        }
        self._before = counts


def _beyond(shares: Mapping[str, float], mark: float, before: frozenset[str]) -> frozenset[str]:
    return frozenset(
        name
        for name, share in shares.items()
        if share >= (mark - _CALM if name in before else mark)
    )


def rows(uses: Iterable[TableUse], watch: TableWatch) -> Iterator[Mapping[str, object]]:
    """Rows for people, the fullest first, then the largest."""
    for use in sorted(uses, key=lambda each: (-each.share, -each.bytes, each.name)):
        state = "full" if use.name in watch.full else "high" if use.name in watch.high else ""
        yield {
            "table": use.name,
            "entries": use.entries,
            "entries_max": use.entries_max,
            "used_percent": None if use.entries is None else round(use.share * 100, 1),
            "bytes": use.bytes,
            "state": state,
        }
