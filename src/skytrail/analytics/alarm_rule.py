r"""Rules over UVEs: when one holds, an alarm is raised. Pure.

    {"or_list": [{"and_list": [{"operand1": "NodeStatus.process_status.*.state", "operation": "!=",
                                "operand2": {"json_value": "\"Functional\""},
                                "variables": ["NodeStatus.process_status.*.module_id"]}]}]}

A path goes through structs by name and through lists by each of their elements (``*`` may stand for that step); through a
map, ``*`` is each of its values. A condition holds if it does for one of the values that its path leads to. A path that
leads nowhere has the one value null.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final, cast

import msgspec

from skytrail.model.alarm_timing import IDLE_DEFAULT_S

VALUES_COUNT_MAX: Final = 1_000
"""To which a path leads: an alarm over a list of 100,000 ports says no more than one over some."""
OTHERS_COUNT_MAX: Final = 100
"""With which each of them is compared: the rule is looked at whenever the entity changes."""
CONDITIONS_COUNT_MAX: Final = 64
PATH_CHARACTERS_MAX: Final = 512
CONSTANT_DEPTH_MAX: Final = 16
VARIABLES_COUNT_MAX: Final = 32
SHOWN_COUNT_MAX: Final = 10
"""Values by which a condition holds."""
SHOWN_CHARACTERS_MAX: Final = 4_096
"""Of all that an alarm shows of its rule and of the values by which it holds; what is beyond is left out."""
TEXT_CHARACTERS_MAX: Final = 512
"""Of one such value."""
_ITEMS_COUNT_MAX: Final = 64
"""Of a value that is a list or mapping."""
_CONDITION_COST: Final = 64
_MATCH_COST: Final = 32
_VARIABLE_COST: Final = 16
"""What each takes beside its texts; so an alarm shows fewer than a thousand values."""


class RuleUnusable(ValueError):
    """A rule cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """``constant`` is compared with, or else what ``other`` leads to."""

    path: str
    operation: str
    constant: object = None
    other: str = ""
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """``types`` are words of UVE types, none for all; times are seconds of holding or not."""

    name: str
    severity: int
    types: tuple[str, ...]
    alternatives: tuple[tuple[Condition, ...], ...]
    description: str = ""
    active_s: float = 0.0
    """How long it has to hold before the alarm is raised."""
    idle_s: float = IDLE_DEFAULT_S
    """How long it must not hold before the alarm goes."""
    frequency_times: int = 0
    """An alarm that went up more often than this in ``frequency_s`` stays; 0: how often is no matter."""
    frequency_s: float = 0.0
    collect: tuple[str, ...] = ()
    """Pages of nodes that are kept when it is raised, as ``agent/drops``."""
    project: str = ""
    """``domain:project`` of a project's own rule: it is looked at over what the project sees of its own."""


def values_at(state: object, path: str) -> list[object]:
    """Return what a path leads to; [None] when nowhere."""
    found: list[object] = [state]
    for step in path.split("."):
        found = [each for value in found for each in _step(value, step)][:VALUES_COUNT_MAX]
        if not found:
            return [None]
    return found


def _step(value: object, step: str) -> Iterable[object]:
    if isinstance(value, list):
        items = cast("list[object]", value)
        # The star stands for the elements; without one they are meant all the same.
        return items if step == "*" else [each for item in items for each in _step(item, step)]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        if step == "*":
            return list(members.values())
        return [members[step]] if step in members else []
    return []


def holds(condition: Condition, state: Mapping[str, object]) -> bool:
    """Tell whether a condition holds for an entity's flat state."""
    is_hit = _OPERATIONS[condition.operation](_others(condition, state))
    return any(map(is_hit, values_at(state, condition.path)))


def _others(condition: Condition, state: Mapping[str, object]) -> list[object]:
    """Return what a condition's values are compared with."""
    if not condition.other:
        return [condition.constant]
    return values_at(state, condition.other)[:OTHERS_COUNT_MAX]


def matches(rule: AlarmRule, state: Mapping[str, object]) -> list[tuple[Condition, ...]]:
    """Return the alternatives of a rule that hold."""
    return [each for each in rule.alternatives if all(holds(part, state) for part in each)]


Test = Callable[[object], bool]
"""Tells of one value whether it compares so with any of the others.

What it needs of them is worked out once: a member's rule over two long lists must not cost their product.
"""


def _frozen(value: object, depth: int = CONSTANT_DEPTH_MAX) -> Hashable:
    """Return a value that equals others as what was read from JSON does, and can be in a set.

    What is deeper than constants may be equals nothing.
    """
    if not isinstance(value, list | dict):
        return cast("Hashable", value)
    if not depth:
        return object()
    if isinstance(value, list):
        return tuple(_frozen(each, depth - 1) for each in cast("list[object]", value))
    members = cast("dict[str, object]", value)
    return frozenset((name, _frozen(each, depth - 1)) for name, each in members.items())


def _sets(others: Iterable[object]) -> list[frozenset[Hashable]]:
    lists = (cast("list[object]", each) for each in others if isinstance(each, list))
    return [frozenset(map(_frozen, each)) for each in lists]


def _numbers(values: Iterable[object]) -> list[float]:
    return [each for each in values if isinstance(each, int | float)]


def _never(_: object) -> bool:
    return False


def _equal(others: Sequence[object]) -> Test:
    known = set(map(_frozen, others))
    return lambda value: _frozen(value) in known


def _unequal(others: Sequence[object]) -> Test:
    known = set(map(_frozen, others))
    return lambda value: len(known) > 1 or _frozen(value) not in known


def _ordered(
    compare: Callable[[float, float], bool], farthest: Callable[[Iterable[float]], float]
) -> Callable[[Sequence[object]], Test]:
    def among(others: Sequence[object]) -> Test:
        numbers = _numbers(others)
        if not numbers:
            return _never
        end = farthest(numbers)
        return lambda value: isinstance(value, int | float) and compare(value, end)

    return among


def _in(others: Sequence[object]) -> Test:
    known = frozenset[Hashable]().union(*_sets(others))
    return lambda value: _frozen(value) in known


def _not_in(others: Sequence[object]) -> Test:
    sets = _sets(others)
    if not sets:
        return _never
    in_all = frozenset.intersection(*sets)
    return lambda value: _frozen(value) not in in_all


def _in_range(others: Sequence[object]) -> Test:
    pairs = [cast("list[object]", each) for each in others if isinstance(each, list)]
    bounds = [_numbers(pair) for pair in pairs if len(pair) == 2]
    ranges = [pair for pair in bounds if len(pair) == 2]
    return lambda value: (
        isinstance(value, int | float) and any(low <= value <= high for low, high in ranges)
    )


def _sized(of_sizes: Callable[[Sequence[object]], Test]) -> Callable[[Sequence[object]], Test]:
    def among(others: Sequence[object]) -> Test:
        is_hit = of_sizes(others)
        return lambda value: (
            isinstance(value, list | dict) and is_hit(len(cast("list[object]", value)))
        )

    return among


_OPERATIONS: Final[Mapping[str, Callable[[Sequence[object]], Test]]] = {
    "==": _equal,
    "!=": _unequal,
    "<": _ordered(operator.lt, max),
    "<=": _ordered(operator.le, max),
    ">": _ordered(operator.gt, min),
    ">=": _ordered(operator.ge, min),
    "in": _in,
    "not in": _not_in,
    "range": _in_range,
    "size==": _sized(_equal),
    "size!=": _sized(_unequal),
}


class _Operand2(msgspec.Struct, frozen=True):
    uve_attribute: str = ""
    json_value: str | None = None


class _Expression(msgspec.Struct, frozen=True):
    operation: str
    operand1: str
    operand2: _Operand2
    variables: list[str] | None = None


class _And(msgspec.Struct, frozen=True):
    and_list: list[_Expression]


class _Or(msgspec.Struct, frozen=True):
    or_list: list[_And]


def alternatives_of(alarm_rules: object) -> tuple[tuple[Condition, ...], ...]:
    """Read ``alarm_rules`` of an object; :class:`RuleUnusable` names what does not fit."""
    try:
        read = msgspec.convert(alarm_rules, _Or)
    except msgspec.ValidationError as error:
        raise RuleUnusable(f"alarm_rules: {error}") from error
    found = tuple(tuple(map(_condition, each.and_list)) for each in read.or_list)
    if not found or not all(found):
        raise RuleUnusable("alarm_rules: an empty list of conditions holds always")
    if sum(map(len, found)) > CONDITIONS_COUNT_MAX:
        raise RuleUnusable(f"alarm_rules: over {CONDITIONS_COUNT_MAX} conditions")
    return found


def _condition(each: _Expression) -> Condition:
    if each.operation not in _OPERATIONS:
        raise RuleUnusable(f"operation {each.operation[:16]!r} is none of {', '.join(_OPERATIONS)}")
    if not each.operand1:
        raise RuleUnusable("operand1 is empty")
    variables = tuple(each.variables or ())
    if len(variables) > VARIABLES_COUNT_MAX:
        raise RuleUnusable(f"variables: over {VARIABLES_COUNT_MAX}")
    for name, paths in (
        ("operand1", (each.operand1,)),
        ("uve_attribute", (each.operand2.uve_attribute,)),
        ("variables", variables),
    ):
        if any(len(path) > PATH_CHARACTERS_MAX for path in paths):
            raise RuleUnusable(f"{name}: over {PATH_CHARACTERS_MAX} characters")
    if each.operand2.uve_attribute:
        return Condition(
            each.operand1, each.operation, None, each.operand2.uve_attribute, variables
        )
    try:
        constant: object = msgspec.json.decode((each.operand2.json_value or "null").encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        text = (each.operand2.json_value or "")[:64]
        raise RuleUnusable(f"json_value {text!r} is not JSON that can be read") from error
    if not _is_shallow(constant, CONSTANT_DEPTH_MAX):
        raise RuleUnusable(f"json_value: lists in lists of over {CONSTANT_DEPTH_MAX} levels")
    return Condition(each.operand1, each.operation, constant, "", variables)


def _is_shallow(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        value = list(cast("dict[str, object]", value).values())
    if not isinstance(value, list):
        return True
    return depth > 0 and all(_is_shallow(each, depth - 1) for each in cast("list[object]", value))


def shown(alternatives: Sequence[tuple[Condition, ...]], state: Mapping[str, object]) -> object:
    """Return the alternatives that hold, with the values by which they do, as alarms show them: cut where they are long."""
    showing = _Showing(state)
    alike = [[showing.condition(each) for each in both] for both in alternatives]
    return {
        "or_list": [{"and_list": [each for each in both if each]} for both in alike if any(both)]
    }


class _Showing:
    """Shows conditions while there is room.

    A member's rule may name a list of thousands in two thousand variables: what it leads to is made text once, and cut.
    """

    def __init__(self, state: Mapping[str, object]) -> None:
        self._state = state
        self._left = SHOWN_CHARACTERS_MAX
        self._variables: dict[str, str] = {}

    def condition(self, condition: Condition) -> dict[str, object] | None:
        """Return a condition with its matches, None when there is no room any more."""
        constant = condition.other or _text(condition.constant)
        if not self._takes(_CONDITION_COST + len(condition.path) + len(constant)):
            return None
        is_hit = _OPERATIONS[condition.operation](_others(condition, self._state))
        hits = filter(is_hit, values_at(self._state, condition.path))
        matches = (self._match(condition, value) for value in islice(hits, SHOWN_COUNT_MAX))
        return {
            "condition": {
                "operand1": condition.path,
                "operation": condition.operation,
                "operand2": constant,
            },
            "match": list(takewhile(bool, matches)),
        }

    def _match(self, condition: Condition, value: object) -> dict[str, object] | None:
        text = _text(value)
        if not self._takes(_MATCH_COST + len(text)):
            return None
        variables = takewhile(bool, map(self._variable, condition.variables))
        return {"json_operand1_value": text, "json_variables": list(variables)}

    def _variable(self, path: str) -> str:
        """Return a variable with its value; "" when there is no room any more."""
        if self._left <= 0:
            return ""
        if path not in self._variables:
            self._variables[path] = f"{path}={_text(values_at(self._state, path)[0])}"
        told = self._variables[path]
        return told if self._takes(_VARIABLE_COST + len(told)) else ""

    def _takes(self, size: int) -> bool:
        self._left -= size
        return self._left >= 0


def _text(value: object) -> str:
    """Return a value as JSON; of one that is too long, its beginning as a JSON string."""
    if isinstance(value, list):
        value = cast("list[object]", value)[:_ITEMS_COUNT_MAX]
    elif isinstance(value, dict):
        value = dict(islice(cast("dict[str, object]", value).items(), _ITEMS_COUNT_MAX))
    text = msgspec.json.encode(value).decode()
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    return msgspec.json.encode(f"{text[:TEXT_CHARACTERS_MAX]}…").decode()
