"""Service chains: the far network's routes, told again as leading through a service.

```
 service's instance --> [far table: routes of the far network] + [anchor: route to the service]
     a subnet of the far network is told while any route inside it is there
     a route outside its subnets (from a gateway, say) is told as it is
```
Several services in a row each have such an instance; connections between the instances make the
chain. A route that came through the near network already is not led back to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from skytrail.control.bgp_values import community_text
from skytrail.control.origination import Best, Draft, IpPrefix, Table
from skytrail.control.path import InstanceName, Made, Path
from skytrail.model.generated.objects import RoutingInstance, VirtualNetwork
from skytrail.model.generated.types import ServiceChainInfo
from skytrail.model.graph import ObjectGraph
from skytrail.wire.bgp import AsSegment
from skytrail.wire.xmpp import EnetKey, Family, NextHop, RouteKey

KIND = "service-chain"
_KEPT_HERE = frozenset({"no-advertise", "no-reoriginate"})
"""Communities of routes that are not to be told again."""
_V4 = 4
_ANCHORS = (ip_network("0.0.0.0/8"), ip_network("::/104"))
"""Where transparent services have their addresses from. Nobody is to be led to one: told again, it
would be an anchor itself, and chains would hold each other up."""


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """One side of one service, for one IP version."""

    table: Table
    near_network: str
    """Where the chain leads from."""
    far: Table
    far_network: str
    far_is_transit: bool
    """Routes the far network has from others are told again, too."""
    prefixes: tuple[IpPrefix, ...]
    connected: Table
    address: IpPrefix
    """Of the service; its route is the anchor."""
    retain_as_path: bool = False

    def __str__(self) -> str:
        prefixes = " ".join(map(str, self.prefixes))
        return f"{self.far_network} ({prefixes}) through {self.address} of {self.connected[0]}"


class ServiceChain:
    """Makes the far network's routes again."""

    def __init__(self, spec: ChainSpec) -> None:
        self._spec = spec
        self._inside: dict[IpPrefix, dict[RouteKey, None]] = {each: {} for each in spec.prefixes}
        """Routes of the far network inside each of its subnets."""
        self._outside: dict[RouteKey, None] = {}

    @property
    def spec(self) -> object:
        return self._spec

    @property
    def table(self) -> Table:
        return self._spec.table

    @property
    def watched(self) -> tuple[Table, ...]:
        return (self._spec.far, self._spec.connected)

    @property
    def stands_for(self) -> Collection[RouteKey]:
        return ()

    def touched(self, table: Table, key: RouteKey, best: Best) -> Iterable[RouteKey]:
        """Take note of a route of the far network, or of the way to the service."""
        found: dict[RouteKey, None] = {}
        if table == self._spec.connected and key == self._spec.address:
            found.update(dict.fromkeys(self._inside))
            found.update(self._outside)
        if table == self._spec.far and not any(_covers(each, key) for each in _ANCHORS):
            present = any(self._may_tell(path) for path in best(table, key))
            covering = [prefix for prefix in self._inside if _covers(prefix, key)]
            for prefix in covering:
                _note(self._inside[prefix], key, present=present)
            if not covering:
                _note(self._outside, key, present=present)
            found.update(dict.fromkeys(covering or [key]))
        return found

    def make(self, key: RouteKey, best: Best) -> Iterator[Draft]:
        """Yield one path for each way to the service."""
        spec = self._spec
        if key == spec.address:
            return
        told = next(filter(self._may_tell, best(spec.far, key)), None)
        inside = self._inside.get(key) if not isinstance(key, EnetKey) else None
        if inside is not None:
            if not inside:
                return
            told = None
        elif told is None:
            return
        origin = spec.far_network if told is None else self._origin(told)
        through = (origin, *(() if told is None else led_through(told)))
        for anchor in anchors(best(spec.connected, spec.address)):
            attributes = anchor.attributes
            if told is not None:
                attributes = replace(attributes, communities=told.attributes.communities)
            yield Draft(
                anchor=anchor,
                made=Made(KIND, tuple(dict.fromkeys(through))),
                next_hops=born_in(origin, anchor.next_hops),
                attributes=replace(attributes, sub_protocol="", sequence_number=0, sticky=False),
                virtual_network=origin,
                as_path=_as_path(told) if spec.retain_as_path and told is not None else (),
            )

    def _origin(self, path: Path) -> str:
        return path.next_hops[0].virtual_network or path.virtual_network or self._spec.far_network

    def _may_tell(self, path: Path) -> bool:
        spec = self._spec
        if not path.is_feasible or not _KEPT_HERE.isdisjoint(_communities(path)):
            return False
        origin = self._origin(path)
        if origin == spec.far_network:
            return True
        return (
            spec.far_is_transit
            and origin != spec.near_network
            and spec.near_network not in led_through(path)
        )


def led_through(path: Path) -> tuple[str, ...]:
    """Return the networks that service chains led a path through, nearest first."""
    if path.made is not None:
        return path.made.networks
    return path.learned.networks if path.learned is not None else ()


def anchors(selected: Iterable[Path]) -> list[Path]:
    """Return those of the selected paths that something may be led to: never what was made here."""
    return [path for path in selected if path.made is None and path.is_feasible]


def born_in(network: str, hops: Iterable[NextHop]) -> tuple[NextHop, ...]:
    """Return next hops as those of a route that another network is the origin of."""
    return tuple([replace(hop, virtual_network=network) for hop in hops])


def chain_specs(graph: ObjectGraph, instance: RoutingInstance) -> Iterator[ChainSpec]:
    """Yield what an instance's service chain information says, as far as it can be read."""
    for info in (
        instance.service_chain_information,
        instance.ipv6_service_chain_information,
        # Networks inside a VXLAN router: their prefix routes are in the same tables.
        instance.evpn_service_chain_information,
        instance.evpn_ipv6_service_chain_information,
    ):
        spec = None if info is None else _spec(graph, instance, info)
        if spec is not None:
            yield spec


def _spec(
    graph: ObjectGraph, instance: RoutingInstance, info: ServiceChainInfo
) -> ChainSpec | None:
    try:
        address = ip_network(ip_address(info.service_chain_address or ""))
        prefixes = [ip_network(each, strict=False) for each in info.prefix]
    except ValueError:
        # A chain that cannot be read leads nowhere.
        return None
    if not info.routing_instance:
        return None
    family = Family.INET if address.version == _V4 else Family.INET6
    own, far = InstanceName(":".join(instance.fq_name)), InstanceName(info.routing_instance)
    far_network = far.rpartition(":")[0]
    network = graph.by_name(VirtualNetwork.type_name, far_network.split(":"))
    settings = network.virtual_network_properties if isinstance(network, VirtualNetwork) else None
    return ChainSpec(
        table=(own, family),
        near_network=":".join(instance.fq_name[:-1]),
        far=(far, family),
        far_network=far_network,
        far_is_transit=settings is not None and bool(settings.allow_transit),
        prefixes=tuple([each for each in prefixes if each.version == address.version]),
        connected=(InstanceName(info.source_routing_instance or own), family),
        address=address,
        retain_as_path=bool(info.retain_as_path),
    )


def _covers(prefix: IpPrefix, key: RouteKey) -> bool:
    return (
        not isinstance(key, EnetKey)
        and key.version == prefix.version
        and key.prefixlen >= prefix.prefixlen
        and key.network_address in prefix
    )


def _note(routes: dict[RouteKey, None], key: RouteKey, *, present: bool) -> None:
    if present:
        routes[key] = None
    else:
        routes.pop(key, None)


def _communities(path: Path) -> Iterable[str]:
    if path.learned is not None:
        return map(community_text, path.learned.attributes.communities)
    return path.attributes.communities


def _as_path(path: Path) -> tuple[AsSegment, ...]:
    return path.learned.attributes.as_path if path.learned is not None else path.as_path
