"""Fills a controller with service chains by the unmodified PyPI client ``contrail-api-client``.

    python provision.py [--host 127.0.0.1] [--port 8082]

Each tenant of ``TENANTS`` has networks left and right, services between them, and a policy that
says what goes through which services in which order. Running it again changes nothing.
"""

from __future__ import annotations

import argparse
import uuid
from dataclasses import dataclass

from vnc_api import vnc_api

STANDBY_PREFERENCE = 100


@dataclass(frozen=True)
class Service:
    name: str
    mode: str = "in-network"
    copies: tuple[str, ...] = ()
    """Names of the copies; none given: one, called like the service."""
    has_standby: bool = False
    """The copies behind the first stand by."""


@dataclass(frozen=True)
class Rule:
    """``protocol`` to ``ports`` goes through ``services`` in this order."""

    services: tuple[str, ...]
    protocol: str = "any"
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tenant:
    name: str
    services: tuple[Service, ...]
    rules: tuple[Rule, ...]


TENANTS = (
    # A firewall with a stand-by; tcp port 8000 goes past it. topology.yaml
    Tenant(
        "chain",
        (Service("firewall", copies=("fw1", "fw2"), has_standby=True),),
        (Rule((), "tcp", (8000,)), Rule(("firewall",))),
    ),
    # Two services in a row for udp, three for everything else. row.yaml
    Tenant(
        "row",
        (Service("alpha"), Service("beta"), Service("gamma")),
        (Rule(("alpha", "beta"), "udp"), Rule(("alpha", "beta", "gamma"))),
    ),
    # What leaves left has the address of the service's right port; udp is inspected before. nat.yaml
    Tenant(
        "hidden",
        (Service("inspect"), Service("hide", "in-network-nat")),
        (Rule(("inspect", "hide"), "udp"), Rule(("hide",))),
    ),
    # Three active copies of one service, then two of another: flows spread. scaled.yaml
    Tenant(
        "scaled",
        (
            Service("guard", copies=("guard1", "guard2", "guard3")),
            Service("probe", copies=("probe1", "probe2")),
        ),
        (Rule(("guard",), "tcp"), Rule(("guard", "probe"))),
    ),
    # Web traffic through one firewall and inspection, the rest through another. ports.yaml
    Tenant(
        "steered",
        (Service("fw-1"), Service("dpi"), Service("fw-2")),
        (Rule(("fw-1", "dpi"), "tcp", (80, 8080)), Rule(("fw-2",))),
    ),
    # A service that is no router but a wire; udp is routed by another before. bridge.yaml
    Tenant(
        "wired",
        (Service("wire", "transparent", copies=("wire1", "wire2")), Service("check")),
        (Rule(("check", "wire"), "udp"), Rule(("wire",))),
    ),
)


def main() -> None:
    options = argparse.ArgumentParser(description="provision service chains")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    for tenant in TENANTS:
        provision(api, tenant)


def provision(api, tenant) -> None:
    project = ensure(api, "project", vnc_api.Project(tenant.name))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam(f"{tenant.name}-ipam", project))
    services = {each.name: service_instance(api, project, each) for each in tenant.services}
    policy = ensure(api, "network_policy", network_policy(project, tenant, services))
    networks = {
        "left": network(api, project, "left", ipam, policy, ["10.1.0.0/24", "fd10:1::/64"]),
        "right": network(api, project, "right", ipam, policy, ["10.2.0.0/24", "fd10:2::/64"]),
    }
    everything = ensure(api, "security_group", open_group(project))
    for side, side_network in networks.items():
        port(api, project, side, (side_network, everything))
    for each in tenant.services:
        for number, name in enumerate(each.copies or (each.name,)):
            copy = ensure(api, "port_tuple", vnc_api.PortTuple(name, services[each.name]))
            for side, side_network in networks.items():
                properties = vnc_api.VirtualMachineInterfacePropertiesType(
                    service_interface_type=side,
                    local_preference=STANDBY_PREFERENCE if number and each.has_standby else None,
                )
                place = (side_network, everything)
                whose = (copy, name)
                port(api, project, f"{name}-{side}", place, properties=properties, copy=whose)


def service_instance(api, project, service):
    """A service with a left and a right interface, and its template."""
    sides = ("left", "right")
    template = vnc_api.ServiceTemplate(
        f"{project.name}-{service.name}-template",
        service_template_properties=vnc_api.ServiceTemplateType(
            version=2,
            service_mode=service.mode,
            service_type="firewall",
            service_virtualization_type="virtual-machine",
            interface_type=[
                vnc_api.ServiceTemplateInterfaceType(service_interface_type=side) for side in sides
            ],
        ),
    )
    template = ensure(api, "service_template", template)
    created = vnc_api.ServiceInstance(
        service.name,
        project,
        service_instance_properties=vnc_api.ServiceInstanceType(
            interface_list=[
                vnc_api.ServiceInstanceInterfaceType(
                    virtual_network=f"default-domain:{project.name}:{side}"
                )
                for side in sides
            ]
        ),
    )
    created.add_service_template(template)
    return ensure(api, "service_instance", created)


def network_policy(project, tenant, services):
    """The tenant's rules, in their order."""
    left, right = f"default-domain:{project.name}:left", f"default-domain:{project.name}:right"

    def rule(wanted):
        chained = [services[name].get_fq_name_str() for name in wanted.services]
        ports = [vnc_api.PortType(each, each) for each in wanted.ports]
        return vnc_api.PolicyRuleType(
            direction="<>",
            protocol=wanted.protocol,
            src_addresses=[vnc_api.AddressType(virtual_network=left)],
            src_ports=[vnc_api.PortType(-1, -1)],
            dst_addresses=[vnc_api.AddressType(virtual_network=right)],
            dst_ports=ports or [vnc_api.PortType(-1, -1)],
            action_list=vnc_api.ActionListType(simple_action="pass", apply_service=chained),
        )

    entries = vnc_api.PolicyEntriesType(policy_rule=[rule(each) for each in tenant.rules])
    return vnc_api.NetworkPolicy("services", project, network_policy_entries=entries)


def network(api, project, name, ipam, policy, prefixes):
    created = vnc_api.VirtualNetwork(name, project)
    subnets = []
    for prefix in prefixes:
        address, length = prefix.split("/")
        subnet = vnc_api.SubnetType(address, int(length))
        subnets.append(vnc_api.IpamSubnetType(subnet=subnet, addr_from_start=True))
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
    sequence = vnc_api.SequenceType(major=0, minor=0)
    created.add_network_policy(policy, vnc_api.VirtualNetworkPolicyType(sequence=sequence))
    return ensure(api, "virtual_network", created)


def open_group(project):
    """Everything in, everything out, both families."""
    here = vnc_api.AddressType(security_group="local")
    ports = [vnc_api.PortType(0, 65535)]
    rules = []
    for ethertype, anywhere in (("IPv4", ("0.0.0.0", 0)), ("IPv6", ("::", 0))):
        far = vnc_api.AddressType(subnet=vnc_api.SubnetType(*anywhere))
        for source, destination in ((here, far), (far, here)):
            rules.append(
                vnc_api.PolicyRuleType(
                    direction=">",
                    ethertype=ethertype,
                    protocol="any",
                    src_addresses=[source],
                    src_ports=ports,
                    dst_addresses=[destination],
                    dst_ports=ports,
                )
            )
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    return vnc_api.SecurityGroup("open", project, security_group_entries=entries)


def port(api, project, name, place, *, properties=None, copy=None):
    """A virtual machine, its interface in a network, and an address of each family.

    Both interfaces of a copy are its one machine's, which tells hosts that they live together.
    """
    network_object, security_group = place
    port_tuple, machine_name = copy or (None, name)
    machine_uuid = str(
        uuid.uuid5(uuid.NAMESPACE_DNS, f"{machine_name}.{project.name}.service-chain.example")
    )
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine.set_display_name(machine_name)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(
        name, project, virtual_machine_interface_properties=properties
    )
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(network_object)
    interface.add_security_group(security_group)
    if port_tuple is not None:
        interface.add_port_tuple(port_tuple)
    interface = ensure(api, "virtual_machine_interface", interface)
    for family in ("v4", "v6"):
        address = vnc_api.InstanceIp(f"{project.name}-{name}-{family}", instance_ip_family=family)
        address.add_virtual_network(network_object)
        address.add_virtual_machine_interface(interface)
        ensure(api, "instance_ip", address)


def ensure(api, type_name, wanted):
    """Create the object unless it exists; return it as the server holds it."""
    try:
        created = getattr(api, f"{type_name}_create")(wanted)
    except vnc_api.RefsExistError:
        return getattr(api, f"{type_name}_read")(fq_name=wanted.get_fq_name())
    return getattr(api, f"{type_name}_read")(id=created)


if __name__ == "__main__":
    main()
