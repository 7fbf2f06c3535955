"""Fills a controller with a service chain by the unmodified PyPI client ``contrail-api-client``.

    python provision.py [--host 127.0.0.1] [--port 8082]

Networks left and right; a firewall service with a left and a right interface in them, in two copies
(the second stands by); a policy that leads everything between the networks through it, and tcp port
8000 past it. Running it again changes nothing.
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api

STANDBY_PREFERENCE = 100


def main() -> None:
    options = argparse.ArgumentParser(description="provision a service chain")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    project = ensure(api, "project", vnc_api.Project("chain"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("chain-ipam", project))
    service = firewall(api, project)
    policy = ensure(api, "network_policy", through(project, service))
    networks = {
        "left": network(api, project, "left", ipam, policy, ["10.1.0.0/24", "fd10:1::/64"]),
        "right": network(api, project, "right", ipam, policy, ["10.2.0.0/24", "fd10:2::/64"]),
    }
    everything = ensure(api, "security_group", open_group(project))
    for side, side_network in networks.items():
        port(api, project, side, (side_network, everything))
    for number in (1, 2):
        copy = vnc_api.PortTuple(f"fw{number}", service)
        copy = ensure(api, "port_tuple", copy)
        for side, side_network in networks.items():
            properties = vnc_api.VirtualMachineInterfacePropertiesType(
                service_interface_type=side,
                local_preference=STANDBY_PREFERENCE if number > 1 else None,
            )
            place = (side_network, everything)
            port(api, project, f"fw{number}-{side}", place, properties=properties, copy=copy)


def firewall(api, project):
    """A service that routes between its left and right interface."""
    template = vnc_api.ServiceTemplate(
        "firewall-template",
        service_template_properties=vnc_api.ServiceTemplateType(
            version=2,
            service_mode="in-network",
            service_type="firewall",
            service_virtualization_type="virtual-machine",
            interface_type=[
                vnc_api.ServiceTemplateInterfaceType(service_interface_type=side)
                for side in ("left", "right")
            ],
        ),
    )
    template = ensure(api, "service_template", template)
    service = vnc_api.ServiceInstance(
        "firewall",
        project,
        service_instance_properties=vnc_api.ServiceInstanceType(
            interface_list=[
                vnc_api.ServiceInstanceInterfaceType(
                    virtual_network=f"default-domain:{project.name}:{side}"
                )
                for side in ("left", "right")
            ]
        ),
    )
    service.add_service_template(template)
    return ensure(api, "service_instance", service)


def through(project, service):
    """Tcp port 8000 goes straight, everything else through the service."""
    left, right = f"default-domain:{project.name}:left", f"default-domain:{project.name}:right"

    def rule(protocol, first_port, last_port, services):
        return vnc_api.PolicyRuleType(
            direction="<>",
            protocol=protocol,
            src_addresses=[vnc_api.AddressType(virtual_network=left)],
            src_ports=[vnc_api.PortType(-1, -1)],
            dst_addresses=[vnc_api.AddressType(virtual_network=right)],
            dst_ports=[vnc_api.PortType(first_port, last_port)],
            action_list=vnc_api.ActionListType(simple_action="pass", apply_service=services),
        )

    chained = [service.get_fq_name_str()]
    entries = vnc_api.PolicyEntriesType(
        policy_rule=[rule("tcp", 8000, 8000, []), rule("any", -1, -1, chained)]
    )
    return vnc_api.NetworkPolicy("through-firewall", project, network_policy_entries=entries)


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
    """A virtual machine, its interface in a network, and an address of each family."""
    network_object, security_group = place
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.service-chain.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine.set_display_name(name)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(
        name, project, virtual_machine_interface_properties=properties
    )
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(network_object)
    interface.add_security_group(security_group)
    if copy is not None:
        interface.add_port_tuple(copy)
    interface = ensure(api, "virtual_machine_interface", interface)
    for family in ("v4", "v6"):
        address = vnc_api.InstanceIp(f"chain-{name}-{family}", instance_ip_family=family)
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
