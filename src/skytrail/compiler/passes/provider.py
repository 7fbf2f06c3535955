"""Networks with a way into the underlay, and interconnections between data centres.

A network that refers to a provider network (``ip-fabric`` is one) exchanges routes with it. Policy
still has the last word: where a network has policies, the pair is closed unless a rule opens it.
A network with ``fabric_snat`` reaches the underlay under its host's address; from there nothing may
start a conversation with it. An interconnection adds its route targets to the networks on it, or to
what its logical routers join.
"""

from __future__ import annotations

from typing import Final

from skytrail.compiler.derived import Outcome, Violation
from skytrail.compiler.engine import TablePass, UnitPass, View
from skytrail.compiler.passes.logical_router import Router
from skytrail.compiler.passes.route_targets import Membership, Targets, read_targets
from skytrail.model.generated.objects import DataCenterInterconnect, VirtualNetwork

NETWORK: Final = VirtualNetwork.type_name
INTERCONNECT: Final = DataCenterInterconnect.type_name
PROVIDER_LINKS: Final = "provider_links"


def provider_links(view: View, uuid: str) -> Outcome:
    """Find the networks this one is linked with because one of the two is a provider network."""
    network = view.get(VirtualNetwork, uuid)
    if network is None:
        return Outcome()
    referred = [view.get(VirtualNetwork, each.uuid) for each in network.virtual_network_refs]
    linked = [each for each in referred if each is not None and each.is_provider_network]
    if network.is_provider_network:
        linked += view.referrers(VirtualNetwork, uuid)
    names = frozenset(":".join(each.fq_name) for each in linked if each.uuid != uuid)
    return Outcome(Membership(peers=names) if names else None)


def interconnect_membership(view: View) -> dict[str, Outcome]:
    """Turn the route targets of interconnections into what each network's instance needs."""
    found: dict[str, Membership] = {}
    violations: list[Violation] = []
    for each in view.every(DataCenterInterconnect):
        listed = each.data_center_interconnect_configured_route_target_list
        asked = Membership(Targets.both(*read_targets(each, listed, violations)))
        for uuid in sorted(_networks(view, each)):
            found[uuid] = found.get(uuid, Membership()) | asked
    outcomes = {uuid: Outcome(membership) for uuid, membership in found.items()}
    if violations:
        outcomes[INTERCONNECT] = Outcome(violations=tuple(violations))
    return outcomes


def _networks(view: View, interconnect: DataCenterInterconnect) -> set[str]:
    if interconnect.data_center_interconnect_mode == "l2":
        return {reference.uuid for reference in interconnect.virtual_network_refs}
    found: set[str] = set()
    for reference in interconnect.logical_router_refs:
        router = view.row("logical_router", reference.uuid, Router)
        if router is None:
            continue
        if router.internal_network is None:
            found |= router.networks
        elif (internal := view.by_name(VirtualNetwork, router.internal_network)) is not None:
            found.add(internal.uuid)
    return found


LINKS: Final = (UnitPass(PROVIDER_LINKS, NETWORK, frozenset({NETWORK}), provider_links),)
"""Policies read these."""

PASSES: Final = (
    TablePass(
        "interconnect_membership",
        frozenset({NETWORK, INTERCONNECT}),
        interconnect_membership,
        upstream=("logical_router",),
    ),
)
