"""Security logging objects: which sessions are logged although no rule asks for a record itself. Pure.

```
 object  names rules:  its own list | rules of policies and groups it refers to (the compiler lists them)
         holds:        at ports and networks that refer to it | everywhere (of the global vRouter settings)
 firewall policy, rule --refers to--> object:  its rules, wherever they decide
```
Of the sessions that a rule decides, each object logs the first of every ``rate``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    flag_of,
    list_of,
    mapping_of,
    number_of,
    object_uuid,
    text_of,
)
from skytrail.wire.xmpp import ConfigKey, ConfigNode, ConfigValue

OBJECT = "security-logging-object"
GLOBAL = "global-vrouter-config"
_POLICY, _RULE = "firewall-policy", "firewall-rule"
_LISTS = ("network-policy", "security-group")
_HOLDERS = ("virtual-machine-interface", "virtual-network")
RATE_DEFAULT = 100
PLACE_COUNT_MAX = 16
"""Objects that log one rule's sessions at one place; beyond, by name, they log nothing there. Each
session asks them all, and a tenant may attach as many as it likes to its own port."""


@dataclass(frozen=True, slots=True)
class LoggingObject:
    name: str
    rates: Mapping[str, int]
    """Rule uuid -> one of so many sessions; 0: none. Where the object is attached."""
    rates_anywhere: Mapping[str, int]
    """Of rules that refer to the object themselves."""
    holders: frozenset[ConfigKey]
    is_global: bool

    def rate(self, rule: str, ends: Iterable[ConfigKey]) -> int:
        """Return how many sessions by ``rule`` between ``ends`` are one to be logged; 0: none is."""
        found = self.rates_anywhere.get(rule, 0)
        if found:
            return found
        if not self.is_global and self.holders.isdisjoint(ends):
            return 0
        return self.rates.get(rule, 0)

    def places(self, rule: str) -> Iterable[ConfigKey | None]:
        """Return where the object may log sessions by ``rule``; None: everywhere."""
        return (None,) if self.is_global or self.rates_anywhere.get(rule) else self.holders


_Places: TypeAlias = "dict[ConfigKey | None, list[LoggingObject]]"
"""Where objects log a rule's sessions: at a port or network, or (None) everywhere."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An object logs one of every ``rate`` sessions that a rule decides."""

    name: str
    rule: str
    rate: int


@dataclass(slots=True)
class _Count:
    seen: int = 0
    logged: int = 0


@dataclass(slots=True)
class LoggingObjects:
    """The objects of a configuration, read anew when it changes, and what they have logged."""

    graph: Callable[[], ConfigGraph]
    _read: tuple[object, int] = (None, -1)
    _by_rule: dict[str, _Places] = field(default_factory=dict[str, "_Places"])
    _counts: dict[tuple[str, str], _Count] = field(default_factory=dict[tuple[str, str], _Count])
    """By object and rule."""

    @property
    def are_any(self) -> bool:
        self._follow()
        return bool(self._by_rule)

    def name_any(self, rules: Iterable[str]) -> bool:
        """Tell whether an object names one of these rules, wherever."""
        self._follow()
        return not self._by_rule.keys().isdisjoint(rules)

    def turns(self, rules: Iterable[str], ends: Iterable[ConfigKey]) -> list[Turn]:
        """Return which objects log sessions between ``ends`` that these rules decide, and how many."""
        self._follow()
        places = tuple(ends)
        found = (
            Turn(each.name, rule, each.rate(rule, places))
            for rule in rules
            for each in _at(self._by_rule.get(rule, {}), (None, *places))
        )
        return [turn for turn in found if turn.rate]

    def count(self, turn: Turn, sessions: int) -> range:
        """Count sessions; return which of them, from 0, the object logs."""
        count = self._counts.setdefault((turn.name, turn.rule), _Count())
        logged = range(-count.seen % turn.rate, sessions, turn.rate)
        count.seen += sessions
        count.logged += len(logged)
        return logged

    def rows(self) -> Iterator[Mapping[str, object]]:
        """Rows for people: what is logged where, and how much was."""
        self._follow()
        for rule, places in sorted(self._by_rule.items()):
            for each in _at(places, places):
                count = self._counts.get((each.name, rule), _Count())
                anywhere = each.rates_anywhere.get(rule, 0)
                held = sorted(f"{key.type_name} {key.name}" for key in each.holders)
                yield {
                    "object": each.name,
                    "rule": rule,
                    "rate": anywhere or each.rates.get(rule, 0),
                    "where": ["everywhere"] if each.is_global or anywhere else held,
                    "sessions": count.seen,
                    "logged": count.logged,
                }

    def _follow(self) -> None:
        graph = self.graph()
        if self._read[0] is graph and self._read[1] == graph.version:
            return
        self._read = graph, graph.version
        self._by_rule = {}
        for each in sorted(read_logging_objects(graph), key=lambda each: each.name):
            for rule in each.rates.keys() | each.rates_anywhere.keys():
                places = self._by_rule.setdefault(rule, {})
                for place in each.places(rule):
                    at_place = places.setdefault(place, [])
                    if len(at_place) < PLACE_COUNT_MAX:
                        at_place.append(each)
        held = {
            (each.name, rule)
            for rule, places in self._by_rule.items()
            for each in _at(places, places)
        }
        self._counts = {key: count for key, count in self._counts.items() if key in held}


def _at(places: _Places, wanted: Iterable[ConfigKey | None]) -> Iterable[LoggingObject]:
    """Return the objects of these places, each once."""
    found = {each.name: each for place in wanted for each in places.get(place, ())}
    return found.values()


def read_logging_objects(graph: ConfigGraph) -> Iterator[LoggingObject]:
    """Yield the objects that log anything. O(what they name)."""
    settings = list(graph.nodes(GLOBAL))
    if not all(
        flag_of(node.properties.get("enable_security_logging"), default=True) for node in settings
    ):
        return
    for node in graph.nodes(OBJECT):
        if flag_of(mapping_of(node.properties.get("id_perms")).get("enable"), default=True):
            yield _read(graph, node)


def _read(graph: ConfigGraph, node: ConfigNode) -> LoggingObject:
    key, properties = node.key, node.properties
    rate = _rate(properties.get("security_logging_object_rate"), RATE_DEFAULT)
    rates: dict[str, int] = {}
    for type_name in _LISTS:
        for other in graph.neighbours(key, type_name):
            rates |= _rule_list(graph.link_value(key, other), rate)
    rates |= _rule_list(properties.get("security_logging_object_rules"), rate)
    anywhere: dict[str, int] = {}
    for policy in graph.neighbours(key, _POLICY):
        own = _rate(mapping_of(graph.link_value(key, policy)).get("rate"), rate)
        anywhere |= {object_uuid(each): own for each in graph.linked_nodes(policy, _RULE)}
    for rule in graph.linked_nodes(key, _RULE):
        own = _rate(mapping_of(graph.link_value(key, rule.key)).get("rate"), rate)
        anywhere[object_uuid(rule)] = own
    return LoggingObject(
        name=key.name,
        rates=rates,
        rates_anywhere=anywhere,
        holders=frozenset(each for kind in _HOLDERS for each in graph.neighbours(key, kind)),
        is_global=bool(graph.neighbours(key, GLOBAL)),
    )


def _rule_list(value: ConfigValue | None, rate: int) -> dict[str, int]:
    listed = [mapping_of(each) for each in list_of(mapping_of(value).get("rule"))]
    named = ((text_of(each.get("rule_uuid")), each.get("rate")) for each in listed)
    return {uuid.lower(): _rate(own, rate) for uuid, own in named if uuid}


def _rate(value: ConfigValue | None, default: int) -> int:
    """Read a rate; what is negative or missing is the object's."""
    number = None if value is None else number_of(value)
    return default if number is None or number < 0 else number
