"""Fills a controller with a tagged application by the unmodified PyPI client ``contrail-api-client``.

    python provision.py [--host 127.0.0.1] [--port 8082]

Two stacks of the application FinancePortal, one for tests and one for production, each of a web, an
app and a db tier, and a client. One policy says which tier may talk to which. Running it again
changes nothing.
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api

PROJECT = "portal"
TIERS = {"web": "10.1.1.0/24", "app": "10.1.2.0/24", "db": "10.1.3.0/24"}
STACKS = ("test", "production")
TAGS = {
    "application": ("FinancePortal",),
    "tier": tuple(TIERS),
    "deployment": STACKS,
    "site": ("london", "paris"),
    "instance": ("one", "two"),
}
SERVICES = {
    "http": (("tcp", 80, 80), ("icmp", 0, 65535), ("icmp6", 0, 65535)),
    "middleware": (("tcp", 8080, 8080),),
    "sql": (("tcp", 1521, 1521), ("tcp", 1630, 1630)),
}
RULES = (
    # Name, from whom, to whom, service group, tag types to be alike.
    ("clients", None, "web", "http", ()),
    ("web-to-app", "web", "app", "middleware", ("application",)),
    ("app-to-db", "app", "db", "sql", ("application",)),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default="8082")
    arguments = parser.parse_args()
    api = vnc_api.VncApi(
        api_server_host=arguments.host, api_server_port=arguments.port, auth_type="noauth"
    )
    domain = api.domain_read(fq_name=["default-domain"])
    project = ensure(api, "project", vnc_api.Project(PROJECT, domain))
    for kind, values in TAGS.items():
        for value in values:
            tag = vnc_api.Tag(tag_type_name=kind, tag_value=value, parent_obj=project)
            ensure(api, "tag", tag, fq_name=[*project.get_fq_name(), f"{kind}={value}"])
    networks = joined_networks(api, project)
    provision_policy(api, project)
    for stack in STACKS:
        for tier in TIERS:
            interface = port(api, project, f"{stack}-{tier}", networks[tier])
            api.set_tag(interface, "application", "FinancePortal")
            api.set_tag(interface, "tier", tier)
            api.set_tag(interface, "deployment", stack)
    port(api, project, "client", networks["web"])


def provision_policy(api, project):
    """The rules, and the set that brings them to every port of the application."""
    groups = {name: service_group(api, project, name) for name in SERVICES}
    policy = vnc_api.FirewallPolicy("Portal-3-Tier", project)
    for place, (name, source, destination, service, match) in enumerate(RULES, start=1):
        rule = vnc_api.FirewallRule(
            name,
            project,
            action_list=vnc_api.ActionListType(simple_action="pass"),
            direction=">",
            endpoint_1=end(source),
            endpoint_2=end(destination),
            match_tags=vnc_api.FirewallRuleMatchTagsType(tag_list=list(match)),
        )
        rule.add_service_group(groups[service])
        rule = ensure(api, "firewall_rule", rule)
        policy.add_firewall_rule(rule, vnc_api.FirewallSequence(sequence=str(place)))
    policy = ensure(api, "firewall_policy", policy)
    applied = vnc_api.ApplicationPolicySet("FinancePortal", project)
    applied.add_firewall_policy(policy, vnc_api.FirewallSequence(sequence="1"))
    applied = ensure(api, "application_policy_set", applied)
    api.set_tag(applied, "application", "FinancePortal")


def end(tier):
    if tier is None:
        return vnc_api.FirewallRuleEndpointType(any=True)
    return vnc_api.FirewallRuleEndpointType(tags=[f"tier={tier}"])


def service_group(api, project, name):
    services = [
        vnc_api.FirewallServiceType(protocol=protocol, dst_ports=vnc_api.PortType(first, last))
        for protocol, first, last in SERVICES[name]
    ]
    listed = vnc_api.FirewallServiceGroupType(firewall_service=services)
    group = vnc_api.ServiceGroup(name, project, service_group_firewall_service_list=listed)
    return ensure(api, "service_group", group)


def joined_networks(api, project):
    """A network for each tier; one network policy lets them know each other's routes."""
    anybody = [
        vnc_api.AddressType(virtual_network=f"default-domain:{PROJECT}:{tier}") for tier in TIERS
    ]
    rules = [
        vnc_api.PolicyRuleType(
            direction="<>",
            protocol="any",
            src_addresses=[one],
            src_ports=[vnc_api.PortType(-1, -1)],
            dst_addresses=[other],
            dst_ports=[vnc_api.PortType(-1, -1)],
            action_list=vnc_api.ActionListType(simple_action="pass"),
        )
        for place, one in enumerate(anybody)
        for other in anybody[place:]
    ]
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    policy = vnc_api.NetworkPolicy("joined", project, network_policy_entries=entries)
    policy = ensure(api, "network_policy", policy)
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("ipam", project))
    found = {}
    for number, (tier, prefix) in enumerate(TIERS.items(), start=1):
        network = vnc_api.VirtualNetwork(tier, project)
        subnets = []
        for each in (prefix, f"fd00:1:{number}::/64"):
            address, length = each.split("/")
            subnet = vnc_api.SubnetType(address, int(length))
            subnets.append(vnc_api.IpamSubnetType(subnet=subnet, addr_from_start=True))
        network.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
        sequence = vnc_api.SequenceType(major=0, minor=0)
        network.add_network_policy(policy, vnc_api.VirtualNetworkPolicyType(sequence=sequence))
        found[tier] = ensure(api, "virtual_network", network)
    return found


def port(api, project, name, network):
    """A virtual machine, its interface in a network, and an address of each family."""
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.three-tier-tags.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine.set_display_name(name)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(network)
    interface = ensure(api, "virtual_machine_interface", interface)
    for family in ("v4", "v6"):
        address = vnc_api.InstanceIp(f"{PROJECT}-{name}-{family}", instance_ip_family=family)
        address.add_virtual_network(network)
        address.add_virtual_machine_interface(interface)
        ensure(api, "instance_ip", address)
    return interface


def ensure(api, type_name, wanted, fq_name=None):
    """Create the object unless it exists; return it as the server holds it."""
    try:
        created = getattr(api, f"{type_name}_create")(wanted)
    except vnc_api.RefsExistError:
        return getattr(api, f"{type_name}_read")(fq_name=fq_name or wanted.get_fq_name())
    return getattr(api, f"{type_name}_read")(id=created)


if __name__ == "__main__":
    main()
