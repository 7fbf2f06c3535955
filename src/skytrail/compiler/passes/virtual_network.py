"""Routing instances: route targets, links to other networks, what else the default one carries.

The API server makes a network's default routing instance; this pass fills its fields and makes the
route-target objects they need.
"""

from __future__ import annotations

from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Link, Outcome, Value, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.route_tables import sort_key
from skytrail.compiler.passes.route_targets import Membership, OwnTarget, Targets, targets_of
from skytrail.model.generated.objects import Bgpvpn, RouteTarget, RoutingInstance, VirtualNetwork
from skytrail.model.generated.types import InstanceTargetType, StaticRouteEntriesType

NETWORK: Final = VirtualNetwork.type_name
INSTANCE: Final = RoutingInstance.type_name
TARGET: Final = RouteTarget.type_name
TARGET_FIELD: Final = "route_target_refs"
INSTANCE_FIELD: Final = "routing_instance_refs"
MEMBERSHIP_PASSES: Final = (
    "policy_mirrors",
    "mirrored_networks",
    "provider_links",
    "router_membership",
    "interconnect_membership",
    "network_routes",
    "router_route_membership",
)
"""Passes that say by network what its default instance needs."""


def routing_instance(view: View, uuid: str) -> Outcome:
    """Derive the references of a network's default instance and the route targets they name."""
    network = view.get(VirtualNetwork, uuid)
    if network is None:
        return Outcome()
    name = default_instance_name(network.fq_name)
    instance = view.by_name(RoutingInstance, name)
    if instance is None:
        return Outcome(
            violations=(
                Violation(
                    NETWORK,
                    network.fq_name,
                    "no_routing_instance",
                    "the network has no default routing instance and carries no routes;"
                    " delete the network and create it again",
                ),
            )
        )
    violations: list[Violation] = []
    joined = _membership(view, uuid)
    wanted = targets_of([network, *_vpns(view, network)], violations) | joined.targets
    own = view.row("own_route_target", instance.uuid, OwnTarget)
    if own is not None:
        wanted |= Targets.both(own.route_target)
    targets = target_links(wanted)
    routes = tuple(sorted(joined.routes, key=sort_key))
    properties: dict[str, Value] = {"static_route_entries": StaticRouteEntriesType(route=routes)}
    leaves_by_host = network.fabric_snat is True or joined.leaves_by_host
    if leaves_by_host or instance.routing_instance_fabric_snat:
        properties["routing_instance_fabric_snat"] = leaves_by_host
    filled = Derived(
        DerivedKey(INSTANCE, name),
        properties=properties,
        links={TARGET_FIELD: targets, INSTANCE_FIELD: _peer_links(view, network, joined.peers)},
        update_only=True,
    )
    objects = [Derived(DerivedKey(TARGET, link.to)) for link in targets]
    return Outcome(derived=(*objects, filled), violations=tuple(violations))


def default_instance_name(network: FqName) -> FqName:
    return (*network, network[-1])


def target_links(targets: Targets) -> tuple[Link, ...]:
    """Return the references of a routing instance to these targets, by name."""
    directions = targets.directions()
    return tuple(
        Link((text,), InstanceTargetType(import_export=directions[text]))
        for text in sorted(directions)
    )


def _membership(view: View, uuid: str) -> Membership:
    found = Membership()
    for name in MEMBERSHIP_PASSES:
        asked = view.row(name, uuid, Membership)
        found = found if asked is None else found | asked
    return found


def _peer_links(view: View, network: VirtualNetwork, joined: frozenset[str]) -> tuple[Link, ...]:
    names = {*(view.row("connections", network.uuid, tuple) or ()), *joined}
    instances = [default_instance_name(tuple(name.split(":"))) for name in sorted(names)]
    return tuple(Link(name) for name in instances if view.by_name(RoutingInstance, name))


def _vpns(view: View, network: VirtualNetwork) -> list[Bgpvpn]:
    # A VPN of either kind joins by route targets; which families travel is up to the network.
    found = [view.get(Bgpvpn, reference.uuid) for reference in network.bgpvpn_refs]
    return [vpn for vpn in found if vpn is not None]


PASSES: Final = (
    UnitPass(
        "routing_instance",
        NETWORK,
        frozenset({NETWORK, INSTANCE, Bgpvpn.type_name}),
        routing_instance,
        ("connections", "own_route_target", *MEMBERSHIP_PASSES),
    ),
)
