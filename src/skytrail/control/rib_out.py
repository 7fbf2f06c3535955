"""What is sent to whom: one update group per table, encoded once, with a cursor per peer.

```
 table changes --> log of changed destinations (each counts once, at its latest place)
                      ^ cursor of peer A        ^ cursor of peer B ...
 a joining peer first walks a list of all destinations (bulk), then follows the log
```
The log holds destinations, not routes: whoever reads it sends the route as it is *now*, so a slow
peer gets one message for many changes and the log never exceeds about twice the number of
destinations. Items are encoded once for all peers and whole messages are shared by peers that
stand at the same place. Nothing is queued per peer beyond its cursor.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

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
_COMPACT_SLACK = 1024


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
class _Cursor:
    position: int
    bulk: list[_Advert]
    bulk_index: int = 0
    is_idle: bool = False


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
    compactions: int = 0


@dataclass(slots=True)
class _Log:
    base: int = 0
    adverts: list[_Advert] = field(default_factory=list[_Advert])
    live_count: int = 0
    """Entries that are not superseded."""

    @property
    def end(self) -> int:
        return self.base + len(self.adverts)


class UpdateGroup:
    """The receivers of one table. ``notify`` is called when a change may concern a member."""

    def __init__(self, rib: Rib, notify: Callable[[UpdateGroup], None]) -> None:
        self.rib = rib
        self.counters = GroupCounters()
        self._notify = notify
        self._cursors: dict[PeerName, _Cursor] = {}
        self._busy: dict[PeerName, None] = {}
        self._log = _Log()
        self._batches: dict[int, _Batch] = {}
        self._cached_count = 0
        self._adverts: dict[RouteKey, _Advert] = {}
        for key, entry in rib.entries.items():
            if entry.best:
                own = only_source(entry.best, rib.instance)
                self._adverts[key] = _Advert(key, entry.best, own, own)
        rib.on_change = self._changed

    @property
    def members(self) -> list[PeerName]:
        return list(self._cursors)

    @property
    def log_length(self) -> int:
        return len(self._log.adverts)

    def join(self, peer: PeerName) -> None:
        """Add a receiver; it gets the whole table. Joining again starts anew."""
        self.leave(peer)
        self._cursors[peer] = _Cursor(self._log.end, list(self._adverts.values()))
        self._busy[peer] = None

    def leave(self, peer: PeerName) -> None:
        self._cursors.pop(peer, None)
        self._busy.pop(peer, None)
        self._trim()

    def take_woken(self) -> list[PeerName]:
        """Return the members that were up to date and now have something to receive."""
        if not self._log.adverts:
            return []
        woken = [peer for peer, cursor in self._cursors.items() if cursor.is_idle]
        for peer in woken:
            self._cursors[peer].is_idle = False
            self._busy[peer] = None
        return woken

    def has_work(self, peer: PeerName) -> bool:
        """Tell whether the member must :meth:`pull` again to be up to date."""
        cursor = self._cursors.get(peer)
        return cursor is not None and (
            cursor.bulk_index < len(cursor.bulk) or cursor.position < self._log.end
        )

    def pull(self, peer: PeerName) -> tuple[bytes, ...]:
        """Return the next event bodies for a member and advance its cursor.

        The result may be empty although more follows, when nothing in the batch concerns it.
        """
        cursor = self._cursors[peer]
        bodies: tuple[bytes, ...] = ()
        if cursor.bulk_index < len(cursor.bulk):
            bodies = self._pull_bulk(peer, cursor)
        elif cursor.position < self._log.end:
            bodies = self._pull_log(peer, cursor)
        self.counters.messages_sent += len(bodies)
        if not self.has_work(peer):
            cursor.is_idle = True
            self._busy.pop(peer, None)
            self._trim()
        return bodies

    def _pull_bulk(self, peer: PeerName, cursor: _Cursor) -> tuple[bytes, ...]:
        items: list[bytes] = []
        bulk = cursor.bulk
        while cursor.bulk_index < len(bulk) and len(items) < ITEMS_COUNT_MAX:
            advert = bulk[cursor.bulk_index]
            cursor.bulk_index += 1
            if advert.best and advert.own != peer:
                items.append(self._item(advert))
        if cursor.bulk_index >= len(bulk):
            cursor.bulk, cursor.bulk_index = [], 0
        return tuple([self._message(part) for part in _cut(items)])

    def _pull_log(self, peer: PeerName, cursor: _Cursor) -> tuple[bytes, ...]:
        start = cursor.position
        batch = self._batches.get(start)
        if batch is None:
            adverts, end = self._window(start)
            bodies, sources = self._bodies(adverts, None)
            batch = self._batches[start] = _Batch(end, bodies, sources)
        cursor.position = batch.end
        if peer not in batch.sources:
            return batch.shared
        return self._bodies(self._window(start)[0], peer)[0]

    def _window(self, start: int) -> tuple[list[_Advert], int]:
        log = self._log
        adverts: list[_Advert] = []
        place, end = start, log.end
        while place < end and len(adverts) < ITEMS_COUNT_MAX:
            advert = log.adverts[place - log.base]
            if advert.place == place:
                adverts.append(advert)
            place += 1
        return adverts, place

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
            if self._cached_count >= ITEM_CACHE_COUNT_MAX:
                for cached in self._adverts.values():
                    cached.item = b""
                self._cached_count = 0
            advert.item = encode_item(offer(advert.best)).encode()
            self._cached_count += 1
            self.counters.items_encoded += 1
        return advert.item

    def _message(self, parts: list[bytes]) -> bytes:
        self.counters.messages_encoded += 1
        return encode_items(self.rib.family, self.rib.instance, parts)

    def _changed(self, key: RouteKey, best: tuple[Path, ...]) -> None:
        own = only_source(best, self.rib.instance)
        advert = self._adverts.get(key)
        if advert is None:
            advert = self._adverts[key] = _Advert(key, best, own, own)
        else:
            advert.best, advert.own, advert.item = best, own, b""
            if best and advert.hidden != own:
                advert.hidden = ""
        if not self._cursors:
            advert.hidden = own
            if not best:
                del self._adverts[key]
            return
        log = self._log
        if advert.place < log.base:
            log.live_count += 1
        advert.place = log.end
        log.adverts.append(advert)
        self._batches.clear()
        self._notify(self)
        if len(log.adverts) > 2 * log.live_count + _COMPACT_SLACK:
            self._compact()

    def _trim(self) -> None:
        """Forget the log once everybody has read it."""
        log = self._log
        if log.adverts and not self._busy and not self._unread():
            for advert in log.adverts:
                if not advert.best:
                    self._adverts.pop(advert.key, None)
            self._log = _Log(base=log.end)
            self._batches.clear()

    def _unread(self) -> bool:
        end = self._log.end
        return any(cursor.position < end for cursor in self._cursors.values())

    def _compact(self) -> None:
        """Drop superseded entries, keeping every cursor before the same destinations."""
        old = self._log
        kept = [
            old.base + index
            for index, advert in enumerate(old.adverts)
            if advert.place == old.base + index
        ]
        for cursor in self._cursors.values():
            cursor.position = old.base + bisect_left(kept, cursor.position)
        self._log = _Log(old.base, [old.adverts[place - old.base] for place in kept], len(kept))
        for index, advert in enumerate(self._log.adverts):
            advert.place = old.base + index
        self._batches.clear()
        self.counters.compactions += 1


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
