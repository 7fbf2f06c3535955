"""What a host and its part of each network carried, added up from its ports. Pure.

Sums of the counters of those ports that are there fall when one goes, and whoever reads them as
counters takes that for a new beginning and counts everything once more. So it is growth that is
added up here: a port that goes takes nothing with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skytrail.wire.telemetry import Statistic

NAMES = ("in_tpkts", "in_bytes", "out_tpkts", "out_bytes")


def statistic(name: str) -> Statistic:
    return Statistic(name=name, counters=list(NAMES))


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """Of a workload's interface, as the workload sees it: ``in`` is what it was given."""

    in_packets: int = 0
    in_bytes: int = 0
    out_packets: int = 0
    out_bytes: int = 0

    def __add__(self, other: LinkCounters) -> LinkCounters:
        return LinkCounters(
            self.in_packets + other.in_packets,
            self.in_bytes + other.in_bytes,
            self.out_packets + other.out_packets,
            self.out_bytes + other.out_bytes,
        )

    def since(self, former: LinkCounters) -> LinkCounters:
        """Return what came since; a counter that is less than before began again."""

        def grown(now: int, before: int) -> int:
            return now - before if now >= before else now

        return LinkCounters(
            grown(self.in_packets, former.in_packets),
            grown(self.in_bytes, former.in_bytes),
            grown(self.out_packets, former.out_packets),
            grown(self.out_bytes, former.out_bytes),
        )

    def fields(self) -> dict[str, object]:
        return {
            "in_tpkts": self.in_packets,
            "in_bytes": self.in_bytes,
            "out_tpkts": self.out_packets,
            "out_bytes": self.out_bytes,
        }


@dataclass(frozen=True, slots=True)
class PortTraffic:
    ifname: str
    network: str | None
    """None while the port does not work."""
    counters: LinkCounters


class TrafficTotals:
    """Totals since the agent's start.

    What a link had carried that was there before, an agent before this one has told: it counts for
    nothing. A link that came later counts from its beginning.
    """

    def __init__(self, links_before: Iterable[str] = ()) -> None:
        self.host = LinkCounters()
        self.networks: Mapping[str, LinkCounters] = {}
        """By name, of those that have a port here."""
        self._links_before = frozenset(links_before)
        self._ports: Mapping[str, LinkCounters] = {}

    def look(self, ports: Mapping[str, PortTraffic]) -> None:
        """Add what came since the last look; ``ports`` by uuid."""
        names = {port.network for port in ports.values() if port.network is not None}
        totals = {name: self.networks.get(name, LinkCounters()) for name in names}
        for uuid, port in ports.items():
            began = port.counters if port.ifname in self._links_before else LinkCounters()
            grown = port.counters.since(self._ports.get(uuid, began))
            self.host += grown
            if port.network is not None:
                totals[port.network] += grown
        self.networks = totals
        self._ports = {uuid: port.counters for uuid, port in ports.items()}
