"""Whether a network bridges, routes or both (``forwarding_mode``), and checks sources (``rpf``). Pure.

| mode | its ports get | the vRouter answers | is published |
| --- | --- | --- | --- |
| `l2_l3` | packets by address, frames by MAC | ARP and ND with the owner's MAC | both kinds of routes |
| `l3` | packets by address, nothing else | ARP and ND with its own MAC for all it has a route to | addresses alone |
| `l2` | frames by MAC, broadcasts, nothing by address | DHCP; ARP and ND go to whom they ask | MACs alone (EVPN type 2) |
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import mapping_of, text_of
from skytrail.wire.xmpp import ConfigNode, ConfigValue


class Forwarding(enum.Enum):
    """How a network forwards; values are those of the configuration."""

    BOTH = "l2_l3"
    LAYER2 = "l2"
    LAYER3 = "l3"

    @property
    def bridges(self) -> bool:
        return self is not Forwarding.LAYER3

    @property
    def routes(self) -> bool:
        return self is not Forwarding.LAYER2


def default_forwarding(graph: ConfigGraph) -> Forwarding:
    """Return the mode of networks that say none."""
    for node in graph.nodes("global-vrouter-config"):
        mode = _mode(text_of(node.properties.get("forwarding_mode")))
        if mode is not None:
            return mode
    return Forwarding.BOTH


def forwarding_of(network: ConfigNode, default: Forwarding) -> Forwarding:
    """Return the mode of a network."""
    return _mode(text_of(_properties(network).get("forwarding_mode"))) or default


def checks_sources(network: ConfigNode) -> bool:
    """Tell whether ports may only send from addresses that are theirs."""
    return text_of(_properties(network).get("rpf")) != "disable"


def _mode(text: str) -> Forwarding | None:
    return next((mode for mode in Forwarding if mode.value == text), None)


def _properties(network: ConfigNode) -> Mapping[str, ConfigValue]:
    return mapping_of(network.properties.get("virtual_network_properties"))
