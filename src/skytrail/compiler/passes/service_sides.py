"""The sides of a service instance: its interfaces by role, their address, its routing instances.

Functions for passes that point routes and policies at a service; they read nothing but the view.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from skytrail.compiler.derived import FqName
from skytrail.compiler.engine import View
from skytrail.compiler.passes.chain import is_service_instance_name
from skytrail.model.generated.objects import (
    InstanceIp,
    PortTuple,
    RoutingInstance,
    ServiceInstance,
    VirtualMachine,
    VirtualMachineInterface,
)
from skytrail.model.generated.types import SubnetType

KINDS: Final = frozenset(
    {
        InstanceIp.type_name,
        PortTuple.type_name,
        ServiceInstance.type_name,
        VirtualMachine.type_name,
        VirtualMachineInterface.type_name,
    }
)


def interfaces(
    view: View, service: ServiceInstance, role: str | None = None
) -> list[VirtualMachineInterface]:
    """Return the interfaces of all members, of port tuples or else of machines; of one role only."""
    holders = [each.uuid for each in view.children(PortTuple, service.uuid)]
    if not holders:
        holders = [each.uuid for each in view.referrers(VirtualMachine, service.uuid)]
    found = [port for uuid in holders for port in view.referrers(VirtualMachineInterface, uuid)]
    return [port for port in found if role is None or role_of(port) == role]


def role_of(port: VirtualMachineInterface) -> str | None:
    properties = port.virtual_machine_interface_properties
    return None if properties is None else properties.service_interface_type


def address(view: View, ports: Iterable[VirtualMachineInterface], version: int) -> str | None:
    """Return where routes to a side point: the address its members share, else the lowest one."""
    found: list[tuple[bool, IPv4Address | IPv6Address]] = []
    for port in ports:
        for item in view.referrers(InstanceIp, port.uuid):
            if item.service_health_check_ip:
                continue
            try:
                each = ip_address(item.instance_ip_address or "")
            except ValueError:
                # Not allocated yet.
                continue
            if each.version == version:
                found.append((item.service_instance_ip is not True, each))
    return str(min(found, key=lambda each: (each[0], int(each[1])))[1]) if found else None


def instances(view: View, service: ServiceInstance, role: str) -> list[FqName]:
    """Return the routing instances of one side of the service, over all chains."""
    suffix = "-" + "_".join(service.fq_name)
    networks = {
        reference.uuid
        for port in interfaces(view, service, role)
        for reference in port.virtual_network_refs
    }
    return sorted(
        instance.fq_name
        for uuid in networks
        for instance in view.children(RoutingInstance, uuid)
        if is_service_instance_name(instance.fq_name) and instance.name.endswith(suffix)
    )


def is_inside(prefix: SubnetType | None, text: str) -> bool:
    if prefix is None or not prefix.ip_prefix or prefix.ip_prefix_len is None:
        return False
    try:
        return ip_address(text) in ip_network(
            f"{prefix.ip_prefix}/{prefix.ip_prefix_len}", strict=False
        )
    except ValueError:
        return False
