"""Follows configuration at the API: nodes that should be there, users' alarm rules, names of tags, what runs where."""

from __future__ import annotations

from typing import Final

import structlog

from skytrail.analytics.alarm_rule import AlarmRule, RuleUnusable
from skytrail.analytics.collector import Collector
from skytrail.analytics.configured import (
    WATCHED,
    Document,
    alarm_rule_of,
    node_uve,
    quiet_until_us,
    router_addresses,
)
from skytrail.analytics.exporters import Exporters
from skytrail.analytics.placement import PORT, ROUTER
from skytrail.analytics.placement import WATCHED as PLACED
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.watchman import Watchman
from skytrail.client import (
    AsyncApiClient,
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
    WatchEvent,
)
from skytrail.client.snapshot_sweep import SnapshotSweep
from skytrail.model.alarm_pages import PagesUnusable, pages_of
from skytrail.model.alarm_timing import AlarmTiming, TimingUnusable, timing_of
from skytrail.runtime.clock import Clock
from skytrail.wire.telemetry import Uve

_SYSTEM: Final = "global-system-config"
_TAG: Final = "tag"


class ConfigWatch:
    """Turns watch events into UVEs and rules. A snapshot replaces what was known."""

    def __init__(
        self,
        collector: Collector,
        watchman: Watchman,
        clock: Clock,
        node: str,
        exporters: Exporters,
    ) -> None:
        """With a ``collector`` that judges by placement, ports are followed as well."""
        self._collector = collector
        self._exporters = exporters
        self._trust = collector.trust
        self._watchman = watchman
        self._clock = clock
        self._generator = f"{node}:Analytics:contrail-config-watch:0"
        self._log = structlog.get_logger("skytrail.analytics.config")
        self._nodes: dict[str, Uve] = {}
        self._rules: dict[str, AlarmRule] = {}
        self._routers: dict[str, dict[str, str]] = {}
        """Addresses of each physical router, with its name."""
        self._is_enabled = True
        self._quiet: dict[str, int] = {}
        """By a node's object: until when it is under maintenance."""
        self._tags = collector.tags
        self._sweep = SnapshotSweep()

    async def run(self, client: AsyncApiClient) -> None:
        """Follow the API for ever; the client reconnects and resumes by itself."""
        types = WATCHED if self._trust is None else (*WATCHED, *PLACED)
        async for event in client.watch(types):
            self.take(event)

    def take(self, event: WatchEvent) -> None:
        """Act on one event."""
        for uuid in self._sweep.note(event):
            self._delete(uuid)
        match event:
            case ObjectPut():
                self._put(event.type, event.uuid, event.object)
            case ObjectDelete():
                self._delete(event.uuid)
            case SnapshotEnd():
                self._judge()
                self._set_rules()
                self._set_routers()
            case SnapshotBegin() | RevisionEnd():
                pass

    def _put(self, kind: str, uuid: str, document: Document) -> None:
        if self._trust is not None and kind in {PORT, ROUTER}:
            self._trust.placement.put(kind, uuid, document, self._clock.now())
        if kind == "alarm":
            self._put_rule(uuid, document)
        elif kind == _TAG:
            self._tags.put(uuid, document)
        elif kind == _SYSTEM:
            self._is_enabled = document.get("alarm_enable") is not False
            self._set_rules()
        elif kind != PORT:
            self._put_node(uuid, node_uve(kind, document))
            self._put_maintenance(uuid, document)
            if kind == "physical-router":
                self._routers[uuid] = router_addresses(document)
                self._set_routers()

    def _put_rule(self, uuid: str, document: Document) -> None:
        try:
            timing, pages = self._timing(uuid, document), self._pages(uuid, document)
            self._rules[uuid] = alarm_rule_of(document, timing, pages)
        except RuleUnusable as error:
            self._rules.pop(uuid, None)
            self._log.warning("alarm_rule_unusable", uuid=uuid, reason=str(error))
        self._set_rules()

    def _timing(self, uuid: str, document: Document) -> AlarmTiming:
        try:
            return timing_of(document)
        except TimingUnusable as error:
            # Noted before these annotations had a meaning: the rule holds with the usual times.
            self._log.warning("alarm_timing_unusable", uuid=uuid, reason=str(error))
            return AlarmTiming()

    def _pages(self, uuid: str, document: Document) -> tuple[str, ...]:
        try:
            return pages_of(document)
        except PagesUnusable as error:
            # The alarm itself is raised all the same.
            self._log.warning("alarm_pages_unusable", uuid=uuid, reason=str(error))
            return ()

    def _put_maintenance(self, uuid: str, document: Document) -> None:
        try:
            until_us = quiet_until_us(document)
        except (ValueError, OverflowError) as error:
            self._log.warning("maintenance_unusable", uuid=uuid, reason=str(error))
            until_us = 0
        if until_us != self._quiet.get(uuid, 0):
            self._quiet[uuid] = until_us
            self._set_maintenance()

    def _set_maintenance(self) -> None:
        self._watchman.set_maintenance(
            {
                (uve.table, uve.key): self._quiet[uuid]
                for uuid, uve in self._nodes.items()
                if self._quiet.get(uuid)
            }
        )

    def _put_node(self, uuid: str, uve: Uve | None) -> None:
        former = self._nodes.get(uuid)
        if former is not None and (uve is None or former.key != uve.key):
            self._delete(uuid)
        if uve is not None:
            is_new = self._nodes.get(uuid) is None
            self._nodes[uuid] = uve
            self._tell(uve)
            if self._trust is not None and is_new:
                self._trust.note_node(uve.table, uve.key, 1)

    def _delete(self, uuid: str) -> None:
        self._tags.delete(uuid)
        uve = self._nodes.pop(uuid, None)
        if self._trust is not None:
            self._trust.placement.delete(uuid, self._clock.now())
            if uve is not None:
                self._trust.note_node(uve.table, uve.key, -1)
        if self._quiet.pop(uuid, 0):
            self._set_maintenance()
        if uve is not None:
            self._tell(Uve(table=uve.table, key=uve.key, struct=uve.struct, is_deleted=True))
        if self._rules.pop(uuid, None) is not None:
            self._set_rules()
        if self._routers.pop(uuid, None) is not None:
            self._set_routers()

    def _judge(self) -> None:
        """What was told before configuration came is judged now."""
        if self._trust is not None:
            now = self._clock.now()
            for change in self._trust.known(now):
                self._collector.apply(change, now)

    def _set_routers(self) -> None:
        if not self._sweep.is_open:
            routers = self._routers.values()
            self._exporters.configure(
                {address: name for each in routers for address, name in each.items()}
            )

    def _set_rules(self) -> None:
        if not self._sweep.is_open:
            self._watchman.set_rules(self._rules.values(), is_enabled=self._is_enabled)

    def _tell(self, uve: Uve) -> None:
        self._collector.apply(change_of(self._generator, uve), self._clock.now())
