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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    compare = _OPERATIONS[condition.operation]
    others = _others(condition, state)
    return any(
        compare(value, other) for value in values_at(state, condition.path) for other in others
    )


def _others(condition: Condition, state: Mapping[str, object]) -> list[object]:
    """Return what a condition's values are compared with."""
    if not condition.other:
        return [condition.constant]
    return values_at(state, condition.other)[:OTHERS_COUNT_MAX]


def matches(rule: AlarmRule, state: Mapping[str, object]) -> list[tuple[Condition, ...]]:
    """Return the alternatives of a rule that hold."""
    return [each for each in rule.alternatives if all(holds(part, state) for part in each)]


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[object, object], bool]:
    def of_numbers(value: object, other: object) -> bool:
        is_number = isinstance(value, int | float) and isinstance(other, int | float)
        return is_number and compare(cast("float", value), cast("float", other))

    return of_numbers


def _is_in(value: object, other: object) -> bool:
    return isinstance(other, list) and value in cast("list[object]", other)


def _in_range(value: object, other: object) -> bool:
    bounds = cast("list[object]", other) if isinstance(other, list) else []
    if len(bounds) != 2:
        return False
    return _ordered(operator.ge)(value, bounds[0]) and _ordered(operator.le)(value, bounds[1])


def _has_size(value: object, other: object) -> bool:
    return isinstance(value, list | dict) and len(cast("list[object]", value)) == other


_OPERATIONS: Final[Mapping[str, Callable[[object, object], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _is_in,
    "not in": lambda value, other: isinstance(other, list) and not _is_in(value, other),
    "range": _in_range,
    "size==": _has_size,
    "size!=": lambda value, other: isinstance(value, list | dict) and not _has_size(value, other),
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
    """Return the alternatives that hold, with the values by which they do, as alarms show them."""
    return {
        "or_list": [{"and_list": [_shown(each, state) for each in both]} for both in alternatives]
    }


def _shown(condition: Condition, state: Mapping[str, object]) -> object:
    def text(value: object) -> str:
        return msgspec.json.encode(value).decode()

    compare = _OPERATIONS[condition.operation]
    others = _others(condition, state)
    hits = [
        value
        for value in values_at(state, condition.path)
        if any(compare(value, other) for other in others)
    ]
    return {
        "condition": {
            "operand1": condition.path,
            "operation": condition.operation,
            "operand2": condition.other or text(condition.constant),
        },
        "match": [
            {
                "json_operand1_value": text(value),
                "json_variables": [
                    f"{name}={text(values_at(state, name)[0])}" for name in condition.variables
                ],
            }
            for value in hits[:10]
        ],
    }
