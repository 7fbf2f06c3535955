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
from ipaddress import ip_address
from typing import Final

from skytrail.analytics.sessions import LATEST_US, TEXT_CHARACTERS_MAX
from skytrail.analytics.tags import COLUMNS, SEPARATOR, TAGS_COUNT_MAX, TagNames
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import Field, SandeshMessage, Struct, StructMap
from skytrail.wire.telemetry import Sessions, Texts
from skytrail.wire.telemetry.sessions import ROWS_COUNT_MAX, pack, texts_of

MESSAGE: Final = "SessionEndpointObject"
_WAYS: Final = ("forward", "reverse")
_COUNTERS: Final = ("sampled_bytes", "sampled_pkts", "logged_bytes", "logged_pkts")
_NO_REASON: Final = frozenset({"", "0", "UNKNOWN"})
"""What flows that were not dropped have as their reason."""
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,8}")
_U8: Final = (1 << 8) - 1
_U16: Final = (1 << 16) - 1
_I64: Final = (1 << 63) - 1

Fields = Mapping[str, Field]
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
    for endpoint in _structs(message.fields, "session_data"):
        of_endpoint = {"T": message.header.timestamp_us, **_endpoint(endpoint.fields, tags)}
        for key, aggregate in _entries(endpoint.fields, "sess_agg_info"):
            of_aggregate = {**of_endpoint, **_near_end(key.fields)}
            sessions = _entries(aggregate.fields, "sessionMap")
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
        "vmi": _text(fields, "vmi"),
        "vn": _text(fields, "vn"),
        "remote_vn": _text(fields, "remote_vn"),
        "remote_prefix": _text(fields, "remote_prefix"),
        "security_policy_rule": _text(fields, "security_policy_rule"),
        "vrouter_ip": _address(fields, "vrouter_ip"),
        **{name: _tags(fields, name, tags) for name in COLUMNS},
        **{f"remote_{name}": _tags(fields, f"remote_{name}", tags) for name in COLUMNS},
    }


def _near_end(fields: Fields) -> Row:
    # Older agents name the members of this key as those of the other one.
    return {
        "local_ip": _address(fields, "local_ip") or _address(fields, "ip"),
        "server_port": _number(fields, "service_port", _U16) or _number(fields, "port", _U16),
        "protocol": _number(fields, "protocol", _U8),
    }


def _far_end(fields: Fields) -> Row:
    return {
        "remote_ip": _address(fields, "ip"),
        "client_port": _number(fields, "port", _U16),
    }


def _session(fields: Fields) -> Row:
    forward, reverse = (_struct(fields, f"{way}_flow_info") for way in _WAYS)
    flows = dict(zip(_WAYS, (forward, reverse), strict=True))
    reasons = [_text(flow, "drop_reason") for flow in (forward, reverse)]
    return {
        "other_vrouter_ip": _address(fields, "other_vrouter_ip"),
        "underlay_proto": _number(fields, "underlay_proto", _U8),
        "drop_reason": next((each for each in reasons if each not in _NO_REASON), ""),
        **{
            f"{way}_{name}": _number(flow, name, _I64)
            for way, flow in flows.items()
            for name in _COUNTERS
        },
        **{f"{way}_action": _text(flow, "action") for way, flow in flows.items()},
        **{
            name: _number(forward, name, LATEST_US) or _number(reverse, name, LATEST_US)
            for name in ("setup_time", "teardown_time")
        },
        "sample_weight": _weight([*forward, *reverse]),
    }


def _added_up(fields: Fields) -> Row:
    row: Row = {}
    for way in _WAYS:
        for name in _COUNTERS:
            kind, _, unit = name.partition("_")
            row[f"{way}_{name}"] = _number(fields, f"{kind}_{way}_{unit}", _I64)
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
    words = [_word(name, word) for word in told]
    named = {
        tags.name(int(word, 16)) if _NUMBER.fullmatch(word) else word for word in words if word
    }
    return SEPARATOR.join(sorted(named))


def _text(fields: Fields, name: str) -> str:
    each = fields.get(name)
    return "" if each is None else _word(name, each.value)


def _word(name: str, value: object) -> str:
    # A reason of dropping is a number from some agents.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise DecodeError(f"field {name} is no text")
    if len(text) > TEXT_CHARACTERS_MAX:
        raise DecodeError(f"field {name}: a text of over {TEXT_CHARACTERS_MAX} characters")
    return text


def _address(fields: Fields, name: str) -> str:
    """Return an address as everywhere in the store; "" where none is told."""
    text = _text(fields, name)
    try:
        return str(ip_address(text)) if text else ""
    except ValueError as error:
        raise DecodeError(f"field {name}: {text[:64]!r} is no address") from error


def _number(fields: Fields, name: str, most: int) -> int:
    each = fields.get(name)
    if each is None:
        return 0
    if isinstance(each.value, bool) or not isinstance(each.value, int):
        raise DecodeError(f"field {name} is no number")
    if not 0 <= each.value <= most:
        raise DecodeError(f"field {name}: {each.value} is not from 0 to {most}")
    return each.value


def _struct(fields: Fields, name: str) -> Fields:
    each = fields.get(name)
    if each is None:
        return {}
    if not isinstance(each.value, Struct):
        raise DecodeError(f"field {name} is no struct")
    return each.value.fields


def _structs(fields: Fields, name: str) -> Iterator[Struct]:
    each = fields.get(name)
    values = each.value if each is not None else None
    if not isinstance(values, list):
        raise DecodeError(f"field {name} is no list")
    for value in values:
        if not isinstance(value, Struct):
            raise DecodeError(f"field {name} is no list of structs")
        yield value


def _entries(fields: Fields, name: str) -> list[tuple[Struct, Struct]]:
    each = fields.get(name)
    if each is None:
        return []
    if not isinstance(each.value, StructMap):
        raise DecodeError(f"field {name} is no map keyed by structs")
    entries = [(key, value) for key, value in each.value.entries if isinstance(value, Struct)]
    if len(entries) != len(each.value.entries):
        raise DecodeError(f"field {name} is no map of structs")
    return entries
