"""A configuration with virtual DNS servers that some hosts see, for tests of the DNS channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skytrail.model.config_object import ConfigObject
from skytrail.testing.control_plane import build, virtual_router

DOMAIN = "default-domain"
TENANT = f"{DOMAIN}:tenant-dns"
NEXT = f"{DOMAIN}:next-dns"
_PROJECT = (DOMAIN, "demo")
_NETWORK = (*_PROJECT, "red")
_IPAM = (*_PROJECT, "ipam")


def dns_server(name: str, domain: str, **settings: object) -> ConfigObject:
    """Return a virtual DNS server; ``name`` is its fully qualified one."""
    data = {"domain_name": domain, "record_order": "fixed", **settings}
    fields: dict[str, object] = {"virtual_DNS_data": data}
    return build("virtual-DNS", name.split(":"), parent="domain", fields=fields)


def dns_record(
    server: str, number: int, name: str, kind: str, content: str, **more: object
) -> ConfigObject:
    """Return a record object of a server."""
    data: Mapping[str, object] = {
        "record_name": name,
        "record_type": kind,
        "record_class": "IN",
        "record_data": content,
        **more,
    }
    place = [*server.split(":"), f"record-{number}"]
    fields: dict[str, object] = {"virtual_DNS_record_data": data}
    return build("virtual-DNS-record", place, parent="virtual-DNS", fields=fields)


def hosts_with_ports(*hosts: str) -> Iterable[ConfigObject]:
    """Yield hosts, each with a port in the network whose addresses come with :data:`TENANT`."""
    subnets = {"ipam_subnets": [{"subnet": {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24}}]}
    ipam_refs = [("virtual-DNS", TENANT.split(":"), None)]
    yield build("network-ipam", _IPAM, parent="project", refs=ipam_refs)
    network_refs = [("network-ipam", _IPAM, subnets)]
    yield build("virtual-network", _NETWORK, parent="project", refs=network_refs)
    for host in hosts:
        yield virtual_router(host, [f"machine-of-{host}"])
        yield build("virtual-machine", (f"machine-of-{host}",))
        yield build(
            "virtual-machine-interface",
            (*_PROJECT, f"port-of-{host}"),
            parent="project",
            refs=[
                ("virtual-machine", (f"machine-of-{host}",), None),
                ("virtual-network", _NETWORK, None),
            ],
        )
