"""Rows on their way to the store: pieces in one of its formats, bundles of pieces, and what they settle. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Final

import msgspec

ROWS: Final = "JSONColumns"
COUNT_MAX: Final = 100_000
"""Of generators whose positions are known; who came first goes first."""


IsAside = Callable[[str, int, int], bool]
"""Tells of a generator, its run and the number of a message whether its rows are set aside."""


class Told(msgspec.Struct, frozen=True, array_like=True):
    """Which messages of a run of a generator some rows come from."""

    generator: str
    run: int
    numbers: list[int]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Some rows of a piece, encoded."""

    count: int
    content: bytes
    told: list[Told] = msgspec.field(default_factory=list)
    """Where another node may have them as well: of ``JSONColumns`` a number for each row in order, else one for all."""

    def divided(self, is_aside: IsAside) -> tuple[Part | None, Part | None]:
        """Return the rows that stay, and those that are set aside."""
        aside = [
            is_aside(each.generator, each.run, number)
            for each in self.told
            for number in each.numbers
        ]
        if not any(aside):
            return self, None
        if all(aside):
            return None, self
        columns = msgspec.json.decode(self.content, type=dict[str, list[object]])
        return self._of(columns, [not each for each in aside]), self._of(columns, aside)

    def _of(self, columns: dict[str, list[object]], chosen: Sequence[bool]) -> Part:
        places = iter(chosen)
        told = [
            Told(each.generator, each.run, [n for n in each.numbers if next(places)])
            for each in self.told
        ]
        rows = {name: list(compress(values, chosen)) for name, values in columns.items()}
        return rows_part(rows, sum(chosen), [each for each in told if each.numbers])


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one table, to be written together. The same ``token`` twice is stored once."""

    table: str
    format: str
    """ClickHouse's name of it; parts of ``JSONColumns`` are one, of others may be many."""
    token: str
    parts: list[Part]

    @property
    def count(self) -> int:
        return sum(each.count for each in self.parts)

    def body(self) -> bytes:
        return b"".join(each.content for each in self.parts)

    def divided(self, is_aside: IsAside) -> tuple[Piece | None, Piece | None]:
        """Return the rows that stay, under the same token, and those that are set aside, under one of their own."""
        both = [part.divided(is_aside) for part in self.parts]
        stay = [part for part, _ in both if part is not None]
        aside = [part for _, part in both if part is not None]
        return (
            Piece(self.table, self.format, self.token, stay) if stay else None,
            Piece(self.table, self.format, f"{self.token}a", aside) if aside else None,
        )

    def halves(self) -> Sequence[Piece]:
        """Return the same rows as two pieces; none when they cannot be divided."""
        if self.format == ROWS and self.count > 1:
            columns = msgspec.json.decode(self.body(), type=dict[str, list[object]])
            half = self.count // 2
            divided = [
                [rows_part({name: values[:half] for name, values in columns.items()}, half)],
                [
                    rows_part(
                        {name: values[half:] for name, values in columns.items()}, self.count - half
                    )
                ],
            ]
        elif len(self.parts) > 1:
            half = len(self.parts) // 2
            divided = [self.parts[:half], self.parts[half:]]
        else:
            return []
        return [
            Piece(self.table, self.format, f"{self.token}{number}", parts)
            for number, parts in enumerate(divided)
        ]


def rows_part(columns: dict[str, list[object]], count: int, told: Sequence[Told] = ()) -> Part:
    """Return columns of equal length as JSON."""
    return Part(count, msgspec.json.encode(columns), list(told))


class Range(msgspec.Struct, frozen=True, array_like=True):
    """Messages of a run of a generator, from the first number to the last."""

    generator: str
    run: int
    first: int
    last: int
    noted_us: int = 0
    """Since 1970; 0: it does not matter."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """How far a process was heard: its run, and the number of its last message."""

    run: int
    number: int


class Copied(msgspec.Struct, frozen=True, array_like=True):
    """What is known of other nodes' copies (:mod:`skytrail.analytics.copies`), as of a bundle."""

    confirmed: dict[str, Position]
    unsure: list[Range]
    kept: list[Range]


class Bundle(msgspec.Struct, frozen=True, array_like=True):
    """All rows of a moment. Once they are kept, everything up to ``positions`` is acknowledged."""

    pieces: list[Piece]
    positions: dict[str, Position]
    """By generator, of all that are known."""
    until_us: int
    """When it was made, since 1970."""
    copied: Copied | None = None
    is_judged: bool = False
    """What another node may have of it was set aside already."""

    def ranges(self) -> list[Range]:
        """Return which messages its rows come from that another node may have as well."""
        found: dict[tuple[str, int], tuple[int, int]] = {}
        for told in (told for piece in self.pieces for part in piece.parts for told in part.told):
            if told.generator:
                first, last = min(told.numbers), max(told.numbers)
                former = found.get((told.generator, told.run), (first, last))
                place = min(first, former[0]), max(last, former[1])
                found[told.generator, told.run] = place
        return [Range(*whose, *place) for whose, place in found.items()]

    def divided(self, is_aside: IsAside) -> tuple[Bundle, list[Piece]]:
        """Return the bundle without what is set aside, which counts as judged, and that."""
        both = [piece.divided(is_aside) for piece in self.pieces]
        stay = [piece for piece, _ in both if piece is not None]
        aside = [piece for _, piece in both if piece is not None]
        return msgspec.structs.replace(self, pieces=stay, is_judged=True), aside


class Heard:
    """How far each generator was heard, and of how much it was told that it is kept."""

    def __init__(self) -> None:
        self._heard: dict[str, Position] = {}
        self.kept: dict[str, Position] = {}

    def begin(self, generator: str, run: int, elsewhere: int = 0) -> int:
        """Note a connection; returns the number up to which this run's messages are kept, here or ``elsewhere``."""
        heard, kept = self.of(generator, run)
        number = max(kept, elsewhere)
        self._heard.pop(generator, None)
        self._heard[generator] = Position(run, max(heard, number))
        if len(self._heard) > COUNT_MAX:
            del self._heard[next(iter(self._heard))]
        return number

    def of(self, generator: str, run: int) -> tuple[int, int]:
        """Return up to which numbers a run was heard, and is kept."""
        places = (self._heard.get(generator), self.kept.get(generator))
        heard, kept = (each.number if each and each.run == run else 0 for each in places)
        return heard, kept

    def is_new(self, generator: str, number: int) -> bool:
        """Tell whether a message was not heard yet, and note it; those without number always are."""
        if not number:
            return True
        heard = self._heard.get(generator)
        if heard is None or number <= heard.number:
            # One that is not among so many has to say it again, over a new connection.
            return False
        self._heard[generator] = Position(heard.run, number)
        return True

    def positions(self) -> dict[str, Position]:
        """Return what is acknowledged once all that waits now is kept."""
        known = {**self.kept, **self._heard}
        return dict(list(known.items())[-COUNT_MAX:])

    def keep(self, positions: dict[str, Position]) -> dict[str, int]:
        """Note that everything up to here is kept; returns the numbers that are new, by generator."""
        news = {
            name: each.number
            for name, each in positions.items()
            if each.number and self.kept.get(name) != each
        }
        self.kept = positions
        return news
