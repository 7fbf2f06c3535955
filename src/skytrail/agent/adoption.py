"""What is written of a row while the desired state is not complete, after a restart. Pure.

Configuration and routes of before the restart may still be coming, so what lacks them alone waits:
an interface that forwards stays out of quarantine, and copies go to all they went to. What is known
already does not wait: a network's own settings, and ports that came here meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from skytrail.agent.tables import (
    FLOOD_MEMBERS_COUNT_MAX,
    FloodRow,
    GroupRow,
    InterfaceRow,
    NextHopId,
    Row,
)

CopiesT = TypeVar("CopiesT", FloodRow, GroupRow)


def meanwhile(row: Row, present: Row | None, is_local: Callable[[NextHopId], bool]) -> Row:
    """Return what is to stand in the place of ``row``, perhaps what is ``present``.

    ``is_local`` tells next hops that lead to a port here.
    """
    match row, present:
        case InterfaceRow(vrf_id=0), InterfaceRow() if present.vrf_id:
            return present if row.vif_id == present.vif_id else row
        case FloodRow(), FloodRow():
            kept = _with_members_of(row, present, is_local)
            return replace(kept, snoops=present.snoops) if kept is not row else row
        case GroupRow(), GroupRow():
            return _with_members_of(row, present, is_local)
        case _:
            return row


def _with_members_of(
    row: CopiesT, present: CopiesT, is_local: Callable[[NextHopId], bool]
) -> CopiesT:
    """Return the row with all that ``present`` has, unless somebody new elsewhere is in it.

    Who that is would decide where in the order the others come, and who makes copies for whom.
    """
    known = set(present.members)
    new = tuple(member for member in row.members if member not in known)
    if not all(is_local(nexthop_id) for nexthop_id, _ in new):
        return row
    members = new + present.members
    beyond = len(members[FLOOD_MEMBERS_COUNT_MAX:])
    return replace(
        row,
        members=members[:FLOOD_MEMBERS_COUNT_MAX],
        beyond_count=present.beyond_count + beyond,
    )
