"""What a group of BGP peers knows of destinations: one by one, or a block of them at a time.

```
 a block of routes is learned --> AdvertBlock, one place in the log for all of them
 one of them changes          --> leaves it: an Advert of its own
 some go, all were told       --> leave it: Lost, one place in the log for the names to withdraw
```
A block costs a group one look-up for each of its routes; an advert is an object, a place in the
log and several steps for each.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import msgspec

from skytrail.control.path import Path, Shared
from skytrail.control.relay import RelayEntry
from skytrail.control.vpn import Fresh, VpnEntry
from skytrail.wire.bgp import BgpFamily

Entry: TypeAlias = VpnEntry | RelayEntry
_NOTHING: frozenset[BgpFamily] = frozenset()


class Advert(msgspec.Struct, eq=False, gc=False):
    """One destination as receivers know it."""

    weight: ClassVar[int] = 1
    entry: Entry
    best: Path | None
    """The best path, if this group's peers may have it at all."""
    own: str
    """The peer it was learned from, which is not sent it."""
    hidden: str
    """The peer that has never been sent it, because it always was its own."""
    told: frozenset[BgpFamily] = _NOTHING
    """Families in which some member may have been told it."""
    place: int = -1


class AdvertBlock(msgspec.Struct, eq=False, gc=False):
    """Destinations a peer was the first to name, all told alike, and unchanged since.

    Those that are an advert of their own by now, or gone, may still be in the lists.
    """

    own: str
    """The peer they were learned from, which is not and never was sent them."""
    shared: Shared
    path: Path
    """Any one's, to judge by."""
    entries: list[VpnEntry]
    wires: list[bytes]
    left_count: int
    """How many still belong to it."""
    told: frozenset[BgpFamily] = _NOTHING
    place: int = -1

    @property
    def weight(self) -> int:
        return self.left_count

    @property
    def hidden(self) -> str:
        return self.own

    @classmethod
    def of(cls, fresh: Fresh) -> AdvertBlock:
        """Return a block of all of these."""
        return cls(
            fresh.source, fresh.shared, fresh.paths[0], fresh.entries, fresh.wires,
            len(fresh.entries),
        )  # fmt: skip

    def wires_left(self, adverts: dict[Entry, Item]) -> list[bytes]:
        """Return the routes that still belong to it."""
        if self.left_count < len(self.wires):
            self._shrink(adverts)
        return self.wires

    def part_with(self, count: int, adverts: dict[Entry, Item]) -> None:
        """So many have been taken out of it."""
        self.left_count -= count
        if 2 * self.left_count < len(self.wires):
            self._shrink(adverts)

    def _shrink(self, adverts: dict[Entry, Item]) -> None:
        """Forget those that do not belong to it any more."""
        pairs = zip(self.entries, self.wires, strict=True)
        # Not in place: other groups' blocks may have the same lists.
        left = [(entry, wire) for entry, wire in pairs if adverts.get(entry) is self]
        self.entries = [entry for entry, _ in left]
        self.wires = [wire for _, wire in left]


class Lost(msgspec.Struct, eq=False, gc=False):
    """Destinations that were told in one family, and have gone."""

    own: ClassVar[str] = ""
    hidden: str
    """The peer that was never sent them."""
    family: BgpFamily
    entries: list[VpnEntry]
    place: int = -1

    @property
    def weight(self) -> int:
        return len(self.entries)


Item: TypeAlias = Advert | AdvertBlock
"""What a destination is part of."""
Logged: TypeAlias = Advert | AdvertBlock | Lost
