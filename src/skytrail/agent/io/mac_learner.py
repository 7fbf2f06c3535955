"""Keeps the tables of learnt MACs and addresses up to date with the datapath and the configuration.

A flood of new ones makes the desired state be computed again a few times a second, not for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import structlog

from skytrail.agent.address_frames import claim_of, question_frame
from skytrail.agent.address_learning import AddressTable, Claim, World
from skytrail.agent.desired import Planner
from skytrail.agent.interface import NO_MACS, ActivePort, LearntMacs, PluggedPort
from skytrail.agent.label import Numbers
from skytrail.agent.mac_learning import MacTable
from skytrail.agent.outcome import Desired
from skytrail.agent.plugin import Datapath, Punt, PuntReason
from skytrail.agent.tables import (
    InetRouteRow,
    InterfaceRow,
    NextHopKind,
    NextHopRow,
    Row,
    SeenMacRow,
    VifId,
)
from skytrail.agent.view import View
from skytrail.net import IpAddress, Mac
from skytrail.runtime.clock import SystemClock
from skytrail.wire.errors import DecodeError

TELL_INTERVAL_S = 0.25
_SOURCE = slice(6, 12)
Tables = Mapping[type[Row], Mapping[object, Row]]


class MacLearner:
    """What a host learns of the MACs and addresses behind its ports.

    ``changed`` is called when there is news, ``send`` with what a port is to be asked.
    """

    def __init__(
        self,
        planner: Planner,
        clock: SystemClock,
        changed: Callable[[], object],
        send: Callable[[PluggedPort, bytes], object],
    ) -> None:
        self.table = MacTable()
        self.addresses = AddressTable()
        self.learnt: Mapping[str, LearntMacs] = {}
        """Of both tables by port; equal values are the same objects while nothing changes."""
        self._planner = planner
        self._clock = clock
        self._changed = changed
        self._send = send
        self._told_at = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._seen: Mapping[tuple[VifId, Mac], float] = {}
        self._log = structlog.get_logger("skytrail.agent")

    def restore(self, tables: Tables, numbers: Numbers) -> None:
        """Take over from the kernel what was known before a restart."""
        ports = {number: uuid for uuid, number in numbers.vif.items()}
        known: dict[str, list[Mac]] = {}
        for row in tables[SeenMacRow].values():
            if isinstance(row, SeenMacRow) and row.vif_id in ports:
                known.setdefault(ports[row.vif_id], []).append(row.mac)
        self.table.restore(known)
        claims: dict[str, list[Claim]] = {}
        for vif_id, claim in _claims(tables):
            if vif_id in ports:
                claims.setdefault(ports[vif_id], []).append(claim)
        self.addresses.restore(claims)
        self._merge()

    def punted(self, active: ActivePort, punt: Punt, own: IpAddress) -> None:
        """A frame of a MAC, or of an address, that the datapath does not know behind a port."""
        now = self._clock.now()
        if punt.reason is PuntReason.MAC:
            mac = Mac(punt.frame[_SOURCE])
            self.table.learn(active.port, mac, now, (self._planner.who_has, own))
        elif punt.reason is PuntReason.ANNOUNCEMENT and punt.is_to_learn:
            try:
                claim = claim_of(punt.frame)
            except DecodeError:
                self.addresses.counts["addresses in malformed frames"] += 1
                return
            self.addresses.learn(active.port, claim, now, self._world(own))
        else:
            return
        if self._due is None:
            wait_s = max(self._told_at + TELL_INTERVAL_S - now, 0.0)
            self._due = asyncio.get_running_loop().call_later(wait_s, self._tell)

    def forget_port(self, uuid: str) -> None:
        """A port is gone, or plugged anew."""
        self.table.forget_port(uuid)
        self.addresses.forget_port(uuid)

    def follow(self, desired: Desired, view: View, own: IpAddress) -> None:
        """Give up what is others' by now, and what ports that are gone had; ask who was silent."""
        now = self._clock.now()
        for uuid in self.learnt.keys() - desired.ports.keys():
            self.forget_port(uuid)
        plugged = {uuid: view.ports[uuid] for uuid in self.learnt if uuid in view.ports}
        self.table.follow(plugged, now, (self._planner.who_has, own))
        self.addresses.follow(plugged, now, self._world(own))
        seen, self._seen = self._seen, {}
        if seen:
            self.table.age(
                {(desired.vifs.get(vif_id, ""), mac): at for (vif_id, mac), at in seen.items()}, now
            )
        for question in self.addresses.due(now):
            active = desired.ports.get(question.port)
            if isinstance(active, ActivePort):
                frame = question_frame(active.port, question)
                if frame is not None:
                    self._send(active.plugged, frame)
        self._tell()

    def look(self, datapath: Datapath) -> int:
        """Read who sent when, where the datapath is called; :meth:`follow` acts on it."""
        self._seen = datapath.macs_seen()
        return len(self._seen)

    def rows(self) -> Iterable[Mapping[str, object]]:
        return self.table.rows(self._clock.now())

    def address_rows(self) -> Iterable[Mapping[str, object]]:
        return self.addresses.rows(self._clock.now())

    def counts(self) -> Mapping[str, int]:
        """Return why what was not learnt."""
        return {**self.table.counts, **self.addresses.counts}

    def _world(self, own: IpAddress) -> World:
        return World(self._planner.who_has_address, self._planner.who_has, own)

    def _merge(self) -> None:
        found: dict[str, LearntMacs] = {}
        for uuid in self.table.learnt.keys() | self.addresses.learnt.keys():
            macs = self.table.learnt.get(uuid, NO_MACS)
            addresses = self.addresses.learnt.get(uuid, ())
            merged = replace(macs, addresses=addresses) if addresses else macs
            before = self.learnt.get(uuid)
            found[uuid] = before if before is not None and before == merged else merged
        self.learnt = found

    def _tell(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for news in self.table.take_news():
            self._log.warning(news.event, port=news.port, mac=str(news.mac))
        settled = [self.table.settle(), self.addresses.settle()]
        if any(settled):
            self._told_at = self._clock.now()
            self._merge()
            self._changed()


def _claims(tables: Tables) -> Iterator[tuple[VifId, Claim]]:
    """Yield the addresses that routes of the kernel lead to ports that learn, with their MACs."""
    ports = {
        row.vif_id: row.vrf_id
        for row in tables[InterfaceRow].values()
        if isinstance(row, InterfaceRow) and row.learns_addresses
    }
    ways = {
        row.nexthop_id: row.vif_id
        for row in tables[NextHopRow].values()
        if isinstance(row, NextHopRow) and row.kind is NextHopKind.INTERFACE
    }
    for row in tables[InetRouteRow].values() if ports else ():
        if not isinstance(row, InetRouteRow) or row.mac is None:
            continue
        vif_id = ways.get(row.nexthop_id, VifId(0))
        is_host = row.prefix.prefixlen == row.prefix.max_prefixlen
        if is_host and ports.get(vif_id) == row.vrf_id:
            yield vif_id, (row.prefix.network_address, row.mac)
