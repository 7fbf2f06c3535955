"""Sessions of agents that speak Sandesh (``SessionEndpointObject``), checked, as packed columns. Pure.

```
 session_data: list of SessionEndpoint        near workload, both ends' networks and tags, rule
   sess_agg_info: map by (local_ip, service_port, protocol) of SessionAggInfo
     sessionMap: map by (ip, port) of SessionInfo                                   --> a row each
       forward_flow_info, reverse_flow_info: SessionFlowInfo      what was counted since it was last told
```
Agents add up what they tell by (address, port) as well; that is taken only where they tell no single sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from skytrail.analytics.sandesh_fields import (
    I64,
    U8,
    U16,
    Fields,
    address,
    drop_reason,
    entries,
    number,
    struct,
    structs,
    text,
    word,
)
from skytrail.analytics.sessions import LATEST_US
from skytrail.analytics.tags import COLUMNS, SEPARATOR, TAGS_COUNT_MAX, TagNames
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import SandeshMessage
from skytrail.wire.telemetry import Sessions, Texts
from skytrail.wire.telemetry.sessions import ROWS_COUNT_MAX, pack, texts_of

MESSAGE: Final = "SessionEndpointObject"
_WAYS: Final = ("forward", "reverse")
_COUNTERS: Final = ("sampled_bytes", "sampled_pkts", "logged_bytes", "logged_pkts")
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,8}")

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class NamedSessions:
    """Sessions whose tags have names: ``tags`` has stored columns, as long as those of ``told``."""

    told: Sessions
    tags: Mapping[str, Texts]


def sessions_of(message: SandeshMessage, tags: TagNames) -> NamedSessions:
    """Return the sessions of a message; ``DecodeError`` names what of it no session can have.

    Agents tell tags by name or, newer ones, by number: ``tags`` names those.
    """
    rows: list[Row] = []
    for row in _rows(message, tags):
        if len(rows) == ROWS_COUNT_MAX:
            raise DecodeError(f"over {ROWS_COUNT_MAX} sessions in one message")
        rows.append(row)
    if not rows:
        raise DecodeError("a message of sessions without any")
    names = [f"{end}{name}" for end in ("", "remote_") for name in COLUMNS]
    return NamedSessions(
        pack(rows), {name: texts_of([str(row[name]) for row in rows]) for name in names}
    )


def _rows(message: SandeshMessage, tags: TagNames) -> Iterator[Row]:
    for endpoint in structs(message.fields, "session_data"):
        of_endpoint = {"T": message.header.timestamp_us, **_endpoint(endpoint.fields, tags)}
        for key, aggregate in entries(endpoint.fields, "sess_agg_info"):
            of_aggregate = {**of_endpoint, **_near_end(key.fields)}
            sessions = entries(aggregate.fields, "sessionMap")
            for far, session in sessions:
                yield {**of_aggregate, **_far_end(far.fields), **_session(session.fields)}
            if not sessions:
                yield {**of_aggregate, **_added_up(aggregate.fields)}


def _endpoint(fields: Fields, tags: TagNames) -> Row:
    is_client = fields.get("is_client_session")
    if is_client is None or not isinstance(is_client.value, int):
        raise DecodeError("field is_client_session does not say true or false")
    return {
        "session_type": "client" if is_client.value else "server",
        "vmi": text(fields, "vmi"),
        "vn": text(fields, "vn"),
        "remote_vn": text(fields, "remote_vn"),
        "remote_prefix": text(fields, "remote_prefix"),
        "security_policy_rule": text(fields, "security_policy_rule"),
        "vrouter_ip": address(fields, "vrouter_ip"),
        **{name: _tags(fields, name, tags) for name in COLUMNS},
        **{f"remote_{name}": _tags(fields, f"remote_{name}", tags) for name in COLUMNS},
    }


def _near_end(fields: Fields) -> Row:
    # Older agents name the members of this key as those of the other one.
    return {
        "local_ip": address(fields, "local_ip") or address(fields, "ip"),
        "server_port": number(fields, "service_port", U16) or number(fields, "port", U16),
        "protocol": number(fields, "protocol", U8),
    }


def _far_end(fields: Fields) -> Row:
    return {
        "remote_ip": address(fields, "ip"),
        "client_port": number(fields, "port", U16),
    }


def _session(fields: Fields) -> Row:
    forward, reverse = (struct(fields, f"{way}_flow_info") for way in _WAYS)
    flows = dict(zip(_WAYS, (forward, reverse), strict=True))
    return {
        "other_vrouter_ip": address(fields, "other_vrouter_ip"),
        "underlay_proto": number(fields, "underlay_proto", U8),
        "drop_reason": drop_reason(forward, reverse),
        **{
            f"{way}_{name}": number(flow, name, I64)
            for way, flow in flows.items()
            for name in _COUNTERS
        },
        **{f"{way}_action": text(flow, "action") for way, flow in flows.items()},
        **{
            name: number(forward, name, LATEST_US) or number(reverse, name, LATEST_US)
            for name in ("setup_time", "teardown_time")
        },
        "sample_weight": _weight([*forward, *reverse]),
    }


def _added_up(fields: Fields) -> Row:
    row: Row = {}
    for way in _WAYS:
        for name in _COUNTERS:
            kind, _, unit = name.partition("_")
            row[f"{way}_{name}"] = number(fields, f"{kind}_{way}_{unit}", I64)
    return {**row, "sample_weight": _weight(list(fields))}


def _weight(names: list[str]) -> float:
    """Return for how many a session stands: agents tell what they sampled multiplied already.

    None that was sampled: it is told for its being logged, and adds nothing to the samples.
    """
    return float(any(name.startswith("sampled_") for name in names))


def _tags(fields: Fields, name: str, tags: TagNames) -> str:
    """Return one column's tags, sorted; told are one, or a set of them."""
    each = fields.get(name)
    told = [] if each is None else each.value if isinstance(each.value, list) else [each.value]
    if len(told) > TAGS_COUNT_MAX:
        raise DecodeError(f"field {name}: over {TAGS_COUNT_MAX} tags")
    words = [word(name, said) for said in told]
    named = {
        tags.name(int(said, 16)) if _NUMBER.fullmatch(said) else said for said in words if said
    }
    return SEPARATOR.join(sorted(named))
