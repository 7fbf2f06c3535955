"""Firewall rules with everything they name looked up: tags by number, groups by content.

A passing rule that cannot be read is left out; a denying one is widened to what it might have
meant. Both are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final, TypeVar

from skytrail.compiler.derived import FqName, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes import naming
from skytrail.compiler.passes.entries import ALL_PORTS, ports
from skytrail.compiler.passes.protocols import ANY, protocol_number
from skytrail.compiler.passes.tags import tag_number
from skytrail.model.generated.objects import (
    AddressGroup,
    FirewallRule,
    Project,
    ServiceGroup,
    Tag,
    VirtualNetwork,
)
from skytrail.model.generated.types import (
    ActionListType,
    FirewallRuleEndpointType,
    FirewallServiceType,
    PortType,
    SubnetType,
)
from skytrail.model.objects import ConfigObject

T = TypeVar("T")

RULE: Final = FirewallRule.type_name
DRAFTS: Final = "draft-policy-management"
DIRECTIONS: Final = frozenset({">", "<", "<>"})
_GLOBAL: Final = "global:"
_ANY_PROTOCOL_ID: Final = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end; every kind that is given must hold, none given holds for all."""

    tags: frozenset[int] = frozenset()
    """All of them must be among the end's tags."""
    network: str | None = None
    prefixes: tuple[str, ...] | None = None
    """Any of them must contain the end's address; empty contains none."""


EVERYBODY: Final = Endpoint()


@dataclass(frozen=True, slots=True)
class FirewallService:
    protocol: str
    source_ports: PortType
    destination_ports: PortType


EVERYTHING: Final = FirewallService(ANY, ALL_PORTS, ALL_PORTS)


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule between two ends; ``match_kinds`` are tag types both ends must have alike."""

    uuid: str
    name: str
    action: ActionListType
    direction: str
    ends: tuple[Endpoint, Endpoint]
    services: tuple[FirewallService, ...]
    match_kinds: frozenset[int] = frozenset()

    @property
    def passes(self) -> bool:
        return self.action.simple_action == "pass"


class _Unreadable(Exception):
    """A part of a rule that means nothing; always caught in :func:`firewall_rule`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def firewall_rule(view: View, uuid: str) -> Outcome:
    """Compile one rule; drafts and unreadable passing rules have no value."""
    rule = view.get(FirewallRule, uuid)
    if rule is None or is_draft(rule):
        return Outcome()
    problems: list[_Unreadable] = []
    action = _action(rule.action_list, problems)
    passes = action.simple_action == "pass"
    one = _read(lambda: _endpoint(view, rule, rule.endpoint_1), EVERYBODY, problems)
    two = _read(lambda: _endpoint(view, rule, rule.endpoint_2), EVERYBODY, problems)
    services = _read(lambda: _services(view, rule), (EVERYTHING,), problems)
    direction = _read(lambda: _direction(rule), "<>", problems)
    kinds = () if rule.match_tag_types is None else rule.match_tag_types.tag_type
    violations = tuple(_violation(rule, problem, passes=passes) for problem in problems)
    violations += tuple(_not_added(view, rule, action)) if passes else ()
    if problems and passes:
        return Outcome(violations=violations)
    compiled = CompiledRule(
        uuid=uuid,
        name=":".join(rule.fq_name),
        action=action,
        direction=direction,
        ends=(one, two),
        services=services,
        # A rule that denies because it cannot be read must not be narrowed by its tags.
        match_kinds=frozenset() if problems else frozenset(kinds),
    )
    return Outcome(compiled, violations=violations)


def is_draft(item: ConfigObject) -> bool:
    """Whether a security object is only planned: it changes nothing until it is committed."""
    state = getattr(item, "draft_mode_state", None)
    return state is not None or (len(item.fq_name) > 1 and item.fq_name[-2] == DRAFTS)


def _read(read: Callable[[], T], otherwise: T, problems: list[_Unreadable]) -> T:
    try:
        return read()
    except _Unreadable as problem:
        problems.append(problem)
        return otherwise


def _action(given: ActionListType | None, problems: list[_Unreadable]) -> ActionListType:
    if given is None:
        return ActionListType(simple_action="deny")
    simple = "pass" if given.simple_action == "pass" else "deny"
    closed = {
        "apply_service": bool(given.apply_service),
        "gateway_name": bool(given.gateway_name),
        "assign_routing_instance": bool(given.assign_routing_instance),
        "host_based_service": bool(given.host_based_service),
    }
    for feature in [name for name, used in closed.items() if used and simple == "pass"]:
        detail = f"{feature} is not supported in firewall rules"
        problems.append(_Unreadable(f"{feature}_not_supported", detail))
    return ActionListType(
        simple_action=simple,
        log=given.log,
        alert=given.alert,
        qos_action=given.qos_action if simple == "pass" else None,
    )


def _not_added(view: View, rule: FirewallRule, action: ActionListType) -> Iterator[Violation]:
    """Tell what the rule names for its traffic that its project may not; hosts do not hear of it."""
    if action.qos_action and not naming.may_mark(view, rule, action.qos_action):
        yield Violation(
            RULE,
            rule.fq_name,
            "unknown_qos_config",
            f"qos-config {action.qos_action} does not exist or is not shared with this project:"
            " traffic passes unmarked",
        )
    mirror = None if rule.action_list is None else rule.action_list.mirror_to
    instance = None if mirror is None else mirror.routing_instance
    if instance and not naming.may_copy_into(view, rule, instance):
        yield Violation(
            RULE,
            rule.fq_name,
            "no_analyzer",
            f"the network of {instance} is not shared with this project: traffic passes without a"
            " copy",
        )


def _direction(rule: FirewallRule) -> str:
    if rule.direction not in DIRECTIONS:
        raise _Unreadable("bad_direction", f"direction {rule.direction!r} is not <, > or <>")
    return rule.direction or ""


def _endpoint(view: View, rule: FirewallRule, given: FirewallRuleEndpointType | None) -> Endpoint:
    if given is None:
        raise _Unreadable("bad_endpoint", "an endpoint is missing")
    if given.any:
        return EVERYBODY
    if given.tags or given.tag_ids:
        return Endpoint(tags=_tag_numbers(view, rule, given))
    if given.address_group:
        group = view.by_name(AddressGroup, _parts(given.address_group))
        if group is None or is_draft(group):
            raise _Unreadable(
                "unknown_address_group", f"address-group {given.address_group} does not exist"
            )
        listed = group.address_group_prefix
        return Endpoint(prefixes=_prefixes(() if listed is None else listed.subnet))
    if given.virtual_network:
        if given.virtual_network == ANY:
            return EVERYBODY
        if view.by_name(VirtualNetwork, _parts(given.virtual_network)) is None:
            raise _Unreadable("unknown_network", f"network {given.virtual_network} does not exist")
        return Endpoint(network=given.virtual_network)
    if given.subnet is not None:
        return Endpoint(prefixes=_prefixes((given.subnet,)))
    raise _Unreadable("bad_endpoint", "an endpoint names nothing; write any: true")


def _tag_numbers(view: View, rule: FirewallRule, given: FirewallRuleEndpointType) -> frozenset[int]:
    """Return the numbers of the tags named; the numbers the API server wrote if none is named."""
    if not given.tags:
        return frozenset(given.tag_ids)
    found: set[int] = set()
    for text in given.tags:
        name = _tag_name(rule, text)
        tag = view.by_name(Tag, name)
        number = None if tag is None else tag_number(tag)
        if number is None:
            raise _Unreadable("unknown_tag", f"tag {text} does not exist or has no tag_id")
        found.add(number)
    return frozenset(found)


def _tag_name(rule: FirewallRule, text: str) -> FqName:
    if text.startswith(_GLOBAL):
        return (text.removeprefix(_GLOBAL),)
    if rule.parent_type == Project.type_name:
        return (*rule.fq_name[:-1], text)
    return (text,)


def _prefixes(given: tuple[SubnetType, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for subnet in given:
        try:
            found.append(str(ip_network(f"{subnet.ip_prefix}/{subnet.ip_prefix_len}", False)))
        except ValueError as error:
            raise _Unreadable("bad_prefix", f"{error}") from None
    return tuple(sorted(set(found)))


def _services(view: View, rule: FirewallRule) -> tuple[FirewallService, ...]:
    if rule.service is not None:
        return (_service(rule.service),)
    if not rule.service_group_refs:
        raise _Unreadable("no_service", "the rule names neither a service nor a service-group")
    return tuple(dict.fromkeys(_group_services(view, rule)))


def _group_services(view: View, rule: FirewallRule) -> Iterator[FirewallService]:
    for reference in rule.service_group_refs:
        group = view.get(ServiceGroup, reference.uuid)
        if group is None or is_draft(group):
            name = ":".join(reference.to)
            raise _Unreadable("unknown_service_group", f"service-group {name} does not exist")
        listed = group.service_group_firewall_service_list
        for service in () if listed is None else listed.firewall_service:
            yield _service(service)


def _service(given: FirewallServiceType) -> FirewallService:
    protocol = protocol_number(given.protocol)
    if given.protocol_id is not None:
        # The API server knows more names than access lists do.
        protocol = ANY if given.protocol_id == _ANY_PROTOCOL_ID else str(given.protocol_id)
    if protocol is None:
        raise _Unreadable("unknown_protocol", f"protocol {given.protocol!r} is not known")
    return FirewallService(protocol, _ports(given.src_ports), _ports(given.dst_ports))


def _ports(given: PortType | None) -> PortType:
    return ports(() if given is None else (given,))[0]


def _parts(name: str) -> FqName:
    return tuple(name.split(":"))


def _violation(rule: FirewallRule, problem: _Unreadable, *, passes: bool) -> Violation:
    answer = "the rule allows nothing" if passes else "the rule denies all it may have meant"
    return Violation(RULE, rule.fq_name, problem.reason, f"{problem}: {answer}")


PASSES: Final = (
    UnitPass(
        "firewall_rule",
        RULE,
        frozenset(
            {
                RULE,
                AddressGroup.type_name,
                ServiceGroup.type_name,
                Tag.type_name,
                VirtualNetwork.type_name,
            }
        )
        | naming.KINDS,
        firewall_rule,
    ),
)
