"""What a computation of the desired state comes to: rows, routes to publish, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skytrail.agent.fib import LearntRoute
from skytrail.agent.identity import Identity
from skytrail.agent.interface import PortState
from skytrail.agent.ledger import Changes, Published, PublishKey, Unit
from skytrail.agent.policy import Policy
from skytrail.agent.tables import ROW_TYPES, IdentityId, PolicyId, Row, VifId, VrfId
from skytrail.net import IpAddress
from skytrail.wire.xmpp import RouteKey

TableRows = dict[type[Row], dict[object, Row]]


@dataclass(frozen=True, slots=True)
class RouteSource:
    """Why a route is in the table, for people."""

    vrf: str
    key: RouteKey
    origin: str | LearntRoute
    """``local``, ``vrouter``, or the route learnt from control nodes."""
    ifnames: tuple[str, ...]


@dataclass(slots=True)
class Desired:
    """One recompute's result; later recomputes replace its tables and never change them."""

    rows: TableRows = field(default_factory=lambda: {kind: {} for kind in ROW_TYPES})
    ports: Mapping[str, PortState] = field(default_factory=dict[str, PortState])
    vifs: Mapping[VifId, str] = field(default_factory=dict[VifId, str])
    """Number -> port uuid."""
    vrfs: Mapping[str, VrfId] = field(default_factory=dict[str, VrfId])
    """Instances to subscribe to, with their numbers."""
    published: Mapping[PublishKey, Published] = field(default_factory=dict[PublishKey, Published])
    remotes: frozenset[IpAddress] = frozenset()
    unreachable: frozenset[IpAddress] = frozenset()
    """Hosts that routes lead to, but whose tunnel address is of the other IP version."""
    identities: Mapping[IdentityId, Identity] = field(default_factory=dict[IdentityId, Identity])
    policies: Mapping[PolicyId, Policy] = field(default_factory=dict[PolicyId, Policy])
    explained: Mapping[Unit, tuple[RouteSource, ...]] = field(
        default_factory=dict[Unit, tuple[RouteSource, ...]]
    )
    shortage: str = ""
    """What there are no numbers left for; empty: nothing."""
    changes: Changes = field(default_factory=Changes)
    """Against the planner's last result."""

    @property
    def sources(self) -> list[RouteSource]:
        """Why each route is there, what overrides behind what is overridden. O(routes)."""
        units = sorted(self.explained, key=lambda unit: unit[:2])
        return [source for unit in units for source in self.explained[unit]]
