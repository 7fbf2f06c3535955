"""BGP sessions among the installation's own routers, and the AS number of its control nodes.

Routers of one AS inside one cluster (the main one, or one sub-cluster) peer with each other. Where
there are route reflectors, routers that are neither reflectors nor control nodes peer with
reflectors only. A peering of the compiler carries a session uuid that follows from the two names:
so it is told from those of users, which stay as they are, and users may still change its
attributes. With ``ibgp_auto_mesh`` off nobody's peerings are touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Final

import msgspec

from skytrail.compiler.derived import Derived, DerivedKey, Link, Outcome
from skytrail.compiler.engine import TablePass, View
from skytrail.compiler.passes.route_targets import ASN_DEFAULT, SYSTEM_CONFIG_NAME
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import BgpRouter, GlobalSystemConfig, SubCluster
from skytrail.model.generated.types import (
    AddressFamilies,
    BgpPeeringAttributes,
    BgpRouterParams,
    BgpSession,
    BgpSessionAttributes,
)

BGP_ROUTER: Final = BgpRouter.type_name
CONTROL_NODE: Final = "control-node"
EXTERNAL: Final = "external-control-node"
"""A control node of another installation."""
CLIENT: Final = "bgpaas-client"
SERVER: Final = "bgpaas-server"
OUR_VENDOR: Final = "contrail"
NO_PARAMETERS: Final = BgpRouterParams()


@dataclass(frozen=True, slots=True)
class _Speaker:
    router: BgpRouter
    asn: int | None
    cluster: str | None
    """uuid of the sub-cluster; None is the main one."""
    cluster_asn: int

    @property
    def parameters(self) -> BgpRouterParams:
        return self.router.bgp_router_parameters or NO_PARAMETERS

    @property
    def is_reflector(self) -> bool:
        return bool(self.parameters.cluster_id)


def global_asn(view: View) -> int:
    system = view.by_name(GlobalSystemConfig, SYSTEM_CONFIG_NAME)
    return ASN_DEFAULT if system is None else system.autonomous_system or ASN_DEFAULT


def bgp_mesh(view: View) -> dict[str, Outcome]:
    """Derive the peerings of every router that is not one of a workload."""
    speakers = _speakers(view)
    system = view.by_name(GlobalSystemConfig, SYSTEM_CONFIG_NAME)
    has_mesh = system is None or system.ibgp_auto_mesh is not False
    peers: dict[str, list[_Speaker]] = {each.router.uuid: [] for each in speakers}
    has_reflectors = any(each.is_reflector for each in speakers)
    for one, other in permutations(speakers, 2):
        if _is_peer(one, other) and not (has_reflectors and _is_reflected(one, other)):
            peers[one.router.uuid].append(other)
    outcomes: dict[str, Outcome] = {}
    for speaker in speakers:
        router = speaker.router
        links = {}
        if has_mesh:
            links["bgp_router_refs"] = _peerings(speaker, peers[router.uuid])
        properties = {}
        if speaker.asn != speaker.parameters.autonomous_system:
            properties["bgp_router_parameters"] = msgspec.structs.replace(
                speaker.parameters, autonomous_system=speaker.asn
            )
        filled = Derived(
            DerivedKey(BGP_ROUTER, router.fq_name), properties, links, update_only=True
        )
        outcomes[router.uuid] = Outcome(derived=(filled,))
    return outcomes


def _speakers(view: View) -> list[_Speaker]:
    found: list[_Speaker] = []
    for router in view.every(BgpRouter):
        parameters = router.bgp_router_parameters or NO_PARAMETERS
        if parameters.router_type in {CLIENT, SERVER}:
            continue
        cluster = next((reference.uuid for reference in router.sub_cluster_refs), None)
        site = None if cluster is None else view.get(SubCluster, cluster)
        cluster_asn = global_asn(view) if site is None else site.sub_cluster_asn or global_asn(view)
        asn = cluster_asn if _is_ours(parameters) else parameters.autonomous_system
        found.append(_Speaker(router, asn, cluster, cluster_asn))
    return found


def _is_ours(parameters: BgpRouterParams) -> bool:
    """Whether the installation's AS number is the router's; others must say their own."""
    if parameters.router_type == EXTERNAL:
        return False
    if parameters.vendor:
        return parameters.vendor.lower() == OUR_VENDOR
    return parameters.router_type == CONTROL_NODE


def _is_peer(one: _Speaker, other: _Speaker) -> bool:
    return one.cluster == other.cluster and one.asn == other.asn == one.cluster_asn


def _is_reflected(one: _Speaker, other: _Speaker) -> bool:
    """Whether a route reflector makes a session between these two unnecessary."""
    if one.is_reflector or other.is_reflector:
        return False
    return not (
        one.parameters.router_type == CONTROL_NODE and other.parameters.router_type == CONTROL_NODE
    )


def _peerings(speaker: _Speaker, peers: list[_Speaker]) -> tuple[Link, ...]:
    """Return the mesh, over it what users made or changed of it."""
    links = {
        each.router.fq_name: Link(each.router.fq_name, _session(speaker, each)) for each in peers
    }
    for reference in speaker.router.bgp_router_refs:
        mark = _mark(speaker.router.fq_name, reference.to)
        is_made_here = reference.attr is not None and any(
            session.uuid == mark for session in reference.attr.session
        )
        if not is_made_here or (reference.to in links and _is_edited(reference.attr, mark)):
            links[reference.to] = Link(reference.to, reference.attr)
    return tuple(links[name] for name in sorted(links))


def _is_edited(attr: BgpPeeringAttributes | None, mark: str) -> bool:
    families = (
        next(
            (each.address_families for session in attr.session for each in session.attributes), None
        )
        if attr is not None
        else None
    )
    return attr != _attributes(mark, families)


def _session(one: _Speaker, other: _Speaker) -> BgpPeeringAttributes:
    lists = [each.parameters.address_families for each in (one, other)]
    mark = _mark(one.router.fq_name, other.router.fq_name)
    if lists[0] is None or lists[1] is None:
        return _attributes(mark, None)
    both = tuple(family for family in lists[0].family if family in lists[1].family)
    return _attributes(mark, AddressFamilies(family=both))


def _attributes(mark: str, families: AddressFamilies | None) -> BgpPeeringAttributes:
    session = BgpSessionAttributes(address_families=families)
    return BgpPeeringAttributes(session=(BgpSession(uuid=mark, attributes=(session,)),))


def _mark(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    return derived_uuid("bgp-session", tuple(":".join(name) for name in sorted((one, other))))


PASSES: Final = (
    TablePass(
        "bgp_mesh",
        frozenset({BGP_ROUTER, GlobalSystemConfig.type_name, SubCluster.type_name}),
        bgp_mesh,
    ),
)
