"""DNS records of workloads: a forward and a reverse record per address of each named port, and of each
floating address in use where the server says how those are named.

A port gets records in the virtual DNS server of the IPAM its address comes from, when that IPAM
resolves by ``virtual-dns-server``. The record's object name is a function of its contents, so two
ports with one name and one address (in networks that overlap) share one object.
"""

from __future__ import annotations

import re
import uuid as uuids
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.model.generated.objects import (
    FloatingIp,
    FloatingIpPool,
    InstanceIp,
    NetworkIpam,
    VirtualDns,
    VirtualMachine,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import IpamSubnetType, VirtualDnsRecordType

PORT: Final = VirtualMachineInterface.type_name
RECORD: Final = "virtual-DNS-record"
TTL_DEFAULT_S: Final = 86_400
LABEL_LENGTH_MAX: Final = 63
"""RFC 1035 section 2.3.4."""

_NOT_LABEL = re.compile(r"[^a-z0-9-]+")
_SERVICE_OWNER = "network:"

Address = IPv4Address | IPv6Address


def dns_records(view: View, uuid: str) -> Outcome:
    """Derive the A or AAAA and PTR records of every address of one port."""
    port = view.get(VirtualMachineInterface, uuid)
    if port is None or (port.virtual_machine_interface_device_owner or "").startswith(
        _SERVICE_OWNER
    ):
        return Outcome()
    addresses = list(_addresses(view, port))
    if not addresses:
        return Outcome()
    servers = {address: list(_servers(view, port, address)) for address in addresses}
    if not any(servers.values()):
        return Outcome()
    name = port_name(view, port)
    label = dns_label(name)
    if not label:
        return Outcome(violations=(_unnameable(port, name),))
    records = [
        record
        for address in addresses
        for server in servers[address]
        for record in _records(server, label, address)
    ]
    return Outcome(derived=tuple({record.key: record for record in records}.values()))


def floating_records(view: View, uuid: str) -> Outcome:
    """Derive the records of a floating address that a port has, in the server of the address."""
    floating = view.get(FloatingIp, uuid)
    if floating is None or not floating.virtual_machine_interface_refs:
        return Outcome()
    try:
        address = ip_address(floating.floating_ip_address or "")
    except ValueError:
        return Outcome()
    pool = view.get(FloatingIpPool, floating.parent_uuid or "")
    network = None if pool is None else view.get(VirtualNetwork, pool.parent_uuid or "")
    port = view.get(VirtualMachineInterface, floating.virtual_machine_interface_refs[0].uuid)
    if network is None or port is None:
        return Outcome()
    found: dict[DerivedKey, Derived] = {}
    for server in _servers_of(view, network, address):
        label = _floating_label(view, server, port, address)
        if label:
            found.update((record.key, record) for record in _records(server, label, address))
    return Outcome(derived=tuple(found.values()))


def _floating_label(
    view: View, server: VirtualDns, port: VirtualMachineInterface, address: Address
) -> str:
    """Return the name before the domain; empty where the server does not name such addresses."""
    settings = server.virtual_DNS_data
    notation = "" if settings is None else settings.floating_ip_record or ""
    if not notation:
        return ""
    if notation.startswith("dashed-ip"):
        label = str(address).replace(".", "-").replace(":", "-").strip("-")
    else:
        label = dns_label(port_name(view, port))
    tenant = dns_label(_project_name(view, port)) if notation.endswith("-tenant-name") else ""
    return ".".join(part for part in (label, tenant) if part)


def _project_name(view: View, port: VirtualMachineInterface) -> str:
    for reference in port.virtual_network_refs:
        network = view.get(VirtualNetwork, reference.uuid)
        if network is not None and len(network.fq_name) > 1:
            return network.fq_name[-2]
    return ""


def port_name(view: View, port: VirtualMachineInterface) -> str:
    """Return the machine's name, else the port's; a uuid counts as a name only as a last resort."""
    machine = _machine(view, port)
    names = [] if machine is None else [machine.display_name or machine.name]
    names.append(port.display_name or port.name)
    return next((name for name in names if not _is_uuid(name)), names[0])


def dns_label(name: str) -> str:
    """Return a name as one DNS label (RFC 1123 section 2.1); empty when nothing is left of it."""
    label = _NOT_LABEL.sub("-", name.strip().lower()).strip("-")
    return label[:LABEL_LENGTH_MAX].strip("-")


def _machine(view: View, port: VirtualMachineInterface) -> VirtualMachine | None:
    if port.parent_type == VirtualMachine.type_name and port.parent_uuid:
        return view.get(VirtualMachine, port.parent_uuid)
    for reference in port.virtual_machine_refs:
        return view.get(VirtualMachine, reference.uuid)
    return None


def _addresses(view: View, port: VirtualMachineInterface) -> Iterator[Address]:
    for item in view.referrers(InstanceIp, port.uuid):
        if item.service_instance_ip or item.service_health_check_ip:
            continue
        try:
            yield ip_address(item.instance_ip_address or "")
        except ValueError:
            # The API server checks addresses; one that is still missing gets no record.
            continue


def _servers(view: View, port: VirtualMachineInterface, address: Address) -> Iterator[VirtualDns]:
    """Yield the DNS servers of the IPAMs that this address of the port comes from."""
    for reference in port.virtual_network_refs:
        network = view.get(VirtualNetwork, reference.uuid)
        if network is not None:
            yield from _servers_of(view, network, address)


def _servers_of(view: View, network: VirtualNetwork, address: Address) -> Iterator[VirtualDns]:
    for reference in network.network_ipam_refs:
        ipam = view.get(NetworkIpam, reference.uuid)
        if ipam is None:
            continue
        subnets = () if reference.attr is None else reference.attr.ipam_subnets
        flat = () if ipam.ipam_subnets is None else ipam.ipam_subnets.subnets
        if any(_contains(subnet, address) for subnet in (*subnets, *flat)):
            server = _server(view, ipam)
            if server is not None:
                yield server


def _server(view: View, ipam: NetworkIpam) -> VirtualDns | None:
    settings = ipam.network_ipam_mgmt
    if settings is None or settings.ipam_dns_method != "virtual-dns-server":
        return None
    for reference in ipam.virtual_DNS_refs:
        return view.get(VirtualDns, reference.uuid)
    servers = settings.ipam_dns_server
    if servers is None or not servers.virtual_dns_server_name:
        return None
    return view.by_name(VirtualDns, tuple(servers.virtual_dns_server_name.split(":")))


def _contains(subnet: IpamSubnetType, address: Address) -> bool:
    prefix = subnet.subnet
    if prefix is None or prefix.ip_prefix is None or prefix.ip_prefix_len is None:
        return False
    try:
        return address in ip_network(f"{prefix.ip_prefix}/{prefix.ip_prefix_len}", strict=False)
    except ValueError:
        return False


def _records(server: VirtualDns, label: str, address: Address) -> Iterator[Derived]:
    settings = server.virtual_DNS_data
    domain = "" if settings is None else (settings.domain_name or "").strip(".")
    ttl = None if settings is None else settings.default_ttl_seconds
    kind = "A" if address.version == 4 else "AAAA"
    whole = f"{label}.{domain}" if domain else label
    # A relative name has no dots; one with a tenant's name in it is written whole.
    yield _record(
        server, (label, kind, address), whole if "." in label else label, str(address), ttl
    )
    yield _record(server, (label, "PTR", address), address.reverse_pointer, whole, ttl)


def _record(
    server: VirtualDns,
    identity: tuple[str, str, Address],
    name: str,
    answer: str,
    ttl: int | None,
) -> Derived:
    label, kind, address = identity
    # The last two parts have no dots but an IPv4 address's four, so none can be mistaken.
    object_name = f"{label}.{kind.lower()}.{str(address).replace(':', '-')}"
    record = VirtualDnsRecordType(
        record_name=name,
        record_type=kind,
        record_class="IN",
        record_data=answer,
        record_ttl_seconds=TTL_DEFAULT_S if ttl is None else ttl,
    )
    return Derived(
        DerivedKey(RECORD, (*server.fq_name, object_name)),
        properties={"virtual_DNS_record_data": record},
        parent_type=VirtualDns.type_name,
    )


def _is_uuid(name: str) -> bool:
    try:
        uuids.UUID(name)
    except ValueError:
        return False
    return True


def _unnameable(port: VirtualMachineInterface, name: str) -> Violation:
    return Violation(
        PORT,
        port.fq_name,
        "no_dns_name",
        f"{name!r} has no letter or digit to make a DNS name of: the port gets no records;"
        " give the machine a display name",
    )


PASSES: Final = (
    UnitPass(
        "dns_records",
        PORT,
        frozenset(
            {
                PORT,
                VirtualMachine.type_name,
                InstanceIp.type_name,
                VirtualNetwork.type_name,
                NetworkIpam.type_name,
                VirtualDns.type_name,
            }
        ),
        dns_records,
    ),
    UnitPass(
        "floating_records",
        FloatingIp.type_name,
        frozenset(
            {
                PORT,
                FloatingIp.type_name,
                FloatingIpPool.type_name,
                VirtualMachine.type_name,
                VirtualNetwork.type_name,
                NetworkIpam.type_name,
                VirtualDns.type_name,
            }
        ),
        floating_records,
    ),
)
