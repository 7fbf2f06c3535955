"""Fills a controller with a network that a physical L3VPN reaches into, by ``contrail-api-client``.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing. The routers themselves are the lab's (topology.yaml).
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api

BEHIND_PE1 = "192.168.50.0/24"


def main() -> None:
    options = argparse.ArgumentParser(description="provision a network for an L3VPN")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    corp = ensure(api, "project", vnc_api.Project("corp"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("corp-ipam", corp))
    apps = network(api, corp, "apps", ipam, ("10.30.0.0", 24))
    island = network(api, corp, "island", ipam, ("10.31.0.0", 24))
    web = ensure(api, "security_group", web_group(corp))
    everything = ensure(api, "security_group", open_group(corp))
    for name, place in (("app1", apps), ("app2", apps), ("other", island)):
        port(api, corp, name, place, web)
    # Two ports for routers; a static route for what is behind the first, BGP with the second.
    pe1 = port(api, corp, "pe1", apps, everything)
    pe2 = port(api, corp, "pe2", apps, everything)
    behind = vnc_api.RouteTableType(route=[vnc_api.RouteType(prefix=BEHIND_PE1)])
    table = vnc_api.InterfaceRouteTable("hq", corp, interface_route_table_routes=behind)
    pe1.add_interface_route_table(ensure(api, "interface_route_table", table))
    api.virtual_machine_interface_update(pe1)
    sessions = vnc_api.BgpAsAService("pe2", corp, autonomous_system=65010, bgpaas_shared=False)
    sessions.add_virtual_machine_interface(pe2)
    ensure(api, "bgp_as_a_service", sessions)


def network(api, project, name, ipam, prefix):
    created = vnc_api.VirtualNetwork(name, project)
    subnet = vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*prefix), addr_from_start=True)
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=[subnet]))
    return ensure(api, "virtual_network", created)


def web_group(project):
    """In: ping and web from anywhere; out: everything."""
    rules = [
        rule("icmp", (0, 65535)),
        rule("tcp", (80, 80)),
        rule("any", (0, 65535), egress=True),
    ]
    return group(project, "web", rules)


def open_group(project):
    """Everything in and out: a router's port is no place to guard machines."""
    rules = [rule("any", (0, 65535)), rule("any", (0, 65535), egress=True)]
    return group(project, "open", rules)


def group(project, name, rules):
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    return vnc_api.SecurityGroup(name, project, security_group_entries=entries)


def rule(protocol, ports, *, egress=False):
    here = vnc_api.AddressType(security_group="local")
    anywhere = vnc_api.AddressType(subnet=vnc_api.SubnetType("0.0.0.0", 0))
    return vnc_api.PolicyRuleType(
        direction=">",
        ethertype="IPv4",
        protocol=protocol,
        src_addresses=[here if egress else anywhere],
        src_ports=[vnc_api.PortType(0, 65535)],
        dst_addresses=[anywhere if egress else here],
        dst_ports=[vnc_api.PortType(*ports)],
    )


def port(api, project, name, place, group):
    """A virtual machine, its interface in the network, and its address."""
    unique = f"{project.name}-{name}"
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{unique}.l3vpn.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(place)
    interface.add_security_group(group)
    interface = ensure(api, "virtual_machine_interface", interface)
    address = vnc_api.InstanceIp(f"{unique}-v4", instance_ip_family="v4")
    address.add_virtual_network(place)
    address.add_virtual_machine_interface(interface)
    ensure(api, "instance_ip", address)
    return interface


def ensure(api, type_name, wanted):
    """Create the object unless it exists; return it as the server holds it."""
    try:
        created = getattr(api, f"{type_name}_create")(wanted)
    except vnc_api.RefsExistError:
        return getattr(api, f"{type_name}_read")(fq_name=wanted.get_fq_name())
    return getattr(api, f"{type_name}_read")(id=created)


if __name__ == "__main__":
    main()
