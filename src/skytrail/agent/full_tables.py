"""What is still written when the kernel has no room for some rows. Pure.

Every other row is, and what is to go goes: else one full table would hold up everything, its own
relief included. A policy of which rows are missing might allow what a missing row denies, so what
refers to it is written with a policy that lets nobody in or out, until the rows have room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from skytrail.agent.fabric import NOBODY_MAY
from skytrail.agent.tables import (
    FloatingRow,
    InterfaceRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    Row,
    SourcePortRow,
    VerdictRow,
)


class Refusals:
    """The rows refused in one go, in the tables' write order."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._cells: set[int] = set()
        self._policies: set[PolicyId] = set()

    def add(self, rows: Iterable[Row]) -> None:
        """Note rows that the kernel had no room for."""
        for row in rows:
            self.rows.append(row)
            match row:
                case SourcePortRow():
                    self._cells.add(row.cell)
                case VerdictRow() | PolicyPrefixRow() | PolicyIdentityRow():
                    self._policies.add(row.policy_id)
                case _:
                    pass

    def admitted(self, rows: Sequence[Row]) -> list[Row]:
        """Return what of rows of one type may be written, closed where its policy is not whole."""
        if not self.rows:
            return list(rows)
        partial = {row for row in rows if isinstance(row, VerdictRow) and self._lacks_cell(row)}
        self.add(partial)
        return [self.closed(row) for row in rows if row not in partial]

    def closed(self, row: Row) -> Row:
        """Return the row, with nobody's policy in place of one that is not whole."""
        if not isinstance(row, InterfaceRow | FloatingRow):
            return row
        egress, ingress = (
            NOBODY_MAY if policy in self._policies else policy
            for policy in (row.policy_egress, row.policy_ingress)
        )
        if (egress, ingress) == (row.policy_egress, row.policy_ingress):
            return row
        return replace(row, policy_egress=egress, policy_ingress=ingress)

    def __str__(self) -> str:
        counts = Counter(type(row).__name__ for row in self.rows)
        told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        return f"no room in the kernel's tables for {told}"

    def _lacks_cell(self, row: VerdictRow) -> bool:
        return bool(row.source_cell) and row.source_cell in self._cells
