"""Fills a controller with public and private networks by the PyPI client ``contrail-api-client``.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing. The gateway itself is the lab's (topology.yaml).
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api


def main() -> None:
    options = argparse.ArgumentParser(description="provision a public and a private network")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    shop = ensure(api, "project", vnc_api.Project("shop"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("shop-ipam", shop))
    public = network(api, shop, "public", ipam, ("203.0.113.0", 24))
    private = network(api, shop, "private", ipam, ("10.20.0.0", 24))
    web = ensure(api, "security_group", web_group(shop))
    office = network(api, shop, "office", ipam, ("10.20.1.0", 24))
    branch = network(api, shop, "branch", ipam, ("10.20.2.0", 24))
    places = {"web1": public, "web2": public, "db": private, "app1": office, "app2": branch}
    for name, place in places.items():
        port(api, shop, name, place, web)
    router(api, shop, "way-out", (office, branch), public)


def network(api, project, name, ipam, prefix):
    created = vnc_api.VirtualNetwork(name, project)
    subnet = vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*prefix), addr_from_start=True)
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=[subnet]))
    return ensure(api, "virtual_network", created)


def web_group(project):
    """In: ping and web from anywhere; out: everything."""
    here = vnc_api.AddressType(security_group="local")
    anywhere = vnc_api.AddressType(subnet=vnc_api.SubnetType("0.0.0.0", 0))

    def rule(protocol, ports, *, egress=False):
        return vnc_api.PolicyRuleType(
            direction=">",
            ethertype="IPv4",
            protocol=protocol,
            src_addresses=[here if egress else anywhere],
            src_ports=[vnc_api.PortType(0, 65535)],
            dst_addresses=[anywhere if egress else here],
            dst_ports=[vnc_api.PortType(*ports)],
        )

    rules = [
        rule("icmp", (0, 65535)),
        rule("tcp", (80, 80)),
        rule("any", (0, 65535), egress=True),
    ]
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    return vnc_api.SecurityGroup("web", project, security_group_entries=entries)


def port(api, project, name, place, group):
    """A virtual machine, its interface in the network, and its address."""
    unique = f"{project.name}-{name}"
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{unique}.internet-gateway.example"))
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


def router(api, project, name, networks, external):
    """Joins networks, and leads their workloads out by addresses of an external one."""
    made = vnc_api.LogicalRouter(name, project)
    for place in networks:
        side = vnc_api.VirtualMachineInterface(f"{name}-{place.name}", project)
        side.add_virtual_network(place)
        made.add_virtual_machine_interface(ensure(api, "virtual_machine_interface", side))
    kind = vnc_api.LogicalRouterVirtualNetworkType("ExternalGateway")
    made.add_virtual_network(external, kind)
    ensure(api, "logical_router", made)


def ensure(api, type_name, wanted):
    """Create the object unless it exists; return it as the server holds it."""
    try:
        created = getattr(api, f"{type_name}_create")(wanted)
    except vnc_api.RefsExistError:
        return getattr(api, f"{type_name}_read")(fq_name=wanted.get_fq_name())
    return getattr(api, f"{type_name}_read")(id=created)


if __name__ == "__main__":
    main()
