"""Which fields of a flow choose among equal paths, as configured on interfaces, networks and globally."""

from __future__ import annotations

from collections.abc import Mapping

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import flag_of, mapping_of
from skytrail.agent.share import HASH_FIELDS
from skytrail.wire.xmpp import ConfigNode, ConfigValue

_SETTING = "ecmp_hashing_include_fields"
_FIELDS = {
    "source_ip": "l3-source-address",
    "destination_ip": "l3-destination-address",
    "ip_protocol": "l4-protocol",
    "source_port": "l4-source-port",
    "destination_port": "l4-destination-port",
}


def omitted_fields(port: ConfigNode, network: ConfigNode | None, graph: ConfigGraph) -> int:
    """Return what does not count on the way to a port: the most specific setting that is made.

    A setting that leaves nothing to choose by is none: all traffic would go to one member.
    """
    settings = [port, *((network,) if network is not None else ())]
    for node in (*settings, *graph.nodes("global-vrouter-config")):
        setting = mapping_of(node.properties.get(_SETTING))
        if flag_of(setting.get("hashing_configured")):
            return _omitted(setting)
    return 0


def _omitted(setting: Mapping[str, ConfigValue]) -> int:
    left_out = [
        HASH_FIELDS[field]
        for name, field in _FIELDS.items()
        if not flag_of(setting.get(name), default=True)
    ]
    return sum(left_out) if len(left_out) < len(_FIELDS) else 0
