"""What configuration has this node make: service chains, static and aggregate routes by object.

``follow`` turns changed objects into makers; :mod:`~skytrail.control.origination` runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from skytrail.control.config_graph import Change
from skytrail.control.origination import Maker, Origination
from skytrail.control.path import InstanceName
from skytrail.control.route_target import Replicator
from skytrail.control.service_chain import ServiceChain, chain_specs
from skytrail.control.static_route import aggregate_makers, static_makers
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import RouteAggregate, RoutingInstance, VirtualNetwork
from skytrail.model.graph import ObjectGraph
from skytrail.wire.xmpp import RouteKey


class DerivedRoutes:
    """All routes this node makes. Not safe for use from more than one thread."""

    def __init__(self, replicator: Replicator) -> None:
        self._origination = Origination(replicator)
        self._chained: dict[str, None] = {}
        """Instances with service chains, by uuid: their far networks' settings count too."""

    def follow(self, changes: Iterable[Change], graph: ObjectGraph) -> None:
        """Take over changed configuration; :meth:`settle` makes the routes."""
        owners: dict[str, None] = {}
        for change in changes:
            if _is_transit(change.before) != _is_transit(change.after):
                owners.update(self._chained)
            for version in change.versions:
                if isinstance(version, RoutingInstance):
                    owners[version.uuid] = None
                    owners.update(_aggregates(graph, version))
                elif isinstance(version, RouteAggregate):
                    owners[version.uuid] = None
        for uuid in owners:
            self._origination.configure(uuid, self._makers(graph, graph.get(uuid), uuid))

    def configure(self, owner: str, makers: Iterable[Maker]) -> None:
        """Let an owner that is no object here have exactly these makers."""
        self._origination.configure(owner, makers)

    def remake(self, owner: str, spec: object, keys: Iterable[RouteKey]) -> None:
        """A maker means other routes than before, without a change of configuration."""
        self._origination.remake(owner, spec, keys)

    def instance_changed(self, name: InstanceName) -> None:
        """An instance appeared, or its targets changed."""
        self._origination.instance_changed(name)

    def is_watched(self, name: InstanceName) -> bool:
        """Whether anything is made out of an instance's routes."""
        return self._origination.is_watched(name)

    def take_watch_changes(self) -> list[InstanceName]:
        """Return the instances that may be watched, or not, only since the last call."""
        return self._origination.take_watch_changes()

    def settle(self) -> None:
        """Make what follows from everything that happened; cheap when nothing did."""
        self._origination.settle()

    def rows(self) -> Iterator[Mapping[str, object]]:
        """Yield what is made, for introspection."""
        return self._origination.rows()

    def _makers(self, graph: ObjectGraph, owner: ConfigObject | None, uuid: str) -> Iterator[Maker]:
        self._chained.pop(uuid, None)
        if isinstance(owner, RouteAggregate):
            yield from aggregate_makers(graph, owner)
        elif isinstance(owner, RoutingInstance):
            yield from static_makers(owner)
            for spec in chain_specs(graph, owner):
                self._chained[uuid] = None
                yield ServiceChain(spec)


def _is_transit(version: ConfigObject | None) -> bool:
    settings = version.virtual_network_properties if isinstance(version, VirtualNetwork) else None
    return settings is not None and bool(settings.allow_transit)


def _aggregates(graph: ObjectGraph, instance: RoutingInstance) -> Iterator[tuple[str, None]]:
    for aggregate in graph.back_refs(instance.uuid, RouteAggregate.type_name):
        yield aggregate.uuid, None
