"""Machines that the compiler has a host run or stand for, told from tenants'. Pure."""

from __future__ import annotations

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import annotation_of, object_uuid
from skytrail.model.derived_uuid import derived_uuid
from skytrail.wire.xmpp import ConfigNode


def told_by_compiler(
    graph: ConfigGraph, machine: ConfigNode, name_start: str, annotation: str
) -> str:
    """Return what the compiler wrote into a machine's annotation for this host; empty: nothing.

    Tenants write machines with any name and annotation, and a host refers to those that run there:
    what a host does for an annotation is the compiler's to say, whose uuids the API gives to no
    tenant's objects.
    """
    name = machine.key.name
    is_made = name.startswith(name_start) and object_uuid(machine) == derived_uuid(
        machine.key.type_name, (name,)
    )
    is_placed = bool(graph.neighbours(machine.key, "virtual-router"))
    return annotation_of(machine.properties, annotation) if is_made and is_placed else ""
