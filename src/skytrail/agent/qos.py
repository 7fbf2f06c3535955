"""Quality of service as configured: what marks a packet, settled down to bits. Pure.

A QoS configuration says which forwarding class a packet is of by what it carries; the class says
what the headers of the underlay carry. Both are settled here, so that the datapath has one table to
look at. A class that nobody defined marks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    annotation_of,
    bounded_of,
    list_of,
    mapping_of,
    number_of,
    text_of,
)
from skytrail.agent.tables import QosId, QosMapRow, QosMark, RateRow, VifId
from skytrail.model.annotation_names import RATE_KBPS_MAX, RATE_LIMITS
from skytrail.wire.xmpp import ConfigKey, ConfigNode, ConfigValue

CONFIG, CLASS = "qos-config", "forwarding-class"
_FABRIC, _HOST, _GLOBAL = "fabric", "vhost", "global-qos-config"
_DSCP_COUNT, _VLAN_COUNT, _EXP_COUNT = 64, 8, 8
_CLASS_MAX = 255
_KILOBIT_BYTES = 125
_BURST_MS = 800
"""TCP that loses a burst's end waits for a while; what it may send then must not be lost."""
_BURST_BYTES_MIN = 131_072
"""Two of the largest segments that a workload may hand over at once."""
Marks = tuple[QosMark | None, ...]


@dataclass(frozen=True, slots=True)
class QosTable:
    """A QoS configuration by what packets carry."""

    name: str
    kind: str
    """``fabric``: for the underlay interface; ``vhost``: for the host's own packets; a tenant's is neither."""
    dscp: Marks
    vlan: Marks
    exp: Marks
    has_exp: bool

    def row(self, qos_id: QosId) -> QosMapRow:
        return QosMapRow(qos_id, self.dscp, self.vlan, self.exp, self.has_exp)


def qos_tables(graph: ConfigGraph) -> dict[str, QosTable]:
    """Return every QoS configuration that has arrived, by name."""
    classes: dict[int, QosMark] = {}
    # Several with one number: the first by name, on every host.
    for node in sorted(graph.nodes(CLASS), key=lambda node: node.key.name, reverse=True):
        mark = _mark(node)
        if mark is not None:
            classes[mark.class_id] = mark
    return {
        node.key.name: _table(node, classes, is_global=bool(graph.neighbours(node.key, _GLOBAL)))
        for node in graph.nodes(CONFIG)
    }


def qos_of(graph: ConfigGraph, key: ConfigKey) -> str:
    """Return the configuration a network or port refers to; empty: none."""
    return min((each.name for each in graph.neighbours(key, CONFIG)), default="")


def fabric_qos(tables: Mapping[str, QosTable]) -> str:
    """Return the configuration of the underlay interface: the first by name; empty: none."""
    return min((name for name, table in tables.items() if table.kind == _FABRIC), default="")


def host_marks(tables: Mapping[str, QosTable]) -> Marks:
    """Return marks of the host's own packets by DSCP, of the first configuration by name; (): none."""
    found = min((name for name, table in tables.items() if table.kind == _HOST), default="")
    return tables[found].dscp if found else ()


@dataclass(frozen=True, slots=True)
class Rates:
    """What a workload may send and receive, in bytes a second; 0: anything."""

    sent: int = 0
    received: int = 0


NO_RATES = Rates()


def rates_of(properties: Mapping[str, ConfigValue]) -> Rates:
    """Return the limits a port's annotations name; what cannot be read limits nothing."""
    sent, received = (
        bounded_of(annotation_of(properties, name), RATE_KBPS_MAX) * _KILOBIT_BYTES
        for name in RATE_LIMITS
    )
    return Rates(sent, received)


def rate_rows(vif_id: VifId, rates: Rates) -> Iterator[RateRow]:
    for is_received, limit in ((False, rates.sent), (True, rates.received)):
        if limit:
            burst = max(limit * _BURST_MS // 1000, _BURST_BYTES_MIN)
            yield RateRow(vif_id, is_received, limit, burst)


def _mark(node: ConfigNode) -> QosMark | None:
    given = node.properties
    number = _within(given.get("forwarding_class_id") or "0", _CLASS_MAX)
    dscp = _within(given.get("forwarding_class_dscp") or "0", _DSCP_COUNT - 1)
    exp = _within(given.get("forwarding_class_mpls_exp") or "0", _EXP_COUNT - 1)
    vlan = _within(given.get("forwarding_class_vlan_priority") or "0", _VLAN_COUNT - 1)
    if number is None or dscp is None or exp is None or vlan is None:
        return None
    return QosMark(number, dscp, exp, vlan)


def _table(node: ConfigNode, classes: Mapping[int, QosMark], *, is_global: bool) -> QosTable:
    given = node.properties
    number = _within(given.get("default_forwarding_class_id") or "0", _CLASS_MAX)
    default = None if number is None else classes.get(number)
    exp = _entries(given.get("mpls_exp_entries"))
    return QosTable(
        name=node.key.name,
        kind=text_of(given.get("qos_config_type")) if is_global else "",
        dscp=_marks(_entries(given.get("dscp_entries")), default, classes, _DSCP_COUNT),
        vlan=_marks(_entries(given.get("vlan_priority_entries")), default, classes, _VLAN_COUNT),
        exp=_marks(exp, default, classes, _EXP_COUNT),
        has_exp=bool(exp),
    )


def _entries(value: ConfigValue | None) -> dict[int, int]:
    """Return forwarding classes by mark; what cannot be read is left out."""
    found: dict[int, int] = {}
    for entry in list_of(mapping_of(value).get("qos_id_forwarding_class_pair")):
        pair = mapping_of(entry)
        key, number = number_of(pair.get("key")), number_of(pair.get("forwarding_class_id"))
        if key is not None and number is not None:
            found[key] = number
    return found


def _marks(
    entries: Mapping[int, int],
    default: QosMark | None,
    classes: Mapping[int, QosMark],
    count: int,
) -> Marks:
    return tuple(
        [classes.get(entries[mark]) if mark in entries else default for mark in range(count)]
    )


def _within(value: ConfigValue, maximum: int) -> int | None:
    number = number_of(value)
    return number if number is not None and 0 <= number <= maximum else None
