"""Prefixes of a virtual network: its own subnets and those of flat address managers."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from skytrail.compiler.engine import View
from skytrail.model.generated.objects import NetworkIpam, VirtualNetwork
from skytrail.model.generated.types import IpamSubnetType

KINDS: Final = frozenset({NetworkIpam.type_name})

Prefix = IPv4Network | IPv6Network


def network_prefixes(view: View, network: VirtualNetwork) -> tuple[Prefix, ...]:
    """Return the prefixes in order, IPv4 first; what cannot be read is left out."""
    found = {
        prefix for subnet in _subnets(view, network) if (prefix := _prefix(subnet)) is not None
    }
    return tuple(sorted(found, key=lambda p: (p.version, int(p.network_address), p.prefixlen)))


def families(prefixes: tuple[Prefix, ...]) -> tuple[int, ...]:
    """Return the IP versions that occur, in order."""
    return tuple(sorted({prefix.version for prefix in prefixes}))


def _subnets(view: View, network: VirtualNetwork) -> Iterator[IpamSubnetType]:
    for reference in network.network_ipam_refs:
        if reference.attr is not None:
            yield from reference.attr.ipam_subnets
        ipam = view.get(NetworkIpam, reference.uuid)
        if ipam is not None and ipam.ipam_subnets is not None:
            yield from ipam.ipam_subnets.subnets


def _prefix(subnet: IpamSubnetType) -> Prefix | None:
    given = subnet.subnet
    if given is None or given.ip_prefix is None or given.ip_prefix_len is None:
        return None
    try:
        return ip_network(f"{given.ip_prefix}/{given.ip_prefix_len}", strict=False)
    except ValueError:
        # The API server checks subnets; an unreadable one has no addresses to lead anywhere.
        return None
