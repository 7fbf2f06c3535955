"""What both data centers are filled with, by the unmodified client ``contrail-api-client`` 2005.

A network is stretched by giving it the same route target in both places. The subnet is the same
too; each place hands out addresses of its own part of it. A virtual private network has one route
target for a subnet of each place. Tenant ``other`` uses the same subnet in both and stretches
nothing.
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api

FRONT_TARGET = "target:65000:1"
BACK_TARGET = "target:65000:2"


def fill(site, front_range, back_subnet):
    """Make the tenants' networks and ports; ``front_range`` is (first, last) of 10.1.1.0/24."""
    options = argparse.ArgumentParser(description=f"provision data center {site}")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    shop = ensure(api, "project", vnc_api.Project("shop"))
    group = ensure(api, "security_group", open_group(shop))
    front = network(api, shop, "front", "10.1.1.0/24", front_range, FRONT_TARGET)
    back = network(api, shop, "back", back_subnet, None, BACK_TARGET)
    port(api, shop, f"{site}-web", front, group)
    port(api, shop, f"{site}-store", back, group)
    # One machine, known in both places: it may run in either.
    port(api, shop, "mover", front, group, mac="02:00:5e:00:53:01", address="10.1.1.200")
    other = ensure(api, "project", vnc_api.Project("other"))
    group = ensure(api, "security_group", open_group(other))
    port(api, other, f"{site}-web", network(api, other, "front", "10.1.1.0/24", front_range), group)


def network(api, project, name, prefix, pool=None, target=None):
    """A virtual network with one subnet, the pool it hands out, and a route target of its own."""
    created = vnc_api.VirtualNetwork(name, project)
    address, length = prefix.split("/")
    subnet = vnc_api.IpamSubnetType(
        subnet=vnc_api.SubnetType(address, int(length)), addr_from_start=True
    )
    if pool is not None:
        subnet.add_allocation_pools(vnc_api.AllocationPoolType(start=pool[0], end=pool[1]))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("ipam", project))
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=[subnet]))
    if target is not None:
        created.set_route_target_list(vnc_api.RouteTargetList(route_target=[target]))
    return ensure(api, "virtual_network", created)


def open_group(project):
    """Everything in, everything out.

    A group that names another group cannot be used between data centers: groups are counted in
    each of them.
    """
    anywhere = vnc_api.AddressType(subnet=vnc_api.SubnetType("0.0.0.0", 0))
    here = vnc_api.AddressType(security_group="local")
    everything = [vnc_api.PortType(0, 65535)]
    rules = [
        vnc_api.PolicyRuleType(
            direction=">", ethertype="IPv4", protocol="any",
            src_addresses=[source], src_ports=everything,
            dst_addresses=[destination], dst_ports=everything,
        )
        for source, destination in ((anywhere, here), (here, anywhere))
    ]  # fmt: skip
    entries = vnc_api.PolicyEntriesType(policy_rule=rules)
    return vnc_api.SecurityGroup("open", project, security_group_entries=entries)


def port(api, project, name, network_object, group, mac=None, address=None):
    """A virtual machine, its interface in the network, and its address."""
    unique = f"{project.name}-{name}"
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{unique}.two-datacenters.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine.set_display_name(name)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(network_object)
    interface.add_security_group(group)
    if mac is not None:
        interface.set_virtual_machine_interface_mac_addresses(vnc_api.MacAddressesType([mac]))
    interface = ensure(api, "virtual_machine_interface", interface)
    wanted = vnc_api.InstanceIp(unique, instance_ip_address=address)
    wanted.add_virtual_network(network_object)
    wanted.add_virtual_machine_interface(interface)
    ensure(api, "instance_ip", wanted)


def ensure(api, type_name, wanted):
    """Create the object unless it exists; return it as the server holds it."""
    try:
        created = getattr(api, f"{type_name}_create")(wanted)
    except vnc_api.RefsExistError:
        return getattr(api, f"{type_name}_read")(fq_name=wanted.get_fq_name())
    return getattr(api, f"{type_name}_read")(id=created)
