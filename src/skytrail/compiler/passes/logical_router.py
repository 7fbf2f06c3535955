"""Logical routers: networks that exchange routes because one router has an interface in each.

```
 logical-router --refs--> virtual-machine-interface --refs--> virtual-network
       | logical_router      own route target, internal network; which networks, which targets
       +--> router_membership   by network: what its default instance imports, exports, links to
```
A router of the common kind joins by route targets: its own, the configured ones and those of its
VPNs, imported and exported by every network it touches. A VXLAN router leaves the route targets of
the networks alone: an internal network carries them, as external gateways expect it, and the
instances of the networks are connected with each other and with it (docs/adr/0106).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Link, Outcome, Violation
from skytrail.compiler.engine import TablePass, UnitPass, View
from skytrail.compiler.passes.interfaces import networks_of
from skytrail.compiler.passes.route_targets import (
    ROUTER,
    TARGET,
    Membership,
    OwnTarget,
    Targets,
    read_targets,
    targets_of,
)
from skytrail.model.generated.objects import (
    Bgpvpn,
    LogicalRouter,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import (
    IdPermsType,
    LogicalRouterVirtualNetworkType,
    RouteTargetList,
    VirtualNetworkType,
)
from skytrail.model.objects import Reference
from skytrail.net.decimal_text import SHOWN_LENGTH, decimal

NETWORK: Final = VirtualNetwork.type_name
VXLAN: Final = "vxlan-routing"
INTERNAL: Final = "InternalVirtualNetwork"
EXTERNAL: Final = "ExternalGateway"
IP_FABRIC: Final[FqName] = ("default-domain", "default-project", "ip-fabric")
"""The network that stands for the underlay."""
VNI_MAX: Final = (1 << 24) - 1


@dataclass(frozen=True, slots=True)
class Router:
    """What one router joins, and by what."""

    networks: frozenset[str]
    """uuids"""
    targets: Targets
    internal_network: FqName | None = None
    """Set for VXLAN routers."""
    externals: frozenset[str] = frozenset()
    """uuids of networks by whose addresses its own are led out: not the underlay, and not of a VXLAN
    router, whose external networks are a matter of physical routers."""
    leaves_by_host: bool = False
    """Its external gateway is the underlay: its networks reach that by their hosts' addresses."""


def internal_network_name(router: LogicalRouter) -> FqName:
    return (*router.fq_name[:-1], f"__contrail_lr_internal_vn_{router.uuid}__")


def logical_router(view: View, uuid: str) -> Outcome:
    """Derive a router's own route target, its internal network, and what it joins."""
    router = view.get(LogicalRouter, uuid)
    if router is None:
        return Outcome()
    violations: list[Violation] = []
    configured = read_targets(router, router.configured_route_target_list, violations)
    targets = Targets.both(*configured) | targets_of(_vpns(view, router), violations)
    own = view.row("own_route_target", uuid, OwnTarget)
    own_texts = () if own is None else (own.route_target,)
    links: dict[str, tuple[Link, ...]] = {
        "route_target_refs": tuple(Link((text,)) for text in own_texts)
    }
    derived = [Derived(DerivedKey(TARGET, (text,))) for text in own_texts]
    internal = internal_network_name(router) if router.logical_router_type == VXLAN else None
    used = [
        each for each in router.virtual_network_refs if each.to != internal_network_name(router)
    ]
    if internal is not None or len(used) != len(router.virtual_network_refs):
        links["virtual_network_refs"] = tuple(Link(each.to, each.attr) for each in used)
    if internal is not None:
        derived.append(_internal_network(router, internal, targets, violations))
        kind = LogicalRouterVirtualNetworkType(logical_router_virtual_network_type=INTERNAL)
        links["virtual_network_refs"] += (Link(internal, kind),)
    derived.append(Derived(DerivedKey(ROUTER, router.fq_name), links=links, update_only=True))
    row = Router(
        networks_of(view, (each.uuid for each in router.virtual_machine_interface_refs)),
        targets | Targets.both(*own_texts),
        internal,
        frozenset(_externals(used)) if internal is None else frozenset[str](),
        any(each.to == IP_FABRIC and _is_external(each.attr) for each in used),
    )
    return Outcome(row, tuple(derived), tuple(violations))


def _externals(used: Iterable[Reference[LogicalRouterVirtualNetworkType]]) -> Iterator[str]:
    for each in used:
        if each.to != IP_FABRIC and _is_external(each.attr):
            yield each.uuid


def _is_external(kind: LogicalRouterVirtualNetworkType | None) -> bool:
    named = None if kind is None else kind.logical_router_virtual_network_type
    return named in (None, EXTERNAL)


def router_membership(view: View) -> dict[str, Outcome]:
    """Turn what routers join into what each network's default instance needs."""
    found: dict[str, Membership] = {}
    for _, router in view.rows("logical_router", Router):
        members = set(router.networks)
        if router.internal_network is not None:
            internal = view.by_name(VirtualNetwork, router.internal_network)
            members |= set() if internal is None else {internal.uuid}
        names = {
            uuid: ":".join(network.fq_name)
            for uuid in members
            if (network := view.get(VirtualNetwork, uuid)) is not None
        }
        for uuid, name in names.items():
            asked = (
                Membership(targets=router.targets)
                if router.internal_network is None
                else Membership(peers=frozenset(names.values()) - {name})
            )
            asked |= Membership(leaves_by_host=router.leaves_by_host)
            found[uuid] = found.get(uuid, Membership()) | asked
    return {uuid: Outcome(membership) for uuid, membership in found.items()}


def _internal_network(
    router: LogicalRouter, name: FqName, targets: Targets, violations: list[Violation]
) -> Derived:
    text = (router.vxlan_network_identifier or "").strip()
    vni = decimal(text, 1, VNI_MAX)
    if text and vni is None:
        detail = f"{text[:SHOWN_LENGTH]!r} is no number from 1 to {VNI_MAX}: the network's own number is used"
        violations.append(Violation(ROUTER, router.fq_name, "bad_vxlan_network_identifier", detail))
    return Derived(
        DerivedKey(NETWORK, name),
        properties={
            "virtual_network_category": "routed",
            "virtual_network_properties": VirtualNetworkType(
                forwarding_mode="l3", vxlan_network_identifier=vni
            ),
            "route_target_list": _listed(targets.imports & targets.exports),
            "import_route_target_list": _listed(targets.imports - targets.exports),
            "export_route_target_list": _listed(targets.exports - targets.imports),
        },
        initial={
            "id_perms": IdPermsType(enable=True, user_visible=False),
            "display_name": f"LR::{router.display_name or router.name}",
        },
        parent_type=router.parent_type or "project",
    )


def _listed(targets: frozenset[str]) -> RouteTargetList:
    return RouteTargetList(route_target=tuple(sorted(targets)))


def _vpns(view: View, router: LogicalRouter) -> list[Bgpvpn]:
    found = [view.get(Bgpvpn, reference.uuid) for reference in router.bgpvpn_refs]
    return [vpn for vpn in found if vpn is not None and vpn.bgpvpn_type in {None, "l3"}]


PASSES: Final = (
    UnitPass(
        "logical_router",
        ROUTER,
        frozenset({ROUTER, VirtualMachineInterface.type_name, Bgpvpn.type_name}),
        logical_router,
        ("own_route_target",),
    ),
    TablePass(
        "router_membership",
        frozenset({NETWORK}),
        router_membership,
        upstream=("logical_router",),
    ),
)
