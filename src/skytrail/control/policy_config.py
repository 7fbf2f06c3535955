"""Routing policies of the configuration, by the instances they are attached to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skytrail.control.bgp_values import community_number
from skytrail.control.config_graph import Change
from skytrail.control.instances import instance_name
from skytrail.control.route_target import Replicator
from skytrail.control.routing_policy import (
    Changes,
    CommunityPattern,
    ExtendedPattern,
    Match,
    Policies,
    PrefixRange,
    RoutePolicy,
    Term,
    extended_community,
    prefix_range,
)
from skytrail.model.generated.objects import InterfaceRouteTable, RoutingInstance, RoutingPolicy
from skytrail.model.generated.types import (
    ActionUpdateType,
    PolicyTermType,
    TermActionListType,
    TermMatchConditionType,
)
from skytrail.model.graph import ObjectGraph

_DEVICES = "network-device"
_U32_MAX = 0xFFFF_FFFF
_LAST = float("inf")


class InstancePolicies:
    """Keeps each instance's policies as configuration has them."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator

    def follow(self, changes: Iterable[Change], graph: ObjectGraph) -> None:
        """Take over changed configuration; paths of instances it concerns are judged again."""
        uuids: dict[str, None] = {}
        for change in changes:
            for version in change.versions:
                match version:
                    case RoutingInstance():
                        uuids[version.uuid] = None
                    case RoutingPolicy():
                        uuids.update(_instances(version))
                    case InterfaceRouteTable():
                        for policy in graph.of_type(RoutingPolicy.type_name):
                            if isinstance(policy, RoutingPolicy) and _names(policy, version.uuid):
                                uuids.update(_instances(policy))
                    case _:
                        pass
        for uuid in uuids:
            instance = graph.get(uuid)
            if isinstance(instance, RoutingInstance):
                policies = policies_of(graph, instance)
                self._replicator.set_policies(instance_name(instance.fq_name), policies)


def policies_of(graph: ObjectGraph, instance: RoutingInstance) -> Policies:
    """Return an instance's policies in their order: by sequence, then by name."""
    found: list[tuple[tuple[float, ...], str, RoutePolicy]] = []
    for policy in graph.back_refs(instance.uuid, RoutingPolicy.type_name):
        if not isinstance(policy, RoutingPolicy) or policy.term_type == _DEVICES:
            continue
        for reference in policy.routing_instance_refs:
            if reference.uuid == instance.uuid:
                sequence = None if reference.attr is None else reference.attr.sequence
                name = ":".join(policy.fq_name)
                found.append((_order(sequence), name, RoutePolicy(name, _terms(graph, policy))))
    return tuple([policy for _, _, policy in sorted(found, key=lambda each: each[:2])])


def _order(sequence: str | None) -> tuple[float, ...]:
    """Read ``<major>.<minor>``; what has no number comes last."""
    try:
        return tuple([float(part) for part in (sequence or "").split(".")])
    except ValueError:
        return (_LAST,)


def _instances(policy: RoutingPolicy) -> Iterator[tuple[str, None]]:
    for reference in policy.routing_instance_refs:
        yield reference.uuid, None


def _names(policy: RoutingPolicy, table: str) -> bool:
    entries = policy.routing_policy_entries
    return any(
        table in listed.interface_route_table_uuid
        for term in (() if entries is None else entries.term)
        if term.term_match_condition is not None
        for listed in term.term_match_condition.prefix_list
    )


def _terms(graph: ObjectGraph, policy: RoutingPolicy) -> tuple[Term, ...]:
    entries = policy.routing_policy_entries
    return tuple([_term(graph, term) for term in (() if entries is None else entries.term)])


def _term(graph: ObjectGraph, term: PolicyTermType) -> Term:
    condition, actions = term.term_match_condition, term.term_action_list
    match = Match() if condition is None else _match(graph, condition)
    if actions is None:
        return Term(match, None, "term")
    changes = None if actions.update is None else _changes(actions.update)
    return Term(match, changes, _outcome(actions))


def _outcome(actions: TermActionListType) -> str:
    if actions.action in {"accept", "reject"}:
        return actions.action
    return "policy" if actions.action_next_value == "policy" else "term"


def _match(graph: ObjectGraph, condition: TermMatchConditionType) -> Match:
    ranges = list(_ranges(graph, condition))
    is_about_prefixes = bool(condition.prefix or condition.prefix_list or condition.route_filter)
    texts = (*((condition.community,) if condition.community else ()), *condition.community_list)
    return Match(
        protocols=frozenset(condition.protocol),
        prefixes=tuple([each for each in ranges if each]) if is_about_prefixes else None,
        communities=tuple(map(CommunityPattern, texts)),
        communities_all=bool(condition.community_match_all),
        extended=tuple(map(ExtendedPattern, condition.extcommunity_list)),
        extended_all=bool(condition.extcommunity_match_all),
        local_preference=condition.local_pref,
        as_numbers=condition.as_path,
        route_types=frozenset(condition.nlri_route_type),
        family=condition.family or "",
        never=condition.external is not None,
    )


def _ranges(graph: ObjectGraph, condition: TermMatchConditionType) -> Iterator[PrefixRange | None]:
    for each in condition.prefix:
        yield prefix_range(each.prefix or "", each.prefix_type or "")
    for listed in condition.prefix_list:
        for uuid in listed.interface_route_table_uuid:
            table = graph.get(uuid)
            if isinstance(table, InterfaceRouteTable):
                routes = table.interface_route_table_routes
                for route in () if routes is None else routes.route:
                    yield prefix_range(route.prefix or "", listed.prefix_type or "")
    if condition.route_filter is not None:
        for each in condition.route_filter.route_filter_properties:
            yield prefix_range(each.route or "", each.route_type or "", each.route_type_value or "")


def _changes(update: ActionUpdateType) -> Changes:
    community, extended = update.community, update.extcommunity
    expand = None if update.as_path is None else update.as_path.expand
    return Changes(
        local_preference=_u32(update.local_pref),
        med=_u32(update.med),
        prepended=tuple(
            [number for number in (() if expand is None else expand.asn_list) if _u32(number)]
        ),
        communities_set=(
            None
            if community is None or community.set is None
            else _communities(community.set.community)
        ),
        communities_added=(
            ()
            if community is None or community.add is None
            else _communities(community.add.community)
        ),
        communities_removed=(
            ()
            if community is None or community.remove is None
            else _communities(community.remove.community)
        ),
        extended_set=(
            None if extended is None or extended.set is None else _extended(extended.set.community)
        ),
        extended_added=(
            () if extended is None or extended.add is None else _extended(extended.add.community)
        ),
        extended_removed=(
            ()
            if extended is None or extended.remove is None
            else _extended(extended.remove.community)
        ),
    )


def _u32(number: int | None) -> int | None:
    return number if number is not None and 0 <= number <= _U32_MAX else None


def _communities(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple([text for text in texts if community_number(text)])


def _extended(texts: Iterable[str]) -> tuple[bytes, ...]:
    read = map(extended_community, texts)
    return tuple([each for each in read if each is not None])
