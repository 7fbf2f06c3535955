"""Fills a controller with a private network whose workloads have floating addresses.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing. The gateway itself is the lab's (topology.yaml).
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api


def main() -> None:
    options = argparse.ArgumentParser(description="provision floating addresses")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    shop = ensure(api, "project", vnc_api.Project("shop"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("shop-ipam", shop))
    public = network(api, shop, "public", ipam, ("203.0.113.0", 24), ("2001:db8:5::", 64))
    private = network(api, shop, "private", ipam, ("10.20.0.0", 24), ("fd00:20::", 64))
    group = ensure(api, "security_group", web_group(shop))
    ports = {
        name: port(api, shop, name, place, group)
        for name, place in (
            ("web1", private),
            ("web2", private),
            ("db", private),
            ("probe", public),
        )
    }
    pool = ensure(api, "floating_ip_pool", vnc_api.FloatingIpPool("internet", public))
    web1, web2 = ports["web1"], ports["web2"]
    floating(api, shop, pool, "203.0.113.10", [web1])
    floating(api, shop, pool, "203.0.113.20", [web2])
    # The same in IPv6: each stands for the first IPv6 address of its interface.
    floating(api, shop, pool, "2001:db8:5::10", [web1])
    floating(api, shop, pool, "2001:db8:5::20", [web2])
    # One address for both: their load is shared. It only lets others in.
    floating(api, shop, pool, "203.0.113.30", [web1, web2], floating_ip_traffic_direction="ingress")
    floating(
        api, shop, pool, "2001:db8:5::30", [web1, web2], floating_ip_traffic_direction="ingress"
    )
    # Outside, tcp port 80 and nothing else; inside, port 8080 of web2.
    mapping = vnc_api.PortMap(protocol="TCP", src_port=80, dst_port=8080)
    floating(
        api,
        shop,
        pool,
        "203.0.113.40",
        [web2],
        floating_ip_port_mappings_enable=True,
        floating_ip_port_mappings=vnc_api.PortMappings([mapping]),
    )


def floating(api, project, pool, address, interfaces, **settings):
    """An address of the pool that stands for the interfaces' own."""
    name = address.replace(".", "-").replace(":", "-")
    created = vnc_api.FloatingIp(name, pool, floating_ip_address=address, **settings)
    created.add_project(project)
    for interface in interfaces:
        created.add_virtual_machine_interface(interface)
    ensure(api, "floating_ip", created)


def network(api, project, name, ipam, *prefixes):
    created = vnc_api.VirtualNetwork(name, project)
    subnets = [
        vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*prefix), addr_from_start=True)
        for prefix in prefixes
    ]
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
    return ensure(api, "virtual_network", created)


def web_group(project):
    """In: ping and web from anywhere; out: everything. Ports are the workload's own."""
    here = vnc_api.AddressType(security_group="local")
    anywhere4 = vnc_api.AddressType(subnet=vnc_api.SubnetType("0.0.0.0", 0))
    anywhere6 = vnc_api.AddressType(subnet=vnc_api.SubnetType("::", 0))

    def rule(protocol, ports, *, egress=False, version=4):
        anywhere = anywhere4 if version == 4 else anywhere6
        return vnc_api.PolicyRuleType(
            direction=">",
            ethertype=f"IPv{version}",
            protocol=protocol,
            src_addresses=[here if egress else anywhere],
            src_ports=[vnc_api.PortType(0, 65535)],
            dst_addresses=[anywhere if egress else here],
            dst_ports=[vnc_api.PortType(*ports)],
        )

    rules = [
        rule("icmp", (0, 65535)),
        rule("tcp", (80, 80)),
        rule("tcp", (8080, 8080)),
        rule("any", (0, 65535), egress=True),
        rule("icmp6", (0, 65535), version=6),
        rule("tcp", (80, 80), version=6),
        rule("any", (0, 65535), egress=True, version=6),
    ]
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    return vnc_api.SecurityGroup("web", project, security_group_entries=entries)


def port(api, project, name, place, group):
    """A virtual machine, its interface in the network, and its addresses."""
    unique = f"{project.name}-{name}"
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{unique}.floating-addresses.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(place)
    interface.add_security_group(group)
    interface = ensure(api, "virtual_machine_interface", interface)
    for family in ("v4", "v6"):
        address = vnc_api.InstanceIp(f"{unique}-{family}", instance_ip_family=family)
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
