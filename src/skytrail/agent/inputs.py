"""What the desired state is a function of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skytrail.agent.fib import LearntRoutes
from skytrail.agent.interface import Failing, LearntMacs, PluggedPort
from skytrail.agent.membership import Groups
from skytrail.agent.nexthop import Underlay
from skytrail.agent.view import View
from skytrail.net import IpAddress


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything the desired state depends on."""

    plugged: Mapping[str, PluggedPort]
    view: View
    learnt: LearntRoutes
    underlay: Underlay
    failing: Mapping[str, Failing] = field(default_factory=dict[str, Failing])
    """Ports of which health checks fail."""
    captured: frozenset[str] = frozenset()
    """Ports whose frames somebody looks at."""
    names: Mapping[str, tuple[IpAddress, ...]] = field(
        default_factory=dict[str, tuple[IpAddress, ...]]
    )
    """What names of link-local services mean."""
    groups: Mapping[str, Groups] = field(default_factory=dict[str, Groups])
    """What ports listen to; equal values are the same objects while nothing changes."""
    macs: Mapping[str, LearntMacs] = field(default_factory=dict[str, LearntMacs])
    """Which MACs were learnt behind ports, likewise."""
