"""Static routes of networks and logical routers, as entries of default routing instances.

```
 virtual-network --refs--> route-table     network_routes: entries of the network's own instance
 logical-router  --refs--> route-table     router_routes: entries where the next hop lives,
                                           exported with the router's targets
```
A next hop is an address, or a service instance that stands for the address of its interface: in the
network itself, or the left one for a logical router (which is how translated traffic gets out).
A route whose next hop cannot be found yet is left out and reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final

from skytrail.compiler.derived import FqName, Outcome, Violation
from skytrail.compiler.engine import TablePass, UnitPass, View
from skytrail.compiler.passes import subnets
from skytrail.compiler.passes.interfaces import networks_of
from skytrail.compiler.passes.logical_router import Router
from skytrail.compiler.passes.naming import may_name
from skytrail.compiler.passes.route_targets import ROUTER, Membership, Targets
from skytrail.compiler.passes.service_instances import (
    LEFT,
    SERVICE,
    SIDE_KINDS,
    Service,
    side_address,
)
from skytrail.compiler.passes.subnets import Prefix
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import (
    LogicalRouter,
    Project,
    RouteTable,
    ServiceInstance,
    VirtualNetwork,
)
from skytrail.model.generated.types import RouteType, StaticRouteType
from skytrail.model.objects import Reference

NETWORK: Final = VirtualNetwork.type_name
TABLE: Final = RouteTable.type_name
SERVICE_HOP: Final = "service-instance"


@dataclass(frozen=True, slots=True)
class RouterRoutes:
    """Static routes of a logical router, by the network that holds the next hop."""

    routes: tuple[tuple[str, StaticRouteType], ...]
    service_networks: frozenset[str]
    """uuids of networks in front of the router's services, which need the way back."""
    targets: Targets


@dataclass(slots=True)
class _Reader:
    """Reads the route tables of one object, collecting what it cannot."""

    owner: ConfigObject
    violations: list[Violation] = field(default_factory=list[Violation])

    def routes(
        self, view: View, references: tuple[Reference[None], ...]
    ) -> Iterator[tuple[RouteTable, RouteType, Prefix]]:
        for reference in sorted(references, key=lambda each: each.to):
            table = view.get(RouteTable, reference.uuid)
            if table is None or table.routes is None:
                continue
            for route in table.routes.route:
                try:
                    yield table, route, ip_network(route.prefix or "", strict=False)
                except ValueError:
                    self.report("bad_prefix", reference.to, f"{route.prefix!r} is no prefix")

    def address(self, route: RouteType, prefix: Prefix) -> str | None:
        """Return the next hop of a route that names an address."""
        try:
            found = ip_address(route.next_hop or "")
        except ValueError:
            self.missing(route)
            return None
        if found.version != prefix.version:
            self.missing(route)
            return None
        return str(found)

    def missing(self, route: RouteType) -> None:
        detail = f"next hop {route.next_hop!r} of {route.prefix} was not found here"
        self.report("next_hop_not_found", self.owner.fq_name, detail)

    def report(self, reason: str, fq_name: FqName, detail: str) -> None:
        kind = self.owner.type_name if fq_name == self.owner.fq_name else TABLE
        self.violations.append(Violation(kind, fq_name, reason, f"{detail}: route left out"))


def network_routes(view: View, uuid: str) -> Outcome:
    """Derive the static routes of one network's tables."""
    network = view.get(VirtualNetwork, uuid)
    if network is None or not network.route_table_refs:
        return Outcome()
    reader = _Reader(network)
    found: set[StaticRouteType] = set()
    for table, route, prefix in reader.routes(view, network.route_table_refs):
        service = _service(view, table, route)
        if service is None:
            address = reader.address(route, prefix)
        else:
            ports = [port for port in service.ports() if uuid in networks_of(view, (port,))]
            address = side_address(view, ports, prefix.version)
            if address is None:
                reader.missing(route)
        if address is not None:
            found.add(_static(route, prefix, address))
    membership = Membership(routes=frozenset(found)) if found else None
    return Outcome(membership, violations=tuple(reader.violations))


def router_routes(view: View, uuid: str) -> Outcome:
    """Derive the static routes of one logical router's tables."""
    router = view.get(LogicalRouter, uuid)
    row = view.row("logical_router", uuid, Router)
    if router is None or row is None or not router.route_table_refs:
        return Outcome()
    reader = _Reader(router)
    exported = tuple(sorted(row.targets.exports)) if row.internal_network is None else ()
    routes: set[tuple[str, StaticRouteType]] = set()
    services: set[str] = set()
    for table, route, prefix in reader.routes(view, router.route_table_refs):
        service = _service(view, table, route)
        if service is None:
            address = reader.address(route, prefix)
            where = () if address is None else tuple(_networks_with(view, row, address))
            if address is not None and not where:
                reader.missing(route)
        else:
            ports = service.ports(LEFT)
            address = side_address(view, ports, prefix.version)
            where = tuple(networks_of(view, ports))
            services.update(where)
            if address is None:
                reader.missing(route)
        if address is not None:
            routes.update((each, _static(route, prefix, address, exported)) for each in where)
    ordered = tuple(sorted(routes, key=lambda each: (each[0], *sort_key(each[1]))))
    ways_back = Targets(imports=row.targets.imports) if row.internal_network is None else Targets()
    found = RouterRoutes(ordered, frozenset(services), ways_back)
    return Outcome(found if routes or services else None, violations=tuple(reader.violations))


def router_route_membership(view: View) -> dict[str, Outcome]:
    """Turn what routers route into what each network's default instance needs."""
    found: dict[str, Membership] = {}
    for _, router in view.rows("router_routes", RouterRoutes):
        for uuid, route in router.routes:
            known = found.get(uuid, Membership())
            found[uuid] = known | Membership(routes=frozenset({route}))
        for uuid in router.service_networks:
            found[uuid] = found.get(uuid, Membership()) | Membership(router.targets)
    return {uuid: Outcome(membership) for uuid, membership in found.items()}


def sort_key(route: StaticRouteType) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    return (route.prefix or "", route.next_hop or "", route.route_target, route.community)


def _service(view: View, table: RouteTable, route: RouteType) -> Service | None:
    """Return the service a route names, if it is the table's to name.

    Whatever is no address may be one.
    """
    if route.next_hop is None or route.next_hop_type not in {None, SERVICE_HOP}:
        return None
    item = view.by_name(ServiceInstance, tuple(route.next_hop.split(":")))
    if item is None or not may_name(view, table, item):
        return None
    return view.row("service", item.uuid, Service)


def _static(
    route: RouteType, prefix: Prefix, address: str, targets: tuple[str, ...] = ()
) -> StaticRouteType:
    given = route.community_attributes
    return StaticRouteType(
        prefix=str(prefix),
        next_hop=address,
        route_target=targets,
        community=() if given is None else given.community_attribute,
    )


def _networks_with(view: View, router: Router, address: str) -> Iterator[str]:
    """Yield the networks of the router that have a subnet with this address."""
    wanted = ip_address(address)
    for uuid in sorted(router.networks):
        network = view.get(VirtualNetwork, uuid)
        prefixes = () if network is None else subnets.network_prefixes(view, network)
        if any(wanted in prefix for prefix in prefixes):
            yield uuid


_KINDS: Final = frozenset({NETWORK, TABLE, SERVICE, Project.type_name}) | SIDE_KINDS

PASSES: Final = (
    UnitPass("network_routes", NETWORK, _KINDS, network_routes, ("service",)),
    UnitPass(
        "router_routes",
        ROUTER,
        _KINDS | subnets.KINDS | {ROUTER},
        router_routes,
        ("logical_router", "service"),
    ),
    TablePass(
        "router_route_membership",
        frozenset({NETWORK}),
        router_route_membership,
        upstream=("router_routes",),
    ),
)
