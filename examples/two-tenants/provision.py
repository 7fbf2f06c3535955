"""Fills a controller with two tenants by the unmodified PyPI client ``contrail-api-client`` 2005.

    python provision.py [--host 127.0.0.1] [--port 8082]

Both tenants use the subnet 10.1.1.0/24. Running it again changes nothing.
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api

DNS_DOMAIN = "red.example"


def main() -> None:
    options = argparse.ArgumentParser(description="provision two tenants")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    provision_red(api)
    provision_blue(api)


def provision_red(api: vnc_api.VncApi) -> None:
    """Four networks; a policy joins front and back; a security group guards app; public is routed
    to the gateway.
    """
    red = ensure(api, "project", vnc_api.Project("red"))
    dns = ensure(
        api,
        "virtual_DNS",
        vnc_api.VirtualDns(
            "red-dns",
            virtual_DNS_data=vnc_api.VirtualDnsType(
                domain_name=DNS_DOMAIN,
                dynamic_records_from_client=True,
                record_order="fixed",
                default_ttl_seconds=300,
            ),
        ),
    )
    ipam = vnc_api.NetworkIpam(
        "red-ipam",
        red,
        network_ipam_mgmt=vnc_api.IpamType(
            ipam_dns_method="virtual-dns-server",
            ipam_dns_server=vnc_api.IpamDnsAddressType(
                virtual_dns_server_name=dns.get_fq_name_str()
            ),
        ),
    )
    ipam.add_virtual_DNS(dns)
    ipam = ensure(api, "network_ipam", ipam)

    policy = ensure(api, "network_policy", front_back_policy(red))
    front = ensure(
        api,
        "virtual_network",
        network(red, "front", ipam, ["10.1.1.0/24", "fd10:1:1::/64"], policy),
    )
    back = ensure(api, "virtual_network", network(red, "back", ipam, ["10.1.2.0/24"], policy))
    store = ensure(api, "virtual_network", network(red, "store", ipam, ["10.1.3.0/24"], None))
    public = ensure(api, "virtual_network", network(red, "public", ipam, ["203.0.113.0/24"], None))

    everything = ensure(api, "security_group", open_group(red))
    web_only = ensure(api, "security_group", web_only_group(red))
    port(api, red, "web1", front, everything, families=("v4", "v6"))
    port(api, red, "web2", front, everything, families=("v4", "v6"))
    port(api, red, "vm", front, everything)
    port(api, red, "app", back, web_only)
    port(api, red, "store", store, everything)
    port(api, red, "edge", public, everything)


def provision_blue(api: vnc_api.VncApi) -> None:
    """One network with the same subnet as red's front."""
    blue = ensure(api, "project", vnc_api.Project("blue"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("blue-ipam", blue))
    front = ensure(api, "virtual_network", network(blue, "front", ipam, ["10.1.1.0/24"], None))
    everything = ensure(api, "security_group", open_group(blue))
    port(api, blue, "web1", front, everything)
    port(api, blue, "web2", front, everything)


def network(project, name, ipam, prefixes, policy):
    """A virtual network with subnets from ``prefixes`` and, if given, a network policy."""
    created = vnc_api.VirtualNetwork(name, project)
    subnets = []
    for prefix in prefixes:
        address, length = prefix.split("/")
        subnets.append(
            vnc_api.IpamSubnetType(
                subnet=vnc_api.SubnetType(address, int(length)), addr_from_start=True
            )
        )
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
    if policy is not None:
        sequence = vnc_api.SequenceType(major=0, minor=0)
        created.add_network_policy(policy, vnc_api.VirtualNetworkPolicyType(sequence=sequence))
    return created


def front_back_policy(project):
    """Front and back may talk, except by telnet."""
    front, back = f"default-domain:{project.name}:front", f"default-domain:{project.name}:back"

    def rule(action, protocol, first_port, last_port):
        return vnc_api.PolicyRuleType(
            direction="<>",
            protocol=protocol,
            src_addresses=[vnc_api.AddressType(virtual_network=front)],
            src_ports=[vnc_api.PortType(-1, -1)],
            dst_addresses=[vnc_api.AddressType(virtual_network=back)],
            dst_ports=[vnc_api.PortType(first_port, last_port)],
            action_list=vnc_api.ActionListType(simple_action=action),
        )

    entries = vnc_api.PolicyEntriesType(
        policy_rule=[rule("deny", "tcp", 23, 23), rule("pass", "any", -1, -1)]
    )
    return vnc_api.NetworkPolicy("front-back", project, network_policy_entries=entries)


def open_group(project):
    """Everything in, everything out, both families."""
    rules = []
    for ethertype, anywhere in (("IPv4", ("0.0.0.0", 0)), ("IPv6", ("::", 0))):
        rules.append(group_rule(anywhere, "any", -1, -1, ethertype=ethertype, egress=False))
        rules.append(group_rule(anywhere, "any", -1, -1, ethertype=ethertype, egress=True))
    return group(project, "open", rules)


def web_only_group(project):
    """In: ping, telnet and web from the front subnet; out: everything.

    Telnet is allowed here on purpose: it is the network policy that refuses it.
    """
    front = ("10.1.1.0", 24)
    rules = [
        group_rule(front, "icmp", -1, -1, egress=False),
        group_rule(front, "tcp", 80, 80, egress=False),
        group_rule(front, "tcp", 23, 23, egress=False),
        group_rule(("0.0.0.0", 0), "any", -1, -1, egress=True),
    ]
    return group(project, "web-only", rules)


def group(project, name, rules):
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    return vnc_api.SecurityGroup(name, project, security_group_entries=entries)


def group_rule(remote, protocol, first_port, last_port, *, egress, ethertype="IPv4"):
    """One security group rule; ``remote`` is (prefix, length)."""
    far = vnc_api.AddressType(subnet=vnc_api.SubnetType(*remote))
    here = vnc_api.AddressType(security_group="local")
    return vnc_api.PolicyRuleType(
        direction=">",
        ethertype=ethertype,
        protocol=protocol,
        src_addresses=[here if egress else far],
        src_ports=[vnc_api.PortType(0, 65535)],
        dst_addresses=[far if egress else here],
        dst_ports=[
            vnc_api.PortType(first_port, last_port)
            if first_port >= 0
            else vnc_api.PortType(0, 65535)
        ],
    )


def port(api, project, name, network_object, security_group, families=("v4",)):
    """A virtual machine, its interface in the network, and an address of each family."""
    unique = f"{project.name}-{name}"
    # A virtual machine is named by its uuid, as hypervisors' drivers do; people see display_name.
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{unique}.two-tenants.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine.set_display_name(name)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(network_object)
    interface.add_security_group(security_group)
    interface = ensure(api, "virtual_machine_interface", interface)
    for family in families:
        address = vnc_api.InstanceIp(f"{unique}-{family}", instance_ip_family=family)
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
