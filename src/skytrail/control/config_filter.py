"""What of the configuration an agent may see.

From the agent's virtual-router and the virtual machines it subscribed to, relations are followed
as ``WALK`` allows; everything reached is visible, and so is every relation between two visible
objects. The walk goes from the specific to the general only (a port leads to its network, a
network never leads to its ports), so an agent learns nothing of other hosts' workloads.

:func:`visible` is the definition. ``config_reach`` arrives at the same without walking everything
for every change; what ``WALK`` leads along must form no cycle for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skytrail.control.linked_vlans import vlans_of
from skytrail.control.next_servers import asked_next
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import NetworkIpam
from skytrail.model.graph import ObjectGraph
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
        refs=frozenset({"virtual-machine", "tag"}),
    ),
    "virtual-machine": Step(
        refs=frozenset({"tag"}),
        children=frozenset({"virtual-machine-interface"}),
        back_refs=frozenset({"virtual-machine-interface"}),
    ),
    "virtual-machine-interface": Step(
        parent=frozenset({"project"}),
        refs=frozenset(
            {
                "virtual-network",
                "security-group",
                "routing-instance",
                "interface-route-table",
                "bgp-router",
                "port-tuple",
                "service-health-check",
                "qos-config",
                "security-logging-object",
                "tag",
            }
        ),
        # And the VLANs of its link (``linked_vlans``).
        back_refs=frozenset({"alias-ip", "bgp-as-a-service", "floating-ip", "instance-ip"}),
    ),
    "port-tuple": Step(parent=frozenset({"service-instance"})),
    "service-instance": Step(refs=frozenset({"service-template"})),
    "alias-ip": Step(parent=frozenset({"alias-ip-pool"})),
    "alias-ip-pool": Step(parent=frozenset({"virtual-network"})),
    "floating-ip": Step(parent=frozenset({"floating-ip-pool", "instance-ip"})),
    "floating-ip-pool": Step(parent=frozenset({"virtual-network"})),
    "instance-ip": Step(refs=frozenset({"virtual-network"})),
    "virtual-network": Step(
        parent=frozenset({"project"}),
        children=frozenset({"access-control-list", "routing-instance"}),
        # Of other networks only the provider's, which refers to none (api/rules/virtual_network).
        refs=frozenset(
            {
                "intent-map",
                "network-ipam",
                "qos-config",
                "security-logging-object",
                "service-health-check",
                "tag",
                "virtual-network",
            }
        ),
    ),
    "bgp-as-a-service": Step(refs=frozenset({"service-health-check"})),
    # Rules name QoS configurations without referring to them.
    "project": Step(
        refs=frozenset({"tag", "application-policy-set"}), children=frozenset({"qos-config"})
    ),
    "global-qos-config": Step(children=frozenset({"qos-config", "forwarding-class"})),
    "forwarding-class": Step(refs=frozenset({"qos-queue"})),
    "tag": Step(back_refs=frozenset({"application-policy-set"})),
    "application-policy-set": Step(refs=frozenset({"firewall-policy"})),
    "firewall-policy": Step(refs=frozenset({"firewall-rule", "security-logging-object"})),
    "firewall-rule": Step(
        refs=frozenset({"service-group", "address-group", "security-logging-object"})
    ),
    # What it refers to says, in the reference, which rules are logged.
    "security-logging-object": Step(refs=frozenset({"network-policy", "security-group"})),
    "global-vrouter-config": Step(
        children=frozenset({"security-logging-object"}),
        back_refs=frozenset({"application-policy-set"}),
    ),
    "security-group": Step(children=frozenset({"access-control-list"})),
    "network-ipam": Step(refs=frozenset({"virtual-DNS"})),
    "virtual-DNS": Step(children=frozenset({"virtual-DNS-record"})),
    "global-system-config": Step(
        children=frozenset({"global-vrouter-config", "global-qos-config"})
    ),
}

_NOWHERE = Step()

WATCHED_TYPES: tuple[str, ...] = tuple(
    sorted(
        {
            "bgp-as-a-service",
            "bgp-router",
            "physical-router",
            "route-aggregate",
            "routing-policy",
            *WALK,
        }.union(
            *(step.parent | step.children | step.refs | step.back_refs for step in WALK.values())
        )
    )
)
"""Object types a control node needs: those it acts on itself, and everything a walk may reach."""


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
    if isinstance(current, NetworkIpam):
        found += asked_next(graph, current)
    return found + vlans_of(graph, current)
