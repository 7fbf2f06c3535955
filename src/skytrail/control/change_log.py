"""Which destinations changed, read by many receivers at their own pace.

```
 changes --> log of changed destinations (each counts once, at its latest place)
                ^ cursor of receiver A        ^ cursor of receiver B ...
 a joining receiver first walks a list of all destinations (bulk), then follows the log
```
The log holds destinations, not routes: whoever reads it sends the route as it is *now*, so a slow
receiver gets one message for many changes and the log never exceeds about twice the number of
destinations. Nothing is queued per receiver beyond its cursor.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

COMPACT_SLACK = 1024


class Destination(Protocol):
    """What a log holds; ``place`` belongs to the log and starts at -1."""

    place: int


D = TypeVar("D", bound=Destination)


@dataclass(slots=True)
class _Cursor(Generic[D]):
    position: int
    bulk: list[D] = field(default_factory=list[D])
    bulk_index: int = 0
    is_idle: bool = False


class ChangeLog(Generic[D]):
    """Cursors of receivers over changed destinations.

    ``on_read(destinations)`` is called with what the log held when everybody has read all of it.
    """

    def __init__(self, on_read: Callable[[list[D]], None]) -> None:
        self.compactions = 0
        self._on_read = on_read
        self._cursors: dict[str, _Cursor[D]] = {}
        self._busy: dict[str, None] = {}
        self._base = 0
        self._changed: list[D] = []
        self._live_count = 0
        """Entries that are not superseded."""

    @property
    def members(self) -> list[str]:
        return list(self._cursors)

    @property
    def has_members(self) -> bool:
        return bool(self._cursors)

    def __len__(self) -> int:
        return len(self._changed)

    @property
    def end(self) -> int:
        return self._base + len(self._changed)

    def join(self, member: str, everything: list[D]) -> None:
        """Add a receiver that begins with ``everything``. Joining again starts anew."""
        self.leave(member)
        self._cursors[member] = _Cursor(self.end, everything)
        self._busy[member] = None

    def leave(self, member: str) -> None:
        self._cursors.pop(member, None)
        self._busy.pop(member, None)
        self._trim()

    def append_bulk(self, member: str, more: list[D]) -> None:
        """Let one receiver look at these destinations again, whether or not they changed."""
        cursor = self._cursors.get(member)
        if cursor is not None and more:
            cursor.bulk = cursor.bulk[cursor.bulk_index :] + more
            cursor.bulk_index = 0
            cursor.is_idle = False
            self._busy[member] = None

    def record(self, destinations: Iterable[D]) -> None:
        """Destinations changed; without receivers nothing is remembered."""
        if not self._cursors:
            return
        changed, base = self._changed, self._base
        place = base + len(changed)
        for destination in destinations:
            if destination.place < base:
                self._live_count += 1
            destination.place = place
            changed.append(destination)
            place += 1
        if len(changed) > 2 * self._live_count + COMPACT_SLACK:
            self._compact()

    def unread(self, member: str) -> list[D]:
        """Return what the receiver has not looked at yet in its present form."""
        cursor = self._cursors[member]
        return [
            *cursor.bulk[cursor.bulk_index :],
            *self.window(cursor.position, self.end - cursor.position)[0],
        ]

    def take_woken(self) -> list[str]:
        """Return the receivers that were up to date and now have something to read."""
        if not self._changed:
            return []
        woken = [member for member, cursor in self._cursors.items() if cursor.is_idle]
        for member in woken:
            self._cursors[member].is_idle = False
            self._busy[member] = None
        return woken

    def has_work(self, member: str) -> bool:
        """Tell whether the receiver must read on to be up to date."""
        cursor = self._cursors.get(member)
        return cursor is not None and (
            cursor.bulk_index < len(cursor.bulk) or cursor.position < self.end
        )

    def take_bulk(self, member: str, count: int) -> list[D]:
        """Return the receiver's next destinations that it must see whatever changed."""
        cursor = self._cursors[member]
        start = cursor.bulk_index
        cursor.bulk_index = min(start + count, len(cursor.bulk))
        taken = cursor.bulk[start : cursor.bulk_index]
        if cursor.bulk_index >= len(cursor.bulk):
            cursor.bulk, cursor.bulk_index = [], 0
        return taken

    def position(self, member: str) -> int:
        return self._cursors[member].position

    def window(self, start: int, count: int) -> tuple[list[D], int]:
        """Return up to ``count`` changed destinations from a position, and where they end."""
        changed: list[D] = []
        place, end = start, self.end
        while place < end and len(changed) < count:
            destination = self._changed[place - self._base]
            if destination.place == place:
                changed.append(destination)
            place += 1
        return changed, place

    def advance(self, member: str, position: int) -> None:
        self._cursors[member].position = position

    def settle(self, member: str) -> None:
        """To be called after a receiver has read."""
        if not self.has_work(member):
            self._cursors[member].is_idle = True
            self._busy.pop(member, None)
            self._trim()

    def _trim(self) -> None:
        """Forget the log once everybody has read it."""
        end = self.end
        if not self._changed or self._busy:
            return
        if any(cursor.position < end for cursor in self._cursors.values()):
            return
        read, self._changed = self._changed, []
        self._base, self._live_count = end, 0
        self._on_read(read)

    def _compact(self) -> None:
        """Drop superseded entries, keeping every cursor before the same destinations."""
        old, base = self._changed, self._base
        kept = [
            base + index
            for index, destination in enumerate(old)
            if destination.place == base + index
        ]
        for cursor in self._cursors.values():
            cursor.position = base + bisect_left(kept, cursor.position)
        self._changed = [old[place - base] for place in kept]
        self._live_count = len(kept)
        for index, destination in enumerate(self._changed):
            destination.place = base + index
        self.compactions += 1
