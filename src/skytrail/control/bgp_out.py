"""What is advertised to which BGP peer: one group per way of telling, read through a ``ChangeLog``.

Peers that are told the same in the same encoding share a group: routes are packed into UPDATEs
once. What a peer sent itself is not sent back to it (split horizon), nor withdrawn from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from skytrail.control.bgp_adverts import (
    Advert,
    AdvertBlock,
    Entry,
    Item,
    Logged,
    Lost,
)
from skytrail.control.bgp_export import (
    Exporter,
    ExportPolicy,
    for_peers,
    is_told,
    withdrawals,
)
from skytrail.control.bgp_values import label_encapsulations
from skytrail.control.change_log import ChangeLog
from skytrail.control.membership import Interest
from skytrail.control.path import Path, PeerName, Shared
from skytrail.control.relay import RelayEntry
from skytrail.control.vpn import Fresh, VpnEntry
from skytrail.net import IpAddress
from skytrail.wire.bgp import Attributes, BgpFamily, Negotiated
from skytrail.wire.bgp.attribute_encode import encode_attributes
from skytrail.wire.bgp.families import AFI_IPV4
from skytrail.wire.bgp.nlri_codec import encode_nlri, withdrawn_nlri, withdrawn_vpn
from skytrail.wire.bgp.update_encode import AttributesTooLong, pack_update, pack_withdraw
from skytrail.wire.xmpp import Family

InterestChange: TypeAlias = tuple[Interest | None, Interest | None]
"""What somebody wanted before, and now."""
WINDOW_COUNT = 1000
"""Destinations looked at in one turn; the more, the more routes share an UPDATE."""
PLANS_COUNT_MAX = 65_536
_FILL_COUNT = 256
"""Destinations that are taken in together."""
_NOTHING: frozenset[BgpFamily] = frozenset()
_VPN_FAMILY = {Family.INET: BgpFamily.INET_VPN, Family.INET6: BgpFamily.INET6_VPN}


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


@dataclass(slots=True)
class _Batch:
    end: int
    shared: list[bytes]
    sources: frozenset[str]
    only: str
    """The peer to which all of it is its own and always was: it is sent nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """How routes that share attributes and next hop are told here; empty ``told``: not at all."""

    told: frozenset[BgpFamily]
    family: BgpFamily
    next_hop: IpAddress
    attributes: bytes


@dataclass(slots=True)
class _Packing:
    """Encoded routes of some adverts, sorted by what they can share a message with."""

    reach: dict[tuple[BgpFamily, IpAddress, Attributes], list[bytes]]
    planned: dict[_Plan, list[bytes]]
    gone: dict[BgpFamily, list[bytes]]


@dataclass(slots=True)
class BgpGroupCounters:
    """How much work sharing saved; since the group was made."""

    messages_encoded: int = 0
    messages_sent: int = 0
    routes_too_long: int = 0
    """Told as withdrawn, because their attributes fit into no message."""
    routes_unsayable: int = 0
    """Not told, because a number or next hop in them is none that BGP can carry."""


class BgpGroup:
    """Receivers of the VPN tables that are told the same."""

    def __init__(
        self,
        key: GroupKey,
        negotiated: Negotiated,
        exporter: Exporter,
        notify: Callable[[BgpGroup], None],
    ) -> None:
        self.key = key
        self.counters = BgpGroupCounters()
        self.log = ChangeLog[Logged](self._forget, attrgetter("weight"))
        self._families = frozenset(key.families)
        self._negotiated = negotiated
        self._exporter = exporter
        self._notify = notify
        self._batches: dict[int, _Batch] = {}
        self._adverts: dict[Entry, Item] = {}
        self._plans: dict[Shared, _Plan] = {}
        self.late: dict[PeerName, None] = {}
        """Members of which is not known yet what they know, from other groups, and should not."""
        self.judging: list[InterestChange] = []
        """Changes of interest that members may not have been told all of."""
        self._fills_count = 0
        self._is_quiet = False
        """What is filled in is known to all members already."""
        self._assumed: frozenset[BgpFamily] = _NOTHING
        """Families in which members may have been told what nobody was told here: some came from
        another group (:meth:`join_knowing`)."""

    @property
    def members(self) -> list[PeerName]:
        return [PeerName(member) for member in self.log.members]

    @property
    def is_telling_all(self) -> bool:
        """Members may not even have heard of destinations that have been there for long."""
        return self._fills_count > 0 and not self._is_quiet

    def join(self, peer: PeerName) -> None:
        """Add a receiver; it gets the whole table. Joining again starts anew."""
        self._is_quiet = False
        self.log.join(peer, list(dict.fromkeys(self._adverts.values())))

    def join_knowing(self, peer: PeerName) -> None:
        """Add a receiver that knows all that another group's members do.

        It has to :meth:`tell` it what it had not read there, and what is told in one of both only.
        """
        self._is_quiet = self._is_quiet or not self.log.has_members
        self._assumed = self._families
        self.log.join(peer, [])

    def leave(self, peer: PeerName) -> None:
        self.late.pop(peer, None)
        self.log.leave(peer)

    def has_work(self, peer: PeerName) -> bool:
        """Tell whether a member must pull to be up to date."""
        return self.log.has_work(peer)

    def unread(self, peer: PeerName) -> list[Entry]:
        """Return destinations of which a member may not know the present state, and some more."""
        entries: list[Entry] = []
        for each in self.log.unread(peer):
            entries += (each.entry,) if isinstance(each, Advert) else each.entries
        return entries

    def known(self, peer: PeerName, family: BgpFamily) -> Iterator[Entry | None]:
        """Yield what a member was told in a family, None for everything else that is looked at."""
        policy, families = self.key.policy, frozenset((family,))
        for entry, advert in list(self._adverts.items()):
            best = advert.best if isinstance(advert, Advert) else advert.path
            is_known = best is not None and advert.own != peer and is_told(best, policy, families)
            yield entry if is_known else None

    def fill(self, entries: Iterable[Entry]) -> Iterator[None]:
        """Take in destinations that have been there longer than the group: a chore.

        To be begun when the first member has joined; it ends when the last one has left.
        """
        self._fills_count += 1
        fresh: list[Entry] = []
        for entry in entries:
            yield
            if not self.log.has_members:
                return
            if entry.best is None or entry in self._adverts:
                continue
            if not self._is_quiet:
                fresh.append(entry)
                if len(fresh) == _FILL_COUNT:
                    self._judge(fresh)
                    fresh = []
                continue
            best = self._eligible(entry)
            if best is not None:
                self._adverts[entry] = Advert(entry, best, best.source, best.source)
        self._judge(fresh)
        self._fills_count -= 1
        if not self._fills_count:
            self._is_quiet = False

    def look_again(self, change: InterestChange, entries: Iterable[Entry]) -> Iterator[None]:
        """Judge destinations anew for which a change of interest may matter: a chore."""
        self.judging.append(change)
        pending: list[Entry] = []
        for entry in entries:
            yield
            if not self.log.has_members:
                return
            pending.append(entry)
            if len(pending) == _FILL_COUNT:
                self._judge(pending)
                pending = []
        self._judge(pending)
        self.judging.remove(change)

    def _judge(self, entries: Iterable[Entry]) -> None:
        # What has gone was told when it went, and may have come back as another entry.
        self.changed([entry for entry in entries if entry.best is not None])

    def change_interest(self, key: GroupKey) -> None:
        """The members want other things now; :meth:`look_again` where it may matter."""
        self.key = key
        self._plans.clear()

    def changed(self, entries: Iterable[Entry]) -> None:
        """The best paths of destinations changed."""
        adverts, plans = self._adverts, self._plans
        has_members = self.log.has_members
        is_unsettled = self._fills_count > 0 or bool(self.judging)
        is_assuming = bool(self.late) or (is_unsettled and bool(self._assumed))
        changed: list[Logged] = []
        if has_members and not is_assuming:
            entries = self._lose(entries, changed)
        for entry in entries:
            best = entry.best
            advert = adverts.get(entry)
            if isinstance(advert, AdvertBlock):
                advert = self._split(entry, advert)
            if best is not None:
                plan = plans.get(best.shared) if best.shared is not None else None
                best = self._eligible(entry) if plan is None else best if plan.told else None
            own = best.slot.source if best is not None else ""
            if advert is None:
                if best is None and not is_assuming:
                    continue
                # Who came from another group may know it from there, whoever it came from since.
                hidden = "" if is_assuming else own
                advert = adverts[entry] = Advert(entry, best, own, hidden)
            else:
                advert.best, advert.own = best, own
                if best is not None and advert.hidden != own:
                    advert.hidden = ""
            if has_members:
                changed.append(advert)
            else:
                advert.hidden = own
                if best is None:
                    del adverts[entry]
        if changed:
            self.log.record(changed)
            self._batches.clear()
            self._notify(self)

    def learned(self, fresh: Fresh) -> None:
        """As :meth:`changed`, of destinations that nobody can have been told of."""
        if self.late or self._assumed:
            self.changed(fresh.entries)
            return
        if not self._plan_of(fresh.paths[0], fresh.shared).told:
            return
        block = AdvertBlock.of(fresh)
        self._adverts.update(dict.fromkeys(fresh.entries, block))
        if self.log.has_members:
            self.log.record((block,))
            self._batches.clear()
            self._notify(self)

    def _split(self, entry: Entry, block: AdvertBlock) -> Advert:
        """Let a destination leave its block. Its latest place is the block's, until it gets one."""
        advert = Advert(entry, block.path, block.own, block.own, block.told)
        self._adverts[entry] = advert
        block.part_with(1, self._adverts)
        return advert

    def _lose(self, entries: Iterable[Entry], changed: list[Logged]) -> list[Entry]:
        """Take destinations that have gone out of their blocks; return all others.

        Where everybody has read the block, or gets it without them, many are one thing to tell.
        """
        adverts, begin = self._adverts, self.log.begin
        rest: list[Entry] = []
        blocks: dict[AdvertBlock, list[VpnEntry]] = {}
        block: AdvertBlock | None = None
        gone: list[VpnEntry] = []
        for entry in entries:
            advert = adverts.get(entry)
            if (
                entry.best is not None
                or not isinstance(advert, AdvertBlock)
                or not isinstance(entry, VpnEntry)
                or advert.place >= begin
            ):
                rest.append(entry)
                continue
            # Neighbours mostly are of one block.
            if advert is not block:
                block, gone = advert, blocks.setdefault(advert, [])
            del adverts[entry]
            gone.append(entry)
        for each, lost in blocks.items():
            each.part_with(len(lost), adverts)
            if each.told:
                changed.append(Lost(each.own, each.shared.family, lost))
        return rest

    def _plan_of(self, path: Path, shared: Shared) -> _Plan:
        return self._plans.get(shared) or self._plan(path, shared)

    def pull(self, peer: PeerName) -> list[bytes]:
        """Return the next messages for a member and advance its cursor.

        The result may be empty although more follows, when nothing in the window concerns it.
        """
        log = self.log
        adverts = log.take_bulk(peer, WINDOW_COUNT)
        messages = self._messages(adverts, peer, is_first=True) if adverts else self._follow(peer)
        self.counters.messages_sent += len(messages)
        log.settle(peer)
        return messages

    def tell(self, peer: PeerName, entries: Iterable[Entry]) -> list[bytes]:
        """Return the messages that tell a member what is true of some destinations now.

        It takes back what is not for it, whether or not it was ever told.
        """
        packing = _Packing({}, {}, {})
        adverts: list[Logged] = []
        for entry in dict.fromkeys(entries):
            best = self._eligible(entry)
            if best is None or best.source == peer:
                self._take_back(entry, self._families, packing.gone)
                continue
            advert = self._adverts.get(entry)
            if advert is None:
                advert = self._adverts[entry] = Advert(entry, best, best.source, best.source)
            elif isinstance(advert, AdvertBlock):
                block = advert
                # Others may have to read it in its block.
                advert = Advert(entry, best, block.own, block.own, block.told)
                block.told |= self._plan_of(best, block.shared).told
            adverts.append(advert)
        messages = self._packed(packing) + self._messages(adverts, peer, is_first=True)
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
            told_by = {(advert.own, advert.hidden) for advert in adverts}
            sources = frozenset([name for pair in told_by for name in pair if name])
            is_one = len(told_by) == 1 and len(sources) == 1 and ("", "") not in told_by
            only = next(iter(sources)) if is_one and all(map(all, told_by)) else ""
            messages = self._messages(adverts, None)
            batch = self._batches[start] = _Batch(end, messages, sources, only)
        log.advance(peer, batch.end)
        if peer not in batch.sources:
            return batch.shared
        if peer == batch.only:
            return []
        return self._messages(log.window(start, WINDOW_COUNT)[0], peer)

    def _messages(
        self, adverts: list[Logged], peer: PeerName | None, *, is_first: bool = False
    ) -> list[bytes]:
        """Pack the adverts as ``peer`` (None: anybody not among their sources) must see them."""
        packing = _Packing({}, {}, {})
        assumed = self._assumed
        shared: Shared | None = None
        plan: _Plan | None = None
        wires: list[bytes] = []
        silent: list[Advert] = []
        for advert in adverts:
            if not isinstance(advert, Advert):
                self._add_several(advert, peer, packing)
                continue
            best = advert.best
            if best is None or (advert.own and advert.own == peer):
                silent.append(advert)
                continue
            # Neighbours mostly share their attributes.
            if best.shared is not shared or shared is None:
                shared = best.shared
                plan = self._plans.get(shared) if shared is not None else None
                wires = [] if plan is None else packing.planned.setdefault(plan, [])
            if plan is None:
                told = self._tell(advert, best, packing)
            else:
                told = plan.told
                wires.append(best.wire)
            before = advert.told or assumed
            if before is told:
                continue
            if not is_first and not before <= told and (peer is None or advert.hidden != peer):
                # A form in which it is told no more is taken back.
                self._take_back(advert.entry, before - told, packing.gone)
            advert.told = before | told
        if silent:
            self._take_all_back(silent, peer, packing.gone, is_first=is_first)
        return self._packed(packing)

    def _add_several(
        self, several: AdvertBlock | Lost, peer: PeerName | None, packing: _Packing
    ) -> None:
        """Add routes that are told or taken back together."""
        if peer is not None and several.hidden == peer:
            return
        if isinstance(several, Lost):
            names = [each.name for each in several.entries]
            gone = packing.gone.setdefault(several.family, [])
            gone += [withdrawn_vpn(name) for name in names if isinstance(name, bytes)]
            return
        plan = self._plan_of(several.path, several.shared)
        if plan.told and several.left_count:
            wires = several.wires_left(self._adverts)
            packing.planned.setdefault(plan, []).extend(wires)
            several.told = plan.told

    def _take_all_back(
        self,
        adverts: list[Advert],
        peer: PeerName | None,
        gone: dict[BgpFamily, list[bytes]],
        *,
        is_first: bool,
    ) -> None:
        """Take back what ``peer`` is told in no form any more, unless it never was."""
        assumed = self._assumed
        for advert in adverts:
            before = advert.told
            if not before:
                before = advert.told = assumed
            if not before or is_first or (peer is not None and advert.hidden == peer):
                continue
            self._take_back(advert.entry, before, gone)

    def _tell(self, advert: Advert, best: Path, packing: _Packing) -> frozenset[BgpFamily]:
        """Add a route that is not just passed on as it came."""
        told: set[BgpFamily] = set()
        for offer in self._exporter.offers(advert.entry, best, self.key.policy):
            if offer.family not in self._families:
                continue
            try:
                encoded = encode_nlri(offer.family, offer.nlri)
            except ValueError:
                # What an agent said and BGP has no words for must not keep back all the rest.
                self.counters.routes_unsayable += 1
                continue
            told.add(offer.family)
            where = (offer.family, offer.next_hop, offer.attributes)
            packing.reach.setdefault(where, []).append(encoded)
        return frozenset(told)

    def _take_back(
        self,
        entry: Entry,
        families: frozenset[BgpFamily],
        gone: dict[BgpFamily, list[bytes]],
    ) -> None:
        if isinstance(entry, VpnEntry):
            name, family = entry.name, _VPN_FAMILY.get(entry.family)
            if family in families and isinstance(name, bytes):
                if family in gone:
                    gone[family].append(withdrawn_vpn(name))
                else:
                    gone[family] = [withdrawn_vpn(name)]
                if len(families) == 1:
                    return
                families -= {family}
        for family, nlri in withdrawals(entry, self.key.policy, families):
            gone.setdefault(family, []).append(encode_nlri(family, nlri, withdrawn=True))

    def _packed(self, packing: _Packing) -> list[bytes]:
        negotiated = self._negotiated
        messages: list[bytes] = []
        for family, nlri in packing.gone.items():
            messages += pack_withdraw(family, nlri, negotiated)
        for (family, next_hop, attributes), nlri in packing.reach.items():
            messages += self._update(family, next_hop, attributes, nlri)
        for plan, nlri in packing.planned.items():
            messages += self._update(plan.family, plan.next_hop, plan.attributes, nlri)
        self.counters.messages_encoded += len(messages)
        return messages

    def _update(
        self,
        family: BgpFamily,
        next_hop: IpAddress,
        attributes: Attributes | bytes,
        nlri: list[bytes],
    ) -> list[bytes]:
        negotiated = self._negotiated
        try:
            encoded = attributes
            if isinstance(encoded, Attributes):
                encoded = encode_attributes(encoded, negotiated)
            return pack_update(family, next_hop, encoded, nlri, negotiated)
        except AttributesTooLong:
            # No message holds them, so what the peers had of these routes is gone.
            self.counters.routes_too_long += len(nlri)
        except ValueError:
            self.counters.routes_unsayable += len(nlri)
        return pack_withdraw(family, [withdrawn_nlri(family, each) for each in nlri], negotiated)

    def _eligible(self, entry: Entry) -> Path | None:
        best = entry.best
        if best is None:
            return None
        shared = best.shared
        if shared is None:
            return best if self._may_tell(entry, best) else None
        return best if self._plan_of(best, shared).told else None

    def _may_tell(self, entry: Entry, best: Path) -> bool:
        policy, interest = self.key.policy, self.key.interest
        if not policy.admits(best):
            return False
        is_constrained = isinstance(entry, VpnEntry) or entry.is_constrained
        if interest is not None and is_constrained and not interest.covers(best.targets):
            return False
        return self._can_carry(entry, best) and is_told(best, policy, self._families)

    def _can_carry(self, entry: Entry, best: Path) -> bool:
        """Tell whether the members can be told of the next hop (RFC 8950)."""
        relay = best.relay
        if relay is not None:
            family, next_hop = relay.family, relay.next_hop
        elif isinstance(entry, RelayEntry):
            return True
        else:
            family = _VPN_FAMILY.get(entry.family, BgpFamily.EVPN)
            next_hop = best.next_hops[0].address
        is_plain = family.afi != AFI_IPV4 or next_hop.version == 4
        return is_plain or family in self.key.extended_next_hop

    def _plan(self, best: Path, shared: Shared) -> _Plan:
        """Work out once how routes are told that are passed on as they came."""
        policy, interest = self.key.policy, self.key.interest
        told, encoded = _NOTHING, b""
        if (
            shared.family in self._families
            and policy.admits(best)
            and (interest is None or interest.covers(shared.targets))
            and label_encapsulations(shared.hop)
        ):
            told = frozenset((shared.family,))
            attributes = for_peers(shared.learned.attributes, best, policy)
            encoded = encode_attributes(attributes, self._negotiated)
        plan = _Plan(told, shared.family, shared.hop.address, encoded)
        if len(self._plans) >= PLANS_COUNT_MAX:
            self._plans.clear()
        self._plans[shared] = plan
        return plan

    def _forget(self, read: list[Logged]) -> None:
        """Everybody knows that these are gone."""
        for advert in read:
            if not isinstance(advert, Advert):
                continue
            if advert.best is None and self._adverts.get(advert.entry) is advert:
                del self._adverts[advert.entry]
        self._batches.clear()
