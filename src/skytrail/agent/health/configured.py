"""Which health checks a port has, by the links of its configuration."""

from __future__ import annotations

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import flag_of, usable_address_of
from skytrail.agent.health.check import HealthCheck, Scope, health_check_of
from skytrail.net import IpAddress
from skytrail.wire.xmpp import ConfigKey

CHECK = "service-health-check"
BGP_SERVICE = "bgp-as-a-service"


def checks_of_port(
    graph: ConfigGraph, port: ConfigKey, network: ConfigKey
) -> tuple[HealthCheck, ...]:
    """Return the checks of the port, of its network's addresses, and of its BGP services."""
    services = graph.neighbours(port, BGP_SERVICE)
    found: dict[str, HealthCheck] = {}
    for owner in (*services, network, port):
        for node in graph.linked_nodes(owner, CHECK):
            check = health_check_of(node, of_bgp_service=owner in services)
            # A network's checks are of addresses, and only a network's are.
            if check is not None and (check.scope is Scope.ADDRESSES) == (owner is network):
                found[check.name] = check
    return tuple(found[name] for name in sorted(found))


def check_addresses(graph: ConfigGraph, port: ConfigKey) -> tuple[IpAddress, ...]:
    """Return where the vRouter asks from along the way through the workload."""
    found: set[IpAddress] = set()
    for node in graph.linked_nodes(port, "instance-ip"):
        address = usable_address_of(node.properties.get("instance_ip_address"))
        if address and flag_of(node.properties.get("service_health_check_ip")):
            found.add(address)
    return tuple(sorted(found, key=lambda each: (each.version, int(each))))


def ports_of_check(graph: ConfigGraph, check: ConfigKey) -> set[ConfigKey]:
    """Return the ports that have a check by something between."""
    found: set[ConfigKey] = set()
    for between in (BGP_SERVICE, "virtual-network"):
        for other in graph.neighbours(check, between):
            found.update(graph.neighbours(other, "virtual-machine-interface"))
    return found
