"""Numbers of messages of generators that speak Sandesh: which did not arrive. Pure.

```
 each kind of message of a generator is numbered by itself:    4 5 6 . . 9    two are missing, between 6's time and 9's
 what comes late, within a second, is not missing:             4 5 7 6 8
 UVEs are repeated after a lost connection (hint SYNC), those newer than a number we answer: the last before what is missing
```
A generator numbers what it sends, and what it has no room for or nobody to send to. What it leaves out by its severity has no number.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from skytrail.wire.sandesh import Hint, SandeshMessage, SandeshType, Struct
from skytrail.wire.telemetry import Lost

NAMES_COUNT_MAX: Final = 256
"""Of one generator; of others it has nothing is known to be missing."""
NAMES_OF_ALL_COUNT_MAX: Final = 100_000
"""Of names, and of generators: those that connected longest ago are forgotten first."""
NAME_CHARACTERS_MAX: Final = 128
LATE_COUNT_MAX: Final = 64
"""A number so far behind the newest comes late, or twice; one further behind is of a process that started anew."""
REASON: Final = "sequence_gap"
_UVE: Final = "uve"
_KINDS: Final[Mapping[SandeshType, str]] = MappingProxyType(
    {
        SandeshType.UVE: _UVE,
        SandeshType.ALARM: _UVE,
        SandeshType.SESSION: "session",
        SandeshType.FLOW: "session",
        SandeshType.SYSTEM: "log",
        SandeshType.OBJECT: "log",
        SandeshType.SYSLOG: "log",
    }
)
"""Traces are left out: they are sent when somebody asks, with the numbers of their buffer."""
_MASK: Final = (1 << 32) - 1
_HALF: Final = 1 << 31


@dataclass(slots=True)
class _Numbers:
    """Of one kind of message of a generator."""

    kind: str
    newest: int
    """0: not known."""
    heard_us: int
    first_missing: int = 0
    missing_count: int = 0
    """Of these a second may not be over yet."""
    since_us: int = 0
    until_us: int = 0
    opened: int = 0
    """The turn in which the first of these was missed."""
    whole: int = 0
    """The last number before what is missing, and was not repeated since; 0: nothing is."""
    is_repeating: bool = False


@dataclass(slots=True)
class _Speaker:
    pid: int
    by_name: dict[str, _Numbers] = field(default_factory=dict[str, _Numbers])


class Sequences:
    """The numbers of all generators. Times are microseconds since 1970."""

    def __init__(self) -> None:
        self._speakers: OrderedDict[str, _Speaker] = OrderedDict()
        self._open: dict[tuple[str, str], _Numbers] = {}
        self._told: list[tuple[str, Lost]] = []
        self._names_count = 0
        self._turn = 0
        self.missing: Counter[str] = Counter()
        """Messages that did not arrive, by kind."""

    def __len__(self) -> int:
        return self._names_count

    def session_up(self, generator: str, pid: int, newest: Mapping[str, int]) -> Mapping[str, int]:
        """Note a connection; returns the numbers of UVEs to be repeated from, at most ``newest``, by name."""
        speaker = self._speakers.get(generator)
        if speaker is not None and (speaker.pid != pid or not pid):
            self._forget(generator)
            speaker = None
        if speaker is None:
            self._speakers[generator] = _Speaker(pid)
            self._make_room()
            return newest
        self._speakers.move_to_end(generator)
        found = dict(newest)
        for name, numbers in speaker.by_name.items():
            if numbers.kind == _UVE:
                # What was lost with the connection is repeated as it is now.
                numbers.newest, numbers.is_repeating = 0, False
                if name in found and numbers.whole:
                    found[name] = min(found[name], numbers.whole)
        return found

    def note(self, generator: str, message: SandeshMessage, wall_us: int) -> None:
        """Note a message that came from a connected generator at that time."""
        speaker = self._speakers.get(generator)
        number = message.header.sequence & _MASK
        kind = _KINDS.get(message.header.type)
        if speaker is None or kind is None or not number:
            return
        name = _name(message, kind)
        numbers = speaker.by_name.get(name)
        if numbers is None or not numbers.newest:
            self._begin(speaker, name, kind, number, wall_us)
            numbers = speaker.by_name.get(name)
            if numbers is None:
                return
        if message.header.hints & Hint.SYNC:
            numbers.is_repeating = True
            if (number - numbers.newest) & _MASK < _HALF:
                numbers.newest = number
        else:
            if numbers.is_repeating:
                numbers.whole, numbers.is_repeating = 0, False
            self._new((generator, name), numbers, number, wall_us)
        numbers.heard_us = wall_us

    def tick(self) -> Iterator[tuple[str, Lost]]:
        """Yield what is missing for a second, by generator; call about every second."""
        self._turn += 1
        for place, numbers in list(self._open.items()):
            if numbers.opened < self._turn - 1:
                self._close(place, numbers)
        told, self._told = self._told, []
        yield from told

    def _begin(self, speaker: _Speaker, name: str, kind: str, number: int, wall_us: int) -> None:
        """Take the first number of a name that is known, if there is room for it."""
        numbers = speaker.by_name.get(name)
        if numbers is not None:
            numbers.newest, numbers.heard_us = number, wall_us
        elif len(speaker.by_name) < NAMES_COUNT_MAX and len(name) <= NAME_CHARACTERS_MAX:
            speaker.by_name[name] = _Numbers(kind, number, wall_us)
            self._names_count += 1
            self._make_room()

    def _new(self, place: tuple[str, str], numbers: _Numbers, number: int, wall_us: int) -> None:
        """Act on the number of a message that is told for the first time."""
        ahead = (number - numbers.newest) & _MASK
        if ahead >= _HALF:
            self._behind(place, numbers, number, _MASK + 1 - ahead)
            return
        if ahead > 1:
            self._miss(place, numbers, ahead - 1, wall_us)
        numbers.newest = number

    def _miss(self, place: tuple[str, str], numbers: _Numbers, count: int, wall_us: int) -> None:
        if place not in self._open:
            self._open[place] = numbers
            numbers.first_missing = (numbers.newest + 1) & _MASK
            numbers.since_us, numbers.opened = numbers.heard_us, self._turn
            numbers.whole = numbers.whole or numbers.newest
        numbers.missing_count += count
        numbers.until_us = max(wall_us, numbers.since_us)

    def _behind(
        self, place: tuple[str, str], numbers: _Numbers, number: int, distance: int
    ) -> None:
        """Act on a number that is less than the newest, by that distance."""
        is_late = place in self._open and (number - numbers.first_missing) & _MASK < _HALF
        if is_late:
            numbers.missing_count -= 1
            if not numbers.missing_count:
                del self._open[place]
                if numbers.whole == (numbers.first_missing - 1) & _MASK:
                    numbers.whole = 0
        elif distance > LATE_COUNT_MAX:
            numbers.newest = number

    def _close(self, place: tuple[str, str], numbers: _Numbers) -> None:
        """Tell what is missing; it does not come any more."""
        del self._open[place]
        count, numbers.missing_count = numbers.missing_count, 0
        self.missing[numbers.kind] += count
        lost = Lost(
            kind=numbers.kind, count=count, reason=REASON,
            since_us=numbers.since_us, until_us=numbers.until_us,
        )  # fmt: skip
        self._told.append((place[0], lost))

    def _make_room(self) -> None:
        while max(self._names_count, len(self._speakers)) > NAMES_OF_ALL_COUNT_MAX:
            self._forget(next(iter(self._speakers)))

    def _forget(self, generator: str) -> None:
        speaker = self._speakers.pop(generator)
        self._names_count -= len(speaker.by_name)
        for name, numbers in speaker.by_name.items():
            if (generator, name) in self._open:
                self._close((generator, name), numbers)


def _name(message: SandeshMessage, kind: str) -> str:
    """Return what is numbered: UVEs by their struct, as they are repeated by it."""
    if kind == _UVE:
        for each in message.fields.values():
            if isinstance(each.value, Struct):
                return each.value.name
    return message.name
