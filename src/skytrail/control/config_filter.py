"""What of the configuration an agent may see.

From the agent's virtual-router and the virtual machines it subscribed to, relations are followed
as ``WALK`` allows; everything reached is visible, and so is every relation between two visible
objects. The walk goes from the specific to the general only (a port leads to its network, a
network never leads to its ports), so an agent learns nothing of other hosts' workloads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skytrail.control.config_graph import Change
from skytrail.model.config_object import ConfigObject
from skytrail.model.graph import ObjectGraph, edges_of
from skytrail.wire.xmpp import ConfigKey


@dataclass(frozen=True, slots=True)
class Step:
    """Types of neighbours that are visible when an object of some type is."""

    parent: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    refs: frozenset[str] = frozenset()
    back_refs: frozenset[str] = frozenset()


WALK: Mapping[str, Step] = {
    "virtual-router": Step(
        parent=frozenset({"global-system-config"}),
        children=frozenset({"virtual-machine-interface"}),
        refs=frozenset({"virtual-machine"}),
    ),
    "virtual-machine": Step(
        children=frozenset({"virtual-machine-interface"}),
        back_refs=frozenset({"virtual-machine-interface"}),
    ),
    "virtual-machine-interface": Step(
        parent=frozenset({"project"}),
        refs=frozenset({"virtual-network", "security-group", "routing-instance"}),
        back_refs=frozenset({"instance-ip"}),
    ),
    "virtual-network": Step(
        parent=frozenset({"project"}),
        children=frozenset({"access-control-list", "routing-instance"}),
        refs=frozenset({"network-ipam"}),
    ),
    "security-group": Step(children=frozenset({"access-control-list"})),
    "network-ipam": Step(refs=frozenset({"virtual-DNS"})),
    "virtual-DNS": Step(children=frozenset({"virtual-DNS-record"})),
    "global-system-config": Step(children=frozenset({"global-vrouter-config"})),
}

_NOWHERE = Step()

WATCHED_TYPES: tuple[str, ...] = tuple(
    sorted(
        set(WALK).union(
            *(step.parent | step.children | step.refs | step.back_refs for step in WALK.values())
        )
    )
)
"""Object types a control node needs: everything a walk may reach."""


def visible(graph: ObjectGraph, roots: Iterable[ConfigKey]) -> dict[str, ConfigObject]:
    """Return the objects an agent with these roots may see, by uuid."""
    found: dict[str, ConfigObject] = {}
    stack: list[ConfigObject] = []
    for root in roots:
        start = graph.by_name(root.type_name, root.name.split(":"))
        if start is not None:
            stack.append(start)
    while stack:
        current = stack.pop()
        if current.uuid not in found:
            found[current.uuid] = current
            stack += _neighbours(graph, current)
    return found


def _neighbours(graph: ObjectGraph, current: ConfigObject) -> list[ConfigObject]:
    step = WALK.get(current.type_name, _NOWHERE)
    found: list[ConfigObject] = []
    if step.parent:
        parent = graph.parent(current.uuid)
        if parent is not None and parent.type_name in step.parent:
            found.append(parent)
    for type_name in step.children:
        found += graph.children(current.uuid, type_name)
    for type_name in step.refs:
        found += graph.refs(current.uuid, type_name)
    for type_name in step.back_refs:
        found += graph.back_refs(current.uuid, type_name)
    return found


def touched(graph: ObjectGraph, changes: Iterable[Change]) -> set[str]:
    """Return uuids such that only agents seeing one of them can be affected by ``changes``.

    These are the changed objects and those from which the walk steps to one of them. An agent
    whose root itself appeared is affected too, which its caller tells by the name.
    """
    uuids: set[str] = set()
    for change in changes:
        for version in change.versions:
            uuids.add(version.uuid)
            uuids.update(_leading_to(graph, version))
        if change.before is None and change.after is not None:
            uuids.update(_waiting_for(graph, change.after))
    return uuids


def _leading_to(graph: ObjectGraph, version: ConfigObject) -> Iterable[str]:
    """Yield objects this version points at whose walk comes back to it."""
    if version.parent_uuid:
        parent = graph.get(version.parent_uuid)
        if parent and version.type_name in WALK.get(parent.type_name, _NOWHERE).children:
            yield parent.uuid
    for edge in edges_of(version):
        target = graph.get(edge.target)
        if target and version.type_name in WALK.get(target.type_name, _NOWHERE).back_refs:
            yield target.uuid


def _waiting_for(graph: ObjectGraph, newcomer: ConfigObject) -> Iterable[str]:
    """Yield objects that pointed at a newcomer before it came."""
    for source in graph.back_refs(newcomer.uuid):
        if newcomer.type_name in WALK.get(source.type_name, _NOWHERE).refs:
            yield source.uuid
    for child in graph.children(newcomer.uuid):
        if newcomer.type_name in WALK.get(child.type_name, _NOWHERE).parent:
            yield child.uuid
