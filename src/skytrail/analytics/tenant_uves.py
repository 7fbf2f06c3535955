"""What a project's member sees of UVEs: his project's networks, ports and machines, and their alarms. Pure.

```
 Tenant + entity + flat state --> the part that is shown; nothing: to him the entity is not there
```
Structs and fields are shown by name: one that is added is hidden until it is named here. Nothing tells of hosts, or who
told it. Rules of a project are evaluated over the same part, so that they tell no more than can be seen.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, cast

import msgspec

from skytrail.analytics.placement import BALANCER_NAME
from skytrail.analytics.tenant_view import Tenant
from skytrail.analytics.uve_filter import ALARMS, UveFilter
from skytrail.model.derived_uuid import derived_uuid

Entity = tuple[str, str]
State = Mapping[str, object]
Fields = dict[str, object]


class _Kind(enum.Enum):
    PLAIN = enum.auto()
    LIST = enum.auto()
    NAMES = enum.auto()
    """Full names of things, of which the project's own are shown."""
    PARTS = enum.auto()
    """What is told of each of several things, by uuid; not by which host."""


_TRAFFIC: Final = dict.fromkeys(("in_tpkts", "in_bytes", "out_tpkts", "out_bytes"), _Kind.PLAIN)
NETWORKS: Final = "ObjectVNTable"
PORTS: Final = "ObjectVMITable"
MACHINES: Final = "ObjectVMTable"
BALANCERS: Final = "ObjectLBTable"
_SHOWN: Final[Mapping[str, tuple[str, Mapping[str, _Kind]]]] = MappingProxyType(
    {
        NETWORKS: (
            "UveVirtualNetworkAgent",
            {"interface_list": _Kind.NAMES, "vrf_name": _Kind.NAMES, **_TRAFFIC},
        ),
        PORTS: (
            "UveVMInterfaceAgent",
            {
                **dict.fromkeys(
                    (
                        "uuid",
                        "vm_uuid",
                        "vm_name",
                        "virtual_network",
                        "ip_address",
                        "ip6_address",
                        "mac_address",
                        "active",
                        "ip4_active",
                        "ip6_active",
                        "is_health_check_active",
                        "mtu_bytes",
                    ),
                    _Kind.PLAIN,
                ),
                "floating_ips": _Kind.LIST,
                "security_groups": _Kind.LIST,
                **_TRAFFIC,
            },
        ),
        MACHINES: (
            "UveVirtualMachineAgent",
            {"uuid": _Kind.PLAIN, "vm_name": _Kind.PLAIN, "interface_list": _Kind.NAMES},
        ),
        BALANCERS: (
            "UveLoadbalancerStats",
            {
                **dict.fromkeys(
                    (
                        "vip_address",
                        "operating_status",
                        "current_sessions",
                        "total_sessions",
                        "bytes_in",
                        "bytes_out",
                    ),
                    _Kind.PLAIN,
                ),
                **dict.fromkeys(("listener", "pool", "member"), _Kind.PARTS),
            },
        ),
    }
)
TABLES: Final = tuple(_SHOWN)
_OF_A_USED_NETWORK: Final = ("interface_list",)
"""Fields that are shown of another project's network: which of its ports are the project's own."""
NAMED_TABLES: Final = (NETWORKS, PORTS)
"""Whose entities are named with their project in front; a machine is whose ports it has."""
_OF_PARTS: Final = frozenset(
    {
        *("obj_name", "uuid", "status", "operating_status", "status_description"),
        *("active_connections", "max_connections", "current_sessions", "max_sessions"),
        *("total_sessions", "bytes_in", "bytes_out", "connection_errors", "reponse_errors"),
    }
)
_OF_ALARMS: Final = ("type", "severity", "description", "timestamp", "ack")


def seen(tenant: Tenant, entity: Entity, state: State) -> dict[str, Fields]:
    """Return what is shown of an entity; nothing where it is not the project's, and no network of its ports."""
    struct, kinds = _SHOWN.get(entity[0], ("", {}))
    if not is_own(tenant, entity, state):
        if entity[0] != NETWORKS or not any(_are_own(tenant, state, NETWORKS)):
            return {}
        told = _fields(state, struct)
        return {
            struct: {name: _value(tenant, kinds[name], told[name]) for name in _OF_A_USED_NETWORK}
        }
    said = _fields(state, struct)
    shown = {
        name: _value(tenant, kinds[name], value) for name, value in said.items() if name in kinds
    }
    found = {struct: shown} if shown else {}
    alarms = _alarms(tenant, _agreed(_Kind.LIST, _fields(state, ALARMS).get("alarms")))
    if entity[0] == MACHINES and not is_whole(tenant, entity, state):
        # What a rule of others found may be of others' ports.
        alarms = [each for each in alarms if str(each.get("type")).startswith(tenant.prefix)]
    return {**found, ALARMS: {"alarms": alarms}} if alarms else found


def is_own(tenant: Tenant, entity: Entity, state: State) -> bool:
    """Tell whether an entity is the project's; a machine is whose port it has, of several projects."""
    table, key = entity
    if table in NAMED_TABLES:
        return key.startswith(tenant.prefix)
    if table == BALANCERS:
        return is_whole(tenant, entity, state)
    return table == MACHINES and any(_are_own(tenant, state))


def is_whole(tenant: Tenant, entity: Entity, state: State) -> bool:
    """Tell whether an entity is the project's and nobody else's: all of a machine's ports are."""
    if entity[0] not in {MACHINES, BALANCERS}:
        return is_own(tenant, entity, state)
    own = _are_own(tenant, state)
    return bool(own) and all(own)


def machines_of(balancer: str) -> list[Entity]:
    """Return the machines that stand for a balancer's copies: their ports are of its project.

    Their uuids are the compiler's, which it gives to nobody else's (ADR 0406).
    """
    names = (f"{BALANCER_NAME}{balancer}-{number}" for number in (1, 2))
    return [(MACHINES, derived_uuid("virtual-machine", (name,))) for name in names]


def with_machine(state: State, machine: State) -> State:
    """Return what is known of a balancer with what is said of the machine of a copy."""
    struct = _SHOWN[MACHINES][0]
    return {**state, struct: machine.get(struct)}


def prefixes_of(entity: Entity, state: State) -> set[str]:
    """Return all that names an entity is known by begin with, up to a colon: its projects are among them."""
    table, key = entity
    names = [key] if table in NAMED_TABLES else _ports_of(state) if table == MACHINES else []
    return {
        name[:at]
        for name in names
        if isinstance(name, str)
        for at, each in enumerate(name)
        if each == ":"
    }


def _ports_of(state: State, table: str = MACHINES) -> list[object]:
    said = _fields(state, _SHOWN[table][0]).get("interface_list")
    return cast("list[object]", said) if isinstance(said, list) else []


def _are_own(tenant: Tenant, state: State, table: str = MACHINES) -> list[bool]:
    """Return of each port of a machine, or of a network, whether it is the project's."""
    ports = _ports_of(state, table)
    return [isinstance(name, str) and name.startswith(tenant.prefix) for name in ports]


def token_of(raised_us: int, node: str = "") -> str:
    """Return what acknowledges the alarm raised then, and no other; members are not told of which node."""
    said = {"timestamp": raised_us, "http_port": 0, "host_ip": node}
    return base64.b64encode(msgspec.json.encode(said)).decode()


def own_part(tenant: Tenant, chosen: UveFilter, table: str) -> UveFilter | None:
    """Return a filter narrowed to names that can be the project's; None where none can."""
    if table not in NAMED_TABLES:
        return chosen
    keys = tuple(dict.fromkeys(_own_keys(tenant.prefix, chosen.keys or ("*",))))
    return replace(chosen, keys=keys) if keys else None


def may_use(tenant: Tenant, chosen: UveFilter, entity: Entity) -> bool:
    """Tell whether it is a network that is asked for, of another project: perhaps one with ports of the project."""
    table, key = entity
    return table == NETWORKS and not key.startswith(tenant.prefix) and chosen.has_key(key)


def _own_keys(prefix: str, keys: Iterable[str]) -> Iterable[str]:
    for key in keys:
        start = key.removesuffix("*")
        if start.startswith(prefix):
            yield key
        elif key.endswith("*") and prefix.startswith(start):
            yield f"{prefix}*"


def _fields(state: State, struct: str) -> Mapping[str, object]:
    found = state.get(struct)
    return cast("Mapping[str, object]", found) if isinstance(found, dict) else {}


def _agreed(kind: _Kind, value: object) -> object:
    """Return one value of a field; where generators differ, they stand in it by name: the first one's."""
    if not isinstance(value, list):
        return value
    rows = cast("list[object]", value)
    is_divided = kind is _Kind.PLAIN or any(isinstance(each, list) for each in rows)
    if not is_divided:
        return rows
    first = rows[0] if rows else None
    said = cast("list[object]", first) if isinstance(first, list) else []
    return said[0] if said else None


def _value(tenant: Tenant, kind: _Kind, value: object) -> object:
    agreed = _agreed(_Kind.PLAIN if kind is _Kind.PARTS else kind, value)
    if kind is _Kind.PARTS:
        parts = cast("Fields", agreed) if isinstance(agreed, dict) else {}
        return {name: _without_host(part) for name, part in parts.items()}
    if kind is not _Kind.NAMES:
        return agreed
    names = cast("list[object]", agreed) if isinstance(agreed, list) else []
    return [name for name in names if isinstance(name, str) and name.startswith(tenant.prefix)]


def _without_host(part: object) -> Fields:
    said = cast("Fields", part) if isinstance(part, dict) else {}
    return {name: value for name, value in said.items() if name in _OF_PARTS}


def _alarms(tenant: Tenant, listed: object) -> list[Fields]:
    """Return alarms without what they tell of others: by which values rules hold that are not the project's."""
    if not isinstance(listed, list):
        return []
    shown: list[Fields] = []
    for each in cast("list[object]", listed):
        if not isinstance(each, dict):
            continue
        alarm = cast("Fields", each)
        is_own_rule = str(alarm.get("type")).startswith(tenant.prefix)
        names = (*_OF_ALARMS, "alarm_rules") if is_own_rule else _OF_ALARMS
        raised_us = alarm.get("timestamp")
        token = {"token": token_of(raised_us)} if isinstance(raised_us, int) else {}
        shown.append({**{name: alarm[name] for name in names if name in alarm}, **token})
    return shown
