"""Fills a controller with networks that bridge, route, or learn MACs, and a VLAN sub-interface.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing.
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api

VLAN = 100


def main() -> None:
    options = argparse.ArgumentParser(description="provision layer 2 networks")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    flat = ensure(api, "project", vnc_api.Project("flat"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("flat-ipam", flat))
    wire = network(api, flat, "wire", ipam, ("10.61.0.0", 24), forwarding_mode="l2")
    routed = network(api, flat, "routed", ipam, ("10.62.0.0", 24), forwarding_mode="l3")
    storage = network(api, flat, "storage", ipam, ("10.63.0.0", 24))
    nest = network(api, flat, "nest", ipam, ("10.64.0.0", 24), learns=True, forwarding_mode="l2")
    for name in ("nest1", "nest2", "nest3"):
        port(api, flat, name, nest, any_mac=True)
    for name, place in (("wire1", wire), ("wire2", wire), ("routed2", routed), ("store", storage)):
        port(api, flat, name, place)
    parent = port(api, flat, "routed1", routed)
    port(api, flat, "routed1-storage", storage, parent=parent)


def network(api, project, name, ipam, prefix, learns=False, **properties):
    created = vnc_api.VirtualNetwork(name, project)
    if learns:
        created.set_mac_learning_enabled(True)
        created.set_mac_aging_time(60)
    if properties:
        created.set_virtual_network_properties(vnc_api.VirtualNetworkType(**properties))
    subnet = vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*prefix), addr_from_start=True)
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=[subnet]))
    return ensure(api, "virtual_network", created)


def port(api, project, name, network, parent=None, any_mac=False):
    """An interface of a machine with an address, or a VLAN of its parent's link."""
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.add_virtual_network(network)
    if any_mac:
        interface.set_port_security_enabled(False)
    if parent is None:
        number = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.machine.flat"))
        machine = ensure(api, "virtual_machine", vnc_api.VirtualMachine(number))
        interface.add_virtual_machine(machine)
    else:
        interface.add_virtual_machine_interface(parent)
        interface.set_virtual_machine_interface_properties(
            vnc_api.VirtualMachineInterfacePropertiesType(sub_interface_vlan_tag=VLAN)
        )
    interface = ensure(api, "virtual_machine_interface", interface)
    address = vnc_api.InstanceIp(str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.flat")))
    address.add_virtual_network(network)
    address.add_virtual_machine_interface(interface)
    ensure(api, "instance_ip", address)
    return interface


def ensure(api, kind, wanted):
    """Create unless it is there; return it as the server has it."""
    read = getattr(api, f"{kind}_read")
    try:
        return read(fq_name=wanted.get_fq_name())
    except vnc_api.NoIdError:
        getattr(api, f"{kind}_create")(wanted)
        return read(fq_name=wanted.get_fq_name())


if __name__ == "__main__":
    main()
