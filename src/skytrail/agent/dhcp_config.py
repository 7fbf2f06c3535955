"""DHCP options and host routes as configured on interfaces, subnets, networks and address managers.

What cannot be sent is left out: the API refuses it, so it is of before the API did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from skytrail.agent.config_values import (
    list_of,
    mapping_of,
    text_of,
    unscoped,
    usable_address_of,
)
from skytrail.agent.tables import IpNetwork
from skytrail.net import IpAddress
from skytrail.wire.dhcp import ConfiguredOption, configured_option
from skytrail.wire.xmpp import ConfigValue


@dataclass(frozen=True, slots=True)
class HostRoute:
    prefix: IpNetwork
    gateway: IpAddress | None
    """None: the subnet's own."""


@dataclass(frozen=True, slots=True)
class DhcpConfig:
    """What one level of the configuration says; the most specific level that says something wins."""

    options: tuple[ConfiguredOption, ...] = ()
    routes: tuple[HostRoute, ...] = ()

    def find(self, version: int, code: int) -> bytes | None:
        """Return the value of an option, the first one if it is named twice."""
        return next(
            (each.value for each in self.options if (each.version, each.code) == (version, code)),
            None,
        )


NOTHING = DhcpConfig()


def read_dhcp(options: ConfigValue | None, routes: ConfigValue | None) -> DhcpConfig:
    """Read a ``DhcpOptionsListType`` and a ``RouteTableType``."""
    found = [_option(mapping_of(each)) for each in list_of(mapping_of(options).get("dhcp_option"))]
    read = tuple(option for option in found if option is not None)
    config = DhcpConfig(read, read_routes(routes))
    return NOTHING if config == NOTHING else config


def read_routes(value: ConfigValue | None) -> tuple[HostRoute, ...]:
    """Read a ``RouteTableType``; a next hop of 0.0.0.0, or none, means the subnet's gateway."""
    routes: list[HostRoute] = []
    for entry in list_of(mapping_of(value).get("route")):
        parts = mapping_of(entry)
        gateway = usable_address_of(parts.get("next_hop"))
        try:
            prefix = ip_network(unscoped(text_of(parts.get("prefix"))), strict=False)
        except ValueError:
            continue
        if gateway is None or gateway.version == prefix.version:
            routes.append(HostRoute(prefix, gateway))
    return tuple(routes)


def _option(entry: Mapping[str, ConfigValue]) -> ConfiguredOption | None:
    try:
        return configured_option(
            text_of(entry.get("dhcp_option_name")),
            text_of(entry.get("dhcp_option_value")),
            text_of(entry.get("dhcp_option_value_bytes")),
        )
    except ValueError:
        return None
