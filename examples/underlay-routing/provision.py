"""Fills a controller with a network the underlay routes, and one beside it, by the PyPI client.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing. The underlay's switch is the lab's (topology.yaml).
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api

PROVIDER = ["default-domain", "default-project", "ip-fabric"]


def main() -> None:
    options = argparse.ArgumentParser(description="provision a network the underlay routes")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    plain = ensure(api, "project", vnc_api.Project("plain"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("plain-ipam", plain))
    provider = api.virtual_network_read(fq_name=PROVIDER)
    routed = network(api, plain, "routed", ipam, ("10.50.0.0", 24), provider)
    tunnelled = network(api, plain, "tunnelled", ipam, ("10.60.0.0", 24))
    web = ensure(api, "security_group", web_group(plain))
    for name, place in (("web1", routed), ("web2", routed), ("db1", tunnelled), ("db2", tunnelled)):
        port(api, plain, name, place, web)


def network(api, project, name, ipam, prefix, provider=None):
    """A virtual network; one that refers to the provider network has no tunnels."""
    created = vnc_api.VirtualNetwork(name, project)
    if provider is not None:
        created.add_virtual_network(provider)
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
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{unique}.underlay-routing.example"))
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
