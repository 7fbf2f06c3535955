"""What is sent to which agent: one update group per table, read through a ``ChangeLog``.

Items are encoded once for all peers and whole messages are shared by peers that stand at the same
place of the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skytrail.control.change_log import ChangeLog
from skytrail.control.path import Path, PeerName
from skytrail.control.rib import Rib, offer, only_source
from skytrail.wire.xmpp import RouteKey
from skytrail.wire.xmpp.codec import (
    ITEMS_COUNT_MAX,
    encode_items,
    encode_retract,
)
from skytrail.wire.xmpp.route_codec import encode_item

ITEM_CACHE_COUNT_MAX = 20_000
MESSAGE_BYTES_MAX = 1 << 20
"""Items beyond this go into a message of their own, far below the largest stanza an agent takes."""


@dataclass(slots=True, eq=False)
class _Advert:
    """One destination as receivers know it."""

    key: RouteKey
    best: tuple[Path, ...]
    own: str
    """The peer all paths come from, which is not sent its own route; empty when several."""
    hidden: str
    """The peer that has never been sent it, because it always was its own; empty: none such."""
    place: int = -1
    """Latest position in the log; older entries of the log for it are superseded."""
    item: bytes = b""
    """Its encoding, empty until somebody needs it."""


@dataclass(slots=True)
class _Batch:
    """Up to 32 destinations of the log in sendable form, ending before ``end``."""

    end: int
    shared: tuple[bytes, ...]
    sources: frozenset[str]
    """Peers that must not get ``shared``: some route in it is their own."""


@dataclass(slots=True)
class GroupCounters:
    """How much work sharing saved; since the group was made."""

    items_encoded: int = 0
    messages_encoded: int = 0
    messages_sent: int = 0


class UpdateGroup:
    """The receivers of one table. ``notify`` is called when a change may concern a member."""

    def __init__(self, rib: Rib, notify: Callable[[UpdateGroup], None]) -> None:
        self.rib = rib
        self._network = rib.instance.rpartition(":")[0]
        self.counters = GroupCounters()
        self._notify = notify
        self._log = ChangeLog[_Advert](self._forget)
        self._batches: dict[int, _Batch] = {}
        self._cached: list[_Advert] = []
        self._adverts: dict[RouteKey, _Advert] = {}
        rib.on_change = self._changed

    @property
    def members(self) -> list[PeerName]:
        return [PeerName(member) for member in self._log.members]

    @property
    def log(self) -> ChangeLog[_Advert]:
        return self._log

    def join(self, peer: PeerName) -> None:
        """Add a receiver; it gets the whole table. Joining again starts anew."""
        self._log.join(peer, list(self._adverts.values()))

    def fill(self) -> Iterator[None]:
        """Take in what was in the table before the group: a chore, to be begun at once."""
        for key in list(self.rib.entries):
            if key not in self._adverts:
                best = self.rib.best(key)
                if best:
                    self._changed(key, best)
            yield

    def leave(self, peer: PeerName) -> None:
        self._log.leave(peer)

    def take_woken(self) -> list[PeerName]:
        """Return the members that were up to date and now have something to receive."""
        return [PeerName(member) for member in self._log.take_woken()]

    def has_work(self, peer: PeerName) -> bool:
        """Tell whether the member must :meth:`pull` again to be up to date."""
        return self._log.has_work(peer)

    def pull(self, peer: PeerName) -> tuple[bytes, ...]:
        """Return the next event bodies for a member and advance its cursor.

        The result may be empty although more follows, when nothing in the batch concerns it.
        """
        log = self._log
        adverts = log.take_bulk(peer, ITEMS_COUNT_MAX)
        bodies = self._bulk(peer, adverts) if adverts else self._follow(peer)
        self.counters.messages_sent += len(bodies)
        log.settle(peer)
        return bodies

    def _bulk(self, peer: PeerName, adverts: list[_Advert]) -> tuple[bytes, ...]:
        items = [self._item(advert) for advert in adverts if advert.best and advert.own != peer]
        return tuple([self._message(part) for part in _cut(items)])

    def _follow(self, peer: PeerName) -> tuple[bytes, ...]:
        log = self._log
        start = log.position(peer)
        if start >= log.end:
            return ()
        batch = self._batches.get(start)
        if batch is None:
            adverts, end = log.window(start, ITEMS_COUNT_MAX)
            bodies, sources = self._bodies(adverts, None)
            batch = self._batches[start] = _Batch(end, bodies, sources)
        log.advance(peer, batch.end)
        if peer not in batch.sources:
            return batch.shared
        return self._bodies(log.window(start, ITEMS_COUNT_MAX)[0], peer)[0]

    def _bodies(
        self, adverts: list[_Advert], peer: PeerName | None
    ) -> tuple[tuple[bytes, ...], frozenset[str]]:
        """Return the messages as ``peer`` (None: anybody not among the sources) must see them."""
        items: list[bytes] = []
        retracts: list[bytes] = []
        sources: set[str] = set()
        for advert in adverts:
            sources.update((advert.own, advert.hidden))
            if advert.best and advert.own != peer:
                items.append(self._item(advert))
            elif peer is None or advert.hidden != peer:
                retracts.append(encode_retract(advert.key))
        messages = [self._message(part) for part in (*_cut(retracts), *_cut(items))]
        return tuple(messages), frozenset(sources - {""})

    def _item(self, advert: _Advert) -> bytes:
        if not advert.item:
            if len(self._cached) >= ITEM_CACHE_COUNT_MAX:
                for cached in self._cached:
                    cached.item = b""
                self._cached = []
            advert.item = encode_item(offer(advert.best, self._network)).encode()
            self._cached.append(advert)
            self.counters.items_encoded += 1
        return advert.item

    def _message(self, parts: list[bytes]) -> bytes:
        self.counters.messages_encoded += 1
        return encode_items(self.rib.family, self.rib.instance, parts)

    def _changed(self, key: RouteKey, best: tuple[Path, ...]) -> None:
        own = only_source(best, self.rib.instance)
        advert = self._adverts.get(key)
        if advert is None:
            if not best:
                # It went before the group had taken it in.
                return
            advert = self._adverts[key] = _Advert(key, best, own, own)
        else:
            advert.best, advert.own, advert.item = best, own, b""
            if best and advert.hidden != own:
                advert.hidden = ""
        log = self._log
        if not log.has_members:
            advert.hidden = own
            if not best:
                del self._adverts[key]
            return
        log.record((advert,))
        self._batches.clear()
        self._notify(self)

    def _forget(self, read: list[_Advert]) -> None:
        """Everybody knows that these are gone."""
        for advert in read:
            if not advert.best and self._adverts.get(advert.key) is advert:
                del self._adverts[advert.key]
        self._batches.clear()


def _cut(parts: list[bytes]) -> list[list[bytes]]:
    """Split what one message would hold where it would grow too large; normally not at all."""
    if sum(map(len, parts)) <= MESSAGE_BYTES_MAX:
        return [parts] if parts else []
    cut: list[list[bytes]] = [[]]
    size = 0
    for part in parts:
        if cut[-1] and size + len(part) > MESSAGE_BYTES_MAX:
            cut.append([])
            size = 0
        cut[-1].append(part)
        size += len(part)
    return cut
