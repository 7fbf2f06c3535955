"""The compiler's passes, in evaluation order: each is listed after the passes it reads."""

from skytrail.compiler.engine import Pass
from skytrail.compiler.passes import (
    bgp_mesh,
    bgpaas,
    dns,
    logical_router,
    policy,
    provider,
    route_tables,
    route_targets,
    routing_policy,
    security,
    security_logging,
    virtual_network,
)

__all__ = ["ALL_PASSES"]

ALL_PASSES: tuple[Pass, ...] = (
    *policy.PASSES,
    *route_targets.PASSES,
    *logical_router.PASSES,
    *provider.PASSES,
    *route_tables.PASSES,
    *virtual_network.PASSES,
    *routing_policy.PASSES,
    *bgp_mesh.PASSES,
    *bgpaas.PASSES,
    *security.PASSES,
    *security_logging.PASSES,
    *dns.PASSES,
)
