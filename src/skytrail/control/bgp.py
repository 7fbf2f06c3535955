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

from collections.abc import Iterable, Iterator

from skytrail.control.adj_in import AdjIn, HeardName
from skytrail.control.bgp_config import BgpConfig
from skytrail.control.bgp_groups import BgpGroups
from skytrail.control.bgp_import import Importer, name_of
from skytrail.control.bgp_out import WINDOW_COUNT
from skytrail.control.bgp_peer import BgpPeer, TooManyPrefixes
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.membership import EVERYTHING, Asked, Listener, Memberships
from skytrail.control.path import InstanceName, Path, PeerName, learned_path
from skytrail.control.relay import VPN_FAMILIES, RelayTable
from skytrail.control.restart_timers import LONG_LIVED_S_MAX
from skytrail.control.route_target import Replicator
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
    VpnNlri,
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
LARGE_INTEREST_COUNT = 2000
"""Who asks for more memberships than this has its routes looked at a few times a second."""
MEMBERSHIP_WAIT_S = 60.0
"""How long ends of RIB wait until a peer has said what it wants (RFC 4684 section 6)."""
_NO_LIMIT = float("inf")


class Bgp:
    """All BGP state of a control node. Not safe for use from more than one thread."""

    def __init__(self, replicator: Replicator, networks: NetworkIds) -> None:
        self.config = BgpConfig()
        self.peers: dict[PeerName, BgpPeer] = {}
        self.networks = networks
        self.may_end_rib = False
        """Agents had their chance to publish again: ends of RIB may be sent (RFC 4724 4.1)."""
        self.groups = BgpGroups(replicator)
        self._replicator = replicator
        self._ready: dict[PeerName, None] = {}
        self._changes: dict[PeerName, None] = {}
        self._lagging: dict[AdjIn, None] = {}
        """What peers said whose routes in the tables are yet to follow."""
        self._other_interest: dict[PeerName, None] = {}
        self.memberships: Memberships | None = None
        self._wanted: dict[InstanceName, frozenset[RouteTarget]] = {}

    @property
    def relay(self) -> RelayTable:
        """Routes that no instance uses, told on as they came."""
        return self.groups.relay

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
            self.groups.configure(config.speaker, self.networks)
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
        if speaker is None:
            return
        peer.is_up, peer.up_since, peer.negotiated = True, now, negotiated
        peer.counters.sessions += 1
        if peer.importer is None or not peer.importer.serves(speaker, peer.config, negotiated):
            peer.importer = Importer(speaker, peer.config, negotiated, self.networks)
        peer.ends_received = set()
        peer.refreshes_to_begin, peer.refreshes_to_end = [], []
        peer.repeating = {}
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
        self.groups.join(peer, families, negotiated)

    def session_down(self, name: str, reason: str, now: float, *, graceful: bool) -> None:
        """A session is over. ``graceful``: its routes stay until the peer is back (RFC 4724)."""
        peer = self.peers[PeerName(name)]
        if not peer.is_up:
            return
        restart = self._restart(peer)
        offered = peer.negotiated.long_lived if peer.negotiated is not None else ()
        speaker = self.config.speaker
        longest = LONG_LIVED_S_MAX if speaker is None else speaker.timers.long_lived_s_max
        peer.long_lived = {
            each.family: min(each.stale_time_s, longest) for each in offered if each.stale_time_s
        }
        peer.is_up, peer.last_down_reason, peer.negotiated = False, reason, None
        if self.memberships is not None:
            self.memberships.leave(peer.name)
        self.groups.leave(peer)
        peer.to_tell.clear()
        peer.looking_count = 0
        helps = speaker is not None and speaker.timers.keeps_peers_routes
        if not graceful or restart is None or not helps:
            self._drop(peer, BgpFamily)
            self._forget_all_members(peer)
            return
        peer.adj_in.sweep_again(peer.long_lived_deadlines)
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
                self._repeat(peer, family)

    def _repeat(self, peer: BgpPeer, family: BgpFamily) -> None:
        """Tell a peer a family again; whoever asks while it is told is told once more after that."""
        if peer.group is None or peer.negotiated is None:
            return
        if family in peer.repeating:
            peer.repeating[family] = True
            return
        peer.repeating[family] = False
        if peer.negotiated.enhanced_refresh:
            peer.refreshes_to_begin.append(family)
        self.groups.look_for(peer, peer.group.known(peer.name, family))

    def _repeated(self, peer: BgpPeer) -> None:
        """All that was asked for again has been told."""
        repeated, peer.repeating = peer.repeating, {}
        for family, is_wanted_again in repeated.items():
            if is_wanted_again:
                self._repeat(peer, family)

    def tick(self, now: float) -> None:
        """Let time pass: sweep what stayed stale. Call about twice a second."""
        self._follow_interest(also_large=True)
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
            # Not anew for a peer that was here for a moment in between (RFC 9494 section 4.2).
            peer.long_lived_deadlines.setdefault(family, now + stays_s)
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
        for woken in self.groups.take_woken():
            if woken in self.peers:
                self.peers[woken].has_work = True
                self._ready[woken] = None
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
                entries = [self.groups.present(peer.to_tell.popleft()) for _ in range(count)]
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
            self._repeated(peer)
        # While there are chores, something may be missing in tables or in groups.
        is_whole = not peer.has_work and self._replicator.chores.is_idle
        if self.memberships is not None and self.memberships.has_news_for(peer.name):
            is_whole = False
        if peer.name in self._other_interest:
            # What it asked for has not been looked at yet.
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

    def _follow_interest(self, *, also_large: bool = False) -> None:
        """Let groups follow what peers asked for since, and tell others.

        Comparing large interests takes milliseconds: those wait for the next tick.
        """
        for name in list(self._other_interest):
            peer = self.peers.get(name)
            if peer is not None and self._is_busy(peer, also_large=also_large):
                continue
            del self._other_interest[name]
            if peer is not None and peer.is_up and peer.has_memberships:
                self.groups.regroup(peer)
        if self.memberships is not None:
            self._ready.update(dict.fromkeys(self.memberships.has_news()))

    def _is_busy(self, peer: BgpPeer, *, also_large: bool) -> bool:
        """Tell whether a peer's interest is to be followed later: one change at a time."""
        if not peer.is_up:
            return False
        is_judging = peer.group is not None and bool(peer.group.judging)
        is_late = len(peer.asked) > LARGE_INTEREST_COUNT and not also_large
        return is_late or peer.looking_count > 0 or is_judging

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

    def _restart(self, peer: BgpPeer) -> GracefulRestart | None:
        return peer.negotiated.graceful_restart if peer.negotiated is not None else None

    def _hear(
        self, peer: BgpPeer, importer: Importer, reach: Reach, attributes: Attributes
    ) -> None:
        family, next_hop = reach.family, reach.next_hop
        limit = dict(peer.config.prefix_limits).get(family, _NO_LIMIT)
        shared = importer.shared(family, next_hop, attributes)
        block = reach.block
        if (
            block is not None
            and shared is not None
            and not block.has_reserved_labels
            and peer.adj_in.learn(family, block, shared, limit)
        ):
            peer.counters.routes_in += len(block.keys)
            return
        nlri = reach.nlri
        # Of a full table nearly all are VPN routes with a label: two lists without a call for each.
        names: list[HeardName] = [
            each.key if isinstance(each, VpnNlri) else name_of(each) or (family, route_key(each))
            for each in nlri
        ]
        noted = peer.adj_in.note(family, names, limit)
        peer.counters.routes_in += len(noted)
        paths: list[Path] = []
        for heard, each in zip(noted, nlri, strict=False):
            if shared is not None and isinstance(each, VpnNlri):
                wire = each.wire
                if wire and wire[1] | wire[2]:
                    # A label of 16 or more has a bit in the first two of its three bytes.
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
        if family is BgpFamily.ROUTE_TARGET and peer.asked.settle():
            self._replicator.chores.add(self._swept(peer, peer.asked, peer.asked.generation))

    def _swept(self, peer: BgpPeer, asked: Asked, generation: int) -> Iterator[None]:
        """Forget what the peer has not asked for again since a generation began: a chore."""
        for nlri in list(asked):
            yield
            if peer.asked is asked and asked.is_before(nlri, generation):
                self._forget_members(peer, (nlri,))
