"""A physical router on a port of a vRouter: its addressing and FRR's configuration. Pure.

The host whose vRouter has the port is the gateway between the router's L3VPN and the virtual network:
the router's VRF and the port's VRF face each other on a link, as two providers do (RFC 4364 section
10a). What lies behind the router is static on the port, or learned by BGP as a service.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_network

import msgspec

from skytrail.client.messages import JsonObject


class RouterError(Exception):
    """The router cannot be attached; the text names what is missing."""


class _Prefix(msgspec.Struct, frozen=True):
    ip_prefix: str
    ip_prefix_len: int


class _Subnet(msgspec.Struct, frozen=True):
    subnet: _Prefix | None = None
    default_gateway: str = ""
    dns_server_address: str = ""


class _Subnets(msgspec.Struct, frozen=True):
    ipam_subnets: tuple[_Subnet, ...] = ()


class _Reference(msgspec.Struct, frozen=True):
    attr: _Subnets | None = None


class _Network(msgspec.Struct, frozen=True):
    fq_name: tuple[str, ...]
    network_ipam_refs: tuple[_Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """The router's end of its link to the vRouter."""

    address: IPv4Interface
    gateway: IPv4Address
    """Answers for the vRouter, and leads to the agent's first control node."""
    service: IPv4Address | None
    """Leads to the second control node."""


def link(network: JsonObject, address: IPv4Address) -> Link:
    """Find the subnet of a router's address in its port's network; :class:`RouterError`."""
    read = msgspec.convert(network, _Network)
    for reference in read.network_ipam_refs:
        for each in reference.attr.ipam_subnets if reference.attr else ():
            if each.subnet is None or not each.default_gateway:
                continue
            text = f"{each.subnet.ip_prefix}/{each.subnet.ip_prefix_len}"
            prefix = ip_network(text, strict=False)
            if address in prefix:
                service = each.dns_server_address
                return Link(
                    IPv4Interface((address, prefix.prefixlen)),
                    IPv4Address(each.default_gateway),
                    IPv4Address(service) if service else None,
                )
    raise RouterError(f"{':'.join(read.fq_name)} has no subnet with a gateway that holds {address}")


def bgpd_config(link: Link, behind: IPv4Network, *, own_asn: int, asn: int) -> str:
    """Configure sessions with the vRouter, which hands them on to its control nodes."""
    peers = [link.gateway, *([link.service] if link.service else [])]
    lines = [
        f"router bgp {own_asn}",
        f" bgp router-id {link.address.ip}",
        # The virtual network's policies judge what is exchanged, not this router.
        " no bgp ebgp-requires-policy",
    ]
    for peer in peers:
        lines += [f" neighbor {peer} remote-as {asn}", f" neighbor {peer} timers connect 1"]
    lines += [
        " address-family ipv4 unicast",
        f"  network {behind}",
        " exit-address-family",
    ]
    return "\n".join(lines) + "\n"
