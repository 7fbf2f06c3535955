"""Rules of objects that hold an address: instance IPs, floating IPs, alias IPs."""

from __future__ import annotations

from skytrail.api import addressing, documents, ipam, router_pools
from skytrail.api.addressing import Wish, take_address
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.ipam import Subnet
from skytrail.api.references import reference_to, referred
from skytrail.api.refusal import bad_request


def _create_instance_ip(change: Change, body: Document) -> None:
    owner = documents.text(body, "uuid") or ""
    networks = referred(change, body, "virtual_network_refs")
    managers = referred(change, body, "network_ipam_refs")
    if networks and managers:
        raise bad_request("virtual_network_refs and ipam_refs are not allowed")
    routers = referred(change, body, "virtual_router_refs")
    if routers and (networks or managers):
        other = "virtual_network_refs" if networks else "ipam_refs"
        raise bad_request(f"virtual_router_refs and {other} are not allowed")
    wish = Wish(
        address=documents.text(body, "instance_ip_address"),
        family=documents.text(body, "instance_ip_family"),
        subnet_uuids=_one(documents.text(body, "subnet_uuid")),
        tag=documents.text(body, "instance_ip_subscriber_tag"),
    )
    if networks:
        network = networks[0]
        if addressing.is_unmanaged(network):
            _check_unmanaged(body, wish)
            return
        address, subnet = take_address(change, network, wish, owner)
        if subnet.gateway is not None and wish.address is not None:
            _check_gateway(change, body, address, subnet)
    elif managers:
        address, subnet = _take_flat(change, managers[0], wish, owner)
    elif routers:
        address, subnet = router_pools.take(change, routers[0], wish, owner)
    else:
        raise bad_request(
            "Bad Request, instance-ip needs virtual_network_refs, network_ipam_refs or "
            "virtual_router_refs"
        )
    body["instance_ip_address"] = address
    body["subnet_uuid"] = subnet.uuid
    body.setdefault("instance_ip_family", subnet.family)


def _one(value: str | None) -> list[str]:
    return [value] if value else []


def _check_unmanaged(body: Document, wish: Wish) -> None:
    if wish.address is not None:
        address = ipam.parse_address(wish.address, "IP address")
        body["instance_ip_address"] = str(address)
        body.setdefault("instance_ip_family", f"v{address.version}")


def _take_flat(change: Change, manager: Record, wish: Wish, owner: str) -> tuple[str, Subnet]:
    subnets = addressing.parsed_subnets(manager, addressing.flat_subnets)
    if wish.subnet_uuids:
        subnets = [subnet for subnet in subnets if subnet.uuid in wish.subnet_uuids]
    if wish.family:
        subnets = [subnet for subnet in subnets if subnet.family == wish.family]
    if wish.address:
        address = ipam.parse_address(wish.address, "IP address")
        for subnet in subnets:
            if address in subnet.network:
                addressing.take_exactly(change, subnet, address, owner)
                return str(address), subnet
        raise bad_request(f"Network-Ipam({list(manager.fq_name)}) has no subnet with {address}")
    taken = ipam.allocate(change.view.numbers, subnets, owner)
    if taken is None:
        names = [str(subnet.network) for subnet in subnets]
        raise bad_request(f"Network-Ipam({list(manager.fq_name)}) has exhausted subnet({names})")
    return taken[1], taken[0]


def _check_gateway(change: Change, body: Document, address: str, subnet: Subnet) -> None:
    """A port of a virtual machine cannot answer for the network's gateway."""
    if int(ipam.parse_address(address, "IP address")) != subnet.gateway:
        return
    for port in referred(change, body, "virtual_machine_interface_refs"):
        if documents.sections(port.body, "virtual_machine_refs"):
            raise bad_request("Gateway IP cannot be used by VM port")


def _update_instance_ip(change: Change, old: Record, body: Document) -> None:
    if body.get("instance_ip_address") != old.body.get("instance_ip_address"):
        raise bad_request("Instance IP Address can not be changed")
    networks = referred(change, body, "virtual_network_refs")
    before = {target for field, target in old.targets if field == "virtual_network_refs"}
    if before and {network.uuid for network in networks} != before:
        raise bad_request("Instance IP virtual network can not be changed")


def _create_floating_ip(change: Change, body: Document) -> None:
    parent = change.view.get(documents.text(body, "parent_uuid") or "")
    if parent is None or parent.type_name != "floating-ip-pool":
        return
    limits = documents.section(parent.body, "floating_ip_pool_subnets")
    _take_public(change, body, parent, "floating_ip", documents.texts(limits, "subnet_uuid"))
    _check_fixed(body)


def _create_alias_ip(change: Change, body: Document) -> None:
    parent = change.view.get(documents.text(body, "parent_uuid") or "")
    if parent is not None:
        _take_public(change, body, parent, "alias_ip", [])


def _take_public(
    change: Change, body: Document, pool: Record, prefix: str, subnet_uuids: list[str]
) -> None:
    """Take an address of the pool's network, IPv4 unless told otherwise."""
    network = change.view.get(pool.parent_uuid or "")
    if network is None:
        raise bad_request(f"{pool.type_name} {list(pool.fq_name)} has no virtual network")
    address_field, family_field = f"{prefix}_address", f"{prefix}_address_family"
    wish = Wish(
        address=documents.text(body, address_field),
        family=documents.text(body, family_field) or "v4",
        subnet_uuids=subnet_uuids,
    )
    owner = documents.text(body, "uuid") or ""
    address, subnet = take_address(change, network, wish, owner)
    body[address_field] = address
    body[family_field] = subnet.family
    project = change.view.get(network.parent_uuid or "")
    if project is not None and not documents.sections(body, "project_refs"):
        body["project_refs"] = [reference_to(project)]


def _update_floating_ip(change: Change, old: Record, body: Document) -> None:
    _keep_address(old, body, "floating_ip_address")
    _check_fixed(body)


def _check_fixed(body: Document) -> None:
    """An address of one IP version cannot stand for one of the other."""
    field = "floating_ip_fixed_ip_address"
    fixed, address = documents.text(body, field), documents.text(body, "floating_ip_address")
    if not fixed or not address:
        return
    version = ipam.parse_address(address, "floating_ip_address").version
    if ipam.parse_address(fixed, field).version != version:
        raise bad_request(f"{field} {fixed} is not of IPv{version}, as floating_ip_address is")


def _update_alias_ip(change: Change, old: Record, body: Document) -> None:
    _keep_address(old, body, "alias_ip_address")


def _keep_address(old: Record, body: Document, field: str) -> None:
    if body.get(field) != old.body.get(field):
        raise bad_request(f"{field} can not be changed")


INSTANCE_IP = Rule(create=_create_instance_ip, update=_update_instance_ip)
FLOATING_IP = Rule(create=_create_floating_ip, update=_update_floating_ip)
ALIAS_IP = Rule(create=_create_alias_ip, update=_update_alias_ip)
