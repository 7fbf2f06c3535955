"""Who copies broadcasts for whom, and whose reports of listeners count, as configured. Pure."""

from __future__ import annotations

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import annotation_of, flag_of, text_of, usable_address_of
from skytrail.model.annotation_names import ASSISTED, BROADCAST_REPLICATION, REPLICATOR_ADDRESS
from skytrail.net import IpAddress
from skytrail.wire.xmpp import ConfigNode

_ASSISTED_INTENT = "assisted-replicator"


def replicator_address(graph: ConfigGraph) -> IpAddress | None:
    """Return the address by which this host copies for leaves; None: it does not."""
    for node in graph.nodes("virtual-router"):
        address = usable_address_of(annotation_of(node.properties, REPLICATOR_ADDRESS))
        if address is not None and not (address.is_multicast or address.is_loopback):
            return address
    return None


def is_assisted(graph: ConfigGraph, network: ConfigNode) -> bool:
    """Tell whether replicators copy for a network: by its annotation, or by its intent."""
    if annotation_of(network.properties, BROADCAST_REPLICATION) == ASSISTED:
        return True
    intents = graph.linked_nodes(network.key, "intent-map")
    return any(
        text_of(each.properties.get("intent_map_intent_type")) == _ASSISTED_INTENT
        for each in intents
    )


def takes_reports(node: ConfigNode) -> bool:
    """Tell whether a network, a port or the whole takes reports of listeners."""
    return flag_of(node.properties.get("igmp_enable"))


def takes_all_reports(graph: ConfigGraph) -> bool:
    """Tell whether all networks do."""
    return any(takes_reports(node) for node in graph.nodes("global-system-config"))
