"""Looks now and then how full the kernel's tables are, and logs when one gets nearly full."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import structlog

from skytrail.agent.service import AgentService
from skytrail.agent.table_use import (
    EXHAUSTIONS,
    RefusedFlows,
    TableUse,
    TableWatch,
    rows,
    with_rows,
)
from skytrail.agent.tables import VifId
from skytrail.runtime.metrics import Sample

INTERVAL_S = 30.0


class TableUsage:
    """The last look at the tables of one agent."""

    def __init__(self, service: AgentService) -> None:
        self._service = service
        self._log = structlog.get_logger().bind(component="agent")
        self.watch = TableWatch()
        self.refused = RefusedFlows()
        self.exhausted = RefusedFlows(EXHAUSTIONS)
        self.uses: Sequence[TableUse] = ()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except OSError as error:
                self._log.warning("tables_unread", error=str(error))
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        datapath = self._service.datapath
        uses, drops = await self._service.in_datapath_thread(
            lambda: (list(datapath.table_uses()), datapath.interface_drop_counts())
        )
        self.uses = list(with_rows(uses, self._service.desired.rows))
        high, full = self.watch.high, self.watch.full
        self.watch.update(self.uses)
        by_name = {use.name: use for use in self.uses}
        for name in sorted((self.watch.high - high) | (self.watch.full - full)):
            use = by_name[name]
            self._log.warning(
                "table_nearly_full", table=name, entries=use.entries, entries_max=use.entries_max
            )

        self._tell("flows_refused", self.refused, drops)
        self._tell("ports_exhausted", self.exhausted, drops)

    def _tell(
        self, event: str, refused: RefusedFlows, drops: Mapping[VifId, Mapping[str, int]]
    ) -> None:
        """Log where it begins."""
        before = refused.now
        refused.update(drops)
        for vif_id, packets in sorted(refused.now.items()):
            if vif_id not in before:
                uuid = self._service.desired.vifs.get(vif_id, "")
                self._log.warning(event, vif=vif_id, port=uuid, packets=packets)

    async def rows(self) -> list[Mapping[str, object]]:
        """Look, and return rows for people."""
        await self.look()
        return list(rows(self.uses, self.watch))

    def samples(self) -> Iterable[Sample]:
        for use in self.uses:
            labels = {"table": use.name}
            yield Sample("agent_table_bytes", float(use.bytes), labels)
            if use.entries is not None:
                yield Sample("agent_table_entries", float(use.entries), labels)
                yield Sample("agent_table_entries_max", float(use.entries_max), labels)
