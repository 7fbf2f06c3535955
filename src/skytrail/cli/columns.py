"""Which columns a table of each type has; pure.

The types people look at most have chosen columns; every other type gets its first plain properties
and references from the catalog.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from skytrail.cli.values import Json, items, mapping, member, text
from skytrail.model.catalog import ObjectType

COLUMNS_COUNT_MAX: Final = 5
ITEMS_COUNT_MAX: Final = 4
_COMMON: Final = frozenset({"id_perms", "perms2", "annotations", "display_name", "tag_refs"})


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, the fields it needs of the API, and how its cell is made."""

    title: str
    fields: tuple[str, ...]
    cell: Callable[[Json], str]


def columns_of(kind: ObjectType, fields: tuple[str, ...] = ()) -> list[Column]:
    """Return the columns of a type's table: the asked fields, or the usual ones."""
    name = Column("NAME", (), lambda item: ":".join(text(part) for part in items(item["fq_name"])))
    if fields:
        chosen = [_field(kind, field) for field in fields]
    else:
        chosen = list(_CHOSEN[kind.name]) if kind.name in _CHOSEN else _generic(kind)
    return [name, *chosen]


def title_of(kind: ObjectType, field: str) -> str:
    """Return a field's heading: without the type's own name and the kind of field."""
    short = field.removeprefix(f"{kind.json_name}_")
    for ending in ("_refs", "_properties"):
        short = short.removesuffix(ending)
    return (short or field).replace("_", " ").upper()


def _generic(kind: ObjectType) -> list[Column]:
    plain = [
        name
        for name, each in kind.properties.items()
        if not each.is_compound and name not in _COMMON and each.presence != "system-only"
    ]
    first = sorted(plain, key=lambda name: kind.properties[name].presence != "required")
    found = [*first[:3], *(name for name in kind.references if name not in _COMMON)]
    return [_field(kind, name) for name in found[:COLUMNS_COUNT_MAX]]


def _field(kind: ObjectType, field: str) -> Column:
    if field.endswith("_refs"):
        return Column(title_of(kind, field), (field,), _names(field))
    return Column(title_of(kind, field), (field,), lambda item: short_value(item.get(field)))


def short_value(value: object) -> str:
    """Return any value in one short line."""
    if isinstance(value, list):
        return _joined([short_value(each) for each in items(value)])
    if isinstance(value, dict):
        found = mapping(value)
        if len(found) == 1:
            return short_value(next(iter(found.values())))
        parts = [f"{key}={short_value(each)}" for key, each in found.items() if each is not None]
        return _joined(parts)
    return text(value)


def _joined(parts: list[str]) -> str:
    shown = [part for part in parts if part]
    more = len(shown) - ITEMS_COUNT_MAX
    return ", ".join(shown[:ITEMS_COUNT_MAX]) + (f" +{more} more" if more > 0 else "")


def _names(field: str) -> Callable[[Json], str]:
    """Return a cell of the last names a reference list points to."""

    def cell(item: Json) -> str:
        last = [items(member(each, "to"))[-1:] for each in items(item.get(field))]
        return _joined([text(part) for parts in last for part in parts])

    return cell


def _at(*path: str) -> Callable[[Json], str]:
    return lambda item: short_value(member(item, *path))


def _count(*path: str) -> Callable[[Json], str]:
    return lambda item: str(len(items(member(item, *path))))


def prefix(value: object) -> str:
    """Return a subnet value as ADDRESS/LENGTH."""
    address, length = member(value, "ip_prefix"), member(value, "ip_prefix_len")
    return f"{address}/{length}" if address is not None and length is not None else ""


def _network_subnets(item: Json) -> str:
    return _joined(
        [
            prefix(member(subnet, "subnet"))
            for reference in items(item.get("network_ipam_refs"))
            for subnet in items(member(reference, "attr", "ipam_subnets"))
        ]
    )


def _targets(item: Json) -> str:
    marks = {"import": " (in)", "export": " (out)"}
    return _joined(
        [
            text(member(each, "to") and items(member(each, "to"))[-1])
            + marks.get(text(member(each, "attr", "import_export")), "")
            for each in items(item.get("route_target_refs"))
        ]
    )


def _column(title: str, field: str, cell: Callable[[Json], str]) -> Column:
    return Column(title, (field,), cell)


def _refs(title: str, target: str) -> Column:
    field = f"{target.replace('-', '_')}_refs"
    return Column(title, (field,), _names(field))


_TENANCY: Final = (
    _column("DISPLAY NAME", "display_name", _at("display_name")),
    _column("CREATED", "id_perms", _at("id_perms", "created")),
)
_RECORD: Final = "virtual_DNS_record_data"
_CHOSEN: Final[dict[str, tuple[Column, ...]]] = {
    "virtual-network": (
        _column("ID", "virtual_network_network_id", _at("virtual_network_network_id")),
        _column("SUBNETS", "network_ipam_refs", _network_subnets),
        _refs("POLICIES", "network-policy"),
        _column("ROUTE TARGETS", "route_target_list", _at("route_target_list", "route_target")),
    ),
    "virtual-machine-interface": (
        _refs("NETWORK", "virtual-network"),
        _column(
            "MAC",
            "virtual_machine_interface_mac_addresses",
            _at("virtual_machine_interface_mac_addresses", "mac_address"),
        ),
        _refs("MACHINE", "virtual-machine"),
        _refs("SECURITY GROUPS", "security-group"),
    ),
    "instance-ip": (
        _column("ADDRESS", "instance_ip_address", _at("instance_ip_address")),
        _refs("NETWORK", "virtual-network"),
        _refs("INTERFACE", "virtual-machine-interface"),
    ),
    "virtual-machine": _TENANCY,
    "security-group": (
        _column("ID", "security_group_id", _at("security_group_id")),
        _column("RULES", "security_group_entries", _count("security_group_entries", "policy_rule")),
    ),
    "network-policy": (
        _column("RULES", "network_policy_entries", _count("network_policy_entries", "policy_rule")),
    ),
    "network-ipam": (
        _column("METHOD", "ipam_subnet_method", _at("ipam_subnet_method")),
        _column("DNS", "network_ipam_mgmt", _at("network_ipam_mgmt", "ipam_dns_method")),
        _refs("DNS SERVER", "virtual-DNS"),
    ),
    "routing-instance": (
        _column("ROUTE TARGETS", "route_target_refs", _targets),
        _refs("JOINED TO", "routing-instance"),
    ),
    "access-control-list": (
        _column(
            "ENTRIES",
            "access_control_list_entries",
            _count("access_control_list_entries", "acl_rule"),
        ),
    ),
    "virtual-DNS": (
        _column("DOMAIN", "virtual_DNS_data", _at("virtual_DNS_data", "domain_name")),
        _column("NEXT", "virtual_DNS_data", _at("virtual_DNS_data", "next_virtual_DNS")),
    ),
    "virtual-DNS-record": (
        _column("RECORD", _RECORD, _at(_RECORD, "record_name")),
        _column("TYPE", _RECORD, _at(_RECORD, "record_type")),
        _column("DATA", _RECORD, _at(_RECORD, "record_data")),
        _column("TTL", _RECORD, _at(_RECORD, "record_ttl_seconds")),
    ),
    "virtual-router": (
        _column("ADDRESS", "virtual_router_ip_address", _at("virtual_router_ip_address")),
        _refs("MACHINES", "virtual-machine"),
    ),
    "floating-ip": (
        _column("ADDRESS", "floating_ip_address", _at("floating_ip_address")),
        _column("FIXED", "floating_ip_fixed_ip_address", _at("floating_ip_fixed_ip_address")),
        _refs("INTERFACES", "virtual-machine-interface"),
    ),
    "logical-router": (
        _column("TYPE", "logical_router_type", _at("logical_router_type")),
        _refs("NETWORKS", "virtual-network"),
        _refs("INTERFACES", "virtual-machine-interface"),
    ),
    "global-system-config": (
        _column("AS", "autonomous_system", _at("autonomous_system")),
        _column("IBGP MESH", "ibgp_auto_mesh", _at("ibgp_auto_mesh")),
    ),
    "global-vrouter-config": (
        _column(
            "ENCAPSULATION",
            "encapsulation_priorities",
            _at("encapsulation_priorities", "encapsulation"),
        ),
        _column("VNI", "vxlan_network_identifier_mode", _at("vxlan_network_identifier_mode")),
    ),
    "domain": _TENANCY,
    "project": _TENANCY,
    "route-target": (),
}
