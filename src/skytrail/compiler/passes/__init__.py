"""The compiler's passes, in evaluation order: each is listed after the passes it reads."""

from skytrail.compiler.engine import Pass
from skytrail.compiler.passes import (
    bgp_mesh,
    bgpaas,
    chain_instances,
    chain_ports,
    dns,
    firewall_rules,
    logical_router,
    mirroring,
    network_rules,
    policy,
    policy_sets,
    provider,
    route_tables,
    route_targets,
    routing_policy,
    security,
    security_logging,
    service_chains,
    service_instances,
    service_ports,
    tags,
    virtual_network,
)

__all__ = ["ALL_PASSES"]

ALL_PASSES: tuple[Pass, ...] = (
    *service_instances.PASSES,
    *mirroring.PASSES,
    *network_rules.PASSES,
    *service_chains.PASSES,
    *policy.PASSES,
    *route_targets.PASSES,
    *logical_router.PASSES,
    *provider.PASSES,
    *route_tables.PASSES,
    *virtual_network.PASSES,
    *routing_policy.PASSES,
    *bgp_mesh.PASSES,
    *bgpaas.PASSES,
    *chain_instances.PASSES,
    *chain_ports.PASSES,
    *service_ports.PASSES,
    *security.PASSES,
    *security_logging.PASSES,
    *tags.PASSES,
    *firewall_rules.PASSES,
    *policy_sets.PASSES,
    *dns.PASSES,
)
