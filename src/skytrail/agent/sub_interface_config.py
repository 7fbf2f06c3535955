"""Which port is a VLAN of which other, as configured. Pure."""

from __future__ import annotations

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import bounded_of, mapping_of, object_uuid
from skytrail.wire.xmpp import ConfigKey, ConfigNode

_VLAN_MAX = 4094
_PORT = "virtual-machine-interface"


def vlan_of(node: ConfigNode) -> int:
    """Return the VLAN of the sub-interface that a port is; 0: it is none."""
    properties = mapping_of(node.properties.get("virtual_machine_interface_properties"))
    return bounded_of(properties.get("sub_interface_vlan_tag"), _VLAN_MAX)


def parent_of(graph: ConfigGraph, port: ConfigKey) -> str:
    """Return the uuid of the port whose link a sub-interface shares; empty: it has not arrived."""
    found = [each for each in graph.linked_nodes(port, _PORT) if not vlan_of(each)]
    return min((object_uuid(each) for each in found), default="")
