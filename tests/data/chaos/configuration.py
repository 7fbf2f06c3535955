"""What the chaos test has beyond two tenants: IPv6 everywhere, floating addresses, tags.

    python configuration.py [--host 127.0.0.1] [--port 8082]

Blue's networks have red's IPv6 subnet as they have its IPv4 one. Red's web2 has floating addresses
of the network store, which is nobody's way otherwise. Blue's workloads obey a policy set that lets
those with the tag ``tier=web`` talk among themselves.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from vnc_api import vnc_api

EXAMPLE = Path(__file__).parents[3] / "examples" / "two-tenants" / "provision.py"
SUBNETS6 = {
    ("red", "back"): "fd10:1:2::",
    ("red", "store"): "fd10:1:3::",
    ("blue", "front"): "fd10:1:1::",
}
PORTS = {"red": ("app", "store"), "blue": ("web1", "web2")}
NETWORKS = {"app": "back", "store": "store", "web1": "front", "web2": "front"}
FLOATING = {"floating4": "10.1.3.200", "floating6": "fd10:1:3::c8"}


def main() -> None:
    given: Any = importlib.util.spec_from_file_location("two_tenants", EXAMPLE)
    two_tenants: Any = importlib.util.module_from_spec(given)
    given.loader.exec_module(two_tenants)
    two_tenants.main()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", default="8082")
    chosen = options.parse_args()
    api: Any = vnc_api.VncApi(
        api_server_host=chosen.host, api_server_port=chosen.port, auth_type="noauth"
    )
    for (project, name), address in SUBNETS6.items():
        add_subnet(api, network(api, project, name), address)
    for project, names in PORTS.items():
        for name in names:
            add_address(api, project, name)
    float_web2(api)
    tag_blue(api)


def network(api: Any, project: str, name: str) -> Any:
    return api.virtual_network_read(fq_name=["default-domain", project, name])


def port(api: Any, project: str, name: str) -> Any:
    return api.virtual_machine_interface_read(fq_name=["default-domain", project, name])


def add_subnet(api: Any, changed: Any, address: str) -> None:
    (reference,) = changed.get_network_ipam_refs()
    ipam = api.network_ipam_read(id=reference["uuid"])
    subnets = reference["attr"].get_ipam_subnets()
    subnets.append(
        vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(address, 64), addr_from_start=True)
    )
    changed.set_network_ipam(ipam, vnc_api.VnSubnetsType(ipam_subnets=subnets))
    api.virtual_network_update(changed)


def add_address(api: Any, project: str, name: str) -> None:
    address = vnc_api.InstanceIp(f"{project}-{name}-v6", instance_ip_family="v6")
    address.add_virtual_network(network(api, project, NETWORKS[name]))
    address.add_virtual_machine_interface(port(api, project, name))
    api.instance_ip_create(address)


def float_web2(api: Any) -> None:
    red = api.project_read(fq_name=["default-domain", "red"])
    pool = vnc_api.FloatingIpPool("floats", network(api, "red", "store"))
    api.floating_ip_pool_create(pool)
    for name, address in FLOATING.items():
        floating = vnc_api.FloatingIp(name, pool, floating_ip_address=address)
        floating.add_project(red)
        floating.add_virtual_machine_interface(port(api, "red", "web2"))
        api.floating_ip_create(floating)


def tag_blue(api: Any) -> None:
    blue = api.project_read(fq_name=["default-domain", "blue"])
    for kind, value in (("application", "shop"), ("tier", "web")):
        api.tag_create(vnc_api.Tag(tag_type_name=kind, tag_value=value, parent_obj=blue))
    everything = vnc_api.FirewallServiceType(
        protocol="any", dst_ports=vnc_api.PortType(0, 65535), src_ports=vnc_api.PortType(0, 65535)
    )
    rule = vnc_api.FirewallRule(
        "web-to-web",
        blue,
        action_list=vnc_api.ActionListType(simple_action="pass"),
        direction="<>",
        endpoint_1=vnc_api.FirewallRuleEndpointType(tags=["tier=web"]),
        endpoint_2=vnc_api.FirewallRuleEndpointType(tags=["tier=web"]),
        match_tags=vnc_api.FirewallRuleMatchTagsType(tag_list=[]),
        service=everything,
    )
    api.firewall_rule_create(rule)
    policy = vnc_api.FirewallPolicy("shop", blue)
    policy.add_firewall_rule(rule, vnc_api.FirewallSequence(sequence="1"))
    api.firewall_policy_create(policy)
    applied = vnc_api.ApplicationPolicySet("shop", blue)
    applied.add_firewall_policy(policy, vnc_api.FirewallSequence(sequence="1"))
    api.application_policy_set_create(applied)
    api.set_tag(applied, "application", "shop")
    for name in PORTS["blue"]:
        for kind, value in (("application", "shop"), ("tier", "web")):
            api.set_tag(port(api, "blue", name), kind, value)


if __name__ == "__main__":
    main()
