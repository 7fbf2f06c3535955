"""Rules of virtual machine interfaces: MAC addresses, the default routing instance, sub-interfaces."""

from __future__ import annotations

import msgspec

from skytrail.api import authorize, dhcp_options, documents, ipam, rights
from skytrail.api.change import Change, Companion, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, children, find
from skytrail.api.references import reference_to, referred
from skytrail.api.refusal import Refused, bad_request
from skytrail.api.rules import baremetal
from skytrail.api.rules.fat_flows import check_fat_flows
from skytrail.api.rules.rate_limits import check_rates
from skytrail.api.rules.virtual_port_group import check_interface
from skytrail.model.validate import shown
from skytrail.net import Mac

_STANDBY_LENGTHS = {4: 24, 6: 120}
_VLAN_MAX = 4094
_FAT_FLOWS = "virtual_machine_interface_fat_flow_protocols"


def mac_of(uuid: str) -> str:
    """Return the MAC of an interface that was given none: 02: and the uuid's first five bytes."""
    digits = uuid.replace("-", "")
    # The wire contract takes text positions 0-1, 2-3, 4-5, 6-7 and 9-10 of the dashed form.
    return "02:" + ":".join(digits[i : i + 2] for i in range(0, 10, 2))


def _create(change: Change, body: Document) -> None:
    if not referred(change, body, "virtual_network_refs"):
        raise bad_request("Bad Request, a virtual-machine-interface needs virtual_network_refs")
    given = documents.section(body, "virtual_machine_interface_mac_addresses")
    uuid = documents.text(body, "uuid") or ""
    macs = [_checked_mac(mac) for mac in documents.texts(given, "mac_address")]
    body["virtual_machine_interface_mac_addresses"] = {"mac_address": macs or [mac_of(uuid)]}
    _check(change, body, None)
    _link_instance(change, body)
    _complete_bindings(change, body)
    baremetal.attachment_of(change, body)


def _attach(change: Change, record: Record) -> list[Companion]:
    """Plug a new bare-metal port; what its creator may not use was refused before."""
    attachment = baremetal.attachment_of(change, record.body)
    if attachment is not None:
        baremetal.attach(change, record, attachment)
    return []


def _attach_anew(change: Change, old: Record, new: Record) -> None:
    if baremetal.binding_changed(old.body, new.body):
        attachment = baremetal.attachment_of(change, new.body)
        with rights.on_own_behalf(change):
            baremetal.detach(change, old)
            if attachment is not None:
                baremetal.attach(change, new, attachment)


def _detach(change: Change, record: Record) -> None:
    with rights.on_own_behalf(change):
        baremetal.detach(change, record)


def _checked_mac(text: str) -> str:
    try:
        return str(Mac.parse(text.replace("-", ":").lower()))
    except ValueError:
        raise bad_request(f"Invalid MAC address: {shown(text)}") from None


def _link_instance(change: Change, body: Document) -> None:
    """Refer to the default routing instance of each network, and no longer to former ones."""
    networks = referred(change, body, "virtual_network_refs")
    wanted = [
        instance
        for network in networks
        for instance in children(change.view, network.uuid, "routing-instance")
        if documents.flag(instance.body, "routing_instance_is_default")
    ]
    kept = [
        item
        for item in documents.sections(body, "routing_instance_refs")
        if not _is_default_instance(change, documents.text(item, "uuid") or "")
    ]
    links = [reference_to(instance, {"direction": "both"}) for instance in wanted]
    body["routing_instance_refs"] = [*links, *kept]


def _is_default_instance(change: Change, uuid: str) -> bool:
    instance = change.view.get(uuid)
    return instance is not None and bool(
        documents.flag(instance.body, "routing_instance_is_default")
    )


def _complete_bindings(change: Change, body: Document) -> None:
    """Say how the port is plugged, where the client leaves it open."""
    name = "virtual_machine_interface_bindings"
    pairs = documents.sections(documents.section(body, name), "key_value_pair")
    present = {documents.text(pair, "key"): documents.text(pair, "value") for pair in pairs}
    if not pairs:
        return
    vnic = present.get("vnic_type") or "normal"
    added = {} if "vnic_type" in present else {"vnic_type": vnic}
    if "vif_type" in present:
        pass
    elif vnic == "direct":
        added["vif_type"] = "hw_veb"
    elif vnic == "normal" and _is_dpdk(change, present.get("host_id")):
        added["vif_type"] = "vhostuser"
        added["vif_details"] = _vhostuser_details(documents.text(body, "uuid") or "")
    elif vnic == "normal":
        added["vif_type"] = "vrouter"
    more = [{"key": key, "value": value} for key, value in added.items()]
    body[name] = {"key_value_pair": [*pairs, *more]}


def _is_dpdk(change: Change, host: str | None) -> bool:
    """Whether the virtual-router of a host forwards in user space."""
    if not host or host == "null":
        return False
    router = find(change.view, "virtual-router", ("default-global-system-config", host))
    return router is not None and bool(documents.flag(router.body, "virtual_router_dpdk_enabled"))


def _vhostuser_details(uuid: str) -> str:
    """Return where a hypervisor finds the socket of a port, as JSON text."""
    details = {
        "vhostuser_mode": "client",
        "vhostuser_socket": f"/var/run/vrouter/uvh_vif_tap{uuid[:11]}",
        "vhostuser_vrouter_plug": True,
    }
    return msgspec.json.encode(details).decode()


def _update(change: Change, old: Record, body: Document) -> None:
    if not referred(change, body, "virtual_network_refs"):
        raise bad_request("Bad Request, a virtual-machine-interface needs virtual_network_refs")
    name = "virtual_machine_interface_mac_addresses"
    macs = documents.texts(documents.section(body, name), "mac_address")
    if not macs:
        body[name] = old.body[name]
    elif body.get(name) is not old.body.get(name):
        body[name] = {"mac_address": [_checked_mac(mac) for mac in macs]}
    _check(change, body, old)
    _complete_bindings(change, body)
    if body.get("virtual_network_refs") is not old.body.get("virtual_network_refs"):
        _link_instance(change, body)


def _check(change: Change, body: Document, old: Record | None) -> None:
    check_interface(change, body)
    dhcp_options.check_port(body, old.body if old is not None else None)
    check_rates(body, old.body if old is not None else None)
    check_fat_flows(body, old.body if old is not None else None, _FAT_FLOWS)
    _check_address_pairs(body)
    _check_sub_interface(change, body, old)


def _check_address_pairs(body: Document) -> None:
    holder = documents.section(body, "virtual_machine_interface_allowed_address_pairs")
    pairs = documents.sections(holder, "allowed_address_pair")
    if pairs and documents.flag(body, "port_security_enabled") is False:
        raise bad_request("Allowed address pairs are not allowed when port security is disabled")
    for pair in pairs:
        prefix = documents.section(pair, "ip")
        network = ipam.prefix_in(prefix, "Invalid allowed address pair")
        if network is None:
            continue
        shortest = _STANDBY_LENGTHS[network.version]
        if pair.get("address_mode") == "active-standby" and network.prefixlen < shortest:
            raise bad_request(
                f"IPv{network.version} Prefix length lesser than {shortest} is not acceptable"
            )


def _check_sub_interface(change: Change, body: Document, old: Record | None) -> None:
    _check_link_sharers(change, body, old)
    tag = _vlan_tag(body)
    if not tag:
        return
    if not 0 <= tag <= _VLAN_MAX:
        raise bad_request(f"Invalid sub-interface VLAN tag ID: {tag}")
    own = documents.text(body, "uuid")
    for primary in referred(change, body, "virtual_machine_interface_refs"):
        siblings = set(change.view.referrer_uuids(primary.uuid, primary.type_name))
        siblings |= {
            target for field, target in primary.targets if field.startswith("virtual_mach")
        }
        for uuid in siblings - {own}:
            sibling = change.view.get(uuid)
            if sibling is not None and _vlan_tag(sibling.body) == tag:
                raise bad_request(
                    "Two sub interfaces under same primary port can't have same Vlan tag"
                )


def _check_link_sharers(change: Change, body: Document, old: Record | None) -> None:
    """Refuse to join ports on one link to who may not write both, from whichever end and side.

    A sub-interface is in its parent's link, and its parent's machine is in the sub-interface: the
    right to refer to a port, which sharing gives, must do neither to another's machine.
    """
    if not rights.is_restricted(change):
        return
    tag, former = _vlan_tag(body), 0 if old is None else _vlan_tag(old.body)
    known = {} if old is None or tag != former else _linked_ports(change, old.body)
    for uuid, port in _linked_ports(change, body).items():
        if uuid in known or not (tag or _vlan_tag(port.body)):
            continue
        if not authorize.access_to(change.caller, port) & authorize.WRITE:
            raise Refused(
                403,
                "Permission Denied: virtual_machine_interface_refs: a VLAN of a port's link is "
                "made by who may write both the port and the sub-interface",
            )


def _linked_ports(change: Change, body: Document) -> dict[str, Record]:
    """Return the ports that refer to one or that it refers to."""
    own = documents.text(body, "uuid") or ""
    found = {each.uuid: each for each in referred(change, body, "virtual_machine_interface_refs")}
    for uuid in change.view.referrer_uuids(own, "virtual-machine-interface"):
        port = change.view.get(uuid)
        if port is not None:
            found[uuid] = port
    return found


def _vlan_tag(body: Document) -> int:
    properties = documents.section(body, "virtual_machine_interface_properties")
    return documents.number(properties, "sub_interface_vlan_tag") or 0


VIRTUAL_MACHINE_INTERFACE = Rule(
    create=_create, companions=_attach, update=_update, after_update=_attach_anew, delete=_detach
)
