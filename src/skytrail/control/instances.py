"""Routing instances of the configuration as import and export targets."""

from __future__ import annotations

from collections.abc import Iterable

from skytrail.control.path import InstanceName
from skytrail.control.vrf import InstanceConfig
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import RoutingInstance
from skytrail.model.graph import ObjectGraph, edges_of
from skytrail.net import RouteTarget

ROUTING_INSTANCE = "routing-instance"


def instance_name(fq_name: Iterable[str]) -> InstanceName:
    """Return the name agents subscribe with."""
    return InstanceName(":".join(fq_name))


def instance_config(graph: ObjectGraph, instance: RoutingInstance) -> InstanceConfig:
    """Return the instance's own targets plus what its connected instances export.

    A connection is mutual whichever side holds the reference.
    """
    exports, imports = _own_targets(instance)
    for other in connected(graph, instance):
        imports |= _own_targets(other)[0]
    return InstanceConfig(
        name=instance_name(instance.fq_name),
        virtual_network=":".join(instance.fq_name[:-1]),
        exports=frozenset(exports),
        imports=frozenset(imports),
    )


def connected(graph: ObjectGraph, instance: RoutingInstance) -> list[RoutingInstance]:
    """Return the present instances that refer to this one or are referred to by it."""
    found = graph.refs(instance.uuid, ROUTING_INSTANCE) + graph.back_refs(
        instance.uuid, ROUTING_INSTANCE
    )
    unique = {other.uuid: other for other in found if other.uuid != instance.uuid}
    return [other for other in unique.values() if isinstance(other, RoutingInstance)]


def neighbours(config_object: ConfigObject) -> list[str]:
    """Return the uuids of instances whose imports depend on this version of an instance."""
    return [
        edge.target for edge in edges_of(config_object) if edge.field == "routing_instance_refs"
    ]


def _own_targets(instance: RoutingInstance) -> tuple[set[RouteTarget], set[RouteTarget]]:
    exports: set[RouteTarget] = set()
    imports: set[RouteTarget] = set()
    for reference in instance.route_target_refs:
        try:
            target = RouteTarget.parse(":".join(reference.to))
        except ValueError:
            # The API refuses such names; one that slipped in must not stop the others.
            continue
        direction = reference.attr.import_export if reference.attr else None
        if direction != "import":
            exports.add(target)
        if direction != "export":
            imports.add(target)
    return exports, imports
