"""Rules of virtual port groups and logical interfaces: bundle numbers and VLANs.

A group over two or more ports is a bundle: on each device its member ports carry the same number
(``ae_num``), which no other bundle of the device has. What VLANs mean: ``fabric_vlans``.
"""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, children, make_record, referrers
from skytrail.api.references import referred
from skytrail.api.refusal import Refused, bad_request, conflict
from skytrail.api.rules.fabric_vlans import GROUPS, PORTS, check_group

_GROUP_POOL = "virtual-port-group-id"
_GROUP_IDS = ((0, 65_535),)
_BUNDLE_IDS = ((0, 127),)
_VLAN_MAX = 4094


def _create(change: Change, body: Document) -> None:
    take_number(change, documents.text(body, "uuid") or "")
    _complete(change, body)


def take_number(change: Change, owner: str) -> int:
    """Return the number of a group, taking one if it has none."""
    numbers = change.view.numbers
    for pool, value in numbers.owned_by(owner):
        if pool == _GROUP_POOL:
            return value
    taken = numbers.take_first(_GROUP_POOL, _GROUP_IDS, owner)
    if taken is None:
        raise conflict("No virtual-port-group ID is left")
    return taken


def _update(change: Change, old: Record, body: Document) -> None:
    _complete(change, body)


def _complete(change: Change, body: Document) -> None:
    _number_bundles(change, body)
    check_group(change, make_record("virtual-port-group", body))


def _number_bundles(change: Change, body: Document) -> None:
    """Write the bundle number of each member port; a single port is no bundle."""
    uuid = documents.text(body, "uuid") or ""
    references = documents.sections(body, PORTS)
    ports = referred(change, body, PORTS)
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
        body[PORTS] = [
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


def check_interface(change: Change, body: Document) -> None:
    """Refuse an interface that clashes with another of its virtual-port-groups or of the fabric."""
    uuid = documents.text(body, "uuid") or ""
    groups = {each.uuid: each for each in referred(change, body, GROUPS)}
    for each in referrers(change.view, uuid, "virtual-port-group"):
        groups[each.uuid] = each
    for group in groups.values():
        check_group(change, group, body)


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
