"""Which destinations changed, read by many receivers at their own pace.

```
 changes --> log of changed destinations (each counts once, at its latest place)
                ^ cursor of receiver A        ^ cursor of receiver B ...
 a joining receiver first walks a list of all destinations (bulk), then follows the log
```
The log holds destinations, not routes: whoever reads it sends the route as it is *now*, so a slow
receiver gets one message for many changes and the log never exceeds about twice the number of
destinations. Nothing is queued per receiver beyond its cursor. Places are numbers that only grow;
the log is kept in segments of ``SEGMENT_COUNT`` places, each of which forgets superseded entries by
itself, so that no call takes longer the longer the log is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

SEGMENT_BITS = 10
SEGMENT_COUNT = 1 << SEGMENT_BITS
_INDEX_MASK = SEGMENT_COUNT - 1
_READ_AT_ONCE = 4
"""Segments that everybody has read and that are forgotten in one go; the others one by one."""


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


@dataclass(slots=True, eq=False)
class _Segment(Generic[D]):
    """Destinations with places in one range, in order; superseded ones may still be among them."""

    entries: list[D] = field(default_factory=list[D])
    live_count: int = 0
    is_dense: bool = True
    """Nothing was taken out, so that a destination's index tells its place here."""

    def live(self, start: int, end: int) -> list[D]:
        """Return those that count and have places between two of this segment's."""
        if not self.is_dense:
            # Each is here once; those that count elsewhere do so in later segments.
            return [each for each in self.entries if start <= each.place < end]
        index = start & _INDEX_MASK
        part = self.entries[index : index + end - start]
        return [each for place, each in enumerate(part, start) if each.place == place]


class ChangeLog(Generic[D]):
    """Cursors of receivers over changed destinations.

    ``on_read(destinations)`` is called with parts of what the log held, some time after everybody
    has read it; what changed again since is not among them.
    """

    def __init__(
        self, on_read: Callable[[list[D]], None], weigh: Callable[[D], int] | None = None
    ) -> None:
        self.compactions = 0
        self._weigh = weigh
        """How many destinations one that is held stands for; None: each for itself."""
        self._on_read = on_read
        self._cursors: dict[str, _Cursor[D]] = {}
        self._busy: dict[str, None] = {}
        self._begin = 0
        """Everybody has read what is before."""
        self._end = 0
        self._segments: dict[int, _Segment[D]] = {}
        """By the places' upper bits, in ascending order; empty ones are not there."""
        self._read: deque[_Segment[D]] = deque()
        """Read by everybody, and ``on_read`` not called yet."""

    @property
    def members(self) -> list[str]:
        return list(self._cursors)

    @property
    def has_members(self) -> bool:
        return bool(self._cursors)

    def __len__(self) -> int:
        return sum(len(segment.entries) for segment in self._segments.values())

    @property
    def begin(self) -> int:
        """Everybody has read what has an earlier place."""
        return self._begin

    @property
    def end(self) -> int:
        return self._end

    def join(self, member: str, everything: list[D]) -> None:
        """Add a receiver that begins with ``everything``. Joining again starts anew."""
        self.leave(member)
        self._cursors[member] = _Cursor(self._end, everything)
        self._busy[member] = None

    def leave(self, member: str) -> None:
        self._cursors.pop(member, None)
        self._busy.pop(member, None)
        self._trim()

    def record(self, destinations: Iterable[D]) -> None:
        """Destinations changed; without receivers nothing is remembered."""
        if not self._cursors:
            return
        place, begin, segments = self._end, self._begin, self._segments
        number = place >> SEGMENT_BITS
        segment = segments.get(number)
        for destination in destinations:
            before = destination.place
            if before >= begin:
                self._supersede(before >> SEGMENT_BITS, number)
            if segment is None or place >> SEGMENT_BITS != number:
                number = place >> SEGMENT_BITS
                segment = segments[number] = _Segment[D]()
            destination.place = place
            segment.entries.append(destination)
            segment.live_count += 1
            place += 1
        self._end = place
        self._forget_some()

    def _supersede(self, number: int, last: int) -> None:
        """An entry of a segment counts no more, because its destination gets a later place."""
        segment = self._segments[number]
        segment.live_count -= 1
        if number == last or 2 * segment.live_count > len(segment.entries):
            # The last one is being written to.
            return
        self.compactions += 1
        if not segment.live_count:
            del self._segments[number]
            return
        first = number << SEGMENT_BITS
        segment.entries = segment.live(first, first + SEGMENT_COUNT)
        segment.is_dense = False

    def unread(self, member: str) -> list[D]:
        """Return what the receiver has not looked at yet in its present form, and some more.

        Only pointers are copied, a few milliseconds for a million.
        """
        cursor = self._cursors[member]
        rest = cursor.bulk[cursor.bulk_index :]
        for number, segment in self._segments.items():
            if number >= cursor.position >> SEGMENT_BITS:
                rest += segment.entries
        return rest

    def take_woken(self) -> list[str]:
        """Return the receivers that were up to date and now have something to read."""
        if self._begin == self._end:
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
            cursor.bulk_index < len(cursor.bulk) or cursor.position < self._end
        )

    def take_bulk(self, member: str, count: int) -> list[D]:
        """Return the receiver's next destinations that it must see whatever changed."""
        cursor = self._cursors[member]
        start = cursor.bulk_index
        taken = cursor.bulk[start : start + count]
        del taken[self._fitting(taken, count) :]
        cursor.bulk_index += len(taken)
        if cursor.bulk_index >= len(cursor.bulk):
            cursor.bulk, cursor.bulk_index = [], 0
        return taken

    def position(self, member: str) -> int:
        return self._cursors[member].position

    def window(self, start: int, count: int) -> tuple[list[D], int]:
        """Return up to ``count`` changed destinations from a position, and where they end."""
        changed: list[D] = []
        while start < self._end and len(changed) < count:
            number = start >> SEGMENT_BITS
            stop = (number + 1) << SEGMENT_BITS
            segment = self._segments.get(number)
            if segment is not None:
                if segment.is_dense:
                    stop = min(stop, start + count)
                changed += segment.live(start, stop)
            start = stop
        fitting = self._fitting(changed, count)
        if len(changed) > fitting:
            del changed[fitting:]
            start = changed[-1].place + 1
        return changed, min(start, self._end)

    def _fitting(self, destinations: list[D], count: int) -> int:
        """Return how many to take for ``count`` destinations; at least one, if there is any."""
        if self._weigh is None:
            return min(count, len(destinations))
        for number, weight in enumerate(map(self._weigh, destinations), 1):
            count -= weight
            if count <= 0:
                return number
        return len(destinations)

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
        if self._begin == self._end:
            self._forget_some()
            return
        if self._busy or any(cursor.position < self._end for cursor in self._cursors.values()):
            self._forget_some()
            return
        self._read.extend(self._segments.values())
        self._segments = {}
        # A segment of its own for what comes: the last one may be half written.
        self._begin = self._end = (self._end + _INDEX_MASK) & -SEGMENT_COUNT
        for cursor in self._cursors.values():
            cursor.position = self._end
        for _ in range(_READ_AT_ONCE):
            self._forget_some()

    def _forget_some(self) -> None:
        """Tell of one segment that was read."""
        if self._read:
            begin = self._begin
            read = self._read.popleft().entries
            self._on_read([each for each in read if each.place < begin])
