"""What is advertised to which BGP peer: one group per way of telling, read through a ``ChangeLog``.

Peers that are told the same in the same encoding share a group: routes are packed into UPDATEs
once. What a peer sent itself is not sent back to it (split horizon), nor withdrawn from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from skytrail.control.bgp_export import Exporter, ExportPolicy, is_told, withdrawals
from skytrail.control.change_log import ChangeLog
from skytrail.control.membership import Interest
from skytrail.control.path import Path, PeerName, Relay
from skytrail.control.relay import RelayEntry
from skytrail.control.vpn import VpnEntry
from skytrail.net import IpAddress
from skytrail.wire.bgp import Attributes, BgpFamily, Negotiated, Nlri
from skytrail.wire.bgp.families import AFI_IPV4
from skytrail.wire.bgp.update_encode import AttributesTooLong, encode_update, encode_withdraw

Entry = VpnEntry | RelayEntry
WINDOW_COUNT = 1000
"""Destinations looked at in one turn; the more, the more routes share an UPDATE."""


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Peers with equal keys are sent equal bytes."""

    policy: ExportPolicy
    families: tuple[BgpFamily, ...]
    four_byte_as: bool
    message_bytes_max: int
    extended_next_hop: frozenset[BgpFamily] = frozenset()
    """IPv4 families whose routes may have an IPv6 next hop (RFC 8950)."""
    interest: Interest | None = None
    """What they want of VPN routes; None: they cannot say, and get everything."""


@dataclass(slots=True, eq=False)
class _Advert:
    """One destination as receivers know it."""

    entry: Entry
    best: Path | None
    """The best path, if this group's peers may have it at all."""
    own: str
    """The peer it was learned from, which is not sent it."""
    hidden: str
    """The peer that has never been sent it, because it always was its own."""
    place: int = -1


@dataclass(slots=True)
class _Batch:
    end: int
    shared: list[bytes]
    sources: frozenset[str]


@dataclass(slots=True)
class BgpGroupCounters:
    """How much work sharing saved; since the group was made."""

    messages_encoded: int = 0
    messages_sent: int = 0
    routes_too_long: int = 0
    """Told as withdrawn, because their attributes fit into no message."""


class BgpGroup:
    """Receivers of the VPN tables that are told the same."""

    def __init__(
        self,
        key: GroupKey,
        negotiated: Negotiated,
        entries: Iterable[Entry],
        exporter: Exporter,
        notify: Callable[[BgpGroup], None],
    ) -> None:
        self.key = key
        self.counters = BgpGroupCounters()
        self.log = ChangeLog[_Advert](self._forget)
        self._families = frozenset(key.families)
        self._negotiated = negotiated
        self._exporter = exporter
        self._notify = notify
        self._batches: dict[int, _Batch] = {}
        self._adverts: dict[Entry, _Advert] = {}
        self._goodbyes: dict[PeerName, list[Entry]] = {}
        """What members know from another group and are not told in this one."""
        for entry in entries:
            best = self._eligible(entry)
            if best is not None:
                self._adverts[entry] = _Advert(entry, best, best.source, best.source)

    @property
    def members(self) -> list[PeerName]:
        return [PeerName(member) for member in self.log.members]

    def join(self, peer: PeerName) -> None:
        """Add a receiver; it gets the whole table. Joining again starts anew."""
        self.log.join(peer, list(self._adverts.values()))

    def repeat(self, peer: PeerName, family: BgpFamily) -> None:
        """Tell a member again what it knows of a family."""
        policy, families = self.key.policy, frozenset((family,))
        self.log.append_bulk(
            peer,
            [
                advert
                for advert in self._adverts.values()
                if advert.best is not None and is_told(advert.best, policy, families)
            ],
        )

    def leave(self, peer: PeerName) -> None:
        self._goodbyes.pop(peer, None)
        self.log.leave(peer)

    def has_work(self, peer: PeerName) -> bool:
        """Tell whether a member must pull to be up to date."""
        return peer in self._goodbyes or self.log.has_work(peer)

    def known_by(self, peer: PeerName) -> dict[Entry, bool]:
        """Return what a member may have been told, and whether it is still true."""
        unread = set(self.log.unread(peer))
        known = {
            entry: advert not in unread
            for entry, advert in self._adverts.items()
            if advert.hidden != peer
        }
        known.update((entry, False) for entry in self._goodbyes.get(peer, ()))
        return known

    def join_knowing(self, peer: PeerName, known: dict[Entry, bool]) -> None:
        """Add a receiver that comes from another group: it gets the difference."""
        adverts = self._adverts
        news = [
            advert
            for entry, advert in adverts.items()
            if advert.best is not None and not known.get(entry, False)
        ]
        self.log.join(peer, news)
        goodbyes: list[Entry] = []
        for entry, is_current in known.items():
            advert = adverts.get(entry)
            is_gone = advert is None or advert.best is None
            if is_gone or (advert is not None and not is_current and advert.own == peer):
                goodbyes.append(entry)
        if goodbyes:
            self._goodbyes[peer] = goodbyes

    def change_interest(self, key: GroupKey, entries: Iterable[Entry]) -> None:
        """The members want other things now; ``entries`` are those it may matter for."""
        self.key = key
        for entry in entries:
            self.changed(entry)

    def changed(self, entry: Entry) -> None:
        """A destination's best path changed."""
        best = self._eligible(entry)
        advert = self._adverts.get(entry)
        own = best.source if best is not None else ""
        if advert is None:
            if best is None:
                return
            advert = self._adverts[entry] = _Advert(entry, best, own, own)
        else:
            advert.best, advert.own = best, own
            if best is not None and advert.hidden != own:
                advert.hidden = ""
        if not self.log.has_members:
            advert.hidden = own
            if best is None:
                del self._adverts[entry]
            return
        self.log.record(advert)
        self._batches.clear()
        self._notify(self)

    def pull(self, peer: PeerName) -> list[bytes]:
        """Return the next messages for a member and advance its cursor.

        The result may be empty although more follows, when nothing in the window concerns it.
        """
        goodbyes = self._goodbyes.pop(peer, None)
        if goodbyes:
            if len(goodbyes) > WINDOW_COUNT:
                self._goodbyes[peer] = goodbyes[WINDOW_COUNT:]
            return self._farewells(goodbyes[:WINDOW_COUNT])
        log = self.log
        adverts = log.take_bulk(peer, WINDOW_COUNT)
        messages = self._messages(adverts, peer, is_first=True) if adverts else self._follow(peer)
        self.counters.messages_sent += len(messages)
        log.settle(peer)
        return messages

    def _farewells(self, entries: list[Entry]) -> list[bytes]:
        gone: dict[BgpFamily, list[Nlri]] = {}
        for entry in entries:
            for family, nlri in withdrawals(entry, self.key.policy):
                if family in self._families:
                    gone.setdefault(family, []).append(nlri)
        messages: list[bytes] = []
        for family, nlri in gone.items():
            messages += encode_withdraw(family, nlri, self._negotiated)
        self.counters.messages_encoded += len(messages)
        self.counters.messages_sent += len(messages)
        return messages

    def _follow(self, peer: PeerName) -> list[bytes]:
        log = self.log
        start = log.position(peer)
        if start >= log.end:
            return []
        batch = self._batches.get(start)
        if batch is None:
            adverts, end = log.window(start, WINDOW_COUNT)
            sources = frozenset(
                name for advert in adverts for name in (advert.own, advert.hidden) if name
            )
            batch = self._batches[start] = _Batch(end, self._messages(adverts, None), sources)
        log.advance(peer, batch.end)
        if peer not in batch.sources:
            return batch.shared
        return self._messages(log.window(start, WINDOW_COUNT)[0], peer)

    def _messages(
        self, adverts: list[_Advert], peer: PeerName | None, *, is_first: bool = False
    ) -> list[bytes]:
        """Pack the adverts as ``peer`` (None: anybody not among their sources) must see them."""
        reach: dict[tuple[BgpFamily, IpAddress, Attributes], list[Nlri]] = {}
        gone: dict[BgpFamily, list[Nlri]] = {}
        policy = self.key.policy
        for advert in adverts:
            told: set[BgpFamily] = set()
            if advert.best is not None and (not advert.own or advert.own != peer):
                for offer in self._exporter.offers(advert.entry, advert.best, policy):
                    if offer.family in self._families:
                        told.add(offer.family)
                        where = (offer.family, offer.next_hop, offer.attributes)
                        reach.setdefault(where, []).append(offer.nlri)
            if is_first or (peer is not None and advert.hidden == peer):
                continue
            # A form in which it is told no more is taken back.
            for family, nlri in withdrawals(advert.entry, policy):
                if family in self._families and family not in told:
                    gone.setdefault(family, []).append(nlri)
        messages: list[bytes] = []
        for family, nlri in gone.items():
            messages += encode_withdraw(family, nlri, self._negotiated)
        for (family, next_hop, attributes), nlri in reach.items():
            try:
                messages += encode_update(family, next_hop, attributes, nlri, self._negotiated)
            except AttributesTooLong:
                # No message holds them, so what the peers had of these routes is gone.
                self.counters.routes_too_long += len(nlri)
                messages += encode_withdraw(family, nlri, self._negotiated)
        self.counters.messages_encoded += len(messages)
        return messages

    def _eligible(self, entry: Entry) -> Path | None:
        best, policy = entry.best, self.key.policy
        if best is None or not policy.admits(best):
            return None
        interest = self.key.interest
        is_constrained = isinstance(entry, VpnEntry) or entry.is_constrained
        if interest is not None and is_constrained and not interest.covers(best.targets):
            return None
        relay = best.relay
        if relay is not None and not self._can_carry(relay):
            return None
        return best if is_told(best, policy, self._families) else None

    def _can_carry(self, relay: Relay) -> bool:
        """Tell whether the members can be told of the next hop (RFC 8950)."""
        is_plain = relay.family.afi != AFI_IPV4 or relay.next_hop.version == 4
        return is_plain or relay.family in self.key.extended_next_hop

    def _forget(self, read: list[_Advert]) -> None:
        """Everybody knows that these are gone."""
        for advert in read:
            if advert.best is None and self._adverts.get(advert.entry) is advert:
                del self._adverts[advert.entry]
        self._batches.clear()
