"""Table ``OverlayToUnderlayFlowMap``: which switches saw an overlay flow. Pure.

```
 where o_... --> flows that hosts told (FlowRecordTable) --> their tunnels: host, far host
                                                              |
 select, filter u_... <-- StatTable.UFlowData.flow <----------'  and the same flow inside, where a sample reaches it
```
Records without the inner flow are of the tunnel: they may be of another flow between the same hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from skytrail.analytics.query_request import (
    CLAUSES_COUNT_MAX,
    Match,
    QueryRequest,
    QueryUnusable,
    UnknownField,
    filters_of,
)

TABLE: Final = "OverlayToUnderlayFlowMap"
FLOWS: Final = "StatTable.UFlowData.flow"
_OVERLAY: Final = {
    "o_svn": "sourcevn",
    "o_sip": "sourceip",
    "o_dvn": "destvn",
    "o_dip": "destip",
    "o_sport": "sport",
    "o_dport": "dport",
    "o_protocol": "protocol",
    "o_vrouter": "vrouter",
}
"""Column to that of flows which hosts tell."""
_INNER: Final = {
    "o_sip": "flow.inner_sip",
    "o_dip": "flow.inner_dip",
    "o_sport": "flow.inner_sport",
    "o_dport": "flow.inner_dport",
    "o_protocol": "flow.inner_protocol",
}
UNDERLAY: Final = {
    "u_prouter": "name",
    "u_pifindex": "flow.pifindex",
    "u_vlan": "flow.vlan",
    "u_sip": "flow.sip",
    "u_dip": "flow.dip",
    "u_sport": "flow.sport",
    "u_dport": "flow.dport",
    "u_protocol": "flow.protocol",
    "u_flowtype": "flow.flowtype",
    "u_otherinfo": "flow.otherinfo",
}
"""Column to that of what switches tell."""
_EQUAL: Final = 1
_INGRESS: Final = 1
_PORTED: Final = frozenset({"o_sport", "o_dport", "o_protocol"})

Tunnel = tuple[str, str]
"""Outer addresses: of the host that sends, of the one that gets it."""
_NONE: Final[Tunnel] = ("", "")
"""No row is of this: every flow has addresses."""


def flows_request(asked: QueryRequest) -> QueryRequest:
    """Return the query for the tunnels of the overlay flows; ``QueryUnusable`` names a column that is none."""
    groups = [[_renamed(match, _OVERLAY) for match in group] for group in asked.where or []]
    return QueryRequest(
        table="FlowRecordTable",
        start_time=asked.start_time,
        end_time=asked.end_time,
        select_fields=["vrouter_ip", "other_vrouter_ip", "COUNT(vrouter_ip)"],
        where=groups or None,
        dir=_INGRESS,
    )


def underlay_request(asked: QueryRequest, tunnels: Sequence[Tunnel]) -> QueryRequest:
    """Return the query for what switches told of flows in these tunnels."""
    inner = [
        [_renamed(match, _INNER) for match in group if match.name in _INNER]
        for group in asked.where or [[]]
    ]
    groups = [
        [*_of_tunnel(tunnel), *matches]
        for tunnel in tunnels or [_NONE]
        for matches in [*inner, [Match("flow.inner_sip", "", _EQUAL)]]
    ]
    if sum(map(len, groups)) > CLAUSES_COUNT_MAX:
        raise QueryUnusable(
            f"the flows of this query are in {len(tunnels)} tunnels: name addresses in where"
        )
    return QueryRequest(
        table=FLOWS,
        start_time=asked.start_time,
        end_time=asked.end_time,
        select_fields=[_column(name, UNDERLAY) for name in asked.select_fields],
        where=groups,
        filter=[
            [_renamed(match, UNDERLAY) for match in group] for group in filters_of(asked) if group
        ],
        sort=asked.sort,
        sort_fields=[_column(name, UNDERLAY) for name in asked.sort_fields or []],
        limit=asked.limit,
    )


def tunnels_of(rows: Iterable[Mapping[str, object]]) -> list[Tunnel]:
    """Return the tunnels of flows, each once; flows that stay on their host have none."""
    ends = ((str(row["vrouter_ip"]), str(row["other_vrouter_ip"])) for row in rows)
    return list(dict.fromkeys(each for each in ends if all(each)))


def _of_tunnel(tunnel: Tunnel) -> list[Match]:
    source, destination = tunnel
    return [Match("flow.sip", source, _EQUAL), Match("flow.dip", destination, _EQUAL)]


def _renamed(match: Match, names: Mapping[str, str]) -> Match:
    renamed = msgspec.structs.replace(match, name=_column(match.name, names))
    # Attributes of statistics are texts and numbers alike; as text they are equal when written equally.
    if names is _INNER and match.name in _PORTED and match.op == _EQUAL:
        return msgspec.structs.replace(renamed, value=str(match.value))
    return renamed


def _column(name: str, names: Mapping[str, str]) -> str:
    found = names.get(name)
    if found is None:
        raise UnknownField(f"{TABLE} has no column {name[:64]!r} here: {', '.join(names)}")
    return found
