"""What the control node remembers of one agent, across the loss of its session."""

from __future__ import annotations

from dataclasses import dataclass, field

from skytrail.control.agent_config import AgentConfig
from skytrail.control.path import InstanceName, PathSlot, PeerName
from skytrail.control.progress import Progress
from skytrail.control.rib_out import UpdateGroup
from skytrail.control.tree import TreeName
from skytrail.control.tree_out import TreeOut
from skytrail.wire.xmpp import JoinTree, Route, RouteKey
from skytrail.wire.xmpp.codec import CONTROL_JID, config_head, message_head


class PeerRefused(Exception):
    """The peer broke a bound or a rule; its session must be closed with this text."""


@dataclass(slots=True)
class Subscription:
    """Interest in one instance; exists whether or not configuration knows the instance."""

    instance_id: int
    no_ribout: bool = False
    is_stale: bool = False


@dataclass(slots=True)
class AdjRoute:
    """A route as the agent published it, and the slot of its path."""

    route: Route
    slot: PathSlot
    generation: int = 0
    """In which of its agent's sessions it was last published: stale unless that is the present one."""


@dataclass(slots=True)
class PeerCounters:
    """Since the peer was first seen."""

    routes_published: int = 0
    routes_withdrawn: int = 0
    routes_ignored: int = 0
    """Of families that are not carried, or for instances that were not subscribed to."""
    messages_out: int = 0
    bytes_out: int = 0
    sessions: int = 0


@dataclass(slots=True)
class Peer:
    """One agent. ``adj_in`` is everything it published, by instance and key."""

    name: PeerName
    address: str = ""
    is_up: bool = False
    up_since: float = 0.0
    last_down_reason: str = ""
    generation: int = 0
    """Grows whenever a session is lost: what was published before is in doubt then."""
    stale_deadline: float = float("inf")
    """When unconfirmed routes are dropped; infinity while nothing is stale."""
    stale_since: float = 0.0
    """When the session was lost since which it has not ended its RIB."""
    end_of_rib_received: bool = False
    end_of_rib_sent: bool = False
    end_of_config_sent: bool = False
    held_joins: dict[TreeName, JoinTree] = field(default_factory=dict[TreeName, JoinTree])
    """Trees it wants to join in instances of which it has no workload (yet)."""
    config_asked_at: float = 0.0
    """When it last subscribed to a configuration object."""
    subscriptions: dict[InstanceName, Subscription] = field(
        default_factory=dict[InstanceName, Subscription]
    )
    adj_in: dict[InstanceName, dict[RouteKey, AdjRoute]] = field(
        default_factory=dict[InstanceName, dict[RouteKey, AdjRoute]]
    )
    putting: dict[InstanceName, bool] = field(default_factory=dict[InstanceName, bool])
    """Where its routes are being put anew, and whether that was asked for again meanwhile."""
    leaving: dict[InstanceName, dict[RouteKey, AdjRoute]] = field(
        default_factory=dict[InstanceName, dict[RouteKey, AdjRoute]]
    )
    """What it published where it is no longer subscribed, and is not out of all tables yet."""
    routes_count: int = 0
    config: AgentConfig = field(default_factory=AgentConfig)
    progress: Progress = field(default_factory=Progress)
    groups: dict[UpdateGroup, None] = field(default_factory=dict[UpdateGroup, None])
    """Update groups with something to send, in turn."""
    tree_out: TreeOut = field(default_factory=TreeOut)
    counters: PeerCounters = field(default_factory=PeerCounters)
    message_head: bytes = b""
    config_head: bytes = b""

    def __post_init__(self) -> None:
        self.message_head = message_head(CONTROL_JID, self.name)
        self.config_head = config_head(CONTROL_JID, self.name)

    @property
    def stale_count(self) -> int:
        return sum(
            adjacent.generation != self.generation
            for routes in self.adj_in.values()
            for adjacent in routes.values()
        )

    @property
    def is_forgettable(self) -> bool:
        return not self.is_up and not self.subscriptions and not self.adj_in
