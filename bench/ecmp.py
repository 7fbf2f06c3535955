"""How evenly load-shared next hops are used, and which flows move when a member goes and comes.

Real first packets in the kernel (BPF_PROG_RUN), flows read back from its table. ``spread`` is the
least used member's flows beside the most used one's; ``chi_square`` is divided by what a perfect hash
gives on average, so about 1 is even and much more is not. Moved flows are counted of all that stay:
a modulo of the hash, the usual way, is the yardstick.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from bench.figures import Figures
from bench.packet_cases import sent
from bench.program_time import Frames
from conftest import ECMP_NEXTHOP, REMOTE, Box, base_rows, interface_row, route_row, tunnel_row

from skytrail.agent.share import share_of
from skytrail.agent.tables import Encapsulation, NextHopId, NextHopKind, NextHopRow

MEMBERS = (2, 5, 16)
FLOWS = 20_000
MEMBER_BASE = 500
Ports = tuple[int, int]


def shared(members: Sequence[int]) -> NextHopRow:
    """The load-shared next hop of these members, each on a host of its own."""
    chosen = [(NextHopId(MEMBER_BASE + n), 2000 + n) for n in members]
    return NextHopRow(
        nexthop_id=ECMP_NEXTHOP,
        kind=NextHopKind.ECMP,
        members=tuple(chosen),
        shares=tuple([share_of(_host(n), 2000 + n) for n in members]),
    )


def _host(number: int) -> IPv4Address:
    return IPv4Address("192.0.2.10") + number


class Service:
    """One address that ``count`` members serve, and the flows to it."""

    def __init__(self, box: Box, count: int) -> None:
        self.box = box
        box.apply(interface_row(flow_count_max=FLOWS * 2))
        for number in range(count):
            row = tunnel_row(Encapsulation.MPLS_UDP, NextHopId(MEMBER_BASE + number))
            box.apply(replace(row, remote=_host(number)))
        self.use(range(count))
        box.apply(route_row(f"{REMOTE[4]}/32", ECMP_NEXTHOP, identity=3))
        rng = random.Random(count)
        pairs = {(rng.randrange(1024, 65_536), rng.randrange(1, 1024)) for _ in range(FLOWS)}
        self.frames = [sent(*pair) for pair in sorted(pairs)]
        self.run = Frames(box.datapath._loaded.programs["workload_ingress"])

    def use(self, members: Sequence[int]) -> None:
        self.box.apply(shared(members))

    def talk(self) -> Mapping[Ports, int]:
        """One packet of each flow; then the member of each."""
        for frame in self.frames:
            self.run.cost_ns(frame)
        return {
            (flow.source_port, flow.destination_port): flow.nexthop_id - MEMBER_BASE
            for flow in self.box.datapath.flows()
            if not flow.is_reverse
        }


def moved(before: Mapping[Ports, int], after: Mapping[Ports, int], *, but: int) -> float:
    """Share of the flows that moved although their member stayed."""
    stayed = [flow for flow, member in before.items() if member != but]
    return sum(after[flow] != before[flow] for flow in stayed) / len(stayed)


def chi_square(counts: Sequence[int]) -> float:
    """By degree of freedom."""
    wanted = sum(counts) / len(counts)
    return sum((count - wanted) ** 2 / wanted for count in counts) / (len(counts) - 1)


def measure(figures: Figures, box: Box, count: int) -> None:
    service, everybody = Service(box, count), list(range(count))
    first = service.talk()
    counts = list(Counter(first.values()).values())
    if len(counts) < count:
        raise RuntimeError(f"only {len(counts)} of {count} members are used")
    figures.add(f"spread_{count}", min(counts) / max(counts), "least by most used", wanted=0.9)
    figures.add(f"chi_square_{count}", chi_square(counts), "by degree of freedom", wanted=3)
    by_modulo = 1 - 1 / count
    service.use(everybody[:-1])
    without = service.talk()
    figures.add(
        f"moved_when_one_of_{count}_goes", moved(first, without, but=count - 1), "of those that stay",
        yardstick=by_modulo, yardstick_name="modulo", wanted=0,
    )  # fmt: skip
    service.use(everybody)
    again = service.talk()
    figures.add(
        f"moved_when_it_comes_back_{count}", moved(without, again, but=-1), "of all",
        yardstick=by_modulo, yardstick_name="modulo", wanted=0,
    )  # fmt: skip
    box.datapath._scan(purge_vif=interface_row().vif_id)
    fresh = list(Counter(service.talk().values()).values())
    figures.add(f"spread_of_new_flows_{count}", min(fresh) / max(fresh), "least by most used")


def run() -> None:
    """Print spread and moved flows for 2, 5 and 16 members."""
    figures = Figures("ecmp")
    for count in MEMBERS:
        box = Box(f"std{secrets.token_hex(3)}", FLOWS * 4)
        try:
            box.apply(*base_rows())
            measure(figures, box, count)
        finally:
            box.close()
    figures.write()
