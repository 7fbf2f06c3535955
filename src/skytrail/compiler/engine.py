"""Evaluate the graph of passes: in full, or only what a change can have touched.

```
 intent --> pass --> rows --> pass --> ...        one unit per root object, or one whole table
              |                 |
              +--> derived objects, violations    the desired state: a function of intent alone
```
A pass states the model kinds and the earlier passes it reads; a :class:`View` enforces it, so the
graph printed by :func:`describe` is the graph that runs. A :class:`UnitPass` is evaluated per root
object and the engine remembers what each unit read: a change evaluates exactly the units that read
something touched. A :class:`TablePass` sees everything at once: it is recomputed when something it
read is touched, or answers changes itself and may decline. Several passes may each fill fields of
one derived object. :meth:`Engine.recompute` is the definition; everything else must give the same
answer (``tests/property/test_compiler.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from skytrail.compiler.derived import Derived, DerivedKey, Outcome, Violation
from skytrail.compiler.intent import Intent, ReadKey
from skytrail.model.objects import ConfigObject

ObjectT = TypeVar("ObjectT", bound=ConfigObject)
RowT = TypeVar("RowT")

Unit = tuple[str, str]
"""(pass name, root uuid)"""


class UndeclaredRead(Exception):
    """A pass read something its declaration does not name: a programming error."""


@dataclass(frozen=True, slots=True)
class Put:
    item: ConfigObject


@dataclass(frozen=True, slots=True)
class Remove:
    type_name: str
    uuid: str


Change = Put | Remove


@dataclass(frozen=True, slots=True)
class UnitPass:
    """Evaluated once per object of ``root``; a unit may read anything declared."""

    name: str
    root: str
    kinds: frozenset[str]
    evaluate: Callable[[View, str], Outcome]
    upstream: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TablePass:
    """Evaluated as a whole, because its rows depend on each other.

    ``change`` gets the rows before and the touched read keys and answers only rows that differ
    (None removes a row), or None for the whole to decline. Without it the table is recomputed
    when something the last recompute read is touched.
    """

    name: str
    kinds: frozenset[str]
    recompute: Callable[[View], Mapping[str, Outcome]]
    change: (
        Callable[
            [View, Mapping[str, Outcome], frozenset[ReadKey]], Mapping[str, Outcome | None] | None
        ]
        | None
    ) = None
    upstream: tuple[str, ...] = ()


Pass = UnitPass | TablePass


class _Readers:
    """Which units read what.

    Most keys have one reader; it is kept bare, because a set for each key would be most of the
    compiler's memory beside 100,000 interfaces.
    """

    __slots__ = ("_units",)

    def __init__(self) -> None:
        self._units: dict[ReadKey, str | set[str]] = {}

    def of(self, key: ReadKey) -> Iterable[str]:
        units = self._units.get(key, ())
        return (units,) if isinstance(units, str) else units

    def add(self, key: ReadKey, unit: str) -> None:
        units = self._units.setdefault(key, unit)
        if isinstance(units, set):
            units.add(unit)
        elif units != unit:
            self._units[key] = {units, unit}

    def discard(self, key: ReadKey, unit: str) -> None:
        units = self._units.get(key)
        if isinstance(units, set):
            units.discard(unit)
            if not units:
                del self._units[key]
        elif units == unit:
            del self._units[key]


_NOTHING: Final = Outcome()


@dataclass(slots=True)
class _State:
    """What the engine remembers of one pass."""

    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    reads: dict[str, tuple[ReadKey, ...]] = field(default_factory=dict[str, tuple[ReadKey, ...]])
    readers: _Readers = field(default_factory=_Readers)
    table_reads: frozenset[ReadKey] | None = None
    """What the last recompute of a whole table read; None before the first."""

    def remember(self, unit: str, outcome: Outcome, reads: Iterable[ReadKey]) -> None:
        """Note the outcome of a unit that is not known or was forgotten."""
        self.outcomes[unit] = _NOTHING if outcome == _NOTHING else outcome
        self.reads[unit] = tuple(reads)
        for key in self.reads[unit]:
            self.readers.add(key, unit)

    def forget(self, unit: str) -> Outcome | None:
        for key in self.reads.pop(unit, ()):
            self.readers.discard(key, unit)
        return self.outcomes.pop(unit, None)


class View:
    """What one evaluation may read; notes every read key. Lists come in uuid order."""

    def __init__(self, intent: Intent, owner: Pass, states: Mapping[str, _State]) -> None:
        self._intent = intent
        self._owner = owner
        self._states = states
        self.reads: set[ReadKey] = set()

    def get(self, kind: type[ObjectT], uuid: str) -> ObjectT | None:
        self._note(kind.type_name, ("object", kind.type_name, uuid))
        return self._intent.get(kind, uuid)

    def by_name(self, kind: type[ObjectT], fq_name: tuple[str, ...]) -> ObjectT | None:
        self._note(kind.type_name, ("name", kind.type_name, *fq_name))
        return self._intent.by_name(kind, fq_name)

    def referrers(self, kind: type[ObjectT], target_uuid: str) -> list[ObjectT]:
        """Return objects of this kind that refer to the target."""
        self._note(kind.type_name, ("referrers", kind.type_name, target_uuid))
        uuids = self._intent.referrers(kind.type_name, target_uuid)
        return [item for uuid in uuids if (item := self._intent.get(kind, uuid)) is not None]

    def children(self, kind: type[ObjectT], parent_uuid: str) -> list[ObjectT]:
        self._note(kind.type_name, ("children", kind.type_name, parent_uuid))
        uuids = self._intent.children(kind.type_name, parent_uuid)
        return [item for uuid in uuids if (item := self._intent.get(kind, uuid)) is not None]

    def every(self, kind: type[ObjectT]) -> list[ObjectT]:
        self._note(kind.type_name, ("all", kind.type_name))
        uuids = self._intent.uuids(kind.type_name)
        return [item for uuid in uuids if (item := self._intent.get(kind, uuid)) is not None]

    def row(self, pass_name: str, unit: str, kind: type[RowT]) -> RowT | None:
        """Return the value another pass gave this unit."""
        self._note_row(pass_name, ("row", pass_name, unit))
        outcome = self._states[pass_name].outcomes.get(unit)
        return None if outcome is None or not isinstance(outcome.value, kind) else outcome.value

    def rows(self, pass_name: str, kind: type[RowT]) -> Iterator[tuple[str, RowT]]:
        """Yield every unit's value of another pass, in unit order."""
        self._note_row(pass_name, ("rows", pass_name))
        outcomes = self._states[pass_name].outcomes
        for unit in sorted(outcomes):
            value = outcomes[unit].value
            if isinstance(value, kind):
                yield unit, value

    def _note(self, type_name: str, key: ReadKey) -> None:
        if type_name not in self._owner.kinds:
            raise UndeclaredRead(f"pass {self._owner.name} reads undeclared kind {type_name}")
        self.reads.add(key)

    def _note_row(self, pass_name: str, key: ReadKey) -> None:
        if pass_name not in self._owner.upstream:
            raise UndeclaredRead(f"pass {self._owner.name} reads undeclared pass {pass_name}")
        self.reads.add(key)


class Engine:
    """Desired state of one intent, kept current. Passes must be listed after what they read."""

    def __init__(self, passes: Sequence[Pass]) -> None:
        _check_order(passes)
        self._passes = tuple(passes)
        self.intent = Intent()
        self._states: dict[str, _State] = {}
        self._wanted: dict[DerivedKey, dict[Unit, Derived]] = {}
        self.evaluations_count = 0
        """Unit evaluations so far; a whole table counts as one."""
        self.declines_count = 0
        self._reset()

    @property
    def input_kinds(self) -> frozenset[str]:
        return frozenset[str]().union(*(each.kinds for each in self._passes))

    def load(self, items: Iterable[ConfigObject]) -> None:
        """Replace the whole intent and recompute."""
        self.intent = Intent()
        for item in items:
            self.intent.put(item)
        self.recompute()

    def recompute(self) -> None:
        """Evaluate everything from the intent alone, forgetting all earlier results."""
        self._reset()
        for each in self._passes:
            match each:
                case UnitPass():
                    for uuid in self.intent.uuids(each.root):
                        self._evaluate(each, uuid)
                case TablePass():
                    for unit, outcome in self._recompute_table(each).items():
                        self._store(each, unit, outcome, ())
                    self.evaluations_count += 1

    def apply(self, changes: Iterable[Change]) -> set[DerivedKey]:
        """Take changes in order, re-evaluate what they touch, return derived keys that differ."""
        touched: set[ReadKey] = set()
        for change in changes:
            match change:
                case Put(item):
                    touched |= self.intent.put(item)
                case Remove(type_name, uuid):
                    touched |= self.intent.remove(type_name, uuid)
        differing: set[DerivedKey] = set()
        if touched:
            for each in self._passes:
                changed, rows = self._advance(each, touched)
                differing |= changed
                touched |= rows
        return differing

    def wanted(self, key: DerivedKey) -> Derived | None:
        """Return the desired object, put together from what each unit says of it.

        Of differing values of one field the first unit's counts.
        """
        contributions = self._wanted.get(key)
        return None if not contributions else _joined(contributions)

    def wanted_keys(self) -> list[DerivedKey]:
        return sorted(self._wanted)

    def violations(self) -> list[Violation]:
        found = {
            violation
            for state in self._states.values()
            for outcome in state.outcomes.values()
            for violation in outcome.violations
        }
        found.update(self._disagreements())
        return sorted(found, key=lambda each: each.sort_key)

    def values(self, pass_name: str, kind: type[RowT]) -> Iterator[RowT]:
        """Yield what a pass says of its units, in unit order: for people, not for passes."""
        outcomes = self._states[pass_name].outcomes
        for unit in sorted(outcomes):
            value = outcomes[unit].value
            if isinstance(value, kind):
                yield value

    def provenance(self, key: DerivedKey) -> list[ConfigObject]:
        """Return the input objects a derived object was computed from, nearest pass first."""
        found: dict[tuple[str, str], ConfigObject] = {}
        queue = sorted(self._wanted.get(key, ()))
        seen = set(queue)
        for unit in queue:
            for item in self._sources(unit):
                found.setdefault((item.type_name, item.uuid), item)
            for read in sorted(self._states[unit[0]].reads.get(unit[1], ())):
                if read[0] == "row" and (earlier := (read[1], read[2])) not in seen:
                    seen.add(earlier)
                    queue.append(earlier)
        return list(found.values())

    def statistics(self) -> dict[str, dict[str, int]]:
        return {
            each.name: {
                "units": len(self._states[each.name].outcomes),
                "violations": sum(
                    len(outcome.violations) for outcome in self._states[each.name].outcomes.values()
                ),
            }
            for each in self._passes
        }

    def _reset(self) -> None:
        self._states = {each.name: _State() for each in self._passes}
        self._wanted = {}

    def _view(self, owner: Pass) -> View:
        return View(self.intent, owner, self._states)

    def _advance(self, each: Pass, touched: set[ReadKey]) -> tuple[set[DerivedKey], set[ReadKey]]:
        match each:
            case UnitPass():
                return self._advance_units(each, touched)
            case TablePass():
                return self._advance_table(each, touched)

    def _advance_units(
        self, each: UnitPass, touched: set[ReadKey]
    ) -> tuple[set[DerivedKey], set[ReadKey]]:
        state = self._states[each.name]
        units = {key[2] for key in touched if key[0] == "object" and key[1] == each.root}
        for key in touched:
            units.update(state.readers.of(key))
        differing: set[DerivedKey] = set()
        rows: set[ReadKey] = set()
        for unit in sorted(units):
            before = state.outcomes.get(unit)
            if self.intent.item(each.root, unit) is None:
                after = None
                self._discard(each, unit)
            else:
                after = self._evaluate(each, unit)
            changed = _differing_keys(before, after)
            differing |= changed
            rows |= _row_keys(each, unit, before, after)
        return differing, rows

    def _advance_table(
        self, each: TablePass, touched: set[ReadKey]
    ) -> tuple[set[DerivedKey], set[ReadKey]]:
        state = self._states[each.name]
        relevant = {key for key in touched if _concerns(each, key)}
        if each.change is None and state.table_reads is not None:
            relevant &= state.table_reads
        if not relevant:
            return set(), set()
        self.evaluations_count += 1
        answer = None
        if each.change is not None:
            answer = each.change(self._view(each), state.outcomes, frozenset(relevant))
        if answer is None:
            self.declines_count += each.change is not None
            full = self._recompute_table(each)
            answer = {unit: full.get(unit) for unit in {*state.outcomes, *full}}
        differing: set[DerivedKey] = set()
        rows: set[ReadKey] = set()
        for unit in sorted(answer):
            before, after = state.outcomes.get(unit), answer[unit]
            if before == after:
                continue
            if after is None:
                self._discard(each, unit)
            else:
                self._store(each, unit, after, ())
            differing |= _differing_keys(before, after)
            rows |= _row_keys(each, unit, before, after)
        return differing, rows

    def _recompute_table(self, each: TablePass) -> Mapping[str, Outcome]:
        view = self._view(each)
        found = each.recompute(view)
        self._states[each.name].table_reads = frozenset(view.reads)
        return found

    def _evaluate(self, each: UnitPass, unit: str) -> Outcome:
        view = self._view(each)
        outcome = each.evaluate(view, unit)
        self.evaluations_count += 1
        self._store(each, unit, outcome, view.reads)
        return outcome

    def _store(self, each: Pass, unit: str, outcome: Outcome, reads: Iterable[ReadKey]) -> None:
        self._discard(each, unit)
        self._states[each.name].remember(unit, outcome, reads)
        for derived in outcome.derived:
            self._wanted.setdefault(derived.key, {})[(each.name, unit)] = derived

    def _discard(self, each: Pass, unit: str) -> None:
        outcome = self._states[each.name].forget(unit)
        if outcome is None:
            return
        for derived in outcome.derived:
            contributions = self._wanted.get(derived.key)
            if contributions is not None:
                contributions.pop((each.name, unit), None)
                if not contributions:
                    del self._wanted[derived.key]

    def _sources(self, unit: Unit) -> Iterator[ConfigObject]:
        pass_name, root = unit
        reads = self._states[pass_name].reads.get(root, ())
        for read in sorted(reads):
            match read:
                case ("object", type_name, uuid):
                    item = self.intent.item(type_name, uuid)
                case ("name", type_name, *fq_name):
                    item = self.intent.find(type_name, tuple(fq_name))
                case _:
                    item = None
            if item is not None:
                yield item

    def _disagreements(self) -> Iterator[Violation]:
        for key, contributions in self._wanted.items():
            if len(contributions) == 1:
                continue
            joined = _joined(contributions)
            if any(_contradicts(other, joined) for other in contributions.values()):
                yield Violation(
                    key.type_name,
                    key.fq_name,
                    "contradicting_sources",
                    f"{len(contributions)} inputs want different contents; the first one counts",
                )


def describe(passes: Sequence[Pass]) -> str:
    """Return the graph as text, one pass per paragraph, in evaluation order."""
    lines: list[str] = []
    for each in passes:
        match each:
            case UnitPass():
                shape = f"per {each.root}"
            case TablePass(change=None):
                shape = "whole table"
            case TablePass():
                shape = "whole table, may decline"
        lines += [f"{each.name} ({shape})", f"  kinds: {', '.join(sorted(each.kinds))}"]
        if each.upstream:
            lines.append(f"  after: {', '.join(each.upstream)}")
    return "\n".join(lines) + "\n"


def _check_order(passes: Sequence[Pass]) -> None:
    known: set[str] = set()
    for each in passes:
        missing = [name for name in each.upstream if name not in known]
        if missing or each.name in known:
            raise ValueError(f"pass {each.name} is listed twice or before {missing}")
        if isinstance(each, UnitPass) and each.root not in each.kinds:
            raise ValueError(f"pass {each.name} does not declare its root {each.root}")
        known.add(each.name)


def _concerns(each: TablePass, key: ReadKey) -> bool:
    return key[1] in (each.upstream if key[0] in {"row", "rows"} else each.kinds)


def _joined(contributions: Mapping[Unit, Derived]) -> Derived:
    ordered = [contributions[unit] for unit in sorted(contributions)]
    first = ordered[0]
    if all(other == first for other in ordered):
        return first
    parents = [each.parent_type for each in ordered if each.parent_type is not None]
    return Derived(
        first.key,
        properties={
            name: each for part in reversed(ordered) for name, each in part.properties.items()
        },
        links={name: each for part in reversed(ordered) for name, each in part.links.items()},
        initial={name: each for part in reversed(ordered) for name, each in part.initial.items()},
        parent_type=parents[0] if parents else None,
        update_only=all(each.update_only for each in ordered),
    )


def _contradicts(part: Derived, joined: Derived) -> bool:
    return any(joined.properties[name] != each for name, each in part.properties.items()) or any(
        joined.links[name] != each for name, each in part.links.items()
    )


def _differing_keys(before: Outcome | None, after: Outcome | None) -> set[DerivedKey]:
    earlier = {each.key: each for each in before.derived} if before is not None else {}
    later = {each.key: each for each in after.derived} if after is not None else {}
    return {key for key in {*earlier, *later} if earlier.get(key) != later.get(key)}


def _row_keys(each: Pass, unit: str, before: Outcome | None, after: Outcome | None) -> set[ReadKey]:
    # A unit without a value and one that is not there read alike.
    if (before and before.value) == (after and after.value):
        return set()
    return {("row", each.name, unit), ("rows", each.name)}
