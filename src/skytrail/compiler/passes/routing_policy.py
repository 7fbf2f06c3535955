"""Routing policies and route aggregates: which routing instances they are applied to.

A policy applies to the default instance of every network that refers to it and to the instances of
a service on the side the policy names, each with its sequence. An aggregate applies to the
instances of one side of a service and points to the address the chain is entered by.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Link, Outcome, Value
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.service_instances import (
    LEFT,
    PORT,
    RIGHT,
    Service,
    side_instances,
)
from skytrail.compiler.passes.virtual_network import INSTANCE, INSTANCE_FIELD, default_instance_name
from skytrail.model.generated.objects import (
    RouteAggregate,
    RoutingInstance,
    RoutingPolicy,
    VirtualNetwork,
)
from skytrail.model.generated.types import RoutingPolicyType

POLICY: Final = RoutingPolicy.type_name
AGGREGATE: Final = RouteAggregate.type_name


def routing_policy(view: View, uuid: str) -> Outcome:
    """Derive the instances one policy applies to."""
    policy = view.get(RoutingPolicy, uuid)
    if policy is None:
        return Outcome()
    sequences: dict[FqName, str | None] = {}
    for reference in policy.service_instance_refs:
        service = view.row("service", reference.uuid, Service)
        if service is None or reference.attr is None:
            continue
        sides = ((LEFT, reference.attr.left_sequence), (RIGHT, reference.attr.right_sequence))
        for role, sequence in sides:
            if sequence is not None:
                for name in side_instances(view, service, role):
                    sequences[name] = sequence
    for network in view.referrers(VirtualNetwork, uuid):
        name = default_instance_name(network.fq_name)
        if view.by_name(RoutingInstance, name) is None:
            continue
        for reference in network.routing_policy_refs:
            if reference.uuid == uuid:
                sequences[name] = None if reference.attr is None else reference.attr.sequence
    links = tuple(
        Link(name, RoutingPolicyType(sequence=sequences[name])) for name in sorted(sequences)
    )
    filled = Derived(DerivedKey(POLICY, policy.fq_name), links={INSTANCE_FIELD: links},
                     update_only=True)  # fmt: skip
    return Outcome(derived=(filled,))


def route_aggregate(view: View, uuid: str) -> Outcome:
    """Derive the instances one aggregate applies to, and its next hop."""
    aggregate = view.get(RouteAggregate, uuid)
    if aggregate is None:
        return Outcome()
    names: set[FqName] = set()
    for reference in aggregate.service_instance_refs:
        service = view.row("service", reference.uuid, Service)
        role = None if reference.attr is None else reference.attr.interface_type
        if service is not None and role is not None:
            names.update(side_instances(view, service, role))
    links = {INSTANCE_FIELD: tuple(Link(name) for name in sorted(names))}
    addresses = {_entry_address(view, name, _version(aggregate)) for name in names} - {None}
    properties: dict[str, Value] = {}
    if addresses:
        properties["aggregate_route_nexthop"] = min(str(each) for each in addresses)
    filled = Derived(DerivedKey(AGGREGATE, aggregate.fq_name), properties, links, update_only=True)
    return Outcome(derived=(filled,))


def _version(aggregate: RouteAggregate) -> int:
    entries = aggregate.aggregate_route_entries
    for text in () if entries is None else entries.route:
        try:
            return ip_network(text, strict=False).version
        except ValueError:
            # The control node ignores it as well; the next one decides.
            continue
    return 4


def _entry_address(view: View, name: FqName, version: int) -> str | None:
    instance = view.by_name(RoutingInstance, name)
    if instance is None:
        return None
    fourth, sixth = instance.service_chain_information, instance.ipv6_service_chain_information
    chain = fourth if version == 4 else sixth
    return None if chain is None else chain.service_chain_address


_KINDS: Final = frozenset({INSTANCE, PORT})

PASSES: Final = (
    UnitPass(
        "routing_policy",
        POLICY,
        _KINDS | {POLICY, VirtualNetwork.type_name},
        routing_policy,
        ("service",),
    ),
    UnitPass("route_aggregate", AGGREGATE, _KINDS | {AGGREGATE}, route_aggregate, ("service",)),
)
