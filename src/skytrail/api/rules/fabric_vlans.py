"""Which VLANs mean which networks on the ports of a fabric.

On one port group, interfaces differ by VLAN: the wire has to tell them apart. Beyond the group it
depends on the fabric. In the enterprise style a VLAN number means the same on a whole device, so
over all groups of the fabric a VLAN carries one network and a network has one VLAN; the fabric may
turn this off (``disable_vlan_vn_uniqueness_check``). In the service provider style a VLAN number
means something on its port alone.

A group belongs to the fabric it is below, or to the fabric of the devices its ports are on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skytrail.api import documents
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, referrers
from skytrail.api.references import referred
from skytrail.api.refusal import Refused, bad_request
from skytrail.net.decimal_text import decimal

PORTS, INTERFACES = "physical_interface_refs", "virtual_machine_interface_refs"
GROUPS = "virtual_port_group_refs"
_VLAN_MAX = 4094
_GROUP, _INTERFACE = "virtual-port-group", "virtual-machine-interface"
_STYLE, _UNCHECKED = "fabric_enterprise_style", "disable_vlan_vn_uniqueness_check"


@dataclass(frozen=True, slots=True)
class _Use:
    """An interface's VLAN on a group; the body may be of a plan that is not in the view yet."""

    group: Record
    uuid: str
    network: str
    vlan: int


def bindings_of(interface: Document) -> dict[str, str]:
    """Return an interface's bindings; those without a text are left out."""
    holder = documents.section(interface, "virtual_machine_interface_bindings")
    return {
        documents.text(pair, "key") or "": documents.text(pair, "value") or ""
        for pair in documents.sections(holder, "key_value_pair")
    }


def tag_in(group: str, interface: Document) -> int:
    """Return the tag an interface's frames have on a group's ports, 0 for none."""
    tag = documents.number(_attribute(group, interface), "vlan_tag")
    properties = documents.section(interface, "virtual_machine_interface_properties")
    return tag or documents.number(properties, "sub_interface_vlan_tag") or 0


def vlan_in(group: str, interface: Document) -> int:
    """Return the VLAN an interface is in, tagged or native; 0 where nothing says."""
    tag = tag_in(group, interface)
    if tag:
        return tag
    native = documents.number(_attribute(group, interface), "native_vlan_tag")
    given = bindings_of(interface).get("tor_port_vlan_id", "")
    return native or decimal(given, 0, _VLAN_MAX) or 0


def _attribute(group: str, interface: Document) -> Document:
    for reference in documents.sections(interface, GROUPS):
        if reference.get("uuid") == group:
            return documents.section(reference, "attr")
    return {}


def members_of(change: Change, group: Record, interface: Document | None = None) -> list[Document]:
    """Return the interfaces of a group; a planned ``interface`` stands in for its former version."""
    found = {each.uuid: each.body for each in referred(change, group.body, INTERFACES)}
    for each in referrers(change.view, group.uuid, _INTERFACE):
        found[each.uuid] = each.body
    if interface is not None:
        own = documents.text(interface, "uuid") or ""
        is_named = any(i.get("uuid") == own for i in documents.sections(group.body, INTERFACES))
        found.pop(own, None)
        if is_named or any(
            i.get("uuid") == group.uuid for i in documents.sections(interface, GROUPS)
        ):
            found[own] = interface
    return list(found.values())


def check_group(change: Change, group: Record, interface: Document | None = None) -> None:
    """Refuse interfaces of a group that the wire, or the fabric, could not tell apart."""
    members = members_of(change, group, interface)
    tags: dict[int, Document] = {}
    vlans: dict[int, Document] = {}
    for member in members:
        tag, vlan = tag_in(group.uuid, member), vlan_in(group.uuid, member)
        other = tags.setdefault(tag, member)
        if other is member and vlan:
            other = vlans.setdefault(vlan, member)
        if other is not member:
            which = f"VLAN {vlan}" if vlan else "no VLAN"
            raise bad_request(
                f"{which} is used by two interfaces of virtual-port-group "
                f"{list(group.fq_name)}: {other['uuid']}, {member['uuid']}"
            )
    fabric = fabric_of(change, group)
    if fabric is None or not _is_checked(fabric.body):
        return
    own = None if interface is None else documents.text(interface, "uuid")
    uses = [each for each in _uses(group, members) if own is None or each.uuid == own]
    if uses:
        others = [*_uses(group, members), *_elsewhere(change, fabric, group)]
        _check(fabric, uses, others)


def fabric_of(change: Change, group: Record) -> Record | None:
    """Return the fabric of a group: its parent, else that of a device its ports are on."""
    if group.parent_type == "fabric":
        return change.view.get(group.parent_uuid or "")
    for port in referred(change, group.body, PORTS):
        device = change.view.get(port.parent_uuid or "")
        if device is not None and device.type_name == "physical-router":
            for fabric in referred(change, device.body, "fabric_refs"):
                return fabric
    return None


def _is_checked(fabric: Document) -> bool:
    return documents.flag(fabric, _STYLE) is not False and not documents.flag(fabric, _UNCHECKED)


def _uses(group: Record, members: list[Document]) -> Iterator[_Use]:
    for member in members:
        vlan = vlan_in(group.uuid, member)
        for network in documents.sections(member, "virtual_network_refs")[:1]:
            if vlan:
                uuid = documents.text(member, "uuid") or ""
                yield _Use(group, uuid, documents.text(network, "uuid") or "", vlan)


def _elsewhere(change: Change, fabric: Record, group: Record | None) -> Iterator[_Use]:
    """Yield the uses on all groups of a fabric but one."""
    for each in change.view.of_type(_GROUP):
        if group is not None and each.uuid == group.uuid:
            continue
        found = fabric_of(change, each)
        if found is not None and found.uuid == fabric.uuid:
            yield from _uses(each, members_of(change, each))


def _check(fabric: Record, uses: Iterable[_Use], others: Iterable[_Use]) -> None:
    """Refuse uses that clash with each other or with others; what others do is not asked."""
    by_vlan: dict[int, _Use] = {}
    by_network: dict[str, _Use] = {}
    for use in uses:
        _compare(fabric, use, by_vlan.setdefault(use.vlan, use))
        _compare(fabric, use, by_network.setdefault(use.network, use))
    for other in others:
        _compare(fabric, by_vlan.get(other.vlan, other), other)
        _compare(fabric, by_network.get(other.network, other), other)


def _compare(fabric: Record, use: _Use, other: _Use) -> None:
    if use.vlan == other.vlan and use.network != other.network:
        raise _clash(fabric, use, other, f"VLAN {use.vlan} carries another network")
    if use.network == other.network and use.vlan != other.vlan:
        detail = f"the network already has VLAN {other.vlan}, not {use.vlan}"
        raise _clash(fabric, use, other, detail)


def _clash(fabric: Record, use: _Use, other: _Use, detail: str) -> Refused:
    return bad_request(
        f"In fabric {list(fabric.fq_name)} {detail}: virtual-machine-interface {use.uuid} on "
        f"virtual-port-group {list(use.group.fq_name)}, {other.uuid} on {list(other.group.fq_name)}"
    )


def _update_fabric(change: Change, old: Record, body: Document) -> None:
    """Refuse to turn the check on over what it would have refused."""
    if _is_checked(body) and not _is_checked(old.body):
        uses = list(_elsewhere(change, old, None))
        _check(old, uses, ())


FABRIC = Rule(update=_update_fabric)
