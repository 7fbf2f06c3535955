"""Flows of agents that do not tell sessions yet (``FlowLogDataObject``), checked, as packed columns. Pure.

```
 flowdata: a FlowLogData, or a list of them
   sourcevn, sourceip, sport --> destvn, destip, dport, protocol     direction_ing 1: from a workload here, 0: to one
   diff_bytes, diff_packets                                          what was counted since it was last told
                                      --> a row each: a session of which one way is told
```
A session is two flows, each told by itself; of one between two workloads of a host each flow is told from either end.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final

from skytrail.analytics.sandesh_fields import (
    I64,
    U8,
    U16,
    Fields,
    address,
    drop_reason,
    number,
    structs,
    text,
)
from skytrail.analytics.sessions import LATEST_US
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import SandeshMessage, Struct
from skytrail.wire.telemetry import Sessions
from skytrail.wire.telemetry.sessions import ROWS_COUNT_MAX, pack

MESSAGES: Final = frozenset({"FlowLogDataObject", "FlowDataIpv4Object"})
"""The second is what the first was called before."""
_DATA: Final = "flowdata"
_FORWARD: Final = "forward_flow"
_LOG: Final = "log"
_NO_RULE: Final = frozenset({"", "00000000-0000-0000-0000-000000000000"})
_UNTOLD: Final = "0.0.0.0"
_U32: Final = (1 << 32) - 1

Row = dict[str, object]


def flows_of(message: SandeshMessage) -> Sessions:
    """Return the flows of a message as sessions; ``DecodeError`` names what of it no flow can have."""
    rows: list[Row] = []
    for flow in _flows(message.fields):
        if len(rows) == ROWS_COUNT_MAX:
            raise DecodeError(f"over {ROWS_COUNT_MAX} flows in one message")
        rows.append({"T": message.header.timestamp_us, **_row(flow.fields)})
    if not rows:
        raise DecodeError("a message of flows without any")
    return pack(rows)


def _flows(fields: Fields) -> Iterator[Struct]:
    told = fields.get(_DATA)
    if told is not None and isinstance(told.value, Struct):
        yield told.value
    else:
        yield from structs(fields, _DATA)


def _row(fields: Fields) -> Row:
    """Return a session of which the one way is told that this flow is."""
    ports = [_port(fields, name) for name in ("sport", "dport")]
    networks = [text(fields, name) for name in ("sourcevn", "destvn")]
    addresses = _addresses(fields)
    near, far = (0, 1) if _is(fields, "direction_ing") else (1, 0)
    is_from_client = _is_from_client(fields, *ports)
    client, server = (0, 1) if is_from_client else (1, 0)
    return {
        "session_type": "client" if near == client else "server",
        "vmi": text(fields, "vmi_uuid"),
        "vn": networks[near],
        "remote_vn": networks[far],
        "local_ip": addresses[near],
        "remote_ip": addresses[far],
        "client_port": ports[client],
        "server_port": ports[server],
        "protocol": number(fields, "protocol", U8, -1 << 7) & U8,
        "vrouter_ip": address(fields, "vrouter_ip"),
        "other_vrouter_ip": address(fields, "other_vrouter_ip"),
        "underlay_proto": number(fields, "underlay_proto", U8),
        "security_policy_rule": _rule(fields),
        "drop_reason": drop_reason(fields),
        **{name: number(fields, name, LATEST_US) for name in ("setup_time", "teardown_time")},
        **_counted(fields, "forward" if is_from_client else "reverse"),
    }


def _counted(fields: Fields, way: str) -> Row:
    """Return what is counted of a flow, as that way of its session.

    Agents multiply what they sample themselves: each stands for one. What has to be logged they tell whole.
    """
    action = text(fields, "action")
    counters = {
        unit: number(fields, name, I64)
        for unit, name in (("bytes", "diff_bytes"), ("pkts", "diff_packets"))
    }
    kinds = ("sampled", "logged") if _LOG in action.split("|") else ("sampled",)
    return {
        f"{way}_action": action,
        "sample_weight": 1.0,
        **{f"{way}_{kind}_{unit}": count for kind in kinds for unit, count in counters.items()},
    }


def _is_from_client(fields: Fields, source_port: int, destination_port: int) -> bool:
    """Tell whether a flow is the one that opened its session: where agents do not say so, services have the lower port."""
    return _is(fields, _FORWARD) if _FORWARD in fields else destination_port <= source_port


def _rule(fields: Fields) -> str:
    rules = (text(fields, name) for name in ("sg_rule_uuid", "nw_ace_uuid"))
    return next((each for each in rules if each not in _NO_RULE), "")


def _is(fields: Fields, name: str) -> bool:
    each = fields.get(name)
    if each is None or not isinstance(each.value, int) or each.value not in {0, 1}:
        raise DecodeError(f"field {name} does not say yes or no")
    return bool(each.value)


def _port(fields: Fields, name: str) -> int:
    """Return a port; those from 32,768 on come as negative numbers of 16 bits."""
    return number(fields, name, U16, -1 << 15) & U16


def _addresses(fields: Fields) -> list[str]:
    """Return a flow's source and destination; "" where they are not told.

    As numbers they are IPv4's, with a sign. Agents that know no other tell flows of IPv6 as from 0 to 0.
    """
    found = [_address(fields, name) for name in ("sourceip", "destip")]
    return ["", ""] if found == [_UNTOLD, _UNTOLD] else found


def _address(fields: Fields, name: str) -> str:
    each = fields.get(name)
    if each is None or isinstance(each.value, str):
        return address(fields, name)
    return str(IPv4Address(number(fields, name, _U32, -1 << 31) & _U32))
