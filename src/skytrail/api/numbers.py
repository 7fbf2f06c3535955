"""Pools of numbers with owners: identifiers, addresses, route-target numbers.

A pool exists once it holds a number. Ranges belong to the caller, not to the pool, because two
ranges may share one pool (identifiers given by the server and chosen by the user). Allocation is
first free from one end of the ranges; a hint per range start makes a run of allocations linear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

BLOCK = 256
"""So many candidates in a row are one server's, where several share the store."""
BLOCK_TRIES = 4
RESTS_COUNT_MAX = 1_024
"""So many freed numbers of a pool rest; the oldest is free again when another one comes."""
_RESTED_POOLS = ("virtual-network-id", "security-group-id", "tag-id/")
Ranges = Sequence[tuple[int, int]]
"""Closed ranges, in the order they are to be used."""


def is_rested(pool: str) -> bool:
    """Whether freed numbers of a pool rest before they are given again.

    They are what hosts tell networks, groups and tags by: a host that has not heard of the end of
    one must not take its successor for it.
    """
    return pool.startswith(_RESTED_POOLS)


class NumbersView(Protocol):
    """Reading side of a set of pools."""

    def owner(self, pool: str, value: int) -> str | None: ...
    def pool(self, pool: str) -> Iterator[tuple[int, str]]: ...
    def owned_by(self, owner: str) -> Iterator[tuple[str, int]]: ...
    def hint(self, pool: str, start: int, step: int) -> int: ...
    def resting(self, pool: str) -> Iterator[int]: ...
    def rests(self, pool: str, value: int) -> bool: ...
    @property
    def server(self) -> str | None:
        """Which of several servers plans; None when there is only one."""
        ...


@dataclass(slots=True)
class Numbers:
    """Committed allocations."""

    pools: dict[str, dict[int, str]] = field(default_factory=dict[str, dict[int, str]])
    revisions: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    """Revision of each allocation, where several servers share the store."""
    owners: dict[str, dict[tuple[str, int], None]] = field(
        default_factory=dict[str, dict[tuple[str, int], None]]
    )
    hints: dict[str, dict[tuple[int, int], int]] = field(
        default_factory=dict[str, dict[tuple[int, int], int]]
    )
    rested: dict[str, dict[int, None]] = field(default_factory=dict[str, dict[int, None]])
    """By pool, freed numbers that rest, oldest first; known to this process alone."""

    @property
    def server(self) -> str | None:
        return None

    def resting(self, pool: str) -> Iterator[int]:
        return iter(self.rested.get(pool, ()))

    def rests(self, pool: str, value: int) -> bool:
        return value in self.rested.get(pool, ())

    def owner(self, pool: str, value: int) -> str | None:
        return self.pools.get(pool, {}).get(value)

    def pool(self, pool: str) -> Iterator[tuple[int, str]]:
        return iter(self.pools.get(pool, {}).items())

    def taken_count(self, pool: str) -> int:
        return len(self.pools.get(pool, {}))

    def owned_by(self, owner: str) -> Iterator[tuple[str, int]]:
        return iter(self.owners.get(owner, {}))

    def hint(self, pool: str, start: int, step: int) -> int:
        """Return a value such that everything from start up to it is taken or rests."""
        hints = self.hints.setdefault(pool, {})
        taken, rested = self.pools.get(pool, {}), self.rested.get(pool, {})
        value = hints.get((start, step), start)
        while value in taken or value in rested:
            value += step
        hints[start, step] = value
        return value

    def absorb(self, overlay: NumbersOverlay) -> None:
        """Take over committed changes."""
        for (pool, value), owner in overlay.changed.items():
            self._release(pool, value)
            if owner is not None:
                self.rested.get(pool, {}).pop(value, None)
                self.pools.setdefault(pool, {})[value] = owner
                self.owners.setdefault(owner, {})[pool, value] = None

    def _release(self, pool: str, value: int) -> None:
        previous = self.pools.get(pool, {}).pop(value, None)
        if previous is None:
            return
        owned = self.owners[previous]
        owned.pop((pool, value), None)
        if not owned:
            del self.owners[previous]
        if is_rested(pool):
            rested = self.rested.setdefault(pool, {})
            rested[value] = None
            if len(rested) <= RESTS_COUNT_MAX:
                return
            value = next(iter(rested))
            del rested[value]
        hints = self.hints.get(pool, {})
        for (start, step), hint in hints.items():
            if _moves_back(hint, value, start, step):
                hints[start, step] = value


def _moves_back(hint: int, value: int, start: int, step: int) -> bool:
    """Whether a released value is a candidate that a run from start has already passed."""
    passed = (hint - value) * step > 0 and (value - start) * step >= 0
    return passed and (value - start) % step == 0


class NumbersOverlay:
    """Planned allocations and releases on top of a base."""

    __slots__ = ("_base", "_hints", "_released", "_taken", "changed")

    def __init__(self, base: NumbersView) -> None:
        self._base = base
        self.changed: dict[tuple[str, int], str | None] = {}
        self._released: dict[str, dict[int, None]] = {}
        """By pool, what the plan has freed and not taken again."""
        self._taken: dict[str, dict[tuple[str, int], None]] = {}
        """By owner, what the plan has allocated."""
        self._hints: dict[str, dict[tuple[int, int], int]] = {}

    @property
    def server(self) -> str | None:
        return self._base.server

    def rest_on(self, base: NumbersView) -> None:
        """Stand on another base that shows the same numbers."""
        self._base = base

    def owner(self, pool: str, value: int) -> str | None:
        key = (pool, value)
        return self.changed[key] if key in self.changed else self._base.owner(pool, value)

    def pool(self, pool: str) -> Iterator[tuple[int, str]]:
        for value, owner in self._base.pool(pool):
            if (pool, value) not in self.changed:
                yield value, owner
        for (name, value), owner in self.changed.items():
            if name == pool and owner is not None:
                yield value, owner

    def owned_by(self, owner: str) -> Iterator[tuple[str, int]]:
        for key in self._base.owned_by(owner):
            if key not in self.changed:
                yield key
        yield from self._taken.get(owner, {})

    def resting(self, pool: str) -> Iterator[int]:
        for value in self._base.resting(pool):
            if (pool, value) not in self.changed:
                yield value
        if is_rested(pool):
            yield from self._released.get(pool, {})

    def rests(self, pool: str, value: int) -> bool:
        if (pool, value) in self.changed:
            return is_rested(pool) and value in self._released.get(pool, {})
        return self._base.rests(pool, value)

    def hint(self, pool: str, start: int, step: int) -> int:
        """As the base's; kept here too, so that a long plan does not search from the start."""
        hints = self._hints.setdefault(pool, {})
        value = hints.get((start, step))
        if value is None:
            value = self._base.hint(pool, start, step)
            for freed in () if is_rested(pool) else self._released.get(pool, {}):
                if _moves_back(value, freed, start, step):
                    value = freed
        while self.owner(pool, value) is not None or self.rests(pool, value):
            value += step
        hints[start, step] = value
        return value

    def _set(self, pool: str, value: int, owner: str | None) -> None:
        key = (pool, value)
        previous = self.changed.get(key)
        if previous is not None:
            self._taken[previous].pop(key, None)
        self.changed[key] = owner
        if owner is None:
            self._released.setdefault(pool, {})[value] = None
            hints = {} if is_rested(pool) else self._hints.get(pool, {})
            for (start, step), hint in hints.items():
                if _moves_back(hint, value, start, step):
                    hints[start, step] = value
        else:
            self._taken.setdefault(owner, {})[key] = None
            self._released.get(pool, {}).pop(value, None)

    def assign(self, pool: str, value: int, owner: str) -> None:
        """Give a number to an owner, whoever has it."""
        self._set(pool, value, owner)

    def take(self, pool: str, value: int, owner: str) -> bool:
        """Allocate one number; False when somebody else has it."""
        holder = self.owner(pool, value)
        if holder is not None and holder != owner:
            return False
        self._set(pool, value, owner)
        return True

    def take_first(
        self, pool: str, ranges: Ranges, owner: str, *, descending: bool = False, unit: int = 1
    ) -> int | None:
        """Allocate the first free number of the ranges; None when there is none.

        With ``unit`` only multiples of it are used, where the whole block fits into the range.
        """
        step = -unit if descending else unit
        for low, high in reversed(ranges) if descending else ranges:
            last = high - unit + 1
            start = last // unit * unit if descending else -(-low // unit) * unit
            for begin in (*self._own_starts(pool, start, step, abs(last - start)), start):
                value = self.hint(pool, begin, step)
                if low <= value <= last:
                    self._set(pool, value, owner)
                    return value
        # Better a number that has not rested for long than none.
        for value in self.resting(pool):
            if value % unit == 0 and any(low <= value <= high - unit + 1 for low, high in ranges):
                self._set(pool, value, owner)
                return value
        return None

    def _own_starts(self, pool: str, start: int, step: int, room: int) -> Iterator[int]:
        """Yield where this server looks first, when it is one of several: blocks of its own.

        Servers that draw from different blocks do not meet; those that do learn it by the failed
        commit, so a block is a matter of speed alone.
        """
        server = self._base.server
        blocks = room // abs(step) // BLOCK
        if server is None or blocks < 2 * BLOCK_TRIES:
            return
        for attempt in range(BLOCK_TRIES):
            place = crc32(f"{server}/{pool}/{attempt}".encode()) % min(blocks, 1024)
            begin = start + step * BLOCK * place
            if abs(self.hint(pool, begin, step) - begin) < BLOCK * abs(step):
                yield begin

    def release(self, pool: str, value: int) -> None:
        """Free a number; one that is not allocated stays so."""
        if self.owner(pool, value) is not None:
            self._set(pool, value, None)

    def release_owner(self, owner: str) -> None:
        """Free every number of an owner."""
        for pool, value in list(self.owned_by(owner)):
            self.release(pool, value)

    def absorb(self, overlay: NumbersOverlay) -> None:
        """Add an accepted plan made on top of this one."""
        for (pool, value), owner in overlay.changed.items():
            self._set(pool, value, owner)
