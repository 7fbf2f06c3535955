"""Which alarms stand, of every entity: raised, soaking, acknowledged, gone. Pure.

```
 idle --holds--> soaking --active_s--> raised --holds not--> ending --idle_s--> idle
          `---- holds not: idle                    `---- holds: raised
```
An alarm goes up when it is raised, and when its rule holds again while it ends. One that went up more often than its rule
says goes on ending until it is seldom enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from skytrail.analytics import alarm_rule, tenant_uves
from skytrail.analytics.alarm_rule import AlarmRule
from skytrail.analytics.tenant_view import Tenant
from skytrail.analytics.uve_types import TYPES

STRUCT = "UVEAlarms"
CHILDREN_SHOWN_MAX = 100
"""With the alarm they follow from; there may be more."""
SHOWN_COUNT_MAX = 1_000
"""Alarms of an entity, the most severe; so that they always fit one UVE, with those below."""
MATCHED_SHOWN_MAX = 64
"""Of these, how many show the values by which they hold."""
Entity = tuple[str, str]
"""Table and key."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Who has seen an alarm, as far as that is known, and when (microseconds, UTC)."""

    user: str
    project: str
    """Of a project's member."""
    at_us: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """One rule of one entity, while it holds or did until lately."""

    rule: AlarmRule
    holds_since: float
    raised_us: int = 0
    """When it was raised, UTC; 0 while it soaks."""
    ends_since: float | None = None
    acknowledged: Acknowledged | None = None
    matched: object = None

    @property
    def is_raised(self) -> bool:
        return self.raised_us != 0


@dataclass(frozen=True, slots=True)
class Transition:
    """An alarm was raised, or is gone."""

    entity: Entity
    alarm: Alarm
    is_raised: bool


class AlarmBoard:
    """All alarms of a node; ``node`` is told in tokens, so that one knows whose they are."""

    def __init__(self, node: str, rules: Iterable[AlarmRule]) -> None:
        self._node = node
        self._rules: tuple[AlarmRule, ...] = ()
        self._of_all: list[AlarmRule] = []
        self._by_project: dict[str, list[AlarmRule]] = {}
        """Rules of projects: an entity is looked at by those of its own, whatever others have."""
        self.set_rules(rules)
        self._alarms: dict[Entity, dict[str, Alarm]] = {}
        self._ups: dict[Entity, dict[str, tuple[float, ...]]] = {}
        """When alarms went up, of rules that ask how often: the latest moments, one more than may be."""
        self.transitions_count = 0
        self._relations: Mapping[tuple[Entity, str], dict[str, object]] = {}
        """What an alarm shows of others, by entity and rule."""

    def set_rules(self, rules: Iterable[AlarmRule]) -> None:
        """Change the rules; entities must be looked at again."""
        self._rules = tuple(rules)
        self._of_all, self._by_project = [], {}
        for rule in self._rules:
            if rule.project:
                self._by_project.setdefault(rule.project, []).append(rule)
            else:
                self._of_all.append(rule)

    @property
    def rules(self) -> Sequence[AlarmRule]:
        """All rules in force."""
        return self._rules

    def rules_of(self, entity: Entity, state: Mapping[str, object]) -> Iterator[AlarmRule]:
        """Yield the rules an entity is looked at by: those of all, and of the projects whose it is."""
        word = TYPES.get(entity[0], "")
        projects = tenant_uves.prefixes_of(entity, state) & self._by_project.keys()
        for rules in (self._of_all, *(self._by_project[each] for each in sorted(projects))):
            for rule in rules:
                if not rule.types or word in rule.types:
                    yield rule

    def look(
        self, entity: Entity, state: Mapping[str, object], now: float, now_us: int
    ) -> list[Transition]:
        """Evaluate the rules for an entity as it is (empty: it is gone)."""
        held = self._alarms.get(entity, {})
        rules = {rule.name: rule for rule in self.rules_of(entity, state)} if state else {}
        parts: dict[str, Mapping[str, object]] = {"": state}
        following: dict[str, Alarm] = {}
        changes: list[Transition] = []
        for name in dict.fromkeys((*held, *rules)):
            former, rule = held.get(name), rules.get(name)
            project = "" if rule is None else rule.project
            if project not in parts:
                parts[project] = _own_part(project, entity, state)
            part = parts[project]
            matched = alarm_rule.matches(rule, part) if rule and part else []
            if rule is not None and matched:
                shown = alarm_rule.shown(matched, part)
                after = _holding(former, rule, shown, now, now_us)
                if _goes_up(former, after):
                    self._count_up(entity, rule, now)
            elif rule is None or not part:
                after = None
            else:
                after = _ending(former, rule, now, self._kept_until(entity, rule))
            if after is not None:
                following[name] = after
            changes += _news(entity, former, after)
        if following:
            self._alarms[entity] = following
        else:
            self._alarms.pop(entity, None)
        self._forget_ups(entity, rules, now)
        self.transitions_count += len(changes)
        return changes

    def _count_up(self, entity: Entity, rule: AlarmRule, now: float) -> None:
        if rule.frequency_times:
            counted = self._ups.setdefault(entity, {})
            ups = (*counted.get(rule.name, ()), now)
            counted[rule.name] = ups[-rule.frequency_times - 1 :]

    def _kept_until(self, entity: Entity, rule: AlarmRule) -> float:
        """Return until when an alarm stays because of how often it went up."""
        ups = self._ups.get(entity, {}).get(rule.name, ())
        if not rule.frequency_times or len(ups) <= rule.frequency_times:
            return -math.inf
        return ups[-rule.frequency_times - 1] + rule.frequency_s

    def _forget_ups(self, entity: Entity, rules: Mapping[str, AlarmRule], now: float) -> None:
        counted = self._ups.get(entity, {})
        for name, ups in list(counted.items()):
            if name not in rules or now - ups[-1] >= rules[name].frequency_s:
                del counted[name]
        if not counted:
            self._ups.pop(entity, None)

    def entities(self) -> list[Entity]:
        """Return entities with an alarm that stands or soaks, or went up not long ago."""
        return list(self._alarms.keys() | self._ups.keys())

    def forget(self, entity: Entity) -> None:
        """Begin anew with an entity: no alarm of it stands, nor did."""
        self._alarms.pop(entity, None)
        self._ups.pop(entity, None)

    def waiting(self) -> list[Entity]:
        """Return entities whose alarms change with time alone."""
        return [
            entity
            for entity, held in self._alarms.items()
            if any(not each.is_raised or each.ends_since is not None for each in held.values())
        ]

    def due(self, entity: Entity) -> float | None:
        """Return when an entity's alarms change next by time alone; None when they do not."""
        held = self._alarms.get(entity, {}).values()
        moments = [each.holds_since + each.rule.active_s for each in held if not each.is_raised]
        moments += [
            max(each.ends_since + each.rule.idle_s, self._kept_until(entity, each.rule))
            for each in held
            if each.ends_since is not None
        ]
        return min(moments, default=None)

    def raised(self, entity: Entity) -> list[Alarm]:
        held = self._alarms.get(entity, {})
        return [each for each in held.values() if each.is_raised]

    def all_raised(self) -> Iterator[tuple[Entity, Alarm]]:
        for entity, held in self._alarms.items():
            for each in held.values():
                if each.is_raised:
                    yield entity, each

    def acknowledge(self, entity: Entity, name: str, token: str, by: Acknowledged) -> bool:
        """Mark an alarm as seen; False when it is not there, or was raised anew since."""
        alarm = self._alarms.get(entity, {}).get(name)
        if alarm is None or not alarm.is_raised:
            return False
        if token not in {self.token(alarm), tenant_uves.token_of(alarm.raised_us)}:
            return False
        self._alarms[entity][name] = replace(alarm, acknowledged=by)
        return True

    def token(self, alarm: Alarm) -> str:
        """Return what acknowledges this raising of an alarm and no other."""
        return tenant_uves.token_of(alarm.raised_us, self._node)

    def is_raised(self, entity: Entity, name: str) -> bool:
        """Tell whether an alarm stands."""
        alarm = self._alarms.get(entity, {}).get(name)
        return alarm is not None and alarm.is_raised

    def holds(self, entity: Entity, name: str) -> bool:
        """Tell whether an alarm stands, or soaks."""
        return name in self._alarms.get(entity, {})

    def relate(self, parents: Mapping[tuple[Entity, str], Entity], rule: str) -> set[Entity]:
        """Show which alarms follow from which entity's alarm of ``rule``; returns whose fields change."""
        before = self._relations
        children: dict[Entity, list[dict[str, str]]] = {}
        for (entity, name), parent in sorted(parents.items()):
            children.setdefault(parent, []).append(_place(entity, name))
        relations: dict[tuple[Entity, str], dict[str, object]] = {
            alarm: {"parent": _place(parent, rule)} for alarm, parent in parents.items()
        }
        for entity, listed in children.items():
            relations[entity, rule] = {
                "children": listed[:CHILDREN_SHOWN_MAX],
                "children_count": len(listed),
            }
        self._relations = relations
        changed = {
            alarm
            for alarm in before.keys() | relations.keys()
            if before.get(alarm) != relations.get(alarm)
        }
        return {entity for entity, _ in changed}

    def children_of(self, entity: Entity, rule: str) -> int:
        """Return how many alarms follow from one."""
        count = self._relations.get((entity, rule), {}).get("children_count", 0)
        return count if isinstance(count, int) else 0

    def fields_of(self, entity: Entity) -> dict[str, object]:
        """Return the fields of the entity's struct of alarms; none when it has no alarm."""
        raised = sorted(self.raised(entity), key=lambda each: each.rule.severity)
        alarms = [
            {
                "type": each.rule.name,
                "severity": each.rule.severity,
                "description": each.rule.description,
                "timestamp": each.raised_us,
                "ack": each.acknowledged is not None,
                **_who(each.acknowledged),
                "token": self.token(each),
                "alarm_rules": each.matched if place < MATCHED_SHOWN_MAX else {"or_list": []},
                **self._relations.get((entity, each.rule.name), {}),
            }
            for place, each in enumerate(raised[:SHOWN_COUNT_MAX])
        ]
        return {"alarms": alarms} if alarms else {}


def _who(acknowledged: Acknowledged | None) -> dict[str, object]:
    if acknowledged is None:
        return {}
    project = {"ack_project": acknowledged.project} if acknowledged.project else {}
    return {"ack_user": acknowledged.user, **project, "ack_timestamp": acknowledged.at_us}


def _own_part(project: str, entity: Entity, state: Mapping[str, object]) -> Mapping[str, object]:
    """Return what a project's rules are looked at over: what its members see, nothing of others."""
    return tenant_uves.seen(Tenant(project), entity, state)


def _place(entity: Entity, rule: str) -> dict[str, str]:
    return {"type": TYPES.get(entity[0], entity[0]), "name": entity[1], "rule": rule}


def _holding(
    former: Alarm | None, rule: AlarmRule, matched: object, now: float, now_us: int
) -> Alarm:
    since = former.holds_since if former is not None and former.ends_since is None else now
    raised_us = former.raised_us if former is not None else 0
    if not raised_us and now - since >= rule.active_s:
        raised_us = now_us
    seen = former.acknowledged if former is not None else None
    return Alarm(rule, since, raised_us, None, seen, matched)


def _ending(former: Alarm | None, rule: AlarmRule, now: float, kept_until: float) -> Alarm | None:
    if former is None or not former.is_raised:
        return None
    ends_since = former.ends_since if former.ends_since is not None else now
    if now - ends_since >= rule.idle_s and now >= kept_until:
        return None
    return replace(former, rule=rule, ends_since=ends_since)


def _goes_up(former: Alarm | None, after: Alarm) -> bool:
    is_up = former is not None and former.is_raised and former.ends_since is None
    return after.is_raised and not is_up


def _news(entity: Entity, former: Alarm | None, after: Alarm | None) -> list[Transition]:
    was, is_now = former is not None and former.is_raised, after is not None and after.is_raised
    if is_now and not was and after is not None:
        return [Transition(entity, after, is_raised=True)]
    if was and not is_now and former is not None:
        return [Transition(entity, former, is_raised=False)]
    return []
