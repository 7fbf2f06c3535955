"""Tags of ports and the application policy sets they obey, read from configuration.

```
 port > machines > vRouter > networks > project      tags: per type the first that has any; labels add up
 everybody's sets > the project's > the application tag's        global ones first, then by name
        set --sequence--> policies --sequence--> rules           drafts left out
```
Equal to what the controller's compiler makes of the same objects (``compiler/passes/policy_sets``).
What cannot be read never allows: a pass rule matches nothing, a deny rule everything it may have
meant, and what is referred to but has not arrived denies from its place on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from skytrail.agent.access_list import (
    PORTS_ALL,
    PortRange,
    Selector,
    copies_of_rule,
    ports_of,
    prefix_order,
    protocol_of,
)
from skytrail.agent.config import Change, ConfigGraph
from skytrail.agent.config_values import (
    bounded_of,
    flag_of,
    list_of,
    mapping_of,
    object_uuid,
    prefix_of,
    text_of,
)
from skytrail.agent.mirror import Copied
from skytrail.wire.xmpp import ConfigKey, ConfigNode, ConfigValue

LABEL = 0
"""Tag type of labels, of which an object may have several."""
APPLICATION = 1
VALUE_BITS = 16
SECURITY_TYPES = frozenset(
    {
        "tag",
        "application-policy-set",
        "firewall-policy",
        "firewall-rule",
        "service-group",
        "address-group",
        "project",
    }
)
_SET, _POLICY, _RULE = "application-policy-set", "firewall-policy", "firewall-rule"
_DRAFTS = "draft-policy-management"
_EVERYBODY = ConfigKey(
    "global-vrouter-config", "default-global-system-config:default-global-vrouter-config"
)
_APPLIED_BY_PROJECT = "project-default-application-policy-set"
"""The link by which a project applies a set; it is also linked to sets it merely contains."""
_CONTAINS_TAG = frozenset({"project-scoped-tag"})
"""The link of a project to tags for its objects, which are not its own."""
_PROJECT_SET_PARTS = 3
_U32_MAX = (1 << 32) - 1
_CLOSED_ACTIONS = ("gateway_name", "assign_routing_instance", "apply_service")
"""What decides where traffic goes: a rule that asks for it is not followed half."""


@dataclass(frozen=True, slots=True)
class Service:
    protocol: int | None
    """None = every protocol."""
    source_ports: PortRange
    destination_ports: PortRange


EVERYTHING = Service(None, PORTS_ALL, PORTS_ALL)
NOBODY = Selector(never=True)


@dataclass(frozen=True, slots=True)
class SecurityRule:
    """One rule between two ends; a packet's source is the first end where ``direction`` is >."""

    uuid: str
    allow: bool
    direction: str
    ends: tuple[Selector, Selector]
    services: tuple[Service, ...]
    match_kinds: tuple[int, ...] = ()
    """Tag types both ends have, with equal values."""
    copied: Copied | None = None
    """Who gets copies of what it lets pass."""
    notes: str = ""
    """``log`` and ``alert``, which change nothing of what is allowed."""
    qos: str = ""
    """QoS configuration that marks what it lets pass."""


@dataclass(frozen=True, slots=True)
class PolicySet:
    name: str
    rules: tuple[SecurityRule, ...]


@dataclass(frozen=True)
class AppliedSets:
    """Sets that have rules, in order of evaluation; ports that obey the same share the object."""

    sets: tuple[PolicySet, ...]
    made: dict[object, object] = field(
        default_factory=dict[object, object], compare=False, repr=False
    )
    """What was derived from the sets, kept as long as they are."""

    @property
    def name(self) -> str:
        return ", ".join(each.name for each in self.sets)

    @cached_property
    def rules(self) -> tuple[tuple[str, SecurityRule], ...]:
        """(Set, rule) in order of evaluation."""
        return tuple((each.name, rule) for each in self.sets for rule in each.rules)


@dataclass(frozen=True, slots=True)
class PortSecurity:
    """What holds for one port."""

    tags: tuple[int, ...] = ()
    """Type and value, in order."""
    sets: AppliedSets | None = None
    missing_tags: tuple[str, ...] = ()
    """Referred to but not arrived: nobody knows which sets they lead to."""


NO_SECURITY = PortSecurity()


@dataclass(frozen=True, slots=True)
class _Tags:
    """Of one holder: numbers, and the tags of which is not known what they are."""

    found: tuple[tuple[int, ConfigKey], ...]
    missing: tuple[str, ...]


class SecurityReader:
    """Reads one graph; remembers what it read until :meth:`forget` is told it changed."""

    def __init__(self, graph: ConfigGraph) -> None:
        self.graph = graph
        self._holders: dict[ConfigKey, _Tags] = {}
        self._rules: dict[ConfigKey, SecurityRule | None] = {}
        self._orders: dict[ConfigKey, tuple[ConfigKey, ...]] = {}
        """Members of a set or policy by their sequence."""
        self._sets: dict[ConfigKey, PolicySet | None] = {}
        self._applied: dict[tuple[ConfigKey, ...], AppliedSets | None] = {}
        """By project and application tags."""
        self._shared: dict[tuple[ConfigKey, ...], AppliedSets] = {}
        """By the sets themselves."""
        self._former: tuple[dict[ConfigKey, PolicySet], dict[tuple[ConfigKey, ...], AppliedSets]]
        self._former = {}, {}
        """Given out before: kept where they turn out equal, so that nothing seems to change."""

    def forget(self, changes: Iterable[Change]) -> None:
        """Read again what depends on these objects. O(changes)."""
        sets_changed = False
        for key, other in changes:
            self._holders.pop(key, None)
            match key.type_name:
                case "firewall-rule":
                    self._rules.pop(key, None)
                    sets_changed = True
                case "service-group" | "address-group":
                    for rule in self.graph.neighbours(key, _RULE):
                        self._rules.pop(rule, None)
                    sets_changed = True
                case "firewall-policy" | "application-policy-set":
                    self._orders.pop(key, None)
                    sets_changed = True
                case "tag":
                    self._holders.clear()
                    sets_changed = True
                case _:
                    sets_changed |= other == _SET
        if sets_changed:
            self._start_again()

    def _start_again(self) -> None:
        if self._applied:
            # What was not asked for since the last change is let go.
            sets = {key: value for key, value in self._sets.items() if value is not None}
            self._former = sets, self._shared
        self._sets, self._applied, self._shared = {}, {}, {}

    def port(self, key: ConfigKey) -> PortSecurity:
        """Return what holds for a port."""
        networks = self.graph.neighbours(key, "virtual-network")
        projects = self.graph.neighbours(key, "project")
        for network in networks[:1] if not projects else ():
            projects = self.graph.neighbours(network, "project")
        machines = self.graph.neighbours(key, "virtual-machine")
        # An agent is told of no vRouter but its own.
        own = [node.key for node in self.graph.nodes("virtual-router")]
        holders = (key, *machines, *own, *networks, *projects[:1])
        chosen: dict[int, set[tuple[int, ConfigKey]]] = {}
        missing: set[str] = set()
        for holder in holders:
            tags = self._tags(holder)
            missing.update(tags.missing)
            given: dict[int, set[tuple[int, ConfigKey]]] = {}
            for number, tag in tags.found:
                given.setdefault(number >> VALUE_BITS, set()).add((number, tag))
            for kind, values in given.items():
                if kind == LABEL:
                    chosen.setdefault(kind, set()).update(values)
                else:
                    chosen.setdefault(kind, values)
        if not (chosen or missing or projects or self.graph.node(_EVERYBODY)):
            return NO_SECURITY
        applications = [tag for _, tag in sorted(chosen.get(APPLICATION, ()))]
        return PortSecurity(
            tags=tuple(sorted(number for values in chosen.values() for number, _ in values)),
            sets=self._applied_by((*projects[:1], *applications)),
            missing_tags=tuple(sorted(missing)),
        )

    def _tags(self, holder: ConfigKey) -> _Tags:
        known = self._holders.get(holder)
        if known is None:
            found: list[tuple[int, ConfigKey]] = []
            missing: list[str] = []
            for key in self.graph.neighbours(holder, "tag"):
                if self.graph.link_kinds(holder, key) <= _CONTAINS_TAG:
                    continue
                node = self.graph.node(key)
                if node is None:
                    missing.append(key.name)
                    continue
                number = _tag_number(node.properties)
                if number is not None:
                    found.append((number, key))
            known = self._holders[holder] = _Tags(tuple(found), tuple(missing))
        return known

    def _applied_by(self, places: tuple[ConfigKey, ...]) -> AppliedSets | None:
        """Return the sets of everybody, of a project and of application tags."""
        if places in self._applied:
            return self._applied[places]
        found: dict[ConfigKey, PolicySet] = {}
        for place in (_EVERYBODY, *places):
            keys = self.graph.neighbours(place, _SET)
            if place.type_name == "project":
                kinds = self.graph.link_kinds
                keys = [key for key in keys if _APPLIED_BY_PROJECT in kinds(place, key)]
            for key in sorted(keys, key=_global_first):
                known = self._set(key)
                if known is not None and known.rules:
                    found.setdefault(key, known)
        self._applied[places] = self._share(found) if found else None
        return self._applied[places]

    def _share(self, found: Mapping[ConfigKey, PolicySet]) -> AppliedSets:
        keys = tuple(found)
        known = self._shared.get(keys)
        if known is None:
            made, former = AppliedSets(tuple(found.values())), self._former[1].get(keys)
            known = former if former is not None and former == made else made
            self._shared[keys] = known
        return known

    def _set(self, key: ConfigKey) -> PolicySet | None:
        if key not in self._sets:
            made = self._read_set(key)
            former = self._former[0].get(key)
            self._sets[key] = former if former == made else made
        return self._sets[key]

    def _read_set(self, key: ConfigKey) -> PolicySet | None:
        """Collect the rules of a set; None for a draft."""
        node = self.graph.node(key)
        if node is None:
            return PolicySet(key.name, (_not_arrived(key),))
        if _is_draft(node):
            return None
        rules: dict[ConfigKey, SecurityRule] = {}
        for policy in self._members(key, _POLICY):
            policy_node = self.graph.node(policy)
            if policy_node is None:
                rules[policy] = _not_arrived(policy)
            elif not _is_draft(policy_node):
                for entry in self._members(policy, _RULE):
                    rule = self._rule(entry)
                    if rule is not None:
                        rules.setdefault(entry, rule)
        return PolicySet(key.name, tuple(rules.values()))

    def _members(self, key: ConfigKey, type_name: str) -> tuple[ConfigKey, ...]:
        known = self._orders.get(key)
        if known is None:
            keyed = [
                (_sequence(self.graph.link_value(key, member), member.name), member)
                for member in self.graph.neighbours(key, type_name)
            ]
            known = self._orders[key] = tuple(member for _, member in sorted(keyed))
        return known

    def _rule(self, key: ConfigKey) -> SecurityRule | None:
        if key not in self._rules:
            node = self.graph.node(key)
            if node is None:
                return _not_arrived(key)
            self._rules[key] = None if _is_draft(node) else self._read_rule(node)
        return self._rules[key]

    def _read_rule(self, node: ConfigNode) -> SecurityRule:
        properties = node.properties
        action = mapping_of(properties.get("action_list"))
        allow = text_of(action.get("simple_action")) == "pass"
        one, two = (self._end(node, name) for name in ("endpoint_1", "endpoint_2"))
        services = self._services(node)
        direction = text_of(properties.get("direction"))
        readable = not (
            one is None
            or two is None
            or services is None
            or direction not in {">", "<", "<>"}
            or (allow and any(_is_set(action.get(name)) for name in _CLOSED_ACTIONS))
            or (allow and flag_of(action.get("host_based_service")))
        )
        kinds = _match_kinds(properties)
        readable &= kinds is not None
        everybody = Selector() if not allow else NOBODY
        notes = [name for name in ("log", "alert") if flag_of(action.get(name))]
        copied, gap = copies_of_rule(action, Selector(), Selector())
        notes += [gap] if gap else []
        return SecurityRule(
            uuid=object_uuid(node),
            allow=allow,
            direction=direction if direction in {">", "<", "<>"} else "<>",
            ends=(one or everybody, two or everybody)
            if readable or not allow
            else (NOBODY, NOBODY),
            services=(EVERYTHING,) if services is None else services,
            match_kinds=kinds if readable and kinds else (),
            copied=copied if allow else None,
            notes=" ".join(notes),
            qos=text_of(action.get("qos_action")) if allow else "",
        )

    def _end(self, rule: ConfigNode, name: str) -> Selector | None:
        """Return one end; None if it cannot be read."""
        parts = mapping_of(rule.properties.get(name))
        named, numbers = list_of(parts.get("tags")), list_of(parts.get("tag_ids"))
        group, network = text_of(parts.get("address_group")), text_of(parts.get("virtual_network"))
        if flag_of(parts.get("any")) or network == "any":
            return Selector()
        if named or numbers:
            tags = {bounded_of(number, _U32_MAX) for number in numbers}
            # A number for each name, or it is not known who is meant.
            readable = tags and 0 not in tags and len(tags) >= len({text_of(n) for n in named})
            return Selector(tags=tuple(sorted(tags))) if readable else None
        if group:
            return self._address_group(rule, group)
        if network:
            return Selector(network=network)
        if mapping_of(parts.get("subnet")):
            return _prefixes((parts.get("subnet"),))
        return None

    def _address_group(self, rule: ConfigNode, name: str) -> Selector | None:
        linked = self.graph.linked_nodes(rule.key, "address-group")
        node = next((each for each in linked if each.key.name == name), None)
        if node is None or _is_draft(node):
            return None
        listed = mapping_of(node.properties.get("address_group_prefix"))
        return _prefixes(list_of(listed.get("subnet")))

    def _services(self, rule: ConfigNode) -> tuple[Service, ...] | None:
        """Return a rule's services; None if one of them cannot be read."""
        own = mapping_of(rule.properties.get("service"))
        if own:
            service = _service(own)
            return None if service is None else (service,)
        groups = self.graph.neighbours(rule.key, "service-group")
        found: dict[Service, None] = {}
        for key in groups:
            node = self.graph.node(key)
            if node is None or _is_draft(node):
                return None
            listed = mapping_of(node.properties.get("service_group_firewall_service_list"))
            for entry in list_of(listed.get("firewall_service")):
                service = _service(mapping_of(entry))
                if service is None:
                    return None
                found[service] = None
        return tuple(found) if groups else None


def _tag_number(properties: Mapping[str, ConfigValue]) -> int | None:
    try:
        return int(text_of(properties.get("tag_id")), 16)
    except ValueError:
        # The API gives every tag its number; the controller reports one without.
        return None


def _is_draft(node: ConfigNode) -> bool:
    """Whether it is only planned: it changes nothing until it is committed."""
    parts = node.key.name.split(":")
    drafted = len(parts) > 1 and parts[-2] == _DRAFTS
    return drafted or bool(text_of(node.properties.get("draft_mode_state")))


def _not_arrived(key: ConfigKey) -> SecurityRule:
    """Stand for an object that is referred to: nobody knows what it would allow."""
    return SecurityRule(
        uuid=f"{key.name} has not arrived",
        allow=False,
        direction="<>",
        ends=(Selector(), Selector()),
        services=(EVERYTHING,),
    )


def _global_first(key: ConfigKey) -> tuple[bool, list[str]]:
    parts = key.name.split(":")
    return len(parts) == _PROJECT_SET_PARTS, parts


def _sequence(value: ConfigValue | None, name: str) -> tuple[bool, int, str, list[str]]:
    """Order by number, then by what follows the point, as text; without a number last, by name."""
    whole, _, rest = text_of(mapping_of(value).get("sequence")).partition(".")
    if not (whole.isascii() and whole.isdecimal()):
        return True, 0, "", name.split(":")
    return False, int(whole), rest, name.split(":")


def _is_set(value: ConfigValue | None) -> bool:
    return bool(list_of(value))


def _match_kinds(properties: Mapping[str, ConfigValue]) -> tuple[int, ...] | None:
    """Return tag types by number; None if one cannot be read."""
    listed = list_of(mapping_of(properties.get("match_tag_types")).get("tag_type"))
    kinds = {bounded_of(each, _U32_MAX) for each in listed}
    return None if 0 in kinds else tuple(sorted(kinds))


def _prefixes(given: Iterable[ConfigValue | None]) -> Selector | None:
    """Return who is inside any of them: nobody if there is none; None if one cannot be read."""
    found = [prefix_of(each) for each in given]
    known = {prefix for prefix in found if prefix is not None}
    if None in found:
        return None
    return Selector(prefixes=tuple(sorted(known, key=prefix_order)), never=not known)


def _service(parts: Mapping[str, ConfigValue]) -> Service | None:
    # The API server knows more names than access lists do, and gives the number; 0 is any.
    number = text_of(parts.get("protocol_id"))
    text = text_of(parts.get("protocol"))
    protocol, readable = protocol_of(number or ("" if text == "-1" else text))
    if not readable:
        return None
    ranges = (ports_of(parts.get(name)) for name in ("src_ports", "dst_ports"))
    return Service(protocol if not number or int(number) else None, *ranges)
