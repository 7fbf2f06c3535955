"""Keeps the table of learnt MACs up to date with the datapath and the configuration.

A flood of new MACs makes the desired state be computed again a few times a second, not for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from skytrail.agent.desired import Planner
from skytrail.agent.interface import ActivePort, LearntMacs
from skytrail.agent.label import Numbers
from skytrail.agent.mac_learning import MacTable
from skytrail.agent.outcome import Desired
from skytrail.agent.plugin import Datapath
from skytrail.agent.tables import Row, SeenMacRow, VifId
from skytrail.agent.view import View
from skytrail.net import IpAddress, Mac
from skytrail.runtime.clock import SystemClock

TELL_INTERVAL_S = 0.25
_SOURCE = slice(6, 12)


class MacLearner:
    """What a host learns of the MACs behind its ports."""

    def __init__(self, planner: Planner, clock: SystemClock, changed: Callable[[], object]) -> None:
        self.table = MacTable()
        self._planner = planner
        self._clock = clock
        self._changed = changed
        self._told_at = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._seen: Mapping[tuple[VifId, Mac], float] = {}
        self._log = structlog.get_logger("skytrail.agent")

    @property
    def learnt(self) -> Mapping[str, LearntMacs]:
        return self.table.learnt

    def restore(self, rows: Iterable[Row], numbers: Numbers) -> None:
        """Take over from the kernel what was known before a restart."""
        ports = {number: uuid for uuid, number in numbers.vif.items()}
        known: dict[str, list[Mac]] = {}
        for row in rows:
            if isinstance(row, SeenMacRow) and row.vif_id in ports:
                known.setdefault(ports[row.vif_id], []).append(row.mac)
        self.table.restore(known)

    def punted(self, active: ActivePort, frame: bytes, own: IpAddress) -> None:
        """A frame of a MAC that the datapath does not know behind a port."""
        mac, now = Mac(frame[_SOURCE]), self._clock.now()
        self.table.learn(active.port, mac, now, (self._planner.who_has, own))
        if self._due is None:
            wait_s = max(self._told_at + TELL_INTERVAL_S - now, 0.0)
            self._due = asyncio.get_running_loop().call_later(wait_s, self._tell)

    def follow(self, desired: Desired, view: View, own: IpAddress) -> None:
        """Give up what is others' by now, and what ports that are gone had."""
        now = self._clock.now()
        for uuid in self.table.learnt.keys() - desired.ports.keys():
            self.table.forget_port(uuid)
        plugged = {uuid: view.ports[uuid] for uuid in self.table.learnt if uuid in view.ports}
        self.table.follow(plugged, now, (self._planner.who_has, own))
        seen, self._seen = self._seen, {}
        if seen:
            self.table.age(
                {(desired.vifs.get(vif_id, ""), mac): at for (vif_id, mac), at in seen.items()}, now
            )
        self._tell()

    def look(self, datapath: Datapath) -> int:
        """Read who sent when, where the datapath is called; :meth:`follow` acts on it."""
        self._seen = datapath.macs_seen()
        return len(self._seen)

    def rows(self) -> Iterable[Mapping[str, object]]:
        return self.table.rows(self._clock.now())

    def _tell(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for news in self.table.take_news():
            self._log.warning(news.event, port=news.port, mac=str(news.mac))
        if self.table.settle():
            self._told_at = self._clock.now()
            self._changed()
