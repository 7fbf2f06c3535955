"""The UVE streams' events: rendered once for all followers who ask for the same.

Followers who keep up stand at the same position, so that what follows it is the same bytes for all who
have the same filter. News that were rendered a while ago are as good as new ones: what changed since has
a later position, and is told next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from skytrail.analytics import uve_json
from skytrail.analytics.uve import UveTables
from skytrail.analytics.uve_filter import ALARMS, UveFilter
from skytrail.analytics.uve_stream import Place, UveChanges
from skytrail.runtime.asgi import encode_json

NEWS_BYTES: Final = 256 * 1024
"""Rendered in one go; what is beyond is told with the next."""
LOOKED_AT_MAX: Final = 5000
"""Changed structs looked at in one go, wanted or not."""
NEWS_KEPT_BYTES: Final = 16 << 20
EVENTS_KEPT_BYTES: Final = 32 << 20
_ENTRY_BYTES: Final = 256
"""What an entry takes beside its own bytes, about."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a follower wants to hear of."""

    chosen: UveFilter
    tables: frozenset[str] = frozenset()
    """Empty: all."""
    with_alarms: bool = False
    """Of entities of the other tables, what alarms stand."""

    def has_some(self, table: str) -> bool:
        return not self.tables or table in self.tables or self.with_alarms

    def has(self, place: Place) -> bool:
        table, key, struct = place
        if not self.chosen.has_key(key):
            return False
        if self.tables and table not in self.tables:
            return self.with_alarms and struct == ALARMS
        return not self.chosen.parts or any(name == struct for name, _ in self.chosen.parts)


@dataclass(frozen=True, slots=True)
class News:
    """Events, and where their reader stands now."""

    events: bytes
    position: int


class _Kept(Generic[K, V]):
    """What was rendered lately, the longest unused given up first."""

    def __init__(self, bytes_max: int) -> None:
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes_max = bytes_max
        self._bytes = 0

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def keep(self, key: K, value: V, size: int) -> None:
        _, former = self._entries.pop(key, (None, 0))
        self._entries[key] = value, size + _ENTRY_BYTES
        self._bytes += size + _ENTRY_BYTES - former
        while self._bytes > self._bytes_max:
            _, (_, given_up) = self._entries.popitem(last=False)
            self._bytes -= given_up


class FanOut:
    """Renders what there is and what changes."""

    def __init__(self, uves: UveTables, changes: UveChanges) -> None:
        self._uves = uves
        self._changes = changes
        self._news = _Kept[tuple[Asked, int], News](NEWS_KEPT_BYTES)
        self._events = _Kept[tuple[UveFilter, Place], tuple[int, bytes]](EVENTS_KEPT_BYTES)
        """By what a filter shows, whatever keys it chooses; with where the place stood then."""
        self.rendered_count = 0
        """Events that were rendered, for however many followers."""

    @property
    def position(self) -> int:
        """Where who was told everything stands."""
        return self._changes.position

    def everything(self, asked: Asked) -> Iterator[bytes]:
        """Yield an event for each struct there is; what goes meanwhile is left out."""
        shape = replace(asked.chosen, keys=())
        for table in self._uves.tables():
            if not asked.has_some(table):
                continue
            for key, entity in self._uves.entities(table):
                for struct in list(entity):
                    if asked.has((table, key, struct)):
                        yield self._event(shape, (table, key, struct))

    def news(self, asked: Asked, position: int) -> News | None:
        """Return some of what follows a position, the same position when nothing does; None: start over."""
        found = self._changes.since(position)
        if found is None:
            return None
        if kept := self._news.get((asked, position)):
            return kept
        shape = replace(asked.chosen, keys=())
        events, size, reached = list[bytes](), 0, position
        for looked_at, (place, at) in enumerate(found):
            if looked_at >= LOOKED_AT_MAX or size >= NEWS_BYTES:
                break
            reached = at
            if asked.has(place):
                events.append(self._event(shape, place))
                size += len(events[-1])
        told = News(b"".join(events), reached)
        if reached != position:
            self._news.keep((asked, position), told, len(told.events))
        return told

    def _event(self, shape: UveFilter, place: Place) -> bytes:
        at = self._changes.position_of(place)
        if not at:
            # Nobody could tell whether it changed since.
            return self._rendered(shape, place)
        kept = self._events.get((shape, place))
        if kept is not None and kept[0] == at:
            return kept[1]
        rendered = self._rendered(shape, place)
        self._events.keep((shape, place), (at, rendered), len(rendered))
        return rendered

    def _rendered(self, shape: UveFilter, place: Place) -> bytes:
        self.rendered_count += 1
        table, key, struct = place
        name, entity = f"{table}:{key}", self._uves.get(table, key)
        if entity is None:
            return event("update", {"key": name, "type": None, "value": None})
        part = {struct: entity[struct]} if struct in entity else {}
        shown = uve_json.flat(shape.part_of(part))
        return event("update", {"key": name, "type": struct, "value": shown.get(struct)})


def event(name: str, value: object) -> bytes:
    """Return one server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode_json(value))
