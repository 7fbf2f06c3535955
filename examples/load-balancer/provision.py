"""Fills a controller with a load balancer: an address, its listeners, a pool of two servers.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing. Who listens at the servers is for the reader (README.md).
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api

VIP, PUBLIC = "10.30.0.100", "203.0.113.100"


def main() -> None:
    options = argparse.ArgumentParser(description="provision a load balancer")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    shop = ensure(api, "project", vnc_api.Project("shop"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("shop-ipam", shop))
    front = network(api, shop, "front", ipam, ("10.30.0.0", 24), ("fd00:30::", 64))
    group = ensure(api, "security_group", web_group(shop))
    servers = [port(api, shop, name, front, group) for name in ("server1", "server2")]
    port(api, shop, "client", front, group)
    balancer = load_balancer(api, shop, front, group)
    public = network(api, shop, "public", ipam, ("203.0.113.0", 24))
    port(api, shop, "visitor", public, group)
    floating(api, shop, public, balancer)
    pool = http(api, shop, balancer, front)
    for number, server in enumerate(servers, 1):
        member(api, pool, f"server{number}", address_of(api, server))
    https(api, shop, balancer, front, servers)


def load_balancer(api, project, front, group):
    """The port that has the balancer's address, and the balancer. Nobody plugs this port."""
    vip_port = vnc_api.VirtualMachineInterface("web-vip", project)
    vip_port.add_virtual_network(front)
    vip_port.add_security_group(group)
    vip_port = ensure(api, "virtual_machine_interface", vip_port)
    address = vnc_api.InstanceIp("shop-web-vip", instance_ip_address=VIP)
    address.add_virtual_network(front)
    address.add_virtual_machine_interface(vip_port)
    ensure(api, "instance_ip", address)
    properties = vnc_api.LoadbalancerType(
        vip_address=VIP, vip_subnet_id=subnet_of(front), admin_state=True
    )
    balancer = vnc_api.Loadbalancer("web", project, loadbalancer_properties=properties)
    balancer.add_virtual_machine_interface(vip_port)
    return ensure(api, "loadbalancer", balancer)


def floating(api, project, public, balancer):
    """An address of the public network that stands for the balancer's."""
    pool = ensure(api, "floating_ip_pool", vnc_api.FloatingIpPool("internet", public))
    address = vnc_api.FloatingIp("web", pool, floating_ip_address=PUBLIC)
    address.add_project(project)
    (reference,) = balancer.get_virtual_machine_interface_refs()
    address.add_virtual_machine_interface(api.virtual_machine_interface_read(id=reference["uuid"]))
    ensure(api, "floating_ip", address)


def http(api, project, balancer, front):
    """Port 80: requests in turn to the servers that answer /ready."""
    listener = listen(api, project, balancer, "http", protocol="HTTP", protocol_port=80)
    ready = vnc_api.LoadbalancerHealthmonitorType(
        monitor_type="HTTP", delay=1, timeout=1, max_retries=2, url_path="/ready",
        http_method="GET", expected_codes="200", admin_state=True,
    )  # fmt: skip
    monitor = vnc_api.LoadbalancerHealthmonitor(
        "ready", project, loadbalancer_healthmonitor_properties=ready
    )
    return share(
        api, project, listener, front, "servers", ensure(api, "loadbalancer_healthmonitor", monitor)
    )


def https(api, project, balancer, front, servers):
    """Port 443: TLS ends here, with the certificate in shop.pem of the hosts."""
    listener = listen(
        api, project, balancer, "https",
        protocol="TERMINATED_HTTPS", protocol_port=443, default_tls_container="shop",
    )  # fmt: skip
    pool = share(api, project, listener, front, "tls-servers")
    for number, server in enumerate(servers, 1):
        member(api, pool, f"tls-server{number}", address_of(api, server))


def listen(api, project, balancer, name, **settings):
    properties = vnc_api.LoadbalancerListenerType(admin_state=True, connection_limit=-1, **settings)
    listener = vnc_api.LoadbalancerListener(
        name, project, loadbalancer_listener_properties=properties
    )
    listener.add_loadbalancer(balancer)
    return ensure(api, "loadbalancer_listener", listener)


def share(api, project, listener, front, name, monitor=None):
    properties = vnc_api.LoadbalancerPoolType(
        protocol="HTTP", loadbalancer_method="ROUND_ROBIN", subnet_id=subnet_of(front),
        admin_state=True,
    )  # fmt: skip
    pool = vnc_api.LoadbalancerPool(name, project, loadbalancer_pool_properties=properties)
    pool.add_loadbalancer_listener(listener)
    if monitor is not None:
        pool.add_loadbalancer_healthmonitor(monitor)
    return ensure(api, "loadbalancer_pool", pool)


def member(api, pool, name, address):
    properties = vnc_api.LoadbalancerMemberType(
        address=address, protocol_port=8080, weight=1, admin_state=True
    )
    ensure(
        api,
        "loadbalancer_member",
        vnc_api.LoadbalancerMember(name, pool, loadbalancer_member_properties=properties),
    )


def address_of(api, interface):
    return api.instance_ip_read(fq_name=[f"shop-{interface.name}-v4"]).get_instance_ip_address()


def subnet_of(front):
    (reference,) = front.get_network_ipam_refs()
    return reference["attr"].ipam_subnets[0].subnet_uuid


def network(api, project, name, ipam, *prefixes):
    created = vnc_api.VirtualNetwork(name, project)
    subnets = [
        vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*prefix), addr_from_start=True)
        for prefix in prefixes
    ]
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
    return ensure(api, "virtual_network", created)


def web_group(project):
    """In: ping and web from anywhere; out: everything."""
    here = vnc_api.AddressType(security_group="local")
    everywhere = {"IPv4": "0.0.0.0", "IPv6": "::"}

    def rule(protocol, ports, version, *, egress=False):
        anywhere = vnc_api.AddressType(subnet=vnc_api.SubnetType(everywhere[version], 0))
        return vnc_api.PolicyRuleType(
            direction=">",
            ethertype=version,
            protocol=protocol,
            src_addresses=[here if egress else anywhere],
            src_ports=[vnc_api.PortType(0, 65535)],
            dst_addresses=[anywhere if egress else here],
            dst_ports=[vnc_api.PortType(*ports)],
        )

    rules = [
        each
        for version in everywhere
        for each in (
            rule("icmp" if version == "IPv4" else "icmp6", (0, 65535), version),
            rule("tcp", (80, 80), version),
            rule("tcp", (443, 443), version),
            rule("tcp", (8080, 8080), version),
            rule("any", (0, 65535), version, egress=True),
        )
    ]
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    return vnc_api.SecurityGroup("web", project, security_group_entries=entries)


def port(api, project, name, place, group):
    """A virtual machine, its interface in the network, and its addresses."""
    unique = f"{project.name}-{name}"
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{unique}.load-balancer.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(place)
    interface.add_security_group(group)
    interface = ensure(api, "virtual_machine_interface", interface)
    (reference,) = place.get_network_ipam_refs()
    for family, _ in zip(("v4", "v6"), reference["attr"].ipam_subnets, strict=False):
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
