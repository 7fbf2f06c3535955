"""Fills a controller with two networks, IPv4 and IPv6, a policy between them and three ports.

    python provision.py [--host 127.0.0.1] [--port 8082]

By the PyPI client. Running it again changes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import uuid

from vnc_api import vnc_api

NETWORKS = {
    "front": ((("10.71.1.0", 24), ("fd00:71:1::", 64)), ("web1", "web2")),
    "back": ((("10.71.2.0", 24), ("fd00:71:2::", 64)), ("db1",)),
}
"""Prefixes of each network, and its ports."""


def main() -> None:
    options = argparse.ArgumentParser(description="provision two networks with three ports")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    project = ensure(api, "project", vnc_api.Project("shop"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("shop-ipam", project))
    policy = ensure(api, "network_policy", front_back_policy(project))
    for name, (prefixes, ports) in NETWORKS.items():
        created = vnc_api.VirtualNetwork(name, project)
        subnets = [
            vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*prefix), addr_from_start=True)
            for prefix in prefixes
        ]
        created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
        sequence = vnc_api.SequenceType(major=0, minor=0)
        created.add_network_policy(policy, vnc_api.VirtualNetworkPolicyType(sequence=sequence))
        network = ensure(api, "virtual_network", created)
        for port_name in ports:
            port(api, project, port_name, network)


def front_back_policy(project):
    """Front and back may talk, except by telnet."""

    def rule(action, protocol, first_port, last_port):
        return vnc_api.PolicyRuleType(
            direction="<>",
            protocol=protocol,
            src_addresses=[vnc_api.AddressType(virtual_network=f"default-domain:{project.name}:front")],
            src_ports=[vnc_api.PortType(-1, -1)],
            dst_addresses=[vnc_api.AddressType(virtual_network=f"default-domain:{project.name}:back")],
            dst_ports=[vnc_api.PortType(first_port, last_port)],
            action_list=vnc_api.ActionListType(simple_action=action),
        )  # fmt: skip

    rules = [rule("deny", "tcp", 23, 23), rule("pass", "any", -1, -1)]
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    return vnc_api.NetworkPolicy("front-back", project, network_policy_entries=entries)


def port(api, project, name, network):
    """A virtual machine, its interface in the network, and its two addresses."""
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.ipv6-underlay.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.set_virtual_network(network)
    interface.add_virtual_machine(machine)
    interface = ensure(api, "virtual_machine_interface", interface)
    for family in ("v4", "v6"):
        address = vnc_api.InstanceIp(f"shop-{name}-{family}", instance_ip_family=family)
        address.set_virtual_network(network)
        address.set_virtual_machine_interface(interface)
        ensure(api, "instance_ip", address)


def ensure(api, kind, wanted):
    """Create an object unless it exists; return it as stored."""
    with contextlib.suppress(vnc_api.RefsExistError):
        getattr(api, f"{kind}_create")(wanted)
    return getattr(api, f"{kind}_read")(fq_name=wanted.get_fq_name())


if __name__ == "__main__":
    main()
