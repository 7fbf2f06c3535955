"""Times and bounds of a control node towards agents. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from skytrail.control.grants import GRACE_S
from skytrail.control.restart_timers import RestartTimers


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds and bounds per agent; docs in DESIGN.md."""

    restart_time_s: float = 60.0
    """How long routes of an agent without session are kept."""
    deferral_time_s: float = 30.0
    """How long after its start a node waits for known agents before it ends any RIB."""
    config_quiet_s: float = 0.2
    """An agent names its virtual machines one by one: the end of its configuration is not sent
    while it may still be naming, or it would sweep what it has not asked for yet."""
    end_of_rib_wait_s: float = 15.0
    """How long an agent that never ends its own RIB is given before it gets ours."""
    routes_count_max: int = 100_000
    trees_count_max: int = 16_384
    subscriptions_count_max: int = 16_384
    config_roots_count_max: int = 16_384
    config_roots_length_max: int = 1_048_576
    """Of all their names together: they are remembered, and reported with those of all agents."""
    placed_only: bool = False
    """Hosts may use only instances and machines that the configuration places there (grants.py)."""
    placement_grace_s: float = GRACE_S


def timed(limits: Limits, timers: RestartTimers) -> Limits:
    """Return a node's limits with the times that configuration gives."""
    restart_time_s = limits.restart_time_s
    if timers.restart_time_s is not None:
        restart_time_s = timers.restart_time_s
    end_of_rib_s = timers.end_of_rib_s
    return replace(
        limits,
        restart_time_s=restart_time_s if timers.keeps_agents_routes else 0.0,
        end_of_rib_wait_s=limits.end_of_rib_wait_s if end_of_rib_s is None else end_of_rib_s,
    )
