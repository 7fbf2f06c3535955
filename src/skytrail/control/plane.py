"""The control node's core: sessions, routes and configuration in, stanzas out.

```
 session_up/down, receive ----> adj-RIB-in --> Replicator: VRF tables, VPN --> UpdateGroups --+
 config_* , commit -----------> ConfigGraph --> instances' targets ------^                    |
                                     +--------> AgentConfig per agent --------------------+   |
 tick --> graceful-restart and end-of-RIB timers                          collect(peer) <-+---+
```
Nothing is queued for a peer: ``collect`` works out what to send next from cursors and differences,
so a peer that reads slowly costs no memory. Time is seconds of any monotonic clock. After any
call, ``take_ready`` names the peers for whom ``collect`` may have something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from skytrail.control.agent_config import AgentConfig
from skytrail.control.agent_routes import AgentRoutes
from skytrail.control.bgp import Bgp
from skytrail.control.bgp_config import bgp_config
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.config_graph import Change, ConfigGraph
from skytrail.control.config_reach import Steps
from skytrail.control.derived_routes import DerivedRoutes
from skytrail.control.distribution import spans_of
from skytrail.control.grants import Grant, Grants, Subject
from skytrail.control.hosts import Hosts
from skytrail.control.instances import (
    ROUTING_INSTANCE,
    connected,
    instance_config,
    instance_name,
    neighbours,
)
from skytrail.control.limits import Limits, timed
from skytrail.control.mac_moves import MacMoves
from skytrail.control.path import (
    FABRIC_INSTANCE,
    InstanceName,
    PeerName,
)
from skytrail.control.peer import Peer, PeerRefused, Subscription
from skytrail.control.placement import VIRTUAL_MACHINE, VIRTUAL_ROUTER, Placements
from skytrail.control.policy_config import InstancePolicies
from skytrail.control.progress import Progress
from skytrail.control.restart_timers import restart_timers
from skytrail.control.rib_out import UpdateGroup
from skytrail.control.route_target import Replicator
from skytrail.control.tree import TreeName
from skytrail.control.trees import Trees
from skytrail.control.tunnel_ends import TunnelEnds
from skytrail.control.underlay import UnderlayRoutes
from skytrail.control.vrf import Vrf
from skytrail.control.workload_peers import WorkloadPeers
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import (
    BgpRouter,
    GlobalSystemConfig,
    RouteAggregate,
    RoutingInstance,
    RoutingPolicy,
    VirtualNetwork,
)
from skytrail.net import IpAddress
from skytrail.wire.spans import Span
from skytrail.wire.xmpp import (
    ConfigDelete,
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
    DnsReply,
    DnsRequest,
    EndOfConfig,
    EndOfRib,
    Family,
    IgnoredRoute,
    ItemsEvent,
    JoinTree,
    LeaveTree,
    Message,
    Programmed,
    PublishRoute,
    RevisionMark,
    Subscribe,
    TreeBranch,
    TreeItems,
    Unsubscribe,
    WithdrawRoute,
)
from skytrail.wire.xmpp.codec import (
    CONFIG_OBJECTS_COUNT_MAX,
    CONFIG_TAIL,
    MESSAGE_TAIL,
    encode_config,
    encode_event,
)

RESTARTS_COUNT_MAX = 5
"""For how many restart times an agent that comes and goes keeps what it does not say again."""
CONFIG_RESTARTS_COUNT_MAX = 4
"""How often an agent may let go of its virtual-router in a session; agents need never do."""
PULLS_COUNT_MAX = 16
"""How many batches of routes are looked at in vain for one peer before others have their turn."""


class ControlPlane:
    """All state of a control node. Not safe for use from more than one thread."""

    def __init__(self, limits: Limits | None = None, node: str = "") -> None:
        self.limits = self._own_limits = limits or Limits()
        self.node = node
        """Name of this control node: which ``bgp-router`` object is ours."""
        self.peers: dict[PeerName, Peer] = {}
        self.replicator = Replicator()
        self.networks = NetworkIds()
        self.bgp = Bgp(self.replicator, self.networks)
        self.trees = Trees(self.replicator, self.bgp.relay, self.networks)
        self.policies = InstancePolicies(self.replicator)
        self.derived = DerivedRoutes(self.replicator)
        self.workloads = WorkloadPeers(self.replicator, self.derived)
        self.mac_moves = MacMoves(self.replicator)
        self.underlay = UnderlayRoutes(self.replicator, self.bgp.relay)
        self.hosts = Hosts()
        self.tunnel_ends = TunnelEnds()
        self.grants = Grants(self.limits.placement_grace_s) if self.limits.placed_only else None
        """None: hosts may use whatever they name."""
        self.routes = AgentRoutes(self.replicator, self.hosts, self._may_use)
        self.config = ConfigGraph()
        self.steps = Steps()
        self.placements = Placements()
        self.groups: dict[tuple[InstanceName, Family], UpdateGroup] = {}
        self.followers: list[Callable[[list[Change]], None]] = []
        """Told of every commit's changes; nothing of the plane depends on them."""
        self.trace: Callable[[Span], None] = _trace_nothing
        self.revision = 0
        self.is_config_complete = False
        self.is_settled = False
        """Known agents had their chance to republish: ends of RIB may be sent."""
        self._deferral_deadline = float("inf")
        self._awaited: list[str] = []
        """Agents that had not ended their RIB when that was last looked at."""
        self._changed_groups: dict[UpdateGroup, None] = {}
        self._ready: dict[PeerName, None] = {}
        self._subscribers: dict[InstanceName, dict[PeerName, None]] = {}

    # Sessions.

    def session_up(self, name: str, address: str, now: float) -> None:
        """An agent's session stands; one it still had counts as lost first."""
        peer = self.peers.get(PeerName(name))
        if peer is None:
            peer = self.peers[PeerName(name)] = Peer(PeerName(name))
        if peer.is_up:
            self.session_down(name, "replaced by a newer session", now)
        peer.address, peer.is_up, peer.up_since = address, True, now
        peer.counters.sessions += 1
        if self.grants is not None:
            self.grants.open(peer.name, self.config.graph, self.steps)
        if peer.stale_deadline != float("inf"):
            # It is back: from here it has as long again to confirm what it still has.
            peer.stale_deadline = self._restart_deadline(peer, now)
        self._ready[peer.name] = None

    def session_down(self, name: str, reason: str, now: float) -> None:
        """Keep the agent's routes, marked stale, until it is back or the restart time is over."""
        peer = self.peers.get(PeerName(name))
        if peer is None or not peer.is_up:
            return
        peer.is_up, peer.last_down_reason = False, reason
        peer.end_of_rib_received = peer.end_of_rib_sent = peer.end_of_config_sent = False
        self.placements.hold(peer, self.config.graph)
        peer.config, peer.progress = AgentConfig(), Progress()
        for instance, subscription in peer.subscriptions.items():
            subscription.is_stale = True
            self._leave_groups(peer, instance)
        for group in peer.groups:
            group.leave(peer.name)
        peer.groups.clear()
        peer.tree_out.clear()
        peer.held_joins.clear()
        self.trees.age(peer.name)
        peer.generation += 1
        self.replicator.chores.add(self.routes.aging(peer, peer.generation))
        if peer.stale_deadline == float("inf"):
            peer.stale_since = now
        peer.stale_deadline = self._restart_deadline(peer, now)
        self._forget_if_empty(peer)

    def _restart_deadline(self, peer: Peer, now: float) -> float:
        """Return until when what an agent does not say again stays: not for ever if it keeps coming."""
        time_s = self.limits.restart_time_s
        return min(now + time_s, peer.stale_since + RESTARTS_COUNT_MAX * time_s)

    def receive(self, name: str, message: Message, now: float) -> None:
        """Act on a message of an agent whose session stands; raises ``PeerRefused``."""
        peer = self.peers[PeerName(name)]
        match message:
            case PublishRoute(instance, route):
                most = self.limits.routes_count_max
                self.routes.publish(peer, InstanceName(instance), route, most)
            case WithdrawRoute(instance, key):
                self.routes.withdraw(peer, InstanceName(instance), key)
            case Subscribe():
                self._subscribe(peer, message)
            case Unsubscribe(instance):
                self._unsubscribe(peer, InstanceName(instance))
            case EndOfRib():
                peer.end_of_rib_received = True
                if peer.stale_deadline != float("inf"):
                    self._sweep(peer)
                self._check_settled(now)
                self._ready[peer.name] = None
            case ConfigSubscribe(key, answers_marks):
                self._config_subscribe(peer, key)
                peer.progress.asked(answers_marks=answers_marks)
                peer.config_asked_at = now
            case Programmed():
                peer.progress.answered(message)
            case ConfigUnsubscribe(key):
                self._check_repetition(peer, key)
                peer.config.release_root(key)
                peer.config.remove_root(key, self.config, self.steps)
                self.placements.changed(peer.name)
                self._ready[peer.name] = None
            case JoinTree():
                self._join_tree(peer, message)
            case LeaveTree(instance, key):
                peer.held_joins.pop((InstanceName(instance), key), None)
                self.trees.leave(peer.name, InstanceName(instance), key)
            case IgnoredRoute():
                peer.counters.routes_ignored += 1
            case ItemsEvent() | TreeItems():
                raise PeerRefused(f"an agent must not send {type(message).__name__}")
            case DnsRequest() | DnsReply():
                raise PeerRefused("DNS has a connection of its own (--dns-port)")
            case ConfigUpdate() | ConfigDelete() | EndOfConfig() | RevisionMark():
                raise PeerRefused(f"an agent must not send {type(message).__name__}")

    def tick(self, now: float) -> None:
        """Let time pass: sweep what stayed stale, end deferral; call about twice a second."""
        for peer in list(self.peers.values()):
            if now >= peer.stale_deadline:
                self._sweep(peer)
            is_ended = peer.end_of_rib_sent and peer.end_of_config_sent
            may_end = not is_ended and self._may_end(peer)
            if peer.is_up and (may_end or peer.progress.wants_mark(now)):
                self._ready[peer.name] = None
        for name, subject in () if self.grants is None else self.grants.take_expired(now):
            self._revoke(self.peers[name], subject)
        self.bgp.tick(now)
        self.mac_moves.tick(now)
        self._check_settled(now)

    # Configuration.

    def config_replace(self, objects: Iterable[ConfigObject]) -> None:
        """Take over a complete snapshot; :meth:`commit` makes it count."""
        self.config.replace_all(objects)
        self.is_config_complete = True

    def config_put(self, config_object: ConfigObject) -> None:
        self.config.put(config_object)

    def config_delete(self, uuid: str) -> None:
        self.config.remove(uuid)

    def commit(self, revision: int, now: float, traces: Sequence[str] = ()) -> None:
        """All changes up to ``revision`` have been given: act on them together.

        ``traces`` are those the changes belong to.
        """
        before, self.revision = self.revision, revision
        changes = self.config.take_changes()
        self.placements.committed(version for change in changes for version in change.versions)
        for follow in self.followers:
            follow(changes)
        self._apply_networks(changes)
        names, addresses = self.hosts.follow(changes)
        if names:
            self.replicator.chores.add(self._judging(names, addresses))
        self._apply_bgp(changes)
        self._apply_instances(changes)
        self._apply_derived(changes)
        self._apply_agents(changes, now)
        for peer in self._note_work(before, moves_routes=any(map(_moves_routes, changes))):
            peer.progress.traced.add(traces, now)
        self._awaited = []
        if self.is_config_complete and self._deferral_deadline == float("inf"):
            self._deferral_deadline = now + self.limits.deferral_time_s
        self._check_settled(now)

    # Output.

    def take_ready(self) -> list[PeerName]:
        """Return peers with a session for whom :meth:`collect` may have something."""
        self.derived.settle()
        self._settle_trees()
        self._wake_changed()
        ready, self._ready = self._ready, {}
        return [name for name in ready if name in self.peers and self.peers[name].is_up]

    def collect(self, name: str, now: float, bytes_max: int) -> list[bytes]:
        """Return the next stanzas for a peer, at least one if any, about ``bytes_max`` in all."""
        peer = self.peers[PeerName(name)]
        stanzas: list[bytes] = []
        size = 0
        while size < bytes_max:
            chunk = (
                self._next_config(peer, now)
                or self._next_routes(peer)
                or self._next_branches(peer)
                or self._ends(peer, now)
                or self._mark(peer, now)
            )
            if not chunk:
                break
            stanzas += chunk
            size += sum(map(len, chunk))
        peer.counters.messages_out += len(stanzas)
        peer.counters.bytes_out += size
        return stanzas

    def has_more(self, name: str) -> bool:
        """Tell whether :meth:`collect` only stopped so that others have their turn."""
        peer = self.peers.get(PeerName(name))
        return peer is not None and peer.is_up and bool(peer.groups)

    def _next_config(self, peer: Peer, now: float) -> list[bytes]:
        config = peer.config
        if not self.is_config_complete:
            return []
        if config.has_work:
            updates, deletes = config.take(CONFIG_OBJECTS_COUNT_MAX)
            verb, texts = ("update", updates) if updates else ("delete", deletes)
            body = f"<config><{verb}>{''.join(texts)}</{verb}></config>".encode()
            return [peer.config_head + body + CONFIG_TAIL]
        quiet_since = peer.config_asked_at + self.limits.config_quiet_s
        if config.reach.roots and not peer.end_of_config_sent and now >= quiet_since:
            peer.end_of_config_sent = True
            body = encode_config(EndOfConfig(self.revision))
            return [peer.config_head + body + CONFIG_TAIL]
        return []

    def _next_routes(self, peer: Peer) -> list[bytes]:
        for _ in range(PULLS_COUNT_MAX):
            if not peer.groups:
                break
            # One batch per group in turn, so that a large table does not hold up small ones.
            group = next(iter(peer.groups))
            bodies = group.pull(peer.name)
            is_live = self.groups.get((group.rib.instance, group.rib.family)) is group
            has_work = group.has_work(peer.name)
            if is_live or not has_work:
                # What a removed instance takes back goes out at once: another may have its name.
                del peer.groups[group]
            if is_live and has_work:
                peer.groups[group] = None
            if bodies:
                return [peer.message_head + body + MESSAGE_TAIL for body in bodies]
        return []

    def _next_branches(self, peer: Peer) -> list[bytes]:
        events = peer.tree_out.pull(lambda name: self._branch(peer, name))
        return [peer.message_head + encode_event(each) + MESSAGE_TAIL for each in events]

    def _branch(self, peer: Peer, name: TreeName) -> TreeBranch | None:
        subscription = peer.subscriptions.get(name[0])
        if subscription is None or subscription.no_ribout:
            return None
        return self.trees.branch(peer.name, name)

    def _ends(self, peer: Peer, now: float) -> list[bytes]:
        heard = peer.end_of_rib_received or now >= peer.up_since + self.limits.end_of_rib_wait_s
        is_whole = self.is_settled and self.replicator.chores.is_idle
        if peer.end_of_rib_sent or not is_whole or not heard or peer.groups:
            return []
        peer.end_of_rib_sent = True
        return [peer.message_head + encode_event(EndOfRib()) + MESSAGE_TAIL]

    def _may_end(self, peer: Peer) -> bool:
        """Tell whether nothing but time may be missing until an end can be sent."""
        may_end_config = self.is_config_complete and bool(peer.config.reach.roots)
        return (self.is_settled and not peer.end_of_rib_sent) or (
            may_end_config and not peer.end_of_config_sent
        )

    def _mark(self, peer: Peer, now: float) -> list[bytes]:
        """Nothing is left to send: say up to which revision that is."""
        is_whole = self.replicator.chores.is_idle and not self._changed_groups
        is_behind = not peer.end_of_config_sent or not is_whole or bool(peer.groups)
        if is_behind or not peer.progress.wants_mark(now):
            return []
        peer.progress.marked(self.revision, now)
        since = peer.progress.traced.take()
        spans = spans_of(since, self.node, peer.name, self.revision, now) if since else []
        for span in spans:
            self.trace(span)
        mark = RevisionMark(self.revision, tuple(span.context for span in spans))
        return [peer.config_head + encode_config(mark) + CONFIG_TAIL]

    # Trees of agents.

    def _join_tree(self, peer: Peer, message: JoinTree) -> None:
        subscription = peer.subscriptions.get(InstanceName(message.instance))
        if subscription is None:
            peer.counters.routes_ignored += 1
            return
        claims = self.trees.claims.get(peer.name, {})
        is_new = (message.instance, message.key) not in claims
        if is_new and len(claims) + len(peer.held_joins) >= self.limits.trees_count_max:
            raise PeerRefused(f"more than {self.limits.trees_count_max} trees")
        if not self._may_use(peer, InstanceName(message.instance)):
            peer.held_joins[InstanceName(message.instance), message.key] = message
            return
        self.trees.join(peer.name, message, subscription.instance_id)

    def _settle_trees(self) -> None:
        self.trees.settle()
        for name, tree in self.trees.take_news():
            peer = self.peers.get(name)
            if peer is not None and peer.is_up:
                peer.tree_out.to_tell[tree] = None
                self._ready[name] = None

    def _judging(
        self, names: frozenset[PeerName], addresses: frozenset[IpAddress]
    ) -> Iterator[None]:
        """Let tables know whose addresses agents' next hops are now: a chore."""
        for peer in list(self.peers.values()):
            for instance in list(peer.adj_in):
                among = None if peer.name in names else addresses
                yield from self.routes.putting(peer, instance, among)

    # What hosts may use, where only what is placed counts.

    def _may_use(self, peer: Peer, subject: Subject) -> bool:
        return self.grants is None or self.grants.may_use(peer.name, subject)

    def _grant(self, grant: Grant) -> None:
        """Use what was held until its placement came."""
        peer, subject = self.peers[grant[0]], grant[1]
        if isinstance(subject, ConfigKey):
            if peer.config.release_root(subject):
                peer.config.add_root(subject, self.config, self.steps)
                self.placements.changed(peer.name)
                self._ready[peer.name] = None
            return
        subscription = peer.subscriptions.get(subject)
        if subscription is None:
            return
        self.routes.put_all(peer, subject)
        if peer.is_up and not subscription.no_ribout:
            self._join_groups(peer, subject)
        for name in [name for name in peer.held_joins if name[0] == subject]:
            self._join_tree(peer, peer.held_joins.pop(name))

    def _revoke(self, peer: Peer, subject: Subject) -> None:
        """Take out what a host says where nothing of it is placed any more.

        What it reads there it goes on reading until its session ends.
        """
        if isinstance(subject, ConfigKey):
            if subject in peer.config.reach.roots:
                peer.config.remove_root(subject, self.config, self.steps)
                peer.config.hold_root(subject)
                self._ready[peer.name] = None
            return
        self.routes.put_all(peer, subject)
        for name, claim in list(self.trees.claims.get(peer.name, {}).items()):
            if name[0] == subject:
                self.trees.leave(peer.name, *name)
                peer.held_joins[name] = claim.join

    def _sweep(self, peer: Peer) -> None:
        """Drop everything of the peer that was not confirmed since its last session."""
        peer.stale_deadline = float("inf")
        self.trees.sweep(peer.name)
        self.replicator.chores.add(self._sweeping(peer, peer.generation))

    def _sweeping(self, peer: Peer, generation: int) -> Iterator[None]:
        yield from self.routes.sweeping(peer, generation)
        for instance, subscription in list(peer.subscriptions.items()):
            yield
            if peer.generation != generation:
                # Lost again: what it subscribed to in between has as long as ever.
                return
            if subscription.is_stale and peer.subscriptions.get(instance) is subscription:
                self._unsubscribe(peer, instance)
        self._forget_if_empty(peer)

    def _forget_if_empty(self, peer: Peer) -> None:
        is_claiming = peer.name in self.trees.claims
        if peer.is_forgettable and not is_claiming and self.peers.get(peer.name) is peer:
            del self.peers[peer.name]
            if self.grants is not None:
                self.grants.close(peer.name)

    # Subscriptions.

    def _subscribe(self, peer: Peer, message: Subscribe) -> None:
        instance = InstanceName(message.instance)
        before = peer.subscriptions.get(instance)
        if before is None and len(peer.subscriptions) >= self.limits.subscriptions_count_max:
            raise PeerRefused(f"more than {self.limits.subscriptions_count_max} subscriptions")
        peer.subscriptions[instance] = Subscription(message.instance_id, message.no_ribout)
        self._subscribers.setdefault(instance, {})[peer.name] = None
        self._want(instance)
        if before is not None and before.instance_id != message.instance_id:
            self.routes.put_all(peer, instance)
        if before == peer.subscriptions[instance]:
            return
        peer.progress.subscribed()
        self._leave_groups(peer, instance)
        if not message.no_ribout:
            self._join_groups(peer, instance)

    def _unsubscribe(self, peer: Peer, instance: InstanceName) -> None:
        if peer.subscriptions.pop(instance, None) is None:
            return
        self._leave_groups(peer, instance)
        self.trees.leave_instance(peer.name, instance)
        for name in [name for name in peer.held_joins if name[0] == instance]:
            del peer.held_joins[name]
        peer.tree_out.forget(instance)
        self.routes.leave(peer, instance)
        subscribers = self._subscribers[instance]
        del subscribers[peer.name]
        if not subscribers:
            del self._subscribers[instance]
            self._want(instance)

    def _want(self, instance: InstanceName) -> None:
        """Ask BGP peers for what the instance imports while somebody reads it (RFC 4684)."""
        vrf = self.replicator.vrfs.get(instance)
        is_read = instance in self._subscribers or self.derived.is_watched(instance)
        self.bgp.want(instance, vrf.config.imports if vrf and is_read else frozenset())

    def _join_groups(self, peer: Peer, instance: InstanceName) -> None:
        vrf = self.replicator.vrfs.get(instance)
        if vrf is None or not self._may_use(peer, instance):
            return
        for family in Family:
            group = self.groups.get((instance, family))
            if group is None:
                group = UpdateGroup(vrf.ribs[family], self._group_changed)
                self.groups[instance, family] = group
                group.join(peer.name)
                self.replicator.chores.add(group.fill())
            else:
                group.join(peer.name)
            peer.groups[group] = None
        self._ready[peer.name] = None

    def _leave_groups(self, peer: Peer, instance: InstanceName) -> None:
        for family in Family:
            group = self.groups.get((instance, family))
            if group is not None:
                group.leave(peer.name)
                peer.groups.pop(group, None)

    def _group_changed(self, group: UpdateGroup) -> None:
        self._changed_groups[group] = None

    # Configuration's effects.

    def _config_subscribe(self, peer: Peer, key: ConfigKey) -> None:
        if peer.config.roots_count >= self.limits.config_roots_count_max:
            raise PeerRefused(f"more than {self.limits.config_roots_count_max} config roots")
        added = 0 if key in peer.config.reach.roots or key in peer.config.held else len(key.name)
        if peer.config.roots_length + added > self.limits.config_roots_length_max:
            most = self.limits.config_roots_length_max
            raise PeerRefused(f"names of config roots longer than {most} characters together")
        if key.type_name not in {VIRTUAL_ROUTER, VIRTUAL_MACHINE}:
            raise PeerRefused(f"{key.type_name} is nothing an agent may ask for")
        if key.type_name == VIRTUAL_ROUTER and key.name.rpartition(":")[2] != peer.name:
            raise PeerRefused(f"{key.name} is not this agent's virtual-router")
        if key.type_name == VIRTUAL_MACHINE and not self._may_use(peer, key):
            peer.config.hold_root(key)
            return
        if key.type_name == VIRTUAL_ROUTER:
            peer.config.share(self.tunnel_ends.nodes())
        peer.config.add_root(key, self.config, self.steps)
        self.placements.changed(peer.name)
        self._ready[peer.name] = None

    def _check_repetition(self, peer: Peer, key: ConfigKey) -> None:
        """Refuse an agent that lets go of all it sees over and over: each time it is all walked anew."""
        if key.type_name == VIRTUAL_ROUTER and key in peer.config.reach.roots:
            peer.config.restarts_count += 1
            if peer.config.restarts_count > CONFIG_RESTARTS_COUNT_MAX:
                raise PeerRefused("it asks for its virtual-router over and over")

    def _apply_networks(self, changes: list[Change]) -> None:
        for change in changes:
            for version in change.versions:
                if isinstance(version, VirtualNetwork):
                    self.networks.remove(":".join(version.fq_name))
            if isinstance(change.after, VirtualNetwork):
                number = change.after.virtual_network_network_id
                if number:
                    self.networks.put(":".join(change.after.fq_name), number)

    def _apply_bgp(self, changes: list[Change]) -> None:
        kinds = BgpRouter | GlobalSystemConfig
        if any(isinstance(version, GlobalSystemConfig) for c in changes for version in c.versions):
            self.limits = timed(self._own_limits, restart_timers(self.config.graph))
        if any(isinstance(version, kinds) for each in changes for version in each.versions):
            self.bgp.configure(bgp_config(self.config.graph, self.node))
            self.trees.speaker_changed(self.bgp.config.speaker)
            self.underlay.speaker_changed(self.bgp.config.speaker)

    def _apply_instances(self, changes: list[Change]) -> None:
        uuids: set[str] = set()
        graph = self.config.graph
        for change in changes:
            for version in change.versions:
                if isinstance(version, RoutingInstance):
                    uuids.add(version.uuid)
                    uuids.update(neighbours(version))
                    uuids.update(other.uuid for other in connected(graph, version))
        gone = {
            instance_name(change.before.fq_name)
            for change in changes
            if isinstance(change.before, RoutingInstance)
        }
        for uuid in sorted(uuids):
            instance = graph.get(uuid)
            if isinstance(instance, RoutingInstance):
                gone.discard(instance_name(instance.fq_name))
                self._apply_instance(instance)
        for name in sorted(gone):
            present = graph.by_name(ROUTING_INSTANCE, name.split(":"))
            if present is None and name in self.replicator.vrfs:
                self._remove_instance(name)

    def _apply_instance(self, instance: RoutingInstance) -> None:
        config = instance_config(self.config.graph, instance)
        if config.name in self.replicator.vrfs:
            self.replicator.configure(config)
            self._want(config.name)
            self.derived.instance_changed(config.name)
            self.trees.instance_changed(config.name)
            self._underlay_changed(config.name)
            return
        vrf = self.replicator.add_vrf(config)
        # What an earlier instance of this name took back comes first.
        self._wake_changed()
        self.derived.instance_changed(config.name)
        self.trees.instance_changed(config.name)
        self._underlay_changed(config.name)
        self._replay(vrf)
        self._want(config.name)

    def _underlay_changed(self, name: InstanceName) -> None:
        if name == FABRIC_INSTANCE:
            self.underlay.instance_changed()
            is_here = name in self.replicator.vrfs
            self.derived.configure("underlay", [self.underlay] if is_here else [])

    def _apply_derived(self, changes: list[Change]) -> None:
        self.policies.follow(changes, self.config.graph)
        self.underlay.follow(changes, self.config.graph)
        self.mac_moves.follow(changes, self.config.graph)
        self.derived.follow(changes, self.config.graph)
        self.workloads.follow(changes, self.config.graph, self.bgp.config)
        for name in self.derived.take_watch_changes():
            self._want(name)
        self.derived.settle()

    def _replay(self, vrf: Vrf) -> None:
        """Give a new instance what agents asked of it and published to it before it existed."""
        for name in list(self._subscribers.get(vrf.name, {})):
            peer = self.peers[name]
            self.routes.put_all(peer, vrf.name)
            if peer.is_up and not peer.subscriptions[vrf.name].no_ribout:
                self._join_groups(peer, vrf.name)

    def _remove_instance(self, name: InstanceName) -> None:
        # Groups live on in their members' lists until the retracts have been read.
        self.replicator.remove_vrf(name)
        self.trees.instance_changed(name)
        self._underlay_changed(name)
        self._want(name)
        for family in Family:
            group = self.groups.pop((name, family), None)
            if group is not None:
                self._wake(group)

    def _wake_changed(self) -> None:
        for group in self._changed_groups:
            self._wake(group)
        self._changed_groups = {}

    def _wake(self, group: UpdateGroup) -> None:
        for member in group.take_woken():
            self.peers[member].groups[group] = None
            self._ready[member] = None

    def _apply_agents(self, changes: list[Change], now: float) -> None:
        delta = self.steps.apply(changes)
        if self.grants is not None:
            news = self.grants.follow(changes, delta, self.config.graph, self.steps, now)
            for grant in news:
                self._grant(grant)
        ends = self.tunnel_ends.follow(changes)
        outdated = self.config.take_outdated()
        touched = frozenset(delta.touched | outdated.keys())
        for peer in self.peers.values():
            if peer.is_up and peer.config.reach.is_touched(touched, delta.names):
                peer.config.follow(delta, outdated, self.config, self.steps)
                self._ready[peer.name] = None
            if ends and peer.is_up and peer.config.is_asked_for:
                peer.config.share(ends)
                self._ready[peer.name] = None

    def _note_work(self, before: int, *, moves_routes: bool) -> list[Peer]:
        """Remember and return for whom the commit has something. What agents publish later does not count."""
        concerned: list[Peer] = []
        if moves_routes:
            self._wake_changed()
            # A chore may bring something to anybody who reads tables.
            is_whole = self.replicator.chores.is_idle
            concerned += [
                peer
                for peer in self.peers.values()
                if peer.is_up and (peer.groups if is_whole else peer.subscriptions)
            ]
        # Whom the commit has some configuration for is ready; others' was noted when it came.
        for name in self._ready:
            peer = self.peers.get(name)
            if peer is not None and peer.is_up and peer.config.has_work:
                concerned.append(peer)
        for peer in concerned:
            peer.progress.committed(before)
        return concerned

    def _check_settled(self, now: float) -> None:
        if self.is_settled or not self.is_config_complete:
            return
        is_late = now >= self._deferral_deadline
        if is_late or self._have_all_ended():
            # BGP peers are told now, for they may be waiting for us as well; agents, who sweep
            # what was not said again, once the peers have said theirs.
            self.bgp.may_end_rib = True
            self.is_settled = is_late or self.bgp.has_heard_all()
        if self.is_settled:
            self.trees.may_build()
            self._ready.update((name, None) for name, peer in self.peers.items() if peer.is_up)

    def _have_all_ended(self) -> bool:
        """Tell whether every virtual-router of the configuration has ended its RIB.

        Asked for each that does, so those that have are not looked at again until the last.
        """
        while self._awaited and self._has_ended(self._awaited[-1]):
            self._awaited.pop()
        if self._awaited:
            return False
        routers = self.config.graph.of_type(VIRTUAL_ROUTER)
        self._awaited = [each.name for each in routers if not self._has_ended(each.name)]
        return not self._awaited

    def _has_ended(self, name: str) -> bool:
        peer = self.peers.get(PeerName(name))
        return peer is not None and peer.is_up and peer.end_of_rib_received


def _moves_routes(change: Change) -> bool:
    kinds = RoutingInstance | RouteAggregate | RoutingPolicy
    return any(isinstance(version, kinds) for version in change.versions)


def _trace_nothing(span: Span) -> None:
    """Do nothing."""
