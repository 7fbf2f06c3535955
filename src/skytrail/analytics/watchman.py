"""Keeps alarms in step with the UVEs: looks at what changed, and at what time alone changes. Pure.

What it finds are UVEs again (struct ``UVEAlarms``), and a message in the log for every alarm that is raised or goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from skytrail.analytics import uve_json
from skytrail.analytics.alarm_routes import Notice, notice_of
from skytrail.analytics.alarm_rule import AlarmRule
from skytrail.analytics.alarms import STRUCT, AlarmBoard, Entity, Transition
from skytrail.analytics.collector import Collector
from skytrail.analytics.history_rows import message_of
from skytrail.analytics.system_alarms import SYSTEM_ALARMS
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.uve_filter import UveFilter
from skytrail.wire.telemetry import Hello, Log, Uve

MODULE = "contrail-alarm-gen"
LOOKS_COUNT_MAX = 500
"""Entities looked at in one turn; the rest has the next ones."""
_LOG_LEVELS = (2, 4, 5)
"""Of syslog, by an alarm's severity: critical, warning, notice."""


class Watchman:
    """One node's alarms."""

    def __init__(self, collector: Collector, node: str) -> None:
        self._collector = collector
        self._hello = Hello(
            source=node, node_type="Analytics", module=MODULE, instance_id="0", pid=0, started_us=0
        )
        self.board = AlarmBoard(node, SYSTEM_ALARMS)
        self._position = 0
        self._due: dict[Entity, None] = {}
        self._sequence = 0
        self.tell_people: Callable[[Notice], None] = _tell_nobody
        self._quiet_until_us: dict[Entity, int] = {}
        self._withheld: dict[Entity, dict[str, Transition]] = {}
        """Of entities under maintenance: what was raised and not told."""

    def set_maintenance(self, windows: Mapping[Entity, int]) -> None:
        """Withhold alarms of these entities from people until then (microseconds, UTC)."""
        self._quiet_until_us = dict(windows)

    def set_rules(self, own: Iterable[AlarmRule], *, is_enabled: bool) -> None:
        """Take over users' rules; everything is looked at again."""
        self.board.set_rules((*SYSTEM_ALARMS, *own) if is_enabled else ())
        for table in self._collector.uves.tables():
            self._due.update(
                dict.fromkeys((table, key) for key in self._collector.uves.keys(table))
            )

    def tick(self, now: float, now_us: int) -> None:
        """Look at what is due; call about every second."""
        self._due.update(dict.fromkeys(self.board.waiting()))
        self._due.update(dict.fromkeys(self._changed()))
        for entity in list(self._due)[:LOOKS_COUNT_MAX]:
            del self._due[entity]
            self._look(entity, now, now_us)
        for entity in [each for each in self._withheld if not self._is_quiet(each, now_us)]:
            for transition in self._withheld.pop(entity).values():
                self.tell_people(notice_of(transition, now_us))

    def _is_quiet(self, entity: Entity, now_us: int) -> bool:
        return now_us < self._quiet_until_us.get(entity, 0)

    def _tell_of(self, transition: Transition, now_us: int) -> None:
        """Tell people, or withhold it: what comes and goes during maintenance is told to nobody."""
        entity, name = transition.entity, transition.alarm.rule.name
        if not transition.is_raised and name in self._withheld.get(entity, {}):
            del self._withheld[entity][name]
        elif transition.is_raised and self._is_quiet(entity, now_us):
            self._withheld.setdefault(entity, {})[name] = transition
        else:
            self.tell_people(notice_of(transition, now_us))

    def acknowledge(self, table: str, key: str, name: str, token: str, now: float) -> bool:
        """Mark an alarm as seen; False when there is no such alarm (any more)."""
        if not self.board.acknowledge((table, key), name, token):
            return False
        self._tell((table, key), now)
        return True

    def _changed(self) -> list[Entity]:
        news = self._collector.changes.after(self._position, LOOKS_COUNT_MAX)
        if news is None:
            self._position = self._collector.changes.position
            uves = self._collector.uves
            return [(table, key) for table in uves.tables() for key in uves.keys(table)]
        places, self._position = news
        return [(table, key) for table, key, struct in places if struct != STRUCT]

    def _look(self, entity: Entity, now: float, now_us: int) -> None:
        held = self._collector.uves.get(*entity) or {}
        own = {struct: said for struct, said in held.items() if struct != STRUCT}
        state = uve_json.flat(UveFilter().part_of(own)) if own else {}
        before = self.board.fields_of(entity)
        changes = self.board.look(entity, state, now, now_us)
        if self.board.fields_of(entity) != before:
            self._tell(entity, now)
        for each in changes:
            self._log(each, now_us)
            self._tell_of(each, now_us)

    def _tell(self, entity: Entity, now: float) -> None:
        self._sequence += 1
        fields = self.board.fields_of(entity)
        uve = Uve(
            table=entity[0],
            key=entity[1],
            struct=STRUCT,
            sequence=self._sequence,
            fields=fields,
            is_deleted=not fields,
        )
        self._collector.apply(change_of(self._hello.generator, uve), now)

    def _log(self, transition: Transition, now_us: int) -> None:
        rule = transition.alarm.rule
        log = Log(
            timestamp_us=now_us,
            level=_LOG_LEVELS[min(rule.severity, 2)] if transition.is_raised else 6,
            event="AlarmRaised" if transition.is_raised else "AlarmGone",
            category="alarm",
            fields={"type": rule.name, "description": rule.description, "severity": rule.severity},
            objects={transition.entity[0]: transition.entity[1]},
        )
        self._sequence += 1
        self._collector.keep(message_of(self._hello, log, self._sequence))


def _tell_nobody(notice: Notice) -> None:
    """Do nothing."""
