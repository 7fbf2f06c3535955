"""Who gets what is sent to which multicast group of a VRF: rows from what each member listens to. Pure.

A group nobody named goes to all, or where the network asks for it to nobody but members whose
listening is not known. There are so many rows on a host; in a VRF that has more than its share the
groups that are left out go to all: too many copies are better than too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from skytrail.agent.membership import Groups, Listening
from skytrail.agent.tables import FLOOD_MEMBERS_COUNT_MAX, GroupRow, NextHopId, VrfId
from skytrail.net import IpAddress

GROUP_ROWS_COUNT_MAX = 16384
"""On one host: half of the kernel's table, for new rows come before old ones go."""
_NOTHING = Listening()


@dataclass(frozen=True, slots=True)
class Member:
    """Who may get copies: next hop and label, and what it listens to; None: to everything."""

    target: tuple[NextHopId, int]
    groups: Groups | None = None


@dataclass(frozen=True, slots=True)
class GroupTable:
    """The members of a VRF that knows what some of them listen to."""

    vrf_id: VrfId
    members: Sequence[Member]
    drops_unheard: bool
    """What nobody reported goes to nobody; else to all."""

    def rows(self, count_max: int = GROUP_ROWS_COUNT_MAX) -> tuple[GroupRow, ...]:
        """Return the rows, those of later groups left out beyond the bound."""
        keys = list(self._keys())
        everything: list[int] = []
        of_group: dict[IpAddress, list[int]] = {}
        for index, member in enumerate(self.members):
            if member.groups is None:
                everything.append(index)
            for group in member.groups or ():
                of_group.setdefault(group, []).append(index)
        found: list[GroupRow] = []
        for group, source in keys[:count_max]:
            asked = sorted(everything + of_group[group])
            found.append(self._row(group, source, [self.members[index] for index in asked]))
        if self.drops_unheard and len(keys) <= count_max:
            found.append(self._row(None, None, [self.members[index] for index in everything]))
        return tuple(found)

    @property
    def rows_count(self) -> int:
        """How many rows there are to be."""
        return sum(1 for _ in self._keys())

    def _keys(self) -> Iterator[tuple[IpAddress, IpAddress | None]]:
        named: dict[IpAddress, set[IpAddress]] = {}
        for member in self.members:
            for group, listening in (member.groups or {}).items():
                named.setdefault(group, set()).update(listening.wanted, listening.unwanted)
        for group in sorted(named, key=_order):
            yield group, None
            for source in sorted(named[group], key=_order):
                yield group, source

    def _row(
        self, group: IpAddress | None, source: IpAddress | None, among: Iterable[Member]
    ) -> GroupRow:
        takers = [m.target for m in among if _takes(m.groups, group, source)]
        beyond = max(len(takers) - FLOOD_MEMBERS_COUNT_MAX, 0)
        return GroupRow(self.vrf_id, group, source, tuple(takers[:FLOOD_MEMBERS_COUNT_MAX]), beyond)


def _takes(groups: Groups | None, group: IpAddress | None, source: IpAddress | None) -> bool:
    if groups is None:
        return True
    return group is not None and groups.get(group, _NOTHING).takes(source)


def _order(address: IpAddress) -> tuple[int, int]:
    return address.version, int(address)


@dataclass(slots=True)
class GroupShares:
    """Keeps all VRFs together within the bound; each then has an equal share."""

    count_max: int = GROUP_ROWS_COUNT_MAX
    _tables: dict[str, tuple[GroupTable, int]] = field(
        default_factory=dict[str, tuple[GroupTable, int]]
    )
    _total: int = 0
    _share: int = 0
    """Of each VRF; 0: there is no need for shares."""
    _dirty: set[str] = field(default_factory=set[str])

    def put(self, vrf: str, table: GroupTable | None) -> None:
        """Take the table of a VRF now; None: it has none."""
        _, count = self._tables.pop(vrf, (None, 0))
        self._total -= count
        self._dirty.add(vrf)
        if table is not None:
            count = table.rows_count
            self._tables[vrf] = table, count
            self._total += count

    def settle(self) -> Mapping[str, tuple[GroupRow, ...]]:
        """Return the rows of each VRF for which they may have changed."""
        share = 0
        if self._total > self.count_max:
            share = max(self.count_max // len(self._tables), 1)
        if share != self._share:
            self._share = share
            self._dirty.update(self._tables)
        dirty, self._dirty = self._dirty, set()
        return {vrf: self._rows(vrf) for vrf in sorted(dirty)}

    def _rows(self, vrf: str) -> tuple[GroupRow, ...]:
        if vrf not in self._tables:
            return ()
        table, _ = self._tables[vrf]
        return table.rows(self._share) if self._share else table.rows()
