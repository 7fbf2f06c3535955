"""Which rows another node may have as well, and which of two copies stays. Pure.

```
 message of a process --> bundle on disk --Kept--> process --Confirmed--> sure: nobody else was told   --> store
                               `--the connection ended first--> unsure: set aside, the other nodes are asked
 message told again   --> noted as kept here, with the bundle --> answers to other nodes that ask
```
A process tells another node what it does not know to be kept. So rows are this node's alone once the process has confirmed
that it knows; those it did not confirm are given up for the copy of a node that says it keeps them. Of two nodes that have
both set them aside, the one whose name is less in order keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from skytrail.analytics.pieces import COUNT_MAX, Copied, Position, Range, Told

RANGES_COUNT_MAX: Final = 20_000
"""Of what was told again, as of what is unsure; who was noted first goes first."""
KEPT_US: Final = 8 * 86_400_000_000
"""For so long another node may be away and finds out what was told here in its place."""


@dataclass(slots=True)
class _Talk:
    """A connection of a process that confirms."""

    run: int
    retold: int
    """Up to this number it may have told another node."""
    heard: int
    """The last number that was heard."""
    confirmed: int
    """Up to this number the process knows that it is kept; what was heard before the connection is unsure or sure already."""
    first: int = 0
    """Of what was told again on this connection, and is not noted yet; 0: nothing."""


class Copies:
    """What this node knows of copies. ``made`` and ``judged`` count bundles since the start."""

    def __init__(self) -> None:
        self.is_wanted = False
        """Whether there are other nodes; else nothing is noted."""
        self.made = 0
        self.judged = 0
        self._talks: dict[str, _Talk] = {}
        self._confirmed: dict[str, Position] = {}
        self._unsure: list[tuple[int, Range]] = []
        """With the number of the bundle by which all its rows are in one."""
        self._kept: list[Range] = []

    def begin(self, generator: str, run: int, retold: int, heard: int, now_us: int) -> None:
        """Note a connection of a process that confirms; ``heard`` is its last number that was heard before."""
        self.end(generator, now_us)
        if self.is_wanted:
            self._talks[generator] = _Talk(run, retold, heard, confirmed=heard)
            self._confirmed.pop(generator, None)

    def end(self, generator: str, now_us: int) -> None:
        """Note that a connection ended: what was not confirmed by then is not any more."""
        talk = self._talks.pop(generator, None)
        if talk is None:
            return
        self._note(generator, talk, now_us)
        if talk.confirmed < talk.heard:
            self._doubt(Range(generator, talk.run, talk.confirmed + 1, talk.heard), self.made + 1)
        self._confirmed[generator] = Position(talk.run, talk.heard)
        if len(self._confirmed) > COUNT_MAX:
            del self._confirmed[next(iter(self._confirmed))]

    def _doubt(self, unsure: Range, last_bundle: int) -> None:
        self._unsure.append((last_bundle, unsure))
        del self._unsure[:-RANGES_COUNT_MAX]

    def hear(self, generator: str, number: int) -> None:
        """Note a new message that is numbered."""
        talk = self._talks.get(generator)
        if talk is not None and number:
            if number <= talk.retold and not talk.first:
                talk.first = number
            talk.heard = number

    def told(self, generator: str, number: int) -> Told | None:
        """Return what rows of a message are known by; None where no other node can have them."""
        talk = self._talks.get(generator)
        return Told(generator, talk.run, [number]) if talk is not None and number else None

    def confirm(self, generator: str, number: int) -> None:
        """Note that a process knows of everything up to a number that it is kept."""
        talk = self._talks.get(generator)
        if talk is not None and talk.confirmed < number <= talk.heard:
            talk.confirmed = number

    def is_retelling(self, generator: str, run: int) -> bool:
        """Tell whether a process is about to say what it may have told another node."""
        talk = self._talks.get(generator)
        return talk is not None and talk.run == run and talk.heard < talk.retold

    def may_confirm(self, ranges: Iterable[Range]) -> bool:
        """Tell whether a process may still confirm some of these."""
        return any(
            talk.run == each.run and talk.confirmed < each.last
            for each in ranges
            if (talk := self._talks.get(each.generator)) is not None
        )

    def doubtful(self, ranges: Iterable[Range]) -> list[Range]:
        """Return what of these nobody confirmed."""
        found: list[Range] = []
        for each in ranges:
            talk = self._talks.get(each.generator)
            if talk is not None and talk.run == each.run and talk.confirmed < each.last:
                found.append(Range(each.generator, each.run, talk.confirmed + 1, each.last))
            found += common([each], [unsure for _, unsure in self._unsure])
        return found

    def taken(self, now_us: int) -> Copied:
        """Return what is known as of a bundle of all that was heard until now."""
        for generator, talk in self._talks.items():
            self._note(generator, talk, now_us)
        self._kept = [each for each in self._kept if each.noted_us > now_us - KEPT_US]
        del self._kept[:-RANGES_COUNT_MAX]
        self.made += 1
        return self.known()

    def known(self) -> Copied:
        """Return what is known as of the bundle that was made last."""
        unsure = [each for _, each in self._unsure]
        now = {name: Position(talk.run, talk.confirmed) for name, talk in self._talks.items()}
        return Copied(self._confirmed | now, unsure, list(self._kept))

    def _note(self, generator: str, talk: _Talk, now_us: int) -> None:
        """Note what was told again on a connection as kept here."""
        if talk.first:
            last = min(talk.heard, talk.retold)
            self._kept.append(Range(generator, talk.run, talk.first, last, now_us))
            talk.first = 0

    def passed(self) -> None:
        """Note that the oldest bundle was judged."""
        self.judged += 1
        self._unsure = [(number, each) for number, each in self._unsure if number > self.judged]

    def resume(self, copied: Copied, positions: Mapping[str, Position], waiting: int) -> None:
        """Go on from what a former process knew; so many bundles of it wait. Nobody confirms to it any more."""
        self.made = waiting
        self._confirmed = dict(copied.confirmed)
        self._unsure = [(waiting, each) for each in copied.unsure]
        self._kept = list(copied.kept)
        for generator, heard in positions.items():
            known = self._confirmed.get(generator)
            if known is not None and known.run == heard.run and known.number < heard.number:
                self._doubt(Range(generator, heard.run, known.number + 1, heard.number), waiting)
                self._confirmed[generator] = heard

    def keep(self, ranges: Sequence[Range], now_us: int) -> None:
        """Note that these stay here, though another node may have been told them."""
        self._kept += [
            Range(each.generator, each.run, each.first, each.last, now_us) for each in ranges
        ]

    def forget(self, ranges: Sequence[Range]) -> None:
        """Note that another node keeps these."""
        self._kept = _without(self._kept, ranges)

    def kept(self, asked: Sequence[Range], aside: Sequence[Range]) -> list[Range]:
        """Return what of these is kept here for good; what is set ``aside`` is not."""
        return _without(common(asked, self._kept), aside)


def given_up(
    asked: Sequence[Range], own_name: str, name: str, kept: Sequence[Range], aside: Sequence[Range]
) -> list[Range]:
    """Return what of these is left to another node, which keeps some and has set some aside as well."""
    return common(asked, [*kept, *(aside if name < own_name else ())])


def common(some: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """Return what is in both."""
    by_run: dict[tuple[str, int], list[Range]] = {}
    for each in others:
        by_run.setdefault((each.generator, each.run), []).append(each)
    found: list[Range] = []
    for one in some:
        for other in by_run.get((one.generator, one.run), ()):
            first, last = max(one.first, other.first), min(one.last, other.last)
            if first <= last:
                found.append(Range(one.generator, one.run, first, last, one.noted_us))
    return found


def _without(some: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """Return what is in the first only."""
    left = list(some)
    for other in others:
        pieces: list[Range] = []
        for one in left:
            if (one.generator, one.run) != (other.generator, other.run):
                pieces.append(one)
                continue
            before, after = min(one.last, other.first - 1), max(one.first, other.last + 1)
            if one.first <= before:
                pieces.append(Range(one.generator, one.run, one.first, before, one.noted_us))
            if after <= one.last:
                pieces.append(Range(one.generator, one.run, after, one.last, one.noted_us))
        left = pieces
    return left
