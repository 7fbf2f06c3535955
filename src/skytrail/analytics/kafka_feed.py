"""What waits to be told to Kafka: bounded, and what finds no room is counted. Pure.

```
 collector, watchman --> alarms    one after the other, the oldest go first
                     --> places    of UVEs that changed: told as they are when it is their turn, so many changes are one
                     --> sessions  in their packed form, the oldest go first            take() --> messages
```
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from typing import Final

from skytrail.analytics.alarms import Transition
from skytrail.analytics.collector import Collector
from skytrail.analytics.kafka_messages import (
    Message,
    SessionRows,
    UvePlace,
    alarm_message,
    session_rows,
    uve_message,
)
from skytrail.analytics.kafka_settings import ALARMS, SESSIONS, STREAMS, UVES, KafkaSettings
from skytrail.analytics.sessions import NO_NAMES
from skytrail.wire.telemetry import Sessions, Texts

ALARMS_COUNT_MAX: Final = 10_000
PLACES_COUNT_MAX: Final = 200_000
SESSIONS_COUNT_MAX: Final = 200_000
NO_ROOM: Final = "no_room"


class KafkaFeed:
    """Follows a collector and its alarms; ``node`` is who tells."""

    def __init__(self, settings: KafkaSettings, node: str, collector: Collector) -> None:
        self.settings = settings
        self._node = node
        self._collector = collector
        self._alarms: deque[Message] = deque()
        self._places: OrderedDict[UvePlace, None] = OrderedDict()
        """Taken from the front: a plain dict would look over all that were taken before, each time."""
        self._everything: Iterator[UvePlace] = iter(())
        """Of a round through all that holds, which places are still to be told."""
        self._is_behind = False
        """A place that still holds found no room: once the others are told, everything is told again."""
        self._packed: deque[SessionRows] = deque()
        self._rows: Iterator[Message] = iter(())
        """Of the first packed sessions, those that are still to be told."""
        self._sessions_count = 0
        self.lost: Counter[tuple[str, str]] = Counter()
        """By stream and reason."""
        self.rounds_count = 0
        """How often everything was told again."""

    def waiting(self) -> dict[str, int]:
        """Return how much waits, by stream; of a round through everything nothing is counted."""
        counts = {
            UVES: len(self._places),
            ALARMS: len(self._alarms),
            SESSIONS: self._sessions_count,
        }
        return {name: counts[name] for name in STREAMS if name in self.settings.streams}

    def uve(self, place: UvePlace) -> None:
        """Have it told what a generator says there now, or that it says nothing any more."""
        if UVES not in self.settings.streams:
            return
        self._places.setdefault(place)
        if len(self._places) > PLACES_COUNT_MAX:
            oldest, _ = self._places.popitem(last=False)
            if self._collector.uves.said(*oldest) is None:
                self.lost[UVES, NO_ROOM] += 1
            else:
                self._is_behind = True

    def alarm(self, transition: Transition, now_us: int) -> None:
        """Have a change of an alarm told."""
        if ALARMS in self.settings.streams:
            if len(self._alarms) >= ALARMS_COUNT_MAX:
                self._alarms.popleft()
                self.lost[ALARMS, NO_ROOM] += 1
            self._alarms.append(alarm_message(self.settings, self._node, transition, now_us))

    def sessions(
        self, message: Sessions, source: str, named: Mapping[str, Texts] = NO_NAMES
    ) -> None:
        """Have sessions told that were checked; ``named`` are columns of tags that have their names."""
        if SESSIONS not in self.settings.streams:
            return
        self._packed.append(session_rows(message, source, self._collector.tags, named))
        self._sessions_count += message.count
        while self._sessions_count > SESSIONS_COUNT_MAX and len(self._packed) > 1:
            gone = self._packed.popleft().count
            self._sessions_count -= gone
            self.lost[SESSIONS, NO_ROOM] += gone

    def take(self, stream: str, count: int, now_us: int) -> list[Message]:
        """Remove and return up to so many messages of a stream, in the order in which they are to be told."""
        taken: list[Message] = []
        if stream == ALARMS:
            while self._alarms and len(taken) < count:
                taken.append(self._alarms.popleft())
        elif stream == UVES:
            while len(taken) < count and (place := self._next_place()) is not None:
                fields = self._collector.uves.said(*place)
                taken.append(uve_message(self.settings, self._node, place, fields, now_us))
        else:
            while len(taken) < count and (row := self._next_row()) is not None:
                taken.append(row)
        return taken

    def _next_place(self) -> UvePlace | None:
        if self._places:
            return self._places.popitem(last=False)[0]
        place = next(self._everything, None)
        if place is None and self._is_behind:
            self._is_behind = False
            self.rounds_count += 1
            self._everything = self._all_places()
            place = next(self._everything, None)
        return place

    def _all_places(self) -> Iterator[UvePlace]:
        uves = self._collector.uves
        for table in uves.tables():
            for key, entity in uves.entities(table):
                places = [(struct, name) for struct, said in entity.items() for name in said]
                for struct, generator in places:
                    yield table, key, struct, generator

    def _next_row(self) -> Message | None:
        row = next(self._rows, None)
        if row is None and self._packed:
            self._rows = self._packed.popleft().messages(self.settings)
            row = next(self._rows, None)
        if row is not None:
            self._sessions_count -= 1
        return row
