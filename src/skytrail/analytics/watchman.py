"""Keeps alarms in step with the UVEs: looks at what changed, and at what time alone changes. Pure.

What it finds are UVEs again (struct ``UVEAlarms``), and a message in the log for every alarm that is raised or goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from skytrail.analytics import uve_json
from skytrail.analytics.alarm_routes import Notice, notice_of
from skytrail.analytics.alarm_rule import AlarmRule
from skytrail.analytics.alarms import STRUCT, Acknowledged, AlarmBoard, Entity, Transition
from skytrail.analytics.collected import NODES_COUNT_MAX, Wanted
from skytrail.analytics.collector import Collector
from skytrail.analytics.configured import STRUCT as CONFIGURED
from skytrail.analytics.correlation import NODE_STATUS, AlarmId, Correlation, Facts, State
from skytrail.analytics.history_rows import message_of
from skytrail.analytics.system_alarms import SYSTEM_ALARMS
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.uve_filter import UveFilter
from skytrail.wire.telemetry import Hello, Log, Uve

MODULE = "contrail-alarm-gen"
LOOKS_COUNT_MAX = 500
"""Entities looked at in one turn; the rest has the next ones."""
CHANGES_COUNT_MAX = 4 * LOOKS_COUNT_MAX
"""Read in one turn: what the looks of the one before changed is among them, and must not keep others back."""
ROUND_COUNT_MIN = 100
"""Of these at least, while a round through all entities is under way; what changed goes before it."""
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
        self._facts = Facts(self._state, collector.uves.keys, self._is_dead, self._is_suspected)
        self._correlation = Correlation(self._facts)
        self._related = 0
        """The board's count of changes when alarms were related."""
        self._position = 0
        self._due: dict[Entity, None] = {}
        self._round: Iterator[Entity] = iter(())
        """Of a round through all entities, those that are still to be looked at."""
        self._wants_round = False
        """Once that one is over: what it has passed was looked at by other rules, or is older."""
        self._sequence = 0
        self._fresh: list[Transition] = []
        """Of this turn: people hear of them once it is known what follows from what."""
        self.tell_people: Callable[[Notice], None] = _tell_nobody
        self.collect: Callable[[Wanted], None] = _keep_nothing
        self.pass_on: Callable[[Transition, int], None] = _pass_nothing_on
        """Hears of every alarm that is raised or goes, whether people do or not, and when (microseconds, UTC)."""
        self._quiet_until_us: dict[Entity, int] = {}
        self._withheld: dict[Entity, dict[str, Transition]] = {}
        """Of entities under maintenance: what was raised and not told."""

    def set_maintenance(self, windows: Mapping[Entity, int]) -> None:
        """Withhold alarms of these entities from people until then (microseconds, UTC)."""
        self._quiet_until_us = dict(windows)

    def set_rules(self, own: Iterable[AlarmRule], *, is_enabled: bool) -> None:
        """Take over users' rules; everything is looked at again, behind what changes.

        However often a member changes a rule of his: alarms of the others are not later for it.
        """
        self.board.set_rules((*SYSTEM_ALARMS, *own) if is_enabled else ())
        self._wants_round = True

    def tick(self, now: float, now_us: int) -> None:
        """Look at what is due; call about every second."""
        self._due.update(dict.fromkeys(self.board.waiting()))
        self._due.update(dict.fromkeys(self._changed()))
        due = list(islice(self._due, LOOKS_COUNT_MAX))
        for entity in due:
            del self._due[entity]
            self._look(entity, now, now_us)
        for _ in range(max(LOOKS_COUNT_MAX - len(due), ROUND_COUNT_MIN)):
            if (passed := self._next_of_round()) is None:
                break
            self._look(passed, now, now_us)
        if self._related != self.board.transitions_count:
            self._relate(now)
        for transition in self._fresh:
            if transition.is_raised and transition.alarm.rule.collect:
                self.collect(Wanted(transition, self._nodes(transition.entity)))
            offered = self._correlation.offer(transition, now)
            if offered is not None:
                self._tell_of(offered, now_us)
        self._fresh.clear()
        for transition in self._correlation.tick(now):
            self._tell_of(transition, now_us)
        for entity in [each for each in self._withheld if not self._is_quiet(each, now_us)]:
            for transition in self._withheld.pop(entity).values():
                self.tell_people(self._notice(transition, now_us))

    def _relate(self, now: float) -> None:
        """Show with each alarm what it follows from, and what follows from it."""
        self._related = self.board.transitions_count
        parents: dict[AlarmId, Entity] = {}
        for entity, alarm in self.board.all_raised():
            name = entity, alarm.rule.name
            parent = self._facts.parent(name, self._is_dead)
            if parent is not None:
                parents[name] = parent
        for entity in self.board.relate(parents, NODE_STATUS):
            self._tell(entity, now)

    def _state(self, entity: Entity) -> State:
        held = self._collector.uves.get(*entity) or {}
        own = {struct: said for struct, said in held.items() if struct != STRUCT}
        return uve_json.flat(UveFilter().part_of(own)) if own else {}

    def _is_dead(self, entity: Entity) -> bool:
        return self.board.is_raised(entity, NODE_STATUS) and not self._speaks(entity)

    def _is_suspected(self, entity: Entity) -> bool:
        """Its processes are not connected, be they still expected back or counted as gone."""
        is_known = self.board.holds(entity, NODE_STATUS) or "NodeStatus" in self._state(entity)
        return is_known and not self._speaks(entity)

    def _speaks(self, entity: Entity) -> bool:
        """Tell whether a process of a node is connected, as far as it says something of the node."""
        held = self._collector.uves.get(*entity) or {}
        tellers = {
            name
            for struct, said in held.items()
            if struct not in {STRUCT, CONFIGURED}
            for name in said
        }
        known = map(self._collector.generators.get, tellers)
        return any(each is None or each.is_connected for each in known)

    def _nodes(self, entity: Entity) -> tuple[str, ...]:
        """Return the nodes an entity needs, and those that speak of it."""
        held = self._collector.uves.get(*entity) or {}
        speak = {
            name.partition(":")[0]
            for struct, said in held.items()
            if struct not in {STRUCT, CONFIGURED}
            for name in said
        }
        found = dict.fromkeys([*(key for _, key in self._facts.nodes(entity)), *sorted(speak)])
        return tuple(name for name in found if name)[:NODES_COUNT_MAX]

    def _notice(self, transition: Transition, now_us: int) -> Notice:
        following = self.board.children_of(transition.entity, transition.alarm.rule.name)
        return notice_of(transition, now_us, following)

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
            self.tell_people(self._notice(transition, now_us))

    def acknowledge(
        self, entity: Entity, name: str, token: str, by: Acknowledged, now: float
    ) -> bool:
        """Mark an alarm as seen, and log by whom; False when there is no such alarm (any more)."""
        if not self.board.acknowledge(entity, name, token, by):
            return False
        self._tell(entity, now)
        fields = {"type": name, "user": by.user, "project": by.project}
        self._write("AlarmAcknowledged", entity, fields, 6, by.at_us)
        return True

    def _next_of_round(self) -> Entity | None:
        entity = next(self._round, None)
        if entity is None and self._wants_round:
            self._wants_round = False
            uves = self._collector.uves
            self._round = iter(
                [(table, key) for table in uves.tables() for key in uves.keys(table)]
            )
            entity = next(self._round, None)
        return entity

    def _changed(self) -> list[Entity]:
        news = self._collector.changes.after(self._position, CHANGES_COUNT_MAX)
        if news is None:
            self._position = self._collector.changes.position
            self._wants_round = True
            return []
        places, self._position = news
        return [(table, key) for table, key, struct in places if struct != STRUCT]

    def _look(self, entity: Entity, now: float, now_us: int) -> None:
        state = self._state(entity)
        before = self.board.fields_of(entity)
        changes = self.board.look(entity, state, now, now_us)
        if self.board.fields_of(entity) != before:
            self._tell(entity, now)
        for each in changes:
            self._log(each, now_us)
            self.pass_on(each, now_us)
            self._fresh.append(each)

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
        level = _LOG_LEVELS[min(rule.severity, 2)] if transition.is_raised else 6
        event = "AlarmRaised" if transition.is_raised else "AlarmGone"
        fields = {"type": rule.name, "description": rule.description, "severity": rule.severity}
        self._write(event, transition.entity, fields, level, now_us)

    def _write(
        self, event: str, entity: Entity, fields: Mapping[str, object], level: int, at_us: int
    ) -> None:
        log = Log(
            timestamp_us=at_us,
            level=level,
            event=event,
            category="alarm",
            fields=dict(fields),
            objects={entity[0]: entity[1]},
        )
        self._sequence += 1
        self._collector.keep(message_of(self._hello, log, self._sequence))


def _pass_nothing_on(transition: Transition, now_us: int) -> None:
    """Do nothing."""


def _keep_nothing(wanted: Wanted) -> None:
    """Do nothing."""


def _tell_nobody(notice: Notice) -> None:
    """Do nothing."""
