"""When an alarm rule would have been raised: the live evaluation, over what is kept of a span of time. Pure.

```
 steps, oldest first --> state of each entity --> AlarmBoard, as the watchman asks it --> spans: raised, cleared
```
What the watchman finds each second is found here at the steps, and at the moments at which time alone changes an alarm.

Steps may be of several nodes, each of which tells what it knew itself: of a struct holds what any of them was told last,
and what only one knew is gone when that one was down.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from skytrail.analytics.alarm_rule import AlarmRule
from skytrail.analytics.alarms import AlarmBoard, Entity, Transition
from skytrail.analytics.uve_past import State, decoded
from skytrail.analytics.uve_recorder import CUT, GONE, START
from skytrail.analytics.uve_types import TYPES

SPANS_COUNT_MAX: Final = 2_000
"""Told; those beyond are counted."""
TICK_US: Final = 1_000_000
"""The watchman looks so often: what is due between two looks is found by the second, with what came meanwhile."""
_AFTER_S: Final = 1e-6
"""A look at a due moment is a little late, lest it be rounded to before it."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One row of what is kept: a struct was so from then on."""

    at_us: int
    table: str
    name: str
    struct: str
    kind: str
    value: str
    node: str = ""
    """Whose it is."""


class Span(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One raising of the alarm; times are microseconds since 1970."""

    type: str
    name: str
    raised_us: int
    cleared_us: int | None = None
    """None: it stood at the end."""
    is_from_before: bool = False
    """It stood when the span of time began."""
    is_restart: bool = False
    """It was not cleared: the node began anew, and with it all that it knew alone."""
    matched: object = None


@dataclass(slots=True)
class DryRun:
    """One rule over one span of time. Feed it all steps, in order of time; then :meth:`finish`."""

    rule: AlarmRule
    start_us: int
    end_us: int
    spans: list[Span] = field(default_factory=list[Span])
    """Those that are over, in the order of their end; :meth:`finish` adds the others."""
    spans_count: int = 0
    cut_count: int = 0
    """Steps whose value was too long to be kept."""
    _board: AlarmBoard = field(init=False)
    _states: dict[Entity, State] = field(default_factory=dict[Entity, State])
    _known: dict[Entity, dict[str, dict[str, tuple[int, State]]]] = field(
        default_factory=dict[Entity, dict[str, dict[str, tuple[int, State]]]]
    )
    """What each node knows of each struct, and since when: by struct, by node."""
    _seen: set[Entity] = field(default_factory=set[Entity])
    _open: dict[Entity, Span] = field(default_factory=dict[Entity, Span])
    _due: list[tuple[int, Entity]] = field(default_factory=list[tuple[int, Entity]])
    _awaited: dict[Entity, int] = field(default_factory=dict[Entity, int])
    """The latest moment of each entity in ``_due``."""

    def __post_init__(self) -> None:
        self._board = AlarmBoard("", [self.rule])

    @property
    def entities_count(self) -> int:
        return len(self._seen)

    def feed(self, steps: Iterable[Step]) -> None:
        """Take the next steps; those of one moment are to come together."""
        for at_us, together in groupby(steps, attrgetter("at_us")):
            self._wait_until(at_us - TICK_US)
            changed: dict[Entity, None] = {}
            for step in together:
                if step.kind == START:
                    gone = self._restart(step.node, at_us)
                    changed = dict.fromkeys((*changed, *gone))
                else:
                    changed[self._apply(step)] = None
            for entity in changed:
                self._look(entity, at_us, late_s=0.0)

    def finish(self) -> Sequence[Span]:
        """Return the raisings within the span of time, in their order."""
        self._wait_until(self.end_us)
        for span in self._open.values():
            self._keep(span)
        self._open.clear()
        return sorted(self.spans, key=lambda each: (each.raised_us, each.type, each.name))

    def _apply(self, step: Step) -> Entity:
        entity = step.table, step.name
        self.cut_count += step.kind == CUT
        nodes = self._known.setdefault(entity, {}).setdefault(step.struct, {})
        if step.kind == GONE:
            nodes.pop(step.node, None)
        else:
            nodes[step.node] = step.at_us, decoded(step.value)
        self._merge(entity, step.struct)
        self._seen.add(entity)
        return entity

    def _merge(self, entity: Entity, struct: str) -> None:
        """Have of a struct what the nodes that know it were told last."""
        known, state = self._known[entity], self._states.setdefault(entity, {})
        if known[struct]:
            _, state[struct] = max(known[struct].values(), key=lambda each: each[0])
        else:
            del known[struct]
            state.pop(struct, None)
        if not known:
            del self._known[entity], self._states[entity]

    def _wait_until(self, at_us: int) -> None:
        """Look at what is due until then, in order."""
        while self._due and self._due[0][0] <= at_us:
            due_us, entity = heapq.heappop(self._due)
            if self._awaited.get(entity) == due_us:
                del self._awaited[entity]
            if self._due_us(entity) == due_us:
                self._look(entity, due_us, late_s=_AFTER_S)

    def _due_us(self, entity: Entity) -> int | None:
        due = self._board.due(entity)
        return None if due is None else self.start_us + round(due * 1e6)

    def _look(self, entity: Entity, at_us: int, *, late_s: float) -> None:
        now = (at_us - self.start_us) / 1e6 + late_s
        for each in self._board.look(entity, self._states.get(entity, {}), now, at_us):
            self._note(each, at_us)
        due_us = self._due_us(entity)
        if due_us is not None and self._awaited.get(entity) != due_us:
            self._awaited[entity] = due_us
            heapq.heappush(self._due, (due_us, entity))

    def _note(self, transition: Transition, at_us: int) -> None:
        table, name = transition.entity
        if transition.is_raised:
            is_before = at_us < self.start_us
            self._open[transition.entity] = Span(
                type=TYPES.get(table, table),
                name=name,
                raised_us=max(at_us, self.start_us),
                is_from_before=is_before,
                matched=transition.alarm.matched,
            )
            return
        span = self._open.pop(transition.entity)
        span.cleared_us = at_us
        self._keep(span)

    def _restart(self, node: str, at_us: int) -> list[Entity]:
        """Forget what a node knew, as its watchman that starts: of what nobody else knows, no alarm stands.

        Returns what others know otherwise.
        """
        changed: list[Entity] = []
        for entity, known in list(self._known.items()):
            structs = [struct for struct, nodes in known.items() if nodes.pop(node, None)]
            for struct in structs:
                self._merge(entity, struct)
            if entity not in self._known:
                self._forget(entity, at_us)
            elif structs:
                changed.append(entity)
        for entity in [each for each in self._board.entities() if each not in self._known]:
            self._forget(entity, at_us)
        return changed

    def _forget(self, entity: Entity, at_us: int) -> None:
        self._board.forget(entity)
        self._awaited.pop(entity, None)
        span = self._open.pop(entity, None)
        if span is not None:
            span.cleared_us, span.is_restart = at_us, True
            self._keep(span)

    def _keep(self, span: Span) -> None:
        if span.cleared_us is not None and span.cleared_us < self.start_us:
            return
        self.spans_count += 1
        if len(self.spans) < SPANS_COUNT_MAX:
            self.spans.append(span)
