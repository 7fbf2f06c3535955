"""Static and aggregate routes of routing instances: configured prefixes led to a next hop's route.

A static route is there while the route to its next hop is (path resolution: labels, tunnels and
security groups are that route's). An aggregate also needs a more specific route to stand for, and
while it is there these are not told beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from skytrail.control.instances import instance_name
from skytrail.control.origination import Best, Draft, IpPrefix, Maker, Table
from skytrail.control.path import Made, Path
from skytrail.control.service_chain import anchors, born_in
from skytrail.model.generated.objects import RouteAggregate, RoutingInstance
from skytrail.model.generated.types import StaticRouteType
from skytrail.model.graph import ObjectGraph
from skytrail.net import RouteTarget
from skytrail.wire.xmpp import EnetKey, Family, RouteKey

STATIC = "static"
AGGREGATE = "aggregate"
_V4 = 4


@dataclass(frozen=True, slots=True)
class StaticSpec:
    """One static route."""

    table: Table
    prefix: IpPrefix
    next_hop: IpPrefix
    network: str
    targets: frozenset[RouteTarget] = frozenset()
    communities: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"static {self.prefix} via {self.next_hop}"


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """One aggregate in one instance."""

    table: Table
    prefix: IpPrefix
    next_hop: IpPrefix
    network: str

    def __str__(self) -> str:
        return f"aggregate {self.prefix} via {self.next_hop}"


class StaticRoute:
    """Makes one prefix while its next hop is reached."""

    def __init__(self, spec: StaticSpec) -> None:
        self._spec = spec

    @property
    def spec(self) -> object:
        return self._spec

    @property
    def table(self) -> Table:
        return self._spec.table

    @property
    def watched(self) -> tuple[Table, ...]:
        return (self._spec.table,)

    @property
    def stands_for(self) -> Collection[RouteKey]:
        return ()

    def touched(self, table: Table, key: RouteKey, best: Best) -> Iterable[RouteKey]:
        """Follow the next hop's route."""
        del table, best
        return (self._spec.prefix,) if key == self._spec.next_hop else ()

    def make(self, key: RouteKey, best: Best) -> Iterator[Draft]:
        """Yield one path for each way to the next hop."""
        spec = self._spec
        for anchor in anchors(best(spec.table, spec.next_hop)):
            draft = _draft(anchor, STATIC, spec.network, spec.communities)
            yield replace(draft, targets=spec.targets)


class Aggregate:
    """Makes one prefix while something inside it is there and its next hop is reached."""

    def __init__(self, spec: AggregateSpec) -> None:
        self._spec = spec
        self._inside: dict[RouteKey, None] = {}

    @property
    def spec(self) -> object:
        return self._spec

    @property
    def table(self) -> Table:
        return self._spec.table

    @property
    def watched(self) -> tuple[Table, ...]:
        return (self._spec.table,)

    @property
    def stands_for(self) -> Collection[RouteKey]:
        return self._inside

    def touched(self, table: Table, key: RouteKey, best: Best) -> Iterable[RouteKey]:
        """Count the routes inside, and follow the next hop's."""
        spec, found = self._spec, key == self._spec.next_hop
        # The next hop's own route may be inside; it must stay told, or nobody could follow.
        if _is_inside(key, spec.prefix) and key != spec.next_hop:
            found = True
            if best(table, key):
                self._inside[key] = None
            else:
                self._inside.pop(key, None)
        return (spec.prefix,) if found else ()

    def make(self, key: RouteKey, best: Best) -> Iterator[Draft]:
        """Yield one path for each way to the next hop."""
        spec = self._spec
        if self._inside:
            for anchor in anchors(best(spec.table, spec.next_hop)):
                yield _draft(anchor, AGGREGATE, spec.network)


def static_makers(instance: RoutingInstance) -> Iterator[Maker]:
    """Yield the static routes of an instance that can be read."""
    entries = instance.static_route_entries
    for route in () if entries is None else entries.route:
        spec = _static(instance, route)
        if spec is not None:
            yield StaticRoute(spec)


def aggregate_makers(graph: ObjectGraph, aggregate: RouteAggregate) -> Iterator[Maker]:
    """Yield an aggregate's routes in each instance it applies to."""
    entries = aggregate.aggregate_route_entries
    for text in () if entries is None else entries.route:
        for instance in graph.refs(aggregate.uuid, RoutingInstance.type_name):
            try:
                prefix = ip_network(text, strict=False)
                next_hop = ip_network(ip_address(aggregate.aggregate_route_nexthop or ""))
            except ValueError:
                # No prefix, or no next hop yet: there is nowhere to lead to.
                continue
            if prefix.version == next_hop.version:
                table = (instance_name(instance.fq_name), _family(prefix))
                network = ":".join(instance.fq_name[:-1])
                yield Aggregate(AggregateSpec(table, prefix, next_hop, network))


def _static(instance: RoutingInstance, route: StaticRouteType) -> StaticSpec | None:
    try:
        prefix = ip_network(route.prefix or "", strict=False)
        next_hop = ip_network(ip_address(route.next_hop or ""))
        targets = frozenset(map(RouteTarget.parse, route.route_target))
    except ValueError:
        # The compiler reports what it cannot read; here it leads nowhere.
        return None
    if prefix.version != next_hop.version or prefix == next_hop:
        return None
    return StaticSpec(
        table=(instance_name(instance.fq_name), _family(prefix)),
        prefix=prefix,
        next_hop=next_hop,
        network=":".join(instance.fq_name[:-1]),
        targets=targets,
        communities=route.community,
    )


def _family(prefix: IpPrefix) -> Family:
    return Family.INET if prefix.version == _V4 else Family.INET6


def _draft(
    anchor: Path, kind: str, network: str, communities: tuple[str, ...] | None = None
) -> Draft:
    attributes = replace(anchor.attributes, sub_protocol="", sequence_number=0, sticky=False)
    if communities is not None:
        attributes = replace(attributes, communities=communities)
    return Draft(
        anchor=anchor,
        made=Made(kind),
        next_hops=born_in(network, anchor.next_hops),
        attributes=attributes,
        virtual_network=network,
    )


def _is_inside(key: RouteKey, prefix: IpPrefix) -> bool:
    return (
        not isinstance(key, EnetKey)
        and key.version == prefix.version
        and key.prefixlen > prefix.prefixlen
        and key.network_address in prefix
    )
