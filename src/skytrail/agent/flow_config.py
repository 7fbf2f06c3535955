"""Flows as configured: which are merged, and how long they live. What cannot be read is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from skytrail.agent.access_list import protocol_of
from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import bounded_of, list_of, mapping_of, number_of, text_of
from skytrail.agent.tables import AgeingRow, FatFlowRow, VifId
from skytrail.wire.xmpp import ConfigValue

FatFlow = tuple[int, int]
"""Protocol and port; port 0: every port."""
FAT_FLOWS_OF_PORT = "virtual_machine_interface_fat_flow_protocols"
FAT_FLOWS_OF_NETWORK = "virtual_network_fat_flow_protocols"
_PORT_MAX = 65535
_IDLE_S_MAX = 10_000_000


def read_fat_flows(value: ConfigValue | None) -> tuple[FatFlow, ...]:
    """Read a ``FatFlowProtocols``."""
    found: set[FatFlow] = set()
    for entry in list_of(mapping_of(value).get("fat_flow_protocol")):
        given = mapping_of(entry)
        place = _place(given)
        if place is not None:
            found.add(place)
    return tuple(sorted(found))


def fat_rows(vif_id: VifId, *merged: Iterable[FatFlow]) -> Iterator[FatFlowRow]:
    for protocol, port in sorted({place for flows in merged for place in flows}):
        yield FatFlowRow(vif_id, protocol, port)


def ageing_rows(graph: ConfigGraph) -> tuple[AgeingRow, ...]:
    """Return the times of silence that the global settings name."""
    found: dict[FatFlow, int] = {}
    for node in graph.nodes("global-vrouter-config"):
        listed = mapping_of(node.properties.get("flow_aging_timeout_list"))
        for entry in list_of(listed.get("flow_aging_timeout")):
            given = mapping_of(entry)
            place, idle_s = _place(given), bounded_of(given.get("timeout_in_seconds"), _IDLE_S_MAX)
            if place is not None and idle_s:
                found[place] = idle_s
    return tuple([AgeingRow(*place, idle_s) for place, idle_s in sorted(found.items())])


def _place(given: Mapping[str, ConfigValue]) -> FatFlow | None:
    protocol, readable = protocol_of(text_of(given.get("protocol")))
    port = number_of(given.get("port") or "0")
    if not readable or protocol is None or port is None or not 0 <= port <= _PORT_MAX:
        return None
    return protocol, port
