"""Rules of virtual port groups and logical interfaces: bundle numbers and VLANs.

A group over two or more ports is a bundle: on each device its member ports carry the same number
(``ae_num``), which no other bundle of the device has. Interfaces of workloads in one group are told
apart by VLAN.
"""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, children, referrers
from skytrail.api.references import referred
from skytrail.api.refusal import Refused, bad_request, conflict

_GROUP_POOL = "virtual-port-group-id"
_GROUP_IDS = ((0, 65_535),)
_BUNDLE_IDS = ((0, 127),)
_PORTS, _INTERFACES = "physical_interface_refs", "virtual_machine_interface_refs"
_VLAN_MAX = 4094


def _create(change: Change, body: Document) -> None:
    owner = documents.text(body, "uuid") or ""
    if change.view.numbers.take_first(_GROUP_POOL, _GROUP_IDS, owner) is None:
        raise conflict("No virtual-port-group ID is left")
    _complete(change, body)


def _update(change: Change, old: Record, body: Document) -> None:
    _complete(change, body)


def _complete(change: Change, body: Document) -> None:
    _number_bundles(change, body)
    uuid = documents.text(body, "uuid") or ""
    members = {each.uuid: each for each in referred(change, body, _INTERFACES)}
    for each in referrers(change.view, uuid, "virtual-machine-interface"):
        members[each.uuid] = each
    check_vlans(uuid, list(members.values()))


def _number_bundles(change: Change, body: Document) -> None:
    """Write the bundle number of each member port; a single port is no bundle."""
    uuid = documents.text(body, "uuid") or ""
    references = documents.sections(body, _PORTS)
    ports = referred(change, body, _PORTS)
    for port in ports:
        _refuse_second_group(change, port, uuid)
    numbers = change.view.numbers
    held = {pool: value for pool, value in numbers.owned_by(uuid) if pool != _GROUP_POOL}
    given: dict[str, int] = {}
    if len(ports) > 1:
        for device in dict.fromkeys(port.parent_uuid or "" for port in ports):
            pool = f"ae-id/{device}"
            number = held.get(pool)
            if number is None:
                number = numbers.take_first(pool, _BUNDLE_IDS, uuid)
            if number is None:
                raise conflict(f"No bundle number is left on physical-router {device}")
            given[pool] = number
    for pool, value in held.items():
        if pool not in given:
            numbers.release(pool, value)
    if references:
        body[_PORTS] = [
            _numbered(reference, given.get(f"ae-id/{port.parent_uuid}"))
            for reference, port in zip(references, ports, strict=True)
        ]


def _numbered(reference: Document, number: int | None) -> Document:
    attribute = dict(documents.section(reference, "attr"))
    attribute.pop("ae_num", None)
    if number is not None:
        attribute["ae_num"] = number
    return {**reference, "attr": attribute or None}


def _refuse_second_group(change: Change, port: Record, uuid: str) -> None:
    for other in referrers(change.view, port.uuid, "virtual-port-group"):
        if other.uuid != uuid:
            raise bad_request(
                f"physical-interface {list(port.fq_name)} is already a member of "
                f"virtual-port-group {list(other.fq_name)}"
            )


def check_vlans(group: str, members: list[Record]) -> None:
    """Refuse two interfaces of a group that the wire could not tell apart."""
    seen: dict[int, Record] = {}
    for member in members:
        vlan = _vlan_in(group, member.body)
        other = seen.setdefault(vlan, member)
        if other is not member:
            tag = f"VLAN {vlan}" if vlan else "no VLAN"
            raise bad_request(
                f"{tag} is used by two interfaces of one virtual-port-group: "
                f"{other.uuid}, {member.uuid}"
            )


def _vlan_in(group: str, interface: Document) -> int:
    """Return the VLAN an interface has on a group's ports, 0 for none."""
    for reference in documents.sections(interface, "virtual_port_group_refs"):
        if reference.get("uuid") == group:
            vlan = documents.number(documents.section(reference, "attr"), "vlan_tag")
            if vlan:
                return vlan
    properties = documents.section(interface, "virtual_machine_interface_properties")
    return documents.number(properties, "sub_interface_vlan_tag") or 0


def check_interface(change: Change, body: Document) -> None:
    """Refuse an interface that clashes with another of its virtual-port-groups."""
    uuid = documents.text(body, "uuid") or ""
    groups = {each.uuid: each for each in referred(change, body, "virtual_port_group_refs")}
    for each in referrers(change.view, uuid, "virtual-port-group"):
        groups[each.uuid] = each
    for group in groups.values():
        vlan = _vlan_in(group.uuid, body)
        others = {each.uuid: each for each in referred(change, group.body, _INTERFACES)}
        for each in referrers(change.view, group.uuid, "virtual-machine-interface"):
            others[each.uuid] = each
        others.pop(uuid, None)
        for other in others.values():
            if _vlan_in(group.uuid, other.body) == vlan:
                tag = f"VLAN {vlan}" if vlan else "no VLAN"
                raise bad_request(
                    f"{tag} is used by two interfaces of virtual-port-group "
                    f"{list(group.fq_name)}: {other.uuid}, {uuid}"
                )


def _create_logical(change: Change, body: Document) -> None:
    vlan = documents.number(body, "logical_interface_vlan_tag")
    if vlan is None:
        return
    if not 0 <= vlan <= _VLAN_MAX:
        raise bad_request(f"Invalid logical interface VLAN tag: {vlan}")
    parent = documents.text(body, "parent_uuid") or ""
    if documents.text(body, "parent_type") != "physical-interface":
        return
    for other in children(change.view, parent, "logical-interface"):
        same = documents.number(other.body, "logical_interface_vlan_tag") == vlan
        if same and other.uuid != body.get("uuid"):
            raise Refused(403, f"Vlan tag {vlan} already used in another interface : {other.uuid}")


def _update_logical(change: Change, old: Record, body: Document) -> None:
    name = "logical_interface_vlan_tag"
    if name in old.body and body.get(name) != old.body[name]:
        raise Refused(403, "Cannot change Vlan tag")
    _create_logical(change, body)


LOGICAL_INTERFACE = Rule(create=_create_logical, update=_update_logical)
VIRTUAL_PORT_GROUP = Rule(create=_create, update=_update)
