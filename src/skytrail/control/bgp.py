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
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from skytrail.control.bgp_config import BgpConfig, BgpPeerConfig
from skytrail.control.bgp_export import Exporter, ExportPolicy
from skytrail.control.bgp_import import Importer, NlriKey, key_of
from skytrail.control.bgp_out import BgpGroup, GroupKey
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.path import VPN_INSTANCE, Path, PathSlot, PeerName
from skytrail.control.route_target import Replicator
from skytrail.control.vpn import VpnEntry
from skytrail.wire.bgp import BgpFamily, Negotiated, Update
from skytrail.wire.bgp.update_encode import encode_end_of_rib
from skytrail.wire.xmpp import family_of as table_family

WORK_COUNT = 500
"""Routes removed in one slice: a few milliseconds."""
STALE_TIME_S_MAX = 4095
"""The longest restart time a peer can ask for (RFC 4724 section 3)."""


class TooManyPrefixes(Exception):
    """A peer exceeded its limit; its session must be ceased (RFC 4486 subcode 1)."""


@dataclass(slots=True)
class BgpCounters:
    """Since the peer was configured."""

    sessions: int = 0
    updates_in: int = 0
    routes_in: int = 0
    withdrawals_in: int = 0
    routes_ignored: int = 0
    """Of kinds that have no table here."""
    problems: int = 0
    """UPDATEs with errors that cost routes or attributes, not the session (RFC 7606)."""
    messages_out: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class _Heard:
    """A route as the peer said it; tables may lag behind what is said here."""

    slot: PathSlot
    family: BgpFamily
    is_stale: bool = False
    is_gone: bool = False


@dataclass(slots=True)
class BgpPeer:
    """One configured peer, across its sessions."""

    config: BgpPeerConfig
    is_up: bool = False
    up_since: float = 0.0
    last_down_reason: str = ""
    last_problem: str = ""
    negotiated: Negotiated | None = None
    importer: Importer | None = None
    group: BgpGroup | None = None
    has_work: bool = False
    adj_in: dict[NlriKey, _Heard] = field(default_factory=dict[NlriKey, _Heard])
    counts: dict[BgpFamily, int] = field(default_factory=dict[BgpFamily, int])
    ends_received: set[BgpFamily] = field(default_factory=set[BgpFamily])
    ends_to_send: list[BgpFamily] = field(default_factory=list[BgpFamily])
    stale_deadline: float = float("inf")
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
        self._replicator = replicator
        self._exporter: Exporter | None = None
        self._changed_groups: dict[BgpGroup, None] = {}
        self._ready: dict[PeerName, None] = {}
        self._changes: dict[PeerName, None] = {}
        self._lagging: deque[_Heard] = deque()
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
        wanted = {PeerName(peer.name): peer for peer in config.peers if not peer.is_down}
        for name in [name for name in self.peers if name not in wanted]:
            self._forget(name)
        for name, peer_config in wanted.items():
            peer = self.peers.get(name)
            if peer is None:
                self.peers[name] = BgpPeer(peer_config)
            elif is_other or peer.config != peer_config:
                peer.config = peer_config
            else:
                continue
            self._changes[name] = None

    def take_changes(self) -> list[PeerName]:
        """Return peers whose sessions must be started, restarted or, if unknown now, ended."""
        changes, self._changes = self._changes, {}
        return list(changes)

    def _forget(self, name: PeerName) -> None:
        self.session_down(name, "no longer configured", 0.0, graceful=False)
        del self.peers[name]
        self._changes[name] = None

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
        peer.importer = Importer(speaker, peer.config, negotiated, self.networks)
        peer.ends_received = set()
        families = tuple(
            [family for family in peer.config.families if family in negotiated.families]
        )
        peer.ends_to_send = list(families)
        kept = self._restart_families(peer)
        self._drop([key for key, heard in peer.adj_in.items() if heard.family not in kept], peer)
        key = GroupKey(
            self._policy(peer.config),
            families,
            negotiated.four_byte_as,
            negotiated.message_bytes_max,
        )
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = BgpGroup(
                key, negotiated, self._entries(), self._exporter, self._group_changed
            )
        group.join(peer.name)
        peer.group, peer.has_work = group, True
        self._ready[peer.name] = None

    def session_down(self, name: str, reason: str, now: float, *, graceful: bool) -> None:
        """A session is over. ``graceful``: its routes stay until the peer is back (RFC 4724)."""
        peer = self.peers[PeerName(name)]
        if not peer.is_up:
            return
        restart = peer.negotiated.graceful_restart if peer.negotiated is not None else None
        peer.is_up, peer.last_down_reason, peer.negotiated = False, reason, None
        if peer.group is not None:
            group, peer.group = peer.group, None
            group.leave(peer.name)
            if not group.log.has_members:
                del self.groups[group.key]
                self._changed_groups.pop(group, None)
        if not graceful or restart is None:
            self._drop(list(peer.adj_in), peer)
            return
        kept = {family for family, _ in restart.families}
        self._drop([key for key, heard in peer.adj_in.items() if heard.family not in kept], peer)
        for heard in peer.adj_in.values():
            heard.is_stale = True
            self._lagging.append(heard)
        peer.stale_deadline = now + min(restart.restart_time_s, STALE_TIME_S_MAX)

    def receive(self, name: str, update: Update) -> None:
        """Act on an UPDATE; raises ``TooManyPrefixes``."""
        peer = self.peers[PeerName(name)]
        importer = peer.importer
        if not peer.is_up or importer is None:
            return
        peer.counters.updates_in += 1
        if update.problems:
            peer.counters.problems += 1
            peer.last_problem = "; ".join(update.problems)
        for unreach in update.withdrawn:
            for nlri in unreach.nlri:
                key = key_of(nlri)
                heard = peer.adj_in.pop(key, None) if key is not None else None
                peer.counters.withdrawals_in += 1
                if heard is not None:
                    peer.counts[heard.family] -= 1
                    self._replicator.remove(heard.slot)
        for reach in update.reach:
            for nlri in reach.nlri:
                key = key_of(nlri)
                if key is None:
                    peer.counters.routes_ignored += 1
                    continue
                heard = peer.adj_in.get(key)
                if heard is None:
                    heard = self._admit(peer, key, reach.family)
                heard.is_stale = False
                peer.counters.routes_in += 1
                self._replicator.put(
                    importer.path(heard.slot, reach.family, reach.next_hop, nlri, update.attributes)
                )
        if update.end_of_rib is not None:
            peer.ends_received.add(update.end_of_rib)
            self._sweep(peer, update.end_of_rib)

    def refresh(self, name: str) -> None:
        """The peer wants everything again (RFC 2918)."""
        peer = self.peers[PeerName(name)]
        if peer.group is not None:
            peer.group.join(peer.name)
            peer.has_work = True
            self._ready[peer.name] = None

    def tick(self, now: float) -> None:
        """Let time pass: sweep what stayed stale. Call about twice a second."""
        for peer in self.peers.values():
            if now >= peer.stale_deadline:
                peer.stale_deadline = float("inf")
                for family in BgpFamily:
                    self._sweep(peer, family)
            if peer.ends_to_send and peer.is_up:
                self._ready[peer.name] = None

    def work(self, count: int = WORK_COUNT) -> bool:
        """Let tables follow the loss of sessions, some routes at a time; True while more lag."""
        lagging = self._lagging
        for _ in range(min(count, len(lagging))):
            heard = lagging.popleft()
            if heard.is_gone:
                self._replicator.remove(heard.slot)
            elif heard.is_stale:
                table = self._replicator.vpn[table_family(heard.slot.key)]
                path = table.path(heard.slot)
                if path is not None:
                    self._replicator.put(replace(path, is_stale=True))
        return bool(lagging)

    # Output.

    def take_ready(self) -> list[PeerName]:
        """Return peers with a session for whom :meth:`collect` may have something."""
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
        messages: list[bytes] = []
        size = 0
        while group is not None and peer.has_work and size < bytes_max:
            chunk = group.pull(peer.name)
            peer.has_work = group.log.has_work(peer.name)
            messages += chunk
            size += sum(map(len, chunk))
        if not peer.has_work and self.may_end_rib and group is not None:
            ends, peer.ends_to_send = peer.ends_to_send, []
            messages += [encode_end_of_rib(family) for family in ends]
        peer.counters.messages_out += len(messages)
        peer.counters.bytes_out += sum(map(len, messages))
        return messages

    # Inside.

    def _policy(self, peer: BgpPeerConfig) -> ExportPolicy:
        speaker = self.config.speaker
        return ExportPolicy(
            is_external=peer.is_external,
            local_asn=peer.local_asn,
            cluster_id=None if speaker is None else speaker.cluster_id,
            overridden_asn=peer.asn if peer.as_override else 0,
            private_as_action=peer.private_as_action if peer.is_external else "",
            tells_prefix_routes=not peer.is_control_node,
        )

    def _entries(self) -> Iterable[VpnEntry]:
        for table in self._replicator.vpn.values():
            yield from table.entries.values()

    def _selected(self, entry: VpnEntry, before: Path | None) -> None:
        if before is not None and entry.best is not None and _is_same_offer(before, entry.best):
            return
        for group in self.groups.values():
            group.changed(entry)

    def _group_changed(self, group: BgpGroup) -> None:
        self._changed_groups[group] = None

    def _admit(self, peer: BgpPeer, key: NlriKey, family: BgpFamily) -> _Heard:
        count = peer.counts.get(family, 0) + 1
        limit = dict(peer.config.prefix_limits).get(family)
        if limit is not None and count > limit:
            raise TooManyPrefixes(f"more than {limit} routes of {family.name.lower()}")
        peer.counts[family] = count
        heard = peer.adj_in[key] = _Heard(PathSlot(peer.name, VPN_INSTANCE, key[1]), family)
        return heard

    def _restart_families(self, peer: BgpPeer) -> set[BgpFamily]:
        """Families whose stale routes survive into the new session (RFC 4724 section 4.2)."""
        restart = peer.negotiated.graceful_restart if peer.negotiated is not None else None
        if restart is None:
            return set()
        return {family for family, is_preserved in restart.families if is_preserved}

    def _drop(self, keys: Iterable[NlriKey], peer: BgpPeer) -> None:
        """Forget routes of a peer now; tables follow in slices."""
        for key in keys:
            heard = peer.adj_in.pop(key)
            peer.counts[heard.family] -= 1
            heard.is_gone = True
            self._lagging.append(heard)

    def _sweep(self, peer: BgpPeer, family: BgpFamily) -> None:
        """Drop what a peer did not repeat since its last session."""
        stale = [
            key for key, heard in peer.adj_in.items() if heard.is_stale and heard.family is family
        ]
        self._drop(stale, peer)


def _is_same_offer(before: Path, after: Path) -> bool:
    """Gone stale, or confirmed unchanged: nothing to tell."""
    return (
        before.slot is after.slot
        and before.next_hops == after.next_hops
        and before.attributes == after.attributes
        and before.targets == after.targets
        and before.virtual_network == after.virtual_network
        and before.learned == after.learned
    )
