"""What is sent to whom: one update group per table, encoded once, with a cursor per peer.

```
 table changes --> log of changed keys (each key at most once, at its latest place)
                      ^ cursor of peer A        ^ cursor of peer B ...
 a joining peer first walks a list of all keys (bulk), then follows the log
```
The log holds keys, not routes: whoever reads it sends the route as it is *now*, so a slow peer
gets one message for many changes of a key and the log never exceeds about twice the number of
keys. Items are encoded once for all peers and whole messages are shared by peers that stand at
the same place. Nothing is queued per peer beyond its cursor.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from skytrail.control.path import PeerName
from skytrail.control.rib import Rib, offer, only_source
from skytrail.wire.xmpp import RouteKey
from skytrail.wire.xmpp.codec import (
    ITEMS_COUNT_MAX,
    encode_items,
    encode_retract,
)
from skytrail.wire.xmpp.route_codec import encode_item

ITEM_CACHE_COUNT_MAX = 20_000
_COMPACT_SLACK = 1024


@dataclass(slots=True)
class _Cursor:
    position: int
    bulk: list[RouteKey]
    bulk_index: int = 0
    is_idle: bool = False


@dataclass(slots=True)
class _Batch:
    """Up to 32 keys of the log in sendable form, ending before ``end``."""

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
    keys: list[RouteKey | None] = field(default_factory=list["RouteKey | None"])
    places: dict[RouteKey, int] = field(default_factory=dict[RouteKey, int])

    @property
    def end(self) -> int:
        return self.base + len(self.keys)


class UpdateGroup:
    """The receivers of one table. ``notify`` is called when a change may concern a member."""

    def __init__(self, rib: Rib, notify: Callable[[UpdateGroup], None]) -> None:
        self.rib = rib
        self._notify = notify
        self.counters = GroupCounters()
        self._cursors: dict[PeerName, _Cursor] = {}
        self._busy: dict[PeerName, None] = {}
        self._log = _Log()
        self._items: dict[RouteKey, bytes] = {}
        self._batches: dict[int, _Batch] = {}
        # The peer a key was never shown to, because all its paths were always that peer's own.
        # Empty text: everybody has seen it.
        self._hidden_from: dict[RouteKey, str] = {
            key: only_source(entry.best, rib.instance)
            for key, entry in rib.entries.items()
            if entry.best
        }
        rib.on_change = self._changed

    @property
    def members(self) -> list[PeerName]:
        return list(self._cursors)

    @property
    def log_length(self) -> int:
        return len(self._log.keys)

    def join(self, peer: PeerName) -> None:
        """Add a receiver; it gets the whole table. Joining again starts anew."""
        self.leave(peer)
        self._cursors[peer] = _Cursor(self._log.end, list(self.rib.entries))
        self._busy[peer] = None

    def leave(self, peer: PeerName) -> None:
        self._cursors.pop(peer, None)
        self._busy.pop(peer, None)
        self._trim()

    def take_woken(self) -> list[PeerName]:
        """Return the members that were up to date and now have something to receive."""
        if not self._log.keys:
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
            key = bulk[cursor.bulk_index]
            cursor.bulk_index += 1
            best = self.rib.best(key)
            if best and only_source(best, self.rib.instance) != peer:
                items.append(self._item(key))
        if cursor.bulk_index >= len(bulk):
            cursor.bulk, cursor.bulk_index = [], 0
        return (self._message(items),) if items else ()

    def _pull_log(self, peer: PeerName, cursor: _Cursor) -> tuple[bytes, ...]:
        start = cursor.position
        batch = self._batches.get(start)
        if batch is None:
            keys, end = self._window(start)
            bodies, sources = self._bodies(keys, None)
            batch = self._batches[start] = _Batch(end, bodies, sources)
        cursor.position = batch.end
        if peer not in batch.sources:
            return batch.shared
        return self._bodies(self._window(start)[0], peer)[0]

    def _window(self, start: int) -> tuple[list[RouteKey], int]:
        log = self._log
        keys: list[RouteKey] = []
        index = start - log.base
        while index < len(log.keys) and len(keys) < ITEMS_COUNT_MAX:
            key = log.keys[index]
            if key is not None:
                keys.append(key)
            index += 1
        return keys, log.base + index

    def _bodies(
        self, keys: list[RouteKey], peer: PeerName | None
    ) -> tuple[tuple[bytes, ...], frozenset[str]]:
        """Return the messages for ``keys`` as ``peer`` (None: anybody else) must see them."""
        items: list[bytes] = []
        retracts: list[bytes] = []
        sources: set[str] = set()
        for key in keys:
            best = self.rib.best(key)
            own, hidden = only_source(best, self.rib.instance), self._hidden_from.get(key, "")
            sources.update((own, hidden))
            if best and own != peer:
                items.append(self._item(key))
            elif peer is None or hidden != peer:
                retracts.append(encode_retract(key))
        messages = [self._message(part) for part in (retracts, items) if part]
        return tuple(messages), frozenset(sources - {""})

    def _item(self, key: RouteKey) -> bytes:
        item = self._items.get(key)
        if item is None:
            if len(self._items) >= ITEM_CACHE_COUNT_MAX:
                self._items.clear()
            item = self._items[key] = encode_item(offer(self.rib.best(key))).encode()
            self.counters.items_encoded += 1
        return item

    def _message(self, parts: list[bytes]) -> bytes:
        self.counters.messages_encoded += 1
        return encode_items(self.rib.family, self.rib.instance, parts)

    def _changed(self, key: RouteKey) -> None:
        self._items.pop(key, None)
        best = self.rib.best(key)
        if not self._cursors:
            if best:
                self._hidden_from[key] = only_source(best, self.rib.instance)
            else:
                self._hidden_from.pop(key, None)
            return
        if best:
            own = only_source(best, self.rib.instance)
            if self._hidden_from.setdefault(key, own) != own:
                self._hidden_from[key] = ""
        log = self._log
        place = log.places.get(key)
        if place is not None:
            log.keys[place - log.base] = None
        log.places[key] = log.end
        log.keys.append(key)
        self._batches.clear()
        self._notify(self)
        if len(log.keys) > 2 * len(log.places) + _COMPACT_SLACK:
            self._compact()

    def _trim(self) -> None:
        """Forget the log once everybody has read it."""
        if self._log.keys and not self._busy and not self._unread():
            for key in self._log.places:
                if not self.rib.best(key):
                    self._hidden_from.pop(key, None)
            self._log = _Log(base=self._log.end)
            self._batches.clear()

    def _unread(self) -> bool:
        end = self._log.end
        return any(cursor.position < end for cursor in self._cursors.values())

    def _compact(self) -> None:
        """Drop superseded places, keeping every cursor before the same keys."""
        old, self._log = self._log, _Log(base=self._log.base)
        kept = [index for index, key in enumerate(old.keys) if key is not None]
        for index in kept:
            key = old.keys[index]
            if key is not None:
                self._log.places[key] = self._log.end
                self._log.keys.append(key)
        for cursor in self._cursors.values():
            cursor.position = old.base + bisect_left(kept, cursor.position - old.base)
        self._batches.clear()
        self.counters.compactions += 1
