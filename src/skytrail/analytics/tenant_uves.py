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

from skytrail.analytics.tenant_view import Tenant
from skytrail.analytics.uve_filter import ALARMS, UveFilter

Entity = tuple[str, str]
State = Mapping[str, object]
Fields = dict[str, object]


class _Kind(enum.Enum):
    PLAIN = enum.auto()
    LIST = enum.auto()
    NAMES = enum.auto()
    """Full names of things, of which the project's own are shown."""


_TRAFFIC: Final = dict.fromkeys(("in_tpkts", "in_bytes", "out_tpkts", "out_bytes"), _Kind.PLAIN)
NETWORKS: Final = "ObjectVNTable"
PORTS: Final = "ObjectVMITable"
MACHINES: Final = "ObjectVMTable"
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
    }
)
TABLES: Final = tuple(_SHOWN)
NAMED_TABLES: Final = (NETWORKS, PORTS)
"""Whose entities are named with their project in front; a machine is whose ports it has."""
_OF_ALARMS: Final = ("type", "severity", "description", "timestamp", "ack")


def seen(tenant: Tenant, entity: Entity, state: State) -> dict[str, Fields]:
    """Return what is shown of an entity; nothing where it is not the project's."""
    if not is_own(tenant, entity, state):
        return {}
    struct, kinds = _SHOWN[entity[0]]
    said = _fields(state, struct)
    shown = {
        name: _value(tenant, kinds[name], value) for name, value in said.items() if name in kinds
    }
    found = {struct: shown} if shown else {}
    alarms = _alarms(tenant, _agreed(_Kind.LIST, _fields(state, ALARMS).get("alarms")))
    if not is_whole(tenant, entity, state):
        # What a rule of others found may be of others' ports.
        alarms = [each for each in alarms if str(each.get("type")).startswith(tenant.prefix)]
    return {**found, ALARMS: {"alarms": alarms}} if alarms else found


def is_own(tenant: Tenant, entity: Entity, state: State) -> bool:
    """Tell whether an entity is the project's; a machine is whose port it has, of several projects."""
    table, key = entity
    if table in NAMED_TABLES:
        return key.startswith(tenant.prefix)
    return table == MACHINES and any(_are_own(tenant, state))


def is_whole(tenant: Tenant, entity: Entity, state: State) -> bool:
    """Tell whether an entity is the project's and nobody else's: all of a machine's ports are."""
    if entity[0] != MACHINES:
        return is_own(tenant, entity, state)
    own = _are_own(tenant, state)
    return bool(own) and all(own)


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


def _ports_of(state: State) -> list[object]:
    said = _fields(state, _SHOWN[MACHINES][0]).get("interface_list")
    return cast("list[object]", said) if isinstance(said, list) else []


def _are_own(tenant: Tenant, state: State) -> list[bool]:
    """Return of each port of a machine whether it is the project's."""
    ports = _ports_of(state)
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
    agreed = _agreed(kind, value)
    if kind is not _Kind.NAMES:
        return agreed
    names = cast("list[object]", agreed) if isinstance(agreed, list) else []
    return [name for name in names if isinstance(name, str) and name.startswith(tenant.prefix)]


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
