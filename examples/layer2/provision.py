"""Fills a controller with networks that bridge, route, or learn MACs, and a VLAN sub-interface.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
import uuid
from typing import Any

from vnc_api import vnc_api

VLAN = 100
Api = vnc_api.VncApi
Thing = Any
"""An object of the library, which has no types."""


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
    pods = network(api, flat, "pods", ipam, ("10.65.0.0", 24), ("fd65::", 64))
    learn_addresses(f"http://{chosen.host}:{chosen.port}/virtual-network/{pods.uuid}")
    for name in ("node1", "node2", "node3"):
        address6(api, name, pods, port(api, flat, name, pods, any_mac=True))
    for name, place in (("wire1", wire), ("wire2", wire), ("routed2", routed), ("store", storage)):
        port(api, flat, name, place)
    parent = port(api, flat, "routed1", routed)
    port(api, flat, "routed1-storage", storage, parent=parent)


def network(
    api: Api,
    project: Thing,
    name: str,
    ipam: Thing,
    *prefixes: tuple[str, int],
    learns: bool = False,
    **properties: Any,
) -> Thing:
    created = vnc_api.VirtualNetwork(name, project)
    if learns:
        created.set_mac_learning_enabled(True)
        created.set_mac_aging_time(60)
    if properties:
        created.set_virtual_network_properties(vnc_api.VirtualNetworkType(**properties))
    subnets = [
        vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*prefix), addr_from_start=True)
        for prefix in prefixes
    ]
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
    return ensure(api, "virtual_network", created)


def port(
    api: Api,
    project: Thing,
    name: str,
    network: Thing,
    parent: Thing = None,
    any_mac: bool = False,
) -> Thing:
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


def address6(api: Api, name: str, network: Thing, interface: Thing) -> None:
    """Give an interface an IPv6 address beside its own one."""
    address = vnc_api.InstanceIp(str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.flat.ipv6")))
    address.set_instance_ip_family("v6")
    address.add_virtual_network(network)
    address.add_virtual_machine_interface(interface)
    ensure(api, "instance_ip", address)


def learn_addresses(url: str) -> None:
    """Set what clients of this library have no name for."""
    wanted = {"virtual-network": {"mac_ip_learning_enable": True, "mac_aging_time": 60}}
    body, kind = json.dumps(wanted).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, kind, method="PUT")):
        pass


def ensure(api: Api, kind: str, wanted: Thing) -> Thing:
    """Create unless it is there; return it as the server has it."""
    read = getattr(api, f"{kind}_read")
    try:
        return read(fq_name=wanted.get_fq_name())
    except vnc_api.NoIdError:
        getattr(api, f"{kind}_create")(wanted)
        return read(fq_name=wanted.get_fq_name())


if __name__ == "__main__":
    main()
