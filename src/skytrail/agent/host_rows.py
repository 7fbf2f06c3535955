"""Rows that are no port's: QoS configurations in use, and how long flows live. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from skytrail.agent.label import NumberSpace
from skytrail.agent.ledger import Rank, RowClaims
from skytrail.agent.qos import QosTable
from skytrail.agent.tables import QosId
from skytrail.agent.view import View


class HostRows:
    """Claims the row of every configuration in use; one that has not arrived has none."""

    def __init__(self, numbers: NumberSpace, rows: RowClaims) -> None:
        self._numbers = numbers
        self._rows = rows
        self._tables: Mapping[str, QosTable] = {}
        self._used: set[str] = set()

    def update(self, view: View) -> None:
        """Configurations say this now."""
        self._rows.put((Rank.QOS, "", None), view.ageing)
        if view.qos is not self._tables:
            self._tables = view.qos
            for name in self._used:
                self._claim(name)

    def use(self, name: str) -> None:
        if name not in self._used:
            self._used.add(name)
            self._claim(name)

    def release(self, name: str) -> None:
        """Nobody uses it any more."""
        self._used.discard(name)
        self._numbers.retire(name)
        self._rows.put((Rank.QOS, name, None), ())

    def _claim(self, name: str) -> None:
        table, qos_id = self._tables.get(name), QosId(self._numbers.number(name))
        self._rows.put((Rank.QOS, name, None), (table.row(qos_id),) if table else ())
