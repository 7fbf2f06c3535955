"""Fills a controller with two tenants of the same addresses, and services outside of all networks.

    python provision.py [--host 127.0.0.1] [--port 8082]

Running it again changes nothing. The services are on the first control node's machine, and one on
each host itself.
"""

from __future__ import annotations

import argparse
import uuid

from vnc_api import vnc_api


def main() -> None:
    options = argparse.ArgumentParser(description="provision link-local services")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    for tenant, names in (("red", ["vm"]), ("blue", ["vm", "far"])):
        project = ensure(api, "project", vnc_api.Project(tenant))
        ipam = ensure(api, "network_ipam", vnc_api.NetworkIpam("ipam", project))
        place = vnc_api.VirtualNetwork("net", project, fabric_snat=tenant == "blue")
        subnet = vnc_api.IpamSubnetType(
            subnet=vnc_api.SubnetType("10.30.0.0", 24), addr_from_start=True
        )
        place.add_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=[subnet]))
        place = ensure(api, "virtual_network", place)
        for name in names:
            port(api, project, name, place)
    services(api, control_node(api))


def services(api, address):
    """What workloads of all networks reach; Contrail's provision_linklocal.py sets the same."""
    entries = [
        service("metadata", "169.254.169.254", 80, address, 8775),
        # Where OpenStack has metadata over IPv6; the agent asks Nova over IPv4 all the same.
        service("metadata6", "fe80::a9fe:a9fe", 80, address, 8775),
        service("registry", "169.254.169.1", 5000, address, 9000),
        service("on-this-host", "169.254.169.2", 5000, "127.0.0.1", 9000),
        service("on-this-host6", "fe80::a9fe:a902", 5000, "::1", 9000),
    ]
    settings = api.global_vrouter_config_read(
        fq_name=["default-global-system-config", "default-global-vrouter-config"]
    )
    settings.set_linklocal_services(vnc_api.LinklocalServicesTypes(entries))
    api.global_vrouter_config_update(settings)


def service(name, address, port, fabric_address, fabric_port):
    return vnc_api.LinklocalServiceEntryType(
        linklocal_service_name=name,
        linklocal_service_ip=address,
        linklocal_service_port=port,
        ip_fabric_service_port=fabric_port,
        ip_fabric_service_ip=[fabric_address],
    )


def control_node(api):
    """The underlay address of a control node."""
    for found in api.bgp_routers_list()["bgp-routers"]:
        router = api.bgp_router_read(id=found["uuid"]).get_bgp_router_parameters()
        if router.router_type in (None, "control-node"):
            return router.address
    raise SystemExit("no control node is registered")


def port(api, project, name, place):
    """A virtual machine, its interface in the network, and its address."""
    unique = f"{project.name}-{name}"
    machine_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{unique}.host-services.example"))
    machine = vnc_api.VirtualMachine(machine_uuid)
    machine.set_uuid(machine_uuid)
    machine = ensure(api, "virtual_machine", machine)
    interface = vnc_api.VirtualMachineInterface(name, project)
    interface.add_virtual_machine(machine)
    interface.add_virtual_network(place)
    interface = ensure(api, "virtual_machine_interface", interface)
    address = vnc_api.InstanceIp(f"{unique}-v4", instance_ip_family="v4")
    address.add_virtual_network(place)
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
