"""Which interfaces belong to one machine and share its part of the flow table. Pure.

The datapath adds up what the members own whenever it makes a flow, so nothing has to be told when an
interface comes to another machine. A machine of more interfaces than one row has members, as VLANs of
a link can make it, is in several parts, and each has its part of the machine's flows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from skytrail.agent.ledger import Rank, RowClaims
from skytrail.agent.port_plan import PortPlan
from skytrail.agent.tables import FlowShareRow, VifId

MEMBERS_COUNT_MAX = 32
"""Of one row."""


class FlowShares:
    """Keeps the rows of machines with several interfaces."""

    def __init__(self, rows: RowClaims) -> None:
        self._rows = rows
        self._machine_of: dict[str, str] = {}
        self._members: dict[str, dict[str, tuple[VifId, int]]] = {}
        """Machine -> port -> its number and the limit it was given itself."""

    def update(self, changed: Iterable[str], plans: Mapping[str, PortPlan]) -> None:
        """These ports changed, came or went. O(ports of their machines)."""
        touched: set[str] = set()
        for uuid in changed:
            before = self._machine_of.pop(uuid, "")
            if before:
                del self._members[before][uuid]
                touched.add(before)
            plan = plans.get(uuid)
            machine = plan.active.plugged.vm_uuid if plan is not None else ""
            if plan is not None and machine:
                limit = plan.active.port.flow_count_max
                self._machine_of[uuid] = machine
                self._members.setdefault(machine, {})[uuid] = plan.numbers.vif_id, limit
                touched.add(machine)
        for machine in sorted(touched):
            self._claim(machine)

    def _claim(self, machine: str) -> None:
        members = sorted(self._members[machine].values())
        count_max = max((limit for _, limit in members), default=0)
        parts = _parts_of([vif_id for vif_id, _ in members])
        rows = [
            FlowShareRow(vif_id, part, count_max, len(parts))
            for part in parts
            for vif_id in part
            if len(members) > 1
        ]
        self._rows.put((Rank.FLOW_SHARE, machine, None), rows)
        if not members:
            del self._members[machine]


def _parts_of(vifs: Sequence[VifId]) -> list[tuple[VifId, ...]]:
    """Return as few parts as have room for all, as even as can be."""
    count = -(-len(vifs) // MEMBERS_COUNT_MAX)
    return [tuple(vifs[start::count]) for start in range(count)]
