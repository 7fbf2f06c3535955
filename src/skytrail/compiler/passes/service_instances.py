"""Service instances: the interfaces of each member, and the addresses a service's members share.

The row of pass ``service`` is the one answer to "which interfaces has this service": an interface
without a role, or one of two with the same role in a member, is in no row and used by nobody.

```
 service-instance <--parent-- port-tuple <--refs-- virtual-machine-interface (its role in properties)
        | service      mode, members with an interface per role
        +--> instance-ip per side and family, shared by the interfaces of that side
```
Members are port tuples, or machines that refer to the service when it has no tuple. A shared
address makes a service out of its members: the chain's routes point to it, and it moves or spreads
as the service's HA mode says. The API server allocates it when the object is created.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Link, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes import subnets
from skytrail.compiler.passes.chain import instance_suffix, is_service_instance_name
from skytrail.compiler.passes.interfaces import networks_of, role_of
from skytrail.compiler.passes.subnets import families, network_prefixes
from skytrail.model.generated.objects import (
    InstanceIp,
    InterfaceRouteTable,
    PortTuple,
    RoutingInstance,
    ServiceHealthCheck,
    ServiceInstance,
    ServiceTemplate,
    VirtualMachine,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import ServiceInterfaceTag, ServiceTemplateType

SERVICE: Final = ServiceInstance.type_name
PORT: Final = VirtualMachineInterface.type_name
ADDRESS: Final = InstanceIp.type_name
LEFT: Final = "left"
RIGHT: Final = "right"
TRANSPARENT: Final = "transparent"
IN_NETWORK: Final = "in-network"
NAT: Final = "in-network-nat"
SIDE_KINDS: Final = frozenset({ADDRESS, PORT})
"""What :func:`side_address` and the networks of a side are read from."""
_MODE_DEFAULT: Final = "active-active"
_LINK_LOCAL: Final = "link-local"


@dataclass(frozen=True, slots=True)
class Member:
    """One copy of the service: interfaces by role, as (role, port uuid), in order of role."""

    type_name: str
    uuid: str
    interfaces: tuple[tuple[str, str], ...]

    def port(self, role: str) -> str | None:
        return next((uuid for known, uuid in self.interfaces if known == role), None)


@dataclass(frozen=True, slots=True)
class Service:
    """One service instance as chains, analyzers and ports need it."""

    uuid: str
    name: str
    mode: str | None
    """None when its template does not say."""
    is_physical: bool
    members: tuple[Member, ...]

    def ports(self, role: str | None = None) -> list[str]:
        """Return the interfaces of one role, or of any."""
        return [
            port
            for member in self.members
            for known, port in member.interfaces
            if role in {None, known}
        ]


def service(view: View, uuid: str) -> Outcome:
    """Find the members of one service instance."""
    item = view.get(ServiceInstance, uuid)
    if item is None:
        return Outcome()
    violations: list[Violation] = []
    found: list[Member] = []
    for port_tuple in view.children(PortTuple, uuid):
        ports = view.referrers(VirtualMachineInterface, port_tuple.uuid)
        found.append(_member(PortTuple.type_name, port_tuple, ports, violations))
    if not found:
        for machine in view.referrers(VirtualMachine, uuid):
            ports = view.referrers(VirtualMachineInterface, machine.uuid)
            found.append(_member(VirtualMachine.type_name, machine, ports, violations))
    template = template_of(view, item)
    properties = item.service_instance_properties
    kind = None if properties is None else properties.service_virtualization_type
    if kind is None and template is not None:
        kind = template.service_virtualization_type
    return Outcome(
        Service(
            uuid=uuid,
            name=":".join(item.fq_name),
            mode=None if template is None else template.service_mode,
            is_physical=kind == "physical-device",
            members=tuple(member for member in found if member.interfaces),
        ),
        violations=tuple(violations),
    )


def shared_addresses(view: View, uuid: str) -> Outcome:
    """Derive the addresses that the left and the right interfaces of one service share."""
    item = view.get(ServiceInstance, uuid)
    found = view.row("service", uuid, Service)
    if item is None or found is None:
        return Outcome()
    violations: list[Violation] = []
    objects: list[Derived] = []
    links: list[Link] = []
    for side in (LEFT, RIGHT):
        network, ports = _side(view, found, side, violations)
        if network is None:
            continue
        checked = _needs_check_address(view, uuid, side)
        for version in families(network_prefixes(view, network)):
            if found.mode in {IN_NETWORK, NAT}:
                address = _shared_address(item, (side, version), network, ports)
                objects.append(address)
                links.append(Link(address.key.fq_name, ServiceInterfaceTag(interface_type=side)))
            if checked:
                objects.append(_check_address(item, (side, version), network, ports))
    # An emptied list clears references that were written before.
    if links or item.instance_ip_refs:
        objects.append(
            Derived(
                DerivedKey(SERVICE, item.fq_name),
                links={"instance_ip_refs": tuple(links)},
                update_only=True,
            )
        )
    return Outcome(derived=tuple(objects), violations=tuple(violations))


def template_of(view: View, item: ServiceInstance) -> ServiceTemplateType | None:
    for reference in item.service_template_refs:
        template = view.get(ServiceTemplate, reference.uuid)
        return None if template is None else template.service_template_properties
    return None


def side_address(view: View, ports: Iterable[str], version: int) -> str | None:
    """Return where routes to a side point: the address its members share, else the lowest one."""
    found: list[tuple[bool, IPv4Address | IPv6Address]] = []
    for port in ports:
        for item in view.referrers(InstanceIp, port):
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


def side_instances(view: View, found: Service, role: str) -> list[FqName]:
    """Return the routing instances of one side of the service, over all chains."""
    suffix = instance_suffix(found.name)
    return sorted(
        instance.fq_name
        for uuid in networks_of(view, found.ports(role))
        for instance in view.children(RoutingInstance, uuid)
        if is_service_instance_name(instance.fq_name) and instance.name.endswith(suffix)
    )


def shared_address_name(service_uuid: str, side: str, version: int) -> FqName:
    return (f"{service_uuid}-{side}-v{version}",)


def _member(
    type_name: str,
    owner: PortTuple | VirtualMachine,
    ports: list[VirtualMachineInterface],
    violations: list[Violation],
) -> Member:
    roles = Counter(role for port in ports if (role := role_of(port)) is not None)
    interfaces: list[tuple[str, str]] = []
    for port in ports:
        role = role_of(port)
        if role is None:
            if type_name == PortTuple.type_name:
                violations.append(_no_role(port))
        elif roles[role] == 1:
            interfaces.append((role, port.uuid))
    violations.extend(
        Violation(
            type_name,
            owner.fq_name,
            "same_role_twice",
            f"{count} interfaces are {role}: none of them is used; leave one",
        )
        for role, count in sorted(roles.items())
        if count > 1
    )
    return Member(type_name, owner.uuid, tuple(sorted(interfaces)))


def _no_role(port: VirtualMachineInterface) -> Violation:
    return Violation(
        PORT,
        port.fq_name,
        "no_service_role",
        "a port of a port-tuple without service_interface_type is not used; set it to left, right"
        " or management",
    )


def _side(
    view: View, found: Service, side: str, violations: list[Violation]
) -> tuple[VirtualNetwork | None, list[VirtualMachineInterface]]:
    """Return the network of one side's first interface, and the interfaces that are in it."""
    ports = [
        port
        for uuid in found.ports(side)
        if (port := view.get(VirtualMachineInterface, uuid)) is not None
    ]
    network: VirtualNetwork | None = None
    inside: list[VirtualMachineInterface] = []
    for port in ports:
        mine = next(
            (view.get(VirtualNetwork, each.uuid) for each in port.virtual_network_refs), None
        )
        network = mine if network is None else network
        if mine is not None and network is not None and mine.uuid == network.uuid:
            inside.append(port)
        elif mine is not None:
            violations.append(
                Violation(
                    PORT,
                    port.fq_name,
                    "service_networks_differ",
                    f"the {side} interfaces of {found.name} are in several networks: this one"
                    " does not share their address; move it",
                )
            )
    return network, inside


def _needs_check_address(view: View, service_uuid: str, side: str) -> bool:
    """Whether a health check probes this side from an address of the network."""
    return any(
        check.service_health_check_properties is None
        or check.service_health_check_properties.health_check_type != _LINK_LOCAL
        for check in view.referrers(ServiceHealthCheck, service_uuid)
        if is_about(check, service_uuid, side)
    )


def is_about(item: ServiceHealthCheck | InterfaceRouteTable, service_uuid: str, side: str) -> bool:
    """Whether something users attach to services is for this side of this service."""
    return any(
        reference.uuid == service_uuid
        and reference.attr is not None
        and reference.attr.interface_type == side
        for reference in item.service_instance_refs
    )


def _shared_address(
    item: ServiceInstance,
    place: tuple[str, int],
    network: VirtualNetwork,
    ports: list[VirtualMachineInterface],
) -> Derived:
    properties = item.service_instance_properties
    mode = None if properties is None else properties.ha_mode
    return Derived(
        DerivedKey(ADDRESS, shared_address_name(item.uuid, *place)),
        properties={
            "instance_ip_family": f"v{place[1]}",
            "instance_ip_mode": mode or _MODE_DEFAULT,
            "instance_ip_secondary": True,
            "service_instance_ip": True,
        },
        links=dict(_holders(network, ports)),
    )


def _check_address(
    item: ServiceInstance,
    place: tuple[str, int],
    network: VirtualNetwork,
    ports: list[VirtualMachineInterface],
) -> Derived:
    side, version = place
    return Derived(
        DerivedKey(ADDRESS, (f"{item.uuid}-{side}-health-check-v{version}",)),
        properties={
            "instance_ip_family": f"v{version}",
            "instance_ip_secondary": True,
            "service_health_check_ip": True,
        },
        links=dict(_holders(network, ports)),
    )


def _holders(
    network: VirtualNetwork, ports: list[VirtualMachineInterface]
) -> Iterator[tuple[str, tuple[Link, ...]]]:
    yield "virtual_network_refs", (Link(network.fq_name),)
    yield "virtual_machine_interface_refs", tuple(Link(port.fq_name) for port in ports)


PASSES: Final = (
    UnitPass(
        "service",
        SERVICE,
        frozenset(
            {
                SERVICE,
                PORT,
                ServiceTemplate.type_name,
                PortTuple.type_name,
                VirtualMachine.type_name,
            }
        ),
        service,
    ),
    UnitPass(
        "shared_addresses",
        SERVICE,
        frozenset({SERVICE, PORT, VirtualNetwork.type_name, ServiceHealthCheck.type_name})
        | subnets.KINDS,
        shared_addresses,
        ("service",),
    ),
)
