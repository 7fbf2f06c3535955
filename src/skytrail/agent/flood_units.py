"""The units of copies: of each VRF, who gets what is sent to everybody, and to which group. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from skytrail.agent.fib import LearntRoute
from skytrail.agent.flood import (
    OUTER_BYTES,
    Way,
    flood_row,
    has_replicators,
    members_of,
    out_of_reach,
    relayed,
    replicators,
    ways_out,
)
from skytrail.agent.group_rows import GroupShares, GroupTable, Member
from skytrail.agent.ledger import Rank, RowClaims, Uses
from skytrail.agent.membership import Groups
from skytrail.agent.network_config import VirtualNetwork
from skytrail.agent.nexthop import NextHopTable
from skytrail.agent.port_rows import PortPlan
from skytrail.agent.tables import NextHopId, VrfId
from skytrail.net import IpAddress
from skytrail.wire.xmpp import NextHop, TreeBranch

Target = Callable[[NextHop], tuple[NextHopId, int] | None]
"""Next hop and label of an offer, None when it cannot be used."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What copies in a VRF depend on beside its ports."""

    own: IpAddress
    replicator: IpAddress | None
    branch: TreeBranch | None
    offers: Collection[LearntRoute]
    """Routes of the broadcast MAC."""
    groups: Mapping[str, Groups]
    """What ports listen to."""
    heard: Callable[[LearntRoute], Groups | None]
    """What who asks for copies listens to; None: to everything."""


@dataclass(slots=True)
class Floods:
    """Claims the rows of all VRFs."""

    nexthops: NextHopTable
    target: Target
    rows: RowClaims
    uses: Uses
    _shares: GroupShares = field(default_factory=GroupShares)

    def drop(self, vrf: str) -> None:
        """Nobody here is in the VRF."""
        self.rows.put((Rank.FLOOD, vrf, None), ())
        self._shares.put(vrf, None)
        self.uses.keep((Rank.FLOOD, vrf, None))

    def put(
        self,
        vrf: tuple[str, VrfId],
        network: VirtualNetwork,
        plans: Sequence[PortPlan],
        around: Surroundings,
    ) -> None:
        """Compute a VRF again that has these ports."""
        name, vrf_id = vrf
        unit = (Rank.FLOOD, name, None)
        local = [(plan.numbers.layer2, 0) for plan in plans]
        ways = ways_out(around.offers, network, around.own, around.branch)
        if has_replicators(network):
            ways = self._assisted(ways, network, around)
        for address in out_of_reach(around.offers, network, around.own):
            self.nexthops.reaches(address)  # Which notes that it does not, for the agent's health.
        snoops = any(is_asked(plan) for plan in plans)
        found = [*local, *self._targets(ways)]
        self.rows.put(unit, (flood_row(vrf_id, found, network, snoops=snoops),))
        table = None
        if snoops:
            members = [_listener(plan, around.groups) for plan in plans]
            members += self._far_listeners(network, around)
            table = GroupTable(vrf_id, members, network.drops_unheard)
        self._shares.put(name, table)
        self.uses.keep(unit)

    def settle(self) -> None:
        """Claim the rows of groups, when all VRFs are computed."""
        for vrf, rows in self._shares.settle().items():
            self.rows.put((Rank.GROUPS, vrf, None), rows)

    def _assisted(
        self, ways: list[Way], network: VirtualNetwork, around: Surroundings
    ) -> list[Way]:
        """Return the way to who copies for us, if we can reach it and do not copy for others."""
        if around.replicator is not None:
            return relayed(ways)
        for way in replicators(around.offers, network, around.own):
            target = self.target(way[0])
            if target is not None and self.nexthops.is_resolved(target[0]):
                return [way]
        return ways

    def _far_listeners(self, network: VirtualNetwork, around: Surroundings) -> list[Member]:
        """Return other hosts and routers with what they listen to, in the order of copies."""
        asking = [
            each
            for each in members_of(around.offers, network, around.own)
            if not each[0].replicates
        ]
        heard: dict[tuple[NextHopId, int], Groups | None] = {}
        for learnt, hop, _ in asking:
            target = self.target(hop)
            if target is not None:
                heard[target] = around.heard(learnt)
        ways = [(hop, far, 0) for _, hop, far in asking]
        return [Member(target, heard[target]) for target in self._targets(ways)]

    def _targets(self, ways: Sequence[Way]) -> list[tuple[NextHopId, int]]:
        """Where copies go, those with smaller outer headers first."""
        tunnels: dict[tuple[NextHopId, int], tuple[int, IpAddress]] = {}
        for hop, far, mark in ways:
            target = self.target(hop)
            if target is not None:
                kind = self.nexthops.encapsulation(target[0])
                tunnels[target[0], target[1] | mark] = (OUTER_BYTES[kind], far)
        return sorted(tunnels, key=lambda target: tunnels[target])


def is_asked(plan: PortPlan) -> bool:
    """Tell whether a port is asked what it listens to: frames with a tag are not looked into."""
    return plan.active.port.takes_reports and plan.active.plugged.tag is None


def _listener(plan: PortPlan, groups: Mapping[str, Groups]) -> Member:
    target = (plan.numbers.layer2, 0)
    return Member(target, groups.get(plan.active.port.uuid, {}) if is_asked(plan) else None)
