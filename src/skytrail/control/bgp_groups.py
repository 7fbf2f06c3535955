"""Which group each BGP peer is in, and which destinations groups and peers have to look at.

```
 join, regroup --> the group with this key, or a new one that is filled in slices
 selected      --> every group --> its members with something to tell, until take_ready
```
Peers that want the same in the same form share a group and with it the packed messages; who wants
something else moves, and is told only what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from itertools import chain

from skytrail.control.bgp_adverts import Entry
from skytrail.control.bgp_config import BgpPeerConfig, Speaker
from skytrail.control.bgp_export import Exporter, ExportPolicy
from skytrail.control.bgp_out import BgpGroup, GroupKey
from skytrail.control.bgp_peer import BgpPeer
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.membership import Interest
from skytrail.control.path import Path, PeerName
from skytrail.control.relay import RelayTable
from skytrail.control.route_target import Replicator
from skytrail.control.vpn import Fresh, VpnEntry
from skytrail.wire.bgp import BgpFamily, Negotiated
from skytrail.wire.bgp.nlri import route_key


class BgpGroups:
    """The groups of a control node; ``relay`` feeds them as the VPN tables do."""

    def __init__(self, replicator: Replicator) -> None:
        self.groups: dict[GroupKey, BgpGroup] = {}
        self.relay = RelayTable(self.selected)
        self._replicator = replicator
        self._exporter: Exporter | None = None
        self._cluster_id: IPv4Address | None = None
        self._changed: dict[BgpGroup, None] = {}
        self._ready: dict[PeerName, None] = {}
        replicator.on_selection = self.selected
        replicator.on_fresh = self.learned

    def configure(self, speaker: Speaker, networks: NetworkIds) -> None:
        """Tell routes as this speaker does."""
        self._exporter = Exporter(speaker, networks)
        self._cluster_id = speaker.cluster_id

    def join(self, peer: BgpPeer, families: tuple[BgpFamily, ...], negotiated: Negotiated) -> None:
        """Tell a peer whose session is established everything it may have."""
        group, fill = self._group(self._key(peer, families), negotiated)
        group.join(peer.name)
        peer.group, peer.has_work = group, True
        self._ready[peer.name] = None
        self._replicator.chores.add(fill)

    def take_woken(self) -> dict[PeerName, None]:
        """Return the peers that have something to be told since the last call."""
        for group in self._changed:
            for member in group.log.take_woken():
                self._ready[PeerName(member)] = None
        self._changed = {}
        woken, self._ready = self._ready, {}
        return woken

    def regroup(self, peer: BgpPeer) -> None:
        """Let the peer's group follow what it asked for since."""
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
            self.leave(peer)
            peer.group, fill = self._group(key, negotiated)
            if is_aware:
                peer.group.join_knowing(peer.name)
            else:
                peer.group.join(peer.name)
            self._replicator.chores.add(fill)
            peer.group.late[peer.name] = None
            self.look_for(peer, chain(rest, *differing))
        peer.has_work = True
        self._ready[peer.name] = None

    def look_for(self, peer: BgpPeer, entries: Iterable[Entry | None]) -> None:
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

    def leave(self, peer: BgpPeer) -> None:
        if peer.group is None:
            return
        group, peer.group = peer.group, None
        group.leave(peer.name)
        if not group.log.has_members:
            del self.groups[group.key]
            self._changed.pop(group, None)

    def _policy(self, peer: BgpPeerConfig, *, takes_long_lived: bool) -> ExportPolicy:
        return ExportPolicy(
            takes_long_lived=takes_long_lived,
            is_external=peer.is_external,
            local_asn=peer.local_asn,
            cluster_id=self._cluster_id,
            overridden_asn=peer.asn if peer.as_override else 0,
            private_as_action=peer.private_as_action if peer.is_external else "",
            tells_prefix_routes=not peer.is_control_node,
            takes_new_tunnels=peer.takes_new_tunnels,
            takes_groups=peer.takes_groups,
        )

    def _entries(self) -> Iterator[Entry]:
        for table in self._replicator.vpn.values():
            yield from list(table.entries.values())
        yield from list(self.relay.entries.values())

    def selected(self, changes: Iterable[tuple[Entry, Path | None]]) -> None:
        """Have groups tell of destinations whose best path changed."""
        told = [
            entry
            for entry, before in changes
            if before is None or entry.best is None or not _is_same_offer(before, entry.best)
        ]
        for group in self.groups.values():
            group.changed(told)

    def learned(self, fresh: Fresh) -> None:
        """Have groups tell of destinations that nobody knew."""
        for group in self.groups.values():
            group.learned(fresh)

    def _group_changed(self, group: BgpGroup) -> None:
        self._changed[group] = None

    def present(self, entry: Entry) -> Entry:
        """Return the entry its destination has now, if it is in a table at all."""
        if entry.best is not None:
            return entry
        if isinstance(entry, VpnEntry):
            return self._replicator.vpn[entry.family].entries.get(entry.name, entry)
        return self.relay.entries.get((entry.family, route_key(entry.nlri)), entry)


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
