"""BGP peers of a control node: what each said, what each is told.

```
 session_up/down, receive --> adj-RIB-in --> Replicator's VPN tables --on_selection--> BgpGroups
 configure --> peers to keep, to start, to end                                            |
 tick, work --> stale routes and those of lost sessions go, in slices    collect(peer) <--+
```
Output is pulled as for agents: nothing is queued for a peer. Removing the routes of a lost session
is work of its own, done in slices, so that no agent waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from skytrail.control.adj_in import AdjIn
from skytrail.control.bgp_config import BgpConfig, BgpPeerConfig
from skytrail.control.bgp_export import Exporter, ExportPolicy
from skytrail.control.bgp_import import Importer, name_of, usable_wire
from skytrail.control.bgp_out import WINDOW_COUNT, BgpGroup, Entry, GroupKey
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.membership import EVERYTHING, Asked, Interest, Listener, Memberships
from skytrail.control.path import InstanceName, Path, PeerName, learned_path
from skytrail.control.relay import VPN_FAMILIES, RelayTable
from skytrail.control.route_target import Replicator
from skytrail.control.vpn import VpnEntry
from skytrail.net import RouteTarget
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    Demarcation,
    GracefulRestart,
    Negotiated,
    Reach,
    RouteRefresh,
    RouteTargetNlri,
    Update,
    encode_route_refresh,
)
from skytrail.wire.bgp.nlri import Nlri, route_key
from skytrail.wire.bgp.update_encode import encode_end_of_rib, encode_update, encode_withdraw

WORK_COUNT = 1000
"""Routes that follow a lost session in one slice: a few milliseconds."""
STALE_TIME_S_MAX = 4095
"""The longest restart time a peer can ask for (RFC 4724 section 3)."""
MEMBERSHIPS_COUNT_MAX = 100_000
"""Of a peer without a limit of its own: each is looked at whenever one changes."""
MEMBERSHIP_WAIT_S = 60.0
"""How long ends of RIB wait until a peer has said what it wants (RFC 4684 section 6)."""
_NO_LIMIT = float("inf")


class TooManyPrefixes(Exception):
    """A peer exceeded its limit; its session must be ceased (RFC 4486 subcode 1)."""


@dataclass(slots=True)
class BgpCounters:
    """Since the peer was configured."""

    sessions: int = 0
    updates_in: int = 0
    routes_in: int = 0
    withdrawals_in: int = 0
    problems: int = 0
    """UPDATEs with errors that cost routes or attributes, not the session (RFC 7606)."""
    messages_out: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class BgpPeer:
    """One configured peer, across its sessions."""

    config: BgpPeerConfig
    adj_in: AdjIn
    is_up: bool = False
    up_since: float = 0.0
    bfd_state: str = ""
    """Of the session that watches the path to it; empty without one."""
    last_down_reason: str = ""
    last_problem: str = ""
    negotiated: Negotiated | None = None
    importer: Importer | None = None
    group: BgpGroup | None = None
    has_work: bool = False
    to_tell: deque[Entry] = field(default_factory=deque[Entry])
    """Destinations it must be told of whether or not they changed."""
    looking_count: int = 0
    """How many chores look for more of them."""
    ends_received: set[BgpFamily] = field(default_factory=set[BgpFamily])
    ends_to_send: list[BgpFamily] = field(default_factory=list[BgpFamily])
    refreshes_to_begin: list[BgpFamily] = field(default_factory=list[BgpFamily])
    refreshes_to_end: list[BgpFamily] = field(default_factory=list[BgpFamily])
    """What the peer asked to hear again, for the marks around it (RFC 7313)."""
    asked: Asked = field(default_factory=Asked)
    """Route target memberships the peer sent."""
    has_memberships: bool = False
    """The family was negotiated, so the peer gets only what it asks for."""
    membership_deadline: float = float("-inf")
    stale_deadline: float = float("inf")
    long_lived: dict[BgpFamily, float] = field(default_factory=dict[BgpFamily, float])
    """For how long it wants its routes kept beyond its restart time (RFC 9494)."""
    long_lived_deadlines: dict[BgpFamily, float] = field(default_factory=dict[BgpFamily, float])
    """When families that are kept so go."""
    counters: BgpCounters = field(default_factory=BgpCounters)

    @property
    def name(self) -> PeerName:
        return PeerName(self.config.name)


class Bgp:
    """All BGP state of a control node. Not safe for use from more than one thread."""

    def __init__(self, replicator: Replicator, networks: NetworkIds) -> None:
        self.config = BgpConfig()
        self.peers: dict[PeerName, BgpPeer] = {}
        self.groups: dict[GroupKey, BgpGroup] = {}
        self.networks = networks
        self.may_end_rib = False
        """Agents had their chance to publish again: ends of RIB may be sent (RFC 4724 4.1)."""
        self.relay = RelayTable(self._selected)
        self._replicator = replicator
        self._exporter: Exporter | None = None
        self._changed_groups: dict[BgpGroup, None] = {}
        self._ready: dict[PeerName, None] = {}
        self._changes: dict[PeerName, None] = {}
        self._lagging: dict[AdjIn, None] = {}
        """What peers said whose routes in the tables are yet to follow."""
        self._other_interest: dict[PeerName, None] = {}
        self.memberships: Memberships | None = None
        self._wanted: dict[InstanceName, frozenset[RouteTarget]] = {}
        replicator.on_selection = self._selected

    # Configuration.

    def configure(self, config: BgpConfig) -> None:
        """Take over a configuration. What it means for sessions waits in :meth:`take_changes`."""
        before, self.config = self.config, config
        if config.speaker is None:
            for name in list(self.peers):
                self._forget(name)
            return
        is_other = before.speaker != config.speaker
        if is_other:
            self._exporter = Exporter(config.speaker, self.networks)
            self.memberships = Memberships(config.speaker.asn, config.speaker.router_id)
            for instance, targets in self._wanted.items():
                self.memberships.want(instance, targets)
            for peer in self.peers.values():
                peer.asked = Asked()
        wanted = {PeerName(peer.name): peer for peer in config.peers if not peer.is_down}
        for name in [name for name in self.peers if name not in wanted]:
            self._forget(name)
        for name, peer_config in wanted.items():
            peer = self.peers.get(name)
            if peer is None:
                self.peers[name] = BgpPeer(peer_config, AdjIn(name, self._replicator, self.relay))
            elif is_other or peer.config != peer_config:
                peer.config = peer_config
            else:
                continue
            self._changes[name] = None

    def want(self, instance: InstanceName, targets: frozenset[RouteTarget]) -> None:
        """An instance with readers imports these targets; none: nobody reads it any more."""
        if self._wanted.get(instance, frozenset()) == targets:
            return
        if targets:
            self._wanted[instance] = targets
        else:
            del self._wanted[instance]
        if self.memberships is not None:
            self.memberships.want(instance, targets)

    def take_changes(self) -> list[PeerName]:
        """Return peers whose sessions must be started, restarted or, if unknown now, ended."""
        changes, self._changes = self._changes, {}
        return list(changes)

    def _forget(self, name: PeerName) -> None:
        self.session_down(name, "no longer configured", 0.0, graceful=False)
        peer = self.peers.pop(name)
        # What it left behind in an earlier session, to be kept until it is back.
        self._drop(peer, BgpFamily)
        self._forget_all_members(peer)
        self._changes[name] = None

    def has_heard_all(self) -> bool:
        """Tell whether every peer that ends its RIB has done so since this node started."""
        return all(
            peer.is_up
            and peer.negotiated is not None
            and (
                peer.negotiated.graceful_restart is None
                or peer.ends_received >= peer.negotiated.families.intersection(peer.config.families)
            )
            for peer in self.peers.values()
        )

    # Sessions.

    def session_up(self, name: str, negotiated: Negotiated, now: float) -> None:
        """A session is established."""
        peer = self.peers[PeerName(name)]
        speaker = self.config.speaker
        if peer.is_up or speaker is None:
            self.session_down(name, "replaced", now, graceful=False)
        if speaker is None or self._exporter is None:
            return
        peer.is_up, peer.up_since, peer.negotiated = True, now, negotiated
        peer.counters.sessions += 1
        if peer.importer is None or not peer.importer.serves(speaker, peer.config, negotiated):
            peer.importer = Importer(speaker, peer.config, negotiated, self.networks)
        peer.ends_received = set()
        peer.refreshes_to_begin, peer.refreshes_to_end = [], []
        families = tuple(
            [family for family in peer.config.families if family in negotiated.families]
        )
        # Who restarts sweeps by these: what was asked for first, then what it brings.
        peer.ends_to_send = sorted(families, key=lambda each: each is not BgpFamily.ROUTE_TARGET)
        self._open_memberships(peer, families, now)
        kept = self._restart_families(peer)
        self._drop(peer, [family for family in BgpFamily if family not in kept])
        wait_s = speaker.timers.end_of_rib_s
        if wait_s is not None and peer.stale_deadline != float("inf"):
            # It is back: from here it has this long to say everything again.
            peer.stale_deadline = now + wait_s
        group, fill = self._group(self._key(peer, families), negotiated)
        group.join(peer.name)
        peer.group, peer.has_work = group, True
        self._ready[peer.name] = None
        self._replicator.chores.add(fill)

    def session_down(self, name: str, reason: str, now: float, *, graceful: bool) -> None:
        """A session is over. ``graceful``: its routes stay until the peer is back (RFC 4724)."""
        peer = self.peers[PeerName(name)]
        if not peer.is_up:
            return
        restart = self._restart(peer)
        offered = peer.negotiated.long_lived if peer.negotiated is not None else ()
        peer.long_lived = {each.family: each.stale_time_s for each in offered if each.stale_time_s}
        peer.is_up, peer.last_down_reason, peer.negotiated = False, reason, None
        if self.memberships is not None:
            self.memberships.leave(peer.name)
        self._leave_group(peer)
        peer.to_tell.clear()
        peer.looking_count = 0
        speaker = self.config.speaker
        helps = speaker is not None and speaker.timers.keeps_peers_routes
        if not graceful or restart is None or not helps:
            self._drop(peer, BgpFamily)
            self._forget_all_members(peer)
            return
        peer.asked.doubt()
        kept = {family for family, _ in restart.families}
        self._drop(peer, [family for family in BgpFamily if family not in kept])
        peer.adj_in.age()
        self._lagging[peer.adj_in] = None
        peer.stale_deadline = now + min(restart.restart_time_s, STALE_TIME_S_MAX)

    def receive(self, peer_name: str, update: Update) -> None:
        """Act on an UPDATE; raises ``TooManyPrefixes``."""
        peer = self.peers[PeerName(peer_name)]
        importer = peer.importer
        if not peer.is_up or importer is None:
            return
        peer.counters.updates_in += 1
        if update.problems:
            peer.counters.problems += 1
            peer.last_problem = "; ".join(update.problems)
        for unreach in update.withdrawn:
            for nlri in unreach.nlri:
                if isinstance(nlri, RouteTargetNlri):
                    self._forget_members(peer, [nlri])
                    continue
                name = name_of(nlri) or (unreach.family, route_key(nlri))
                peer.counters.withdrawals_in += 1
                peer.adj_in.forget(unreach.family, name)
        for reach in update.reach:
            if reach.family is BgpFamily.ROUTE_TARGET:
                for nlri in reach.nlri:
                    if isinstance(nlri, RouteTargetNlri):
                        self._hear_membership(peer, importer, nlri, update.attributes)
            else:
                self._hear(peer, importer, reach, update.attributes)
        if update.end_of_rib is not None:
            peer.ends_received.add(update.end_of_rib)
            if update.end_of_rib is BgpFamily.ROUTE_TARGET:
                peer.membership_deadline = float("-inf")
            self._sweep(peer, update.end_of_rib)

    def refresh(self, name: str, message: RouteRefresh) -> None:
        """The peer wants a family again (RFC 2918), or says it all again itself (RFC 7313)."""
        peer = self.peers[PeerName(name)]
        if peer.group is None or peer.negotiated is None:
            return
        family = message.family
        match message.demarcation:
            case Demarcation.BEGIN:
                peer.adj_in.doubt(family)
                if family is BgpFamily.ROUTE_TARGET:
                    peer.asked.doubt()
            case Demarcation.END:
                self._sweep(peer, family)
            case Demarcation.REQUEST:
                if family is BgpFamily.ROUTE_TARGET and self.memberships is not None:
                    self.memberships.repeat(peer.name)
                if peer.negotiated.enhanced_refresh:
                    peer.refreshes_to_begin.append(family)
                self._look_for(peer, peer.group.known(peer.name, family))

    def tick(self, now: float) -> None:
        """Let time pass: sweep what stayed stale. Call about twice a second."""
        for peer in self.peers.values():
            if now >= peer.stale_deadline:
                self._end_restart_time(peer, now)
            for family in [each for each, at in peer.long_lived_deadlines.items() if now >= at]:
                self._sweep(peer, family)
            if now >= peer.membership_deadline:
                peer.membership_deadline = float("-inf")
            if peer.ends_to_send and peer.is_up:
                self._ready[peer.name] = None

    def _end_restart_time(self, peer: BgpPeer, now: float) -> None:
        peer.stale_deadline = float("inf")
        for family in BgpFamily:
            stays_s = 0.0 if peer.is_up else peer.long_lived.get(family, 0.0)
            if not stays_s:
                self._sweep(peer, family)
                continue
            peer.long_lived_deadlines[family] = now + stays_s
            peer.adj_in.outlive(family)
            self._lagging[peer.adj_in] = None

    def work(self, count: int = WORK_COUNT) -> bool:
        """Do what looks at many routes, some at a time; True while there is more of it."""
        for adj_in in list(self._lagging)[:1]:
            adj_in.work(count)
            if not adj_in.has_work:
                del self._lagging[adj_in]
        # In turn: neither a lost session nor a new peer waits for the other.
        has_chores = self._replicator.chores.work(count)
        return bool(self._lagging) or has_chores

    # Output.

    def take_ready(self) -> list[PeerName]:
        """Return peers with a session for whom :meth:`collect` may have something."""
        self._follow_interest()
        for group in self._changed_groups:
            for member in group.log.take_woken():
                self.peers[PeerName(member)].has_work = True
                self._ready[PeerName(member)] = None
        self._changed_groups = {}
        ready, self._ready = self._ready, {}
        return [name for name in ready if name in self.peers and self.peers[name].is_up]

    def collect(self, name: str, bytes_max: int) -> list[bytes]:
        """Return the next messages for a peer, at least one if any, about ``bytes_max`` in all."""
        peer = self.peers[PeerName(name)]
        group = peer.group
        messages = [
            encode_route_refresh(RouteRefresh(family, Demarcation.BEGIN))
            for family in peer.refreshes_to_begin
        ]
        peer.refreshes_to_end += peer.refreshes_to_begin
        peer.refreshes_to_begin = []
        messages += self._tell_memberships(peer)
        size = sum(map(len, messages))
        while group is not None and peer.has_work and size < bytes_max:
            if peer.to_tell:
                count = min(WINDOW_COUNT, len(peer.to_tell))
                entries = [self._present(peer.to_tell.popleft()) for _ in range(count)]
                chunk = group.tell(peer.name, entries)
            else:
                chunk = group.pull(peer.name)
                peer.has_work = group.has_work(peer.name)
            messages += chunk
            size += sum(map(len, chunk))
        if not peer.has_work and not peer.looking_count:
            messages += [
                encode_route_refresh(RouteRefresh(family, Demarcation.END))
                for family in peer.refreshes_to_end
            ]
            peer.refreshes_to_end = []
        # While there are chores, something may be missing in tables or in groups.
        is_whole = not peer.has_work and self._replicator.chores.is_idle
        if self.memberships is not None and self.memberships.has_news_for(peer.name):
            is_whole = False
        if is_whole and self.may_end_rib and group is not None:
            is_waiting = peer.membership_deadline != float("-inf")
            for family in list(peer.ends_to_send):
                if not is_waiting or family not in VPN_FAMILIES:
                    peer.ends_to_send.remove(family)
                    messages.append(encode_end_of_rib(family))
        peer.counters.messages_out += len(messages)
        peer.counters.bytes_out += sum(map(len, messages))
        return messages

    # Who wants what (RFC 4684).

    def _open_memberships(self, peer: BgpPeer, families: tuple[BgpFamily, ...], now: float) -> None:
        memberships = self.memberships
        if memberships is None:
            return
        peer.has_memberships = BgpFamily.ROUTE_TARGET in families
        if not peer.has_memberships:
            self._forget_all_members(peer)
            if not VPN_FAMILIES.isdisjoint(families):
                # Who cannot say what it wants wants everything.
                self._add_member(peer, EVERYTHING, Attributes())
            return
        peer.membership_deadline = now + MEMBERSHIP_WAIT_S
        if self._restart(peer) is None:
            self._forget_all_members(peer)
        config = peer.config
        memberships.join(
            Listener(
                peer.name,
                config.asn,
                config.local_asn,
                None if self.config.speaker is None else self.config.speaker.cluster_id,
                config.takes_default_membership,
            )
        )
        self._ready[peer.name] = None

    def _hear_membership(
        self, peer: BgpPeer, importer: Importer, nlri: RouteTargetNlri, attributes: Attributes
    ) -> None:
        peer.counters.routes_in += 1
        if importer.is_loop(attributes):
            self._forget_members(peer, [nlri])
            return
        limits = dict(peer.config.prefix_limits)
        limit = limits.get(BgpFamily.ROUTE_TARGET, MEMBERSHIPS_COUNT_MAX)
        if nlri not in peer.asked and len(peer.asked) >= limit:
            raise TooManyPrefixes(f"more than {limit} routes of route_target")
        self._add_member(peer, nlri, attributes)

    def _add_member(self, peer: BgpPeer, nlri: RouteTargetNlri, attributes: Attributes) -> None:
        if peer.asked.add(nlri):
            self._other_interest[peer.name] = None
        if self.memberships is not None:
            self.memberships.put(peer.name, nlri, attributes, is_external=peer.config.is_external)

    def _forget_members(self, peer: BgpPeer, gone: Iterable[RouteTargetNlri]) -> None:
        for nlri in gone:
            if not peer.asked.discard(nlri):
                continue
            self._other_interest[peer.name] = None
            if self.memberships is not None:
                self.memberships.remove(peer.name, nlri)

    def _forget_all_members(self, peer: BgpPeer) -> None:
        """Forget at once what the peer asked for; what others are told follows."""
        lost, peer.asked = peer.asked, Asked()
        if lost and self.memberships is not None:
            self._other_interest[peer.name] = None
            self._replicator.chores.add(self._taken_back(self.memberships, peer, lost))

    def _taken_back(
        self, memberships: Memberships, peer: BgpPeer, lost: Iterable[RouteTargetNlri]
    ) -> Iterator[None]:
        for nlri in lost:
            yield
            # Unless it was asked for again meanwhile, by the peer or by one of its name.
            now = self.peers.get(peer.name)
            if now is None or nlri not in now.asked:
                memberships.remove(peer.name, nlri)

    def _follow_interest(self) -> None:
        """Let groups follow what peers asked for since, and tell others."""
        changed, self._other_interest = self._other_interest, {}
        for name in changed:
            peer = self.peers.get(name)
            if peer is not None and peer.is_up and peer.has_memberships:
                self._regroup(peer)
        if self.memberships is not None:
            self._ready.update(dict.fromkeys(self.memberships.has_news()))

    def _regroup(self, peer: BgpPeer) -> None:
        group, negotiated = peer.group, peer.negotiated
        if group is None or negotiated is None:
            return
        key = self._key(peer, group.key.families)
        if key == group.key:
            return
        change = (group.key.interest, key.interest)
        if len(group.members) == 1 and key not in self.groups:
            del self.groups[group.key]
            self.groups[key] = group
            group.change_interest(key)
            again = group.look_again(change, self._entries_between(*change))
            self._replicator.chores.add(again)
        else:
            is_aware, rest = not group.is_telling_all, group.unread(peer.name)
            differing = [self._entries_between(*each) for each in (*group.judging, change)]
            self._leave_group(peer)
            peer.group, fill = self._group(key, negotiated)
            if is_aware:
                peer.group.join_knowing(peer.name)
            else:
                peer.group.join(peer.name)
            self._replicator.chores.add(fill)
            peer.group.late[peer.name] = None
            self._look_for(peer, chain(rest, *differing))
        peer.has_work = True
        self._ready[peer.name] = None

    def _look_for(self, peer: BgpPeer, entries: Iterable[Entry | None]) -> None:
        """Let a peer be told of destinations, whatever group it is in by then."""
        peer.looking_count += 1
        self._replicator.chores.add(self._found(peer, peer.counters.sessions, entries))

    def _found(
        self, peer: BgpPeer, session: int, entries: Iterable[Entry | None]
    ) -> Iterator[None]:
        for entry in entries:
            if peer.counters.sessions != session or not peer.is_up:
                return
            if entry is not None:
                peer.to_tell.append(entry)
                peer.has_work = True
                self._ready[peer.name] = None
            yield
        if peer.counters.sessions == session and peer.is_up:
            peer.looking_count -= 1
            self._ready[peer.name] = None
            if not peer.looking_count and peer.group is not None:
                peer.group.late.pop(peer.name, None)

    def _entries_between(self, before: Interest | None, after: Interest | None) -> Iterator[Entry]:
        """Yield the destinations for which it may matter which of two interests holds."""
        plain = [
            each.targets
            for each in (before, after)
            if each is not None and not each.is_everything and not each.beginnings
        ]
        if len(plain) != 2:
            yield from self._entries()
            return
        by_target = self._replicator.by_target
        for target in sorted(plain[0] ^ plain[1]):
            # Those that come while we look are told to groups as changes.
            yield from list(by_target.get(target, ()))
        for entry in list(self.relay.entries.values()):
            if entry.is_constrained:
                yield entry

    def _tell_memberships(self, peer: BgpPeer) -> list[bytes]:
        memberships, negotiated = self.memberships, peer.negotiated
        if memberships is None or negotiated is None or self.config.speaker is None:
            return []
        reach, gone = memberships.take(peer.name)
        messages: list[bytes] = []
        family = BgpFamily.ROUTE_TARGET
        if gone:
            withdrawn: list[Nlri] = list(gone)
            messages += encode_withdraw(family, withdrawn, negotiated)
        for attributes, nlri in reach.items():
            hop = self.config.speaker.router_id
            messages += encode_update(family, hop, attributes, nlri, negotiated)
        return messages

    # Inside.

    def _key(self, peer: BgpPeer, families: tuple[BgpFamily, ...]) -> GroupKey:
        negotiated = peer.negotiated
        assert negotiated is not None
        return GroupKey(
            self._policy(peer.config, takes_long_lived=bool(negotiated.long_lived)),
            families,
            negotiated.four_byte_as,
            negotiated.message_bytes_max,
            negotiated.extended_next_hop,
            peer.asked.interest if peer.has_memberships else None,
        )

    def _group(self, key: GroupKey, negotiated: Negotiated) -> tuple[BgpGroup, Iterator[None]]:
        """Return the group and how it is to be filled once it has a member."""
        group = self.groups.get(key)
        if group is not None:
            return group, iter(())
        assert self._exporter is not None
        group = self.groups[key] = BgpGroup(key, negotiated, self._exporter, self._group_changed)
        return group, group.fill(self._entries_for(key))

    def _entries_for(self, key: GroupKey) -> Iterator[Entry]:
        """Yield all destinations that a group may have to tell of."""
        yield from self._entries_between(Interest(), key.interest)
        for entry in list(self.relay.entries.values()):
            if not entry.is_constrained:
                yield entry

    def _leave_group(self, peer: BgpPeer) -> None:
        if peer.group is None:
            return
        group, peer.group = peer.group, None
        group.leave(peer.name)
        if not group.log.has_members:
            del self.groups[group.key]
            self._changed_groups.pop(group, None)

    def _restart(self, peer: BgpPeer) -> GracefulRestart | None:
        return peer.negotiated.graceful_restart if peer.negotiated is not None else None

    def _policy(self, peer: BgpPeerConfig, *, takes_long_lived: bool) -> ExportPolicy:
        speaker = self.config.speaker
        return ExportPolicy(
            takes_long_lived=takes_long_lived,
            is_external=peer.is_external,
            local_asn=peer.local_asn,
            cluster_id=None if speaker is None else speaker.cluster_id,
            overridden_asn=peer.asn if peer.as_override else 0,
            private_as_action=peer.private_as_action if peer.is_external else "",
            tells_prefix_routes=not peer.is_control_node,
        )

    def _entries(self) -> Iterator[Entry]:
        for table in self._replicator.vpn.values():
            yield from list(table.entries.values())
        yield from list(self.relay.entries.values())

    def _selected(self, changes: Iterable[tuple[Entry, Path | None]]) -> None:
        told = [
            entry
            for entry, before in changes
            if before is None or entry.best is None or not _is_same_offer(before, entry.best)
        ]
        for group in self.groups.values():
            group.changed(told)

    def _group_changed(self, group: BgpGroup) -> None:
        self._changed_groups[group] = None

    def _hear(
        self, peer: BgpPeer, importer: Importer, reach: Reach, attributes: Attributes
    ) -> None:
        family, next_hop, nlri = reach.family, reach.next_hop, reach.nlri
        limit = dict(peer.config.prefix_limits).get(family, _NO_LIMIT)
        names = [name_of(each) or (family, route_key(each)) for each in nlri]
        noted = peer.adj_in.note(family, names, limit)
        peer.counters.routes_in += len(noted)
        shared = importer.shared(family, next_hop, attributes)
        paths: list[Path] = []
        for heard, each in zip(noted, nlri, strict=False):
            wire = usable_wire(each) if shared is not None else b""
            if shared is not None and wire:
                paths.append(learned_path(heard, shared, wire))
                continue
            path = importer.path(heard, family, next_hop, each, attributes)
            if heard.relay_key is None:
                paths.append(path)
            else:
                self.relay.put(heard.relay_key, path)
        self._replicator.put_learned(paths)
        if len(noted) < len(nlri):
            raise TooManyPrefixes(f"more than {limit} routes of {family.name.lower()}")

    def _restart_families(self, peer: BgpPeer) -> set[BgpFamily]:
        """Families whose stale routes survive into the new session (RFC 4724 section 4.2)."""
        restart = self._restart(peer)
        if restart is None:
            return set()
        kept = {family for family, is_preserved in restart.families if is_preserved}
        offered = peer.negotiated.long_lived if peer.negotiated is not None else ()
        preserved = {each.family for each in offered if each.preserved}
        # Of families that are kept for long the other capability speaks (RFC 9494 section 4.2).
        return (kept - peer.long_lived_deadlines.keys()) | (
            preserved & peer.long_lived_deadlines.keys()
        )

    def _drop(self, peer: BgpPeer, families: Iterable[BgpFamily]) -> None:
        """Forget all routes of some families now; tables follow in slices."""
        families = list(families)
        for family in families:
            peer.long_lived_deadlines.pop(family, None)
        peer.adj_in.drop(families)
        if peer.adj_in.has_work:
            self._lagging[peer.adj_in] = None

    def _sweep(self, peer: BgpPeer, family: BgpFamily) -> None:
        """Drop what a peer did not repeat since its last session."""
        peer.long_lived_deadlines.pop(family, None)
        peer.adj_in.sweep(family)
        if peer.adj_in.has_work:
            self._lagging[peer.adj_in] = None
        if family is BgpFamily.ROUTE_TARGET:
            self._replicator.chores.add(self._swept(peer, peer.asked, peer.asked.generation))

    def _present(self, entry: Entry) -> Entry:
        """Return the entry its destination has now, if it is in a table at all."""
        if entry.best is not None:
            return entry
        if isinstance(entry, VpnEntry):
            return self._replicator.vpn[entry.family].entries.get(entry.name, entry)
        return self.relay.entries.get((entry.family, route_key(entry.nlri)), entry)

    def _swept(self, peer: BgpPeer, asked: Asked, generation: int) -> Iterator[None]:
        """Forget what the peer has not asked for again since a generation began: a chore."""
        for nlri in list(asked):
            yield
            if peer.asked is asked and asked.is_before(nlri, generation):
                self._forget_members(peer, (nlri,))


def _is_same_offer(before: Path, after: Path) -> bool:
    """Gone stale, or confirmed unchanged: nothing to tell."""
    if before.shared is not None and before.shared is after.shared:
        return before.slot is after.slot and before.wire == after.wire
    return (
        before.slot is after.slot
        and before.next_hops == after.next_hops
        and before.attributes == after.attributes
        and before.targets == after.targets
        and before.virtual_network == after.virtual_network
        and before.learned == after.learned
        and before.rejected_by == after.rejected_by
        and before.made == after.made
        and before.as_path == after.as_path
        and before.relay == after.relay
    )
