"""What of the configuration a workload is told by DHCP: the most specific level that says it wins.

The levels are interface, subnet, (host routes alone) network, and address manager (IPAM). What the model
says by other fields (name servers of a subnet, DNS method of an IPAM) stands behind the options of its
level.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from skytrail.agent.dhcp_config import DhcpConfig, HostRoute
from skytrail.agent.network_config import Subnet
from skytrail.agent.port_config import Port
from skytrail.net import IpAddress
from skytrail.wire.dhcp import Dhcp6Option, DhcpOption, decode_classless_routes
from skytrail.wire.errors import DecodeError

_ROUTE_OPTIONS = (DhcpOption.CLASSLESS_ROUTES, DhcpOption.CLASSLESS_ROUTES_OF_OLD)
_DNS_OPTIONS = {4: int(DhcpOption.DNS_SERVER), 6: int(Dhcp6Option.DNS_SERVERS)}
_ADDRESS_BYTES = {4: 4, 6: 16}
_ANY = IPv4Network("0.0.0.0/0")


def configured(port: Port, subnet: Subnet) -> dict[int, bytes]:
    """Return the options of the subnet's family that are configured, but for name servers and
    routes, which have functions of their own.
    """
    version = subnet.prefix.version
    found: dict[int, bytes] = {}
    for level in (port.dhcp, subnet.dhcp, subnet.ipam.dhcp):
        for option in level.options:
            if option.version == version:
                found.setdefault(option.code, option.value)
    for code in (_DNS_OPTIONS[version], *(_ROUTE_OPTIONS if version == 4 else ())):
        found.pop(code, None)
    return found


def dns_servers(port: Port, subnet: Subnet) -> tuple[IpAddress, ...]:
    """Return what workloads are told to ask; an option of 0.0.0.0 or :: means nobody."""
    for level in (port.dhcp, subnet.dhcp):
        servers = _named_servers(level, subnet)
        if servers is not None:
            return servers
    if subnet.dns_servers:
        return subnet.dns_servers
    servers = _named_servers(subnet.ipam.dhcp, subnet)
    if servers is not None:
        return servers
    if subnet.ipam.dns_method == "tenant-dns-server":
        return subnet.ipam.tenant_dns_servers
    if subnet.ipam.dns_method == "none" or subnet.service_address is None:
        return ()
    if not port.network.forwarding.routes:
        return ()  # Nobody answers there.
    return (subnet.service_address,)


def host_routes(port: Port, subnet: Subnet) -> tuple[tuple[IPv4Network, IPv4Address], ...]:
    """Return the routes of the first level that has some, with a default route through the subnet's
    gateway if they have none: clients that take them ignore the gateway itself (RFC 3442).
    """
    gateway = subnet.gateway if isinstance(subnet.gateway, IPv4Address) else IPv4Address(0)
    routes = [
        (route.prefix, route.gateway if isinstance(route.gateway, IPv4Address) else gateway)
        for route in next((found for found in _levels(port, subnet) if found), ())
        if isinstance(route.prefix, IPv4Network)
    ]
    if routes and gateway != IPv4Address(0) and all(prefix != _ANY for prefix, _ in routes):
        routes.append((_ANY, gateway))
    return tuple(routes)


def routes6(port: Port, subnet: Subnet) -> tuple[IPv6Network, ...]:
    """Return the destinations of IPv6 host routes that lead to the subnet's gateway, the vRouter."""
    for routes in (
        port.dhcp.routes,
        subnet.dhcp.routes,
        subnet.network_routes,
        subnet.ipam.dhcp.routes,
    ):
        own = [route for route in routes if route.prefix.version == 6]
        if own:
            return tuple(
                route.prefix
                for route in own
                if isinstance(route.prefix, IPv6Network) and route.gateway in {None, subnet.gateway}
            )
    return ()


def _levels(port: Port, subnet: Subnet) -> Iterator[list[HostRoute]]:
    yield _routes4(port.dhcp)
    yield _routes4(subnet.dhcp)
    yield [route for route in subnet.network_routes if route.prefix.version == 4]
    yield _routes4(subnet.ipam.dhcp)


def _routes4(level: DhcpConfig) -> list[HostRoute]:
    """Return the routes of a level: those of the model's own field before those of an option."""
    routes = [route for route in level.routes if route.prefix.version == 4]
    for code in () if routes else _ROUTE_OPTIONS:
        value = level.find(4, code)
        if value:
            try:
                decoded = decode_classless_routes(value)
            except DecodeError:
                continue  # Given as bytes that are no routes.
            return [
                HostRoute(prefix, None if via == IPv4Address(0) else via) for prefix, via in decoded
            ]
    return routes


def _named_servers(level: DhcpConfig, subnet: Subnet) -> tuple[IpAddress, ...] | None:
    version = subnet.prefix.version
    value = level.find(version, _DNS_OPTIONS[version])
    if value is None:
        return None
    size = _ADDRESS_BYTES[version]
    servers: list[IpAddress] = [
        ip_address(value[start : start + size]) for start in range(0, len(value), size)
    ]
    return tuple(server for server in servers if not server.is_unspecified)


def of_family4(servers: tuple[IpAddress, ...]) -> tuple[IPv4Address, ...]:
    return tuple(server for server in servers if isinstance(server, IPv4Address))


def of_family6(servers: tuple[IpAddress, ...]) -> tuple[IPv6Address, ...]:
    return tuple(server for server in servers if isinstance(server, IPv6Address))
