"""What configuration says of entities: which nodes there should be, and users' alarm rules. Pure.

A node that is configured is an entity (struct ``ContrailConfig``) though it says nothing itself: only so can its silence be
told from its absence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, cast

import msgspec

from skytrail.analytics.alarm_rule import AlarmRule, RuleUnusable, alternatives_of
from skytrail.analytics.exporters import canonical
from skytrail.model.alarm_timing import AlarmTiming
from skytrail.wire.telemetry import Uve

STRUCT: Final = "ContrailConfig"
MAINTENANCE: Final = "maintenance-until"
"""Annotation of a node's object."""
NODE_TABLES: Final = {
    "virtual-router": "ObjectVRouter",
    "bgp-router": "ObjectBgpRouter",
    "config-node": "ObjectConfigNode",
    "analytics-node": "ObjectCollectorInfo",
    "physical-router": "ObjectPRouter",
}
_GLOBAL_NAME_LENGTH: Final = 2
UVE_KEYS_COUNT_MAX: Final = 64
"""There are fewer types of UVE; each look at an entity goes through a rule's."""
DESCRIPTION_CHARACTERS_MAX: Final = 1024
"""It is shown with each alarm of each entity."""
WATCHED: Final = (*NODE_TABLES, "alarm", "global-system-config", "tag")

Document = Mapping[str, object]


def node_uve(kind: str, document: Document) -> Uve | None:
    """Return what configuration says of a node; None for routers that are no nodes of ours."""
    table = NODE_TABLES.get(kind)
    name = _name(document)
    if table is None or not name:
        return None
    if kind == "bgp-router":
        parameters = document.get("bgp_router_parameters")
        if not isinstance(parameters, dict):
            return None
        if cast("Document", parameters).get("router_type") != "control-node":
            return None
    elements = {
        key: msgspec.json.encode(value).decode()
        for key, value in document.items()
        if key in {"uuid", "fq_name", "virtual_router_ip_address", "bgp_router_parameters"}
    }
    return Uve(table=table, key=name, struct=STRUCT, fields={"elements": elements})


def router_addresses(document: Document) -> dict[str, str]:
    """Return the addresses a physical router may send from, each with the router's name."""
    name = _name(document)
    said = (
        document.get(f"physical_router_{role}_ip")
        for role in ("management", "dataplane", "loopback")
    )
    return {canonical(text): name for text in said if isinstance(text, str) and text}


def quiet_until_us(document: Document) -> int:
    """Return until when a node is under maintenance (microseconds, UTC), 0 when it is not.

    Annotation ``maintenance-until`` of its object says so: ISO 8601, UTC where no zone is given.
    ``ValueError`` when it is no time.
    """
    annotations = document.get("annotations")
    pairs = (
        cast("Document", annotations).get("key_value_pair")
        if isinstance(annotations, dict)
        else None
    )
    for pair in cast("list[object]", pairs) if isinstance(pairs, list) else []:
        if isinstance(pair, dict) and cast("Document", pair).get("key") == MAINTENANCE:
            until = datetime.fromisoformat(str(cast("Document", pair).get("value")))
            until = until if until.tzinfo else until.replace(tzinfo=UTC)
            return max(0, round(until.timestamp() * 1e6))
    return 0


def alarm_rule_of(
    document: Document, timing: AlarmTiming, collect: tuple[str, ...] = ()
) -> AlarmRule:
    """Return the rule of an ``alarm`` object; :class:`RuleUnusable` says what does not fit."""
    keys = document.get("uve_keys")
    words = cast("Document", keys).get("uve_key") if isinstance(keys, dict) else None
    severity = document.get("alarm_severity")
    if not isinstance(words, list) or not isinstance(severity, int):
        raise RuleUnusable("uve_keys or alarm_severity is missing")
    types = tuple(dict.fromkeys(str(word) for word in cast("list[object]", words)))
    if len(types) > UVE_KEYS_COUNT_MAX:
        raise RuleUnusable(f"uve_keys: over {UVE_KEYS_COUNT_MAX} types of UVE")
    permissions = document.get("id_perms")
    said = cast("Document", permissions).get("description") if isinstance(permissions, dict) else ""
    names = tuple(map(str, cast("Iterable[object]", document.get("fq_name") or ())))
    return AlarmRule(
        name=":".join(names),
        # Those of the whole system have one name before their own.
        project=":".join(names[:-1]) if len(names) > _GLOBAL_NAME_LENGTH else "",
        severity=severity,
        types=types,
        alternatives=alternatives_of(document.get("alarm_rules")),
        description=said[:DESCRIPTION_CHARACTERS_MAX] if isinstance(said, str) else "",
        active_s=timing.active_s,
        idle_s=timing.idle_s,
        frequency_times=timing.frequency_times,
        frequency_s=timing.frequency_s,
        collect=collect,
    )


def _name(document: Document) -> str:
    fq_name = document.get("fq_name")
    return str(cast("list[object]", fq_name)[-1]) if isinstance(fq_name, list) and fq_name else ""
