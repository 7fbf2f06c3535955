"""Fills a controller with one network, IPv4 and IPv6, and two ports, by the PyPI client.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import uuid

from vnc_api import vnc_api

PREFIXES = (("10.70.0.0", 24), ("fd00:70::", 64))
PORTS = ("web1", "web2")


def main() -> None:
    options = argparse.ArgumentParser(description="provision a network with two ports")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    project = ensure(api, "project", vnc_api.Project("shop"))
    ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("shop-ipam", project))
    created = vnc_api.VirtualNetwork("front", project)
    subnets = [
        vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(*prefix), addr_from_start=True)
        for prefix in PREFIXES
    ]
    created.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
    network = ensure(api, "virtual_network", created)
    for name in PORTS:
        port(api, project, name, network)


def port(api, project, name, network):
    """A virtual machine, its interface in the network, and its two addresses."""
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.two-uplinks.example"))
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
