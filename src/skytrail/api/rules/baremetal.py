"""Ports of bare-metal servers: which switch ports they are on follows from their bindings.

vnic_type           baremetal
profile             {"local_link_information": [{"switch_info": "leaf1", "port_id": "xe-0/0/1",
                    "fabric": "f"}, ...]}, as JSON text
vpg                 the virtual-port-group to use, by name; otherwise that of the switch ports,
                    and if they have none, a new one that goes with its last interface
tor_port_vlan_id    the native VLAN of an untagged interface
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from skytrail.api import documents, rights
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record, find, referrers
from skytrail.api.references import reference_to, referred
from skytrail.api.refusal import bad_request, not_found
from skytrail.api.rules.fabric_vlans import INTERFACES, PORTS, bindings_of
from skytrail.api.rules.virtual_port_group import take_number
from skytrail.model.validate import shown
from skytrail.net.decimal_text import decimal

_SYSTEM = "default-global-system-config"
_GROUP, _PORT = "virtual-port-group", "physical-interface"
_BINDING = ("vnic_type", "profile", "vpg")
_BAREMETAL = "baremetal"
_VLAN_MAX = 4094
_LINKS_COUNT_MAX = 64


class Link(msgspec.Struct, frozen=True):
    """One cable of a server."""

    switch_info: str
    port_id: str
    fabric: str | None = None


class _Profile(msgspec.Struct, frozen=True):
    local_link_information: list[Link] = []


class Attachment(NamedTuple):
    """The switch ports an interface is on, and the fabric they belong to."""

    ports: list[Record]
    fabric: Record


def attachment_of(change: Change, body: Document) -> Attachment | None:
    """Return where bindings say an interface is; refuse what is not there or not the caller's."""
    bindings = bindings_of(body)
    if bindings.get("vnic_type") != _BAREMETAL:
        return None
    vlan = bindings.get("tor_port_vlan_id")
    if vlan and decimal(vlan, 0, _VLAN_MAX) is None:
        raise bad_request(f"Invalid binding tor_port_vlan_id: {shown(vlan)} is no VLAN number")
    links = _links(bindings.get("profile", ""))
    if not links:
        return None
    ports = {port.uuid: port for port in (_port_of(change, link) for link in links)}
    fabrics = {fabric.uuid: fabric for fabric in (_fabric_of(change, link) for link in links)}
    if len(fabrics) != 1:
        raise bad_request(
            f"Invalid binding profile: its ports are in several fabrics{_told(change, fabrics)}"
        )
    attachment = Attachment(list(ports.values()), next(iter(fabrics.values())))
    _group_named(change, body, attachment)  # Asked for the caller; used later on our own behalf.
    return attachment


def _links(profile: str) -> list[Link]:
    if not profile:
        return []
    try:
        found = msgspec.json.decode(profile, type=_Profile)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise bad_request(f"Invalid binding profile: {error}") from None
    if len(found.local_link_information) > _LINKS_COUNT_MAX:
        raise bad_request(f"Invalid binding profile: more than {_LINKS_COUNT_MAX} links")
    return found.local_link_information


def _port_of(change: Change, link: Link) -> Record:
    name = (_SYSTEM, link.switch_info, link.port_id)
    port = find(change.view, _PORT, name)
    if port is not None:
        port = rights.linkable(change, port)
    if port is None:
        raise not_found(
            f"Physical interface {shown(list(name))} of local_link_information not found"
        )
    return port


def _fabric_of(change: Change, link: Link) -> Record:
    """Return the fabric a link names, else the one of its switch."""
    if link.fabric is not None:
        fabric = rights.linkable(change, find(change.view, "fabric", (_SYSTEM, link.fabric)))
        if fabric is None:
            raise not_found(f"Fabric {shown(link.fabric)} of local_link_information not found")
        return fabric
    device = find(change.view, "physical-router", (_SYSTEM, link.switch_info))
    for fabric in [] if device is None else referred(change, device.body, "fabric_refs"):
        return fabric
    raise bad_request(
        f"local_link_information names no fabric, and {shown(link.switch_info)} belongs to none"
    )


def _told(change: Change, records: Mapping[str, Record]) -> str:
    """Return the names of those the caller may know of, for the end of a sentence."""
    names = [list(each.fq_name) for each in records.values() if rights.shown_name(change, each)]
    return f": {names}" if names else ""


def binding_changed(old: Document, new: Document) -> bool:
    """Whether an interface is to be attached anew."""
    before, after = bindings_of(old), bindings_of(new)
    return any(before.get(name) != after.get(name) for name in _BINDING)


def is_bound(body: Document) -> bool:
    """Whether an interface's groups follow from its bindings."""
    return bindings_of(body).get("vnic_type") == _BAREMETAL


def attach(change: Change, interface: Record, attachment: Attachment) -> None:
    """Make the interface a member of the group of its switch ports."""
    group = _group_for(change, interface.body, attachment)
    if group is None:
        _make_group(change, interface, attachment)
        return
    body = dict(group.body)
    missing = {port.uuid: port for port in attachment.ports}
    for reference in documents.sections(body, PORTS):
        missing.pop(documents.text(reference, "uuid") or "", None)
    if missing and documents.flag(body, "virtual_port_group_user_created") is not False:
        names = [list(port.fq_name) for port in missing.values()]
        raise bad_request(f"The virtual-port-group of these bindings has no ports {names}")
    if missing:
        more = [reference_to(port) for port in missing.values()]
        body[PORTS] = [*documents.sections(body, PORTS), *more]
    held = documents.sections(body, INTERFACES)
    if not any(each.get("uuid") == interface.uuid for each in held):
        body[INTERFACES] = [*held, reference_to(interface)]
    _replace(change, group, body)


def _group_named(change: Change, body: Document, attachment: Attachment) -> Record | None:
    """Return the group that bindings name, None when they name none."""
    name = bindings_of(body).get("vpg")
    if not name:
        return None
    fq_name = (*attachment.fabric.fq_name, name)
    # Whoever may not know of it is told the same as when there is none.
    group = rights.linkable(change, find(change.view, _GROUP, fq_name))
    if group is None:
        raise not_found(f"Vpg object {shown(name)} is not found")
    return group


def _group_for(change: Change, body: Document, attachment: Attachment) -> Record | None:
    named = _group_named(change, body, attachment)
    if named is not None:
        return named
    groups = {
        group.uuid: group
        for port in attachment.ports
        for group in referrers(change.view, port.uuid, _GROUP)
    }
    if len(groups) > 1:
        raise bad_request(
            "Invalid binding profile: its ports are in several groups; name one of them as vpg"
        )
    return next(iter(groups.values()), None)


def _make_group(change: Change, interface: Record, attachment: Attachment) -> None:
    from skytrail.api import admission  # the table of rules is below admission

    uuid = change.new_uuid()
    number = take_number(change, uuid)
    request: Document = {
        "uuid": uuid,
        "fq_name": [*attachment.fabric.fq_name, f"vpg-internal-{number}"],
        "parent_type": "fabric",
        "virtual_port_group_user_created": False,
        "virtual_port_group_lacp_enabled": len(attachment.ports) > 1,
        PORTS: [reference_to(port) for port in attachment.ports],
        INTERFACES: [reference_to(interface)],
    }
    admission.create(change, change.schema.resources[_GROUP], request)


def detach(change: Change, interface: Record) -> None:
    """Take a bare-metal interface out of its groups; one made for bindings goes with its last."""
    for group in referrers(change.view, interface.uuid, _GROUP):
        if not (_is_internal(group) or is_bound(interface.body)):
            continue
        left = [
            each
            for each in documents.sections(group.body, INTERFACES)
            if each.get("uuid") != interface.uuid
        ]
        holders = change.view.referrer_types(group.uuid)
        if left or holders or not _is_internal(group):
            body = {**group.body, INTERFACES: left}
            if not left:
                del body[INTERFACES]
            _replace(change, group, body)
        else:
            change.view.numbers.release_owner(group.uuid)
            change.view.remove(group.uuid)


def _is_internal(group: Record) -> bool:
    return documents.flag(group.body, "virtual_port_group_user_created") is False


def _replace(change: Change, group: Record, body: Document) -> None:
    from skytrail.api import admission  # the table of rules is below admission

    admission.replace_body(change, group, body)
