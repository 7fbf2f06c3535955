"""How long routes outlive a lost session, as configuration wants it (RFC 4724, RFC 9494).

A system that says nothing keeps the routes of agents and BGP peers for the node's own times.
"""

from __future__ import annotations

from dataclasses import dataclass

from skytrail.model.generated.objects import GlobalSystemConfig
from skytrail.model.graph import ObjectGraph

GLOBAL_SYSTEM_CONFIG = "global-system-config"


LONG_LIVED_S_MAX = 24 * 3600
"""For how long peers' routes are kept as long-lived stale ones, whatever they ask for (up to 194 days)."""


@dataclass(frozen=True, slots=True)
class RestartTimers:
    """What is ``None`` is the node's own."""

    restart_time_s: int | None = None
    """How long routes of a lost session are kept, and peers are asked to keep ours."""
    long_lived_s: int = 0
    """For how long peers are asked to keep our routes beyond that."""
    long_lived_s_max: int = LONG_LIVED_S_MAX
    """For how long theirs are kept beyond it at most."""
    end_of_rib_s: int | None = None
    """How long a session that is back may take to say everything again."""
    is_offered: bool = True
    """Peers are told that we restart gracefully."""
    keeps_peers_routes: bool = True
    keeps_agents_routes: bool = True


def restart_timers(graph: ObjectGraph) -> RestartTimers:
    """Return the times of the system's ``graceful_restart_parameters``.

    Where these are given, they must be enabled: without, a lost session's routes go at once. A
    helper that is not mentioned helps, one that is off does not.
    """
    for system in graph.of_type(GLOBAL_SYSTEM_CONFIG):
        if not isinstance(system, GlobalSystemConfig):
            continue
        given = system.graceful_restart_parameters
        if given is None:
            continue
        if not given.enable:
            return RestartTimers(
                is_offered=False, keeps_peers_routes=False, keeps_agents_routes=False
            )
        return RestartTimers(
            restart_time_s=given.restart_time,
            long_lived_s=given.long_lived_restart_time or 0,
            # Who asks others for longer means to keep theirs as long.
            long_lived_s_max=given.long_lived_restart_time or LONG_LIVED_S_MAX,
            end_of_rib_s=given.end_of_rib_timeout,
            keeps_peers_routes=given.bgp_helper_enable is not False,
            keeps_agents_routes=given.xmpp_helper_enable is not False,
        )
    return RestartTimers()
