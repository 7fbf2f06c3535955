"""What switches sample and count, as statistics. Pure.

```
 sFlow flow sample, IPFIX record --> StatTable.UFlowData.flow         name: address of the switch
 sFlow counters of an interface ---> StatTable.PRouterEntry.ifStats   name: the router; growth since the last sample
```
The first columns of ``UFlowData`` are the original's. ``inner_...`` are of the flow inside a tunnel, where the sample reaches
that far; ``bytes`` and ``packets`` are multiplied by the sampling rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from skytrail.analytics.exporters import Exporter
from skytrail.analytics.statistics import Row
from skytrail.wire.frame.beginning import FrameFlow
from skytrail.wire.ipfix import FlowRecord
from skytrail.wire.sflow import COUNTER_WIDTHS, FlowSample

FLOWS: Final = "StatTable.UFlowData.flow"
INTERFACES: Final = "StatTable.PRouterEntry.ifStats"
INTERFACES_COUNT_MAX: Final = 4096
"""Of one switch, whose counters are remembered."""


def row_of_sample(sample: FlowSample, exporter: Exporter, now_us: int) -> Row | None:
    """Return the row of a sampled packet, None where it is of no IP flow."""
    numbers = {
        "flow.pifindex": float(sample.input_index),
        "flow.oifindex": float(sample.output_index),
        "flow.packets": float(sample.sampling_rate),
        "flow.bytes": float(sample.sampling_rate * sample.frame_bytes),
        "flow.sampling_rate": float(sample.sampling_rate),
    }
    return _row(sample.flow, "SFLOW", sample.nexthop, numbers, exporter, now_us)


def row_of_record(record: FlowRecord, exporter: Exporter, now_us: int) -> Row | None:
    """Return the row of what a switch counted, None where it is of no IP flow."""
    numbers = {
        "flow.pifindex": float(record.input_index),
        "flow.oifindex": float(record.output_index),
        "flow.packets": float(record.packets_count * record.sampling_rate),
        "flow.bytes": float(record.octets_count * record.sampling_rate),
        "flow.sampling_rate": float(record.sampling_rate),
    }
    return _row(record.flow, "IPFIX", record.nexthop, numbers, exporter, now_us)


def _row(
    flow: FrameFlow,
    kind: str,
    nexthop: str,
    numbers: dict[str, float],
    exporter: Exporter,
    now_us: int,
) -> Row | None:
    if not flow.source:
        return None
    texts = {
        "flow.flowtype": kind,
        "flow.sip": flow.source,
        "flow.dip": flow.destination,
        "flow.otherinfo": f"nexthop={nexthop}" if nexthop else "",
    }
    numbers |= {
        "flow.sport": float(flow.source_port),
        "flow.dport": float(flow.destination_port),
        "flow.protocol": float(flow.protocol),
        "flow.vlan": float(flow.vlan),
    }
    inner = flow.inner
    if inner is not None and inner.source:
        texts |= {"flow.inner_sip": inner.source, "flow.inner_dip": inner.destination}
        numbers |= {
            "flow.inner_sport": float(inner.source_port),
            "flow.inner_dport": float(inner.destination_port),
            "flow.inner_protocol": float(inner.protocol),
            "flow.network_id": float(inner.network_id),
        }
    return {
        "T": now_us,
        "Table": FLOWS,
        "name": exporter.address,
        "Source": exporter.shown,
        "texts": texts,
        "numbers": numbers,
    }


class InterfaceCounters:
    """Counters of one switch as it last told them, to know their growth."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, Mapping[str, int]]] = {}

    def row(
        self, counters: Mapping[str, int], uptime_ms: int, exporter: Exporter, now_us: int
    ) -> Row | None:
        """Return the growth, None for an interface that is new, or of a switch that began anew."""
        index = counters["ifIndex"]
        former = self._known.get(index)
        if former is not None or len(self._known) < INTERFACES_COUNT_MAX:
            self._known[index] = uptime_ms, counters
        if former is None or uptime_ms < former[0]:
            return None
        grown = {
            f"ifStats.{name}": float((counters[name] - former[1][name]) % (1 << width))
            for name, width in COUNTER_WIDTHS.items()
        }
        return {
            "T": now_us,
            "Table": INTERFACES,
            "name": exporter.shown,
            "Source": exporter.address,
            "texts": {"ifStats.ifIndex": str(index)},
            "numbers": {
                **grown,
                "ifStats.ifSpeed": float(counters["ifSpeed"]),
                "ifStats.ifOperStatus": float(counters["ifStatus"] >> 1 & 1),
            },
        }
