"""The store in memory: for tests and simulations, and the plainest statement of the semantics."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from skytrail.runtime.clock import Clock
from skytrail.store.allocate import LowestFree, first_gap
from skytrail.store.io.election import POLL_S, GrantsLeases
from skytrail.store.io.feed import Feed
from skytrail.store.key_space import (
    ALLOCATIONS,
    allocation_key,
    prefix_end,
    split_allocation_key,
)
from skytrail.store.plugin import (
    AlreadyAllocated,
    Batch,
    Change,
    Compacted,
    Compare,
    Delete,
    KeyValue,
    Operation,
    Page,
    PoolExhausted,
    Put,
    StoreUnavailable,
    TransactionResult,
)
from skytrail.store.transaction import check_transaction


@dataclass(frozen=True, slots=True)
class _Logged:
    """One revision with what each of its keys was before."""

    batch: Batch
    previous: tuple[tuple[str, KeyValue | None], ...]


class MemoryStore(GrantsLeases):
    """Every operation is atomic because none waits in its middle."""

    def __init__(self, clock: Clock | None = None, *, poll_s: float = POLL_S) -> None:
        super().__init__(clock, poll_s)
        self._values: dict[str, KeyValue] = {}
        self._keys: list[str] = []
        self._log: list[_Logged] = []
        self._revision = 0
        self._compacted = 0
        self._feed: Feed | None = None
        self._hints = LowestFree()
        self._leases: dict[str, float] = {}
        self._leaders: dict[str, str] = {}
        self._closed = False

    async def get(self, key: str, revision: int | None = None) -> KeyValue | None:
        self._check_open()
        if revision is None:
            return self._values.get(key)
        changed = self._values_before(revision)
        return changed[key] if key in changed else self._values.get(key)

    async def range(
        self,
        prefix: str,
        *,
        start: str | None = None,
        limit: int = 500,
        revision: int | None = None,
    ) -> Page:
        self._check_open()
        if limit < 1:
            raise ValueError(f"limit {limit} is below 1")
        at = self._revision if revision is None else revision
        changed = self._values_before(at)
        found: list[KeyValue] = []
        for key in self._keys_between(prefix, start, changed):
            value = changed[key] if key in changed else self._values.get(key)
            if value is None:
                continue
            if len(found) == limit:
                return Page(tuple(found), at, key)
            found.append(value)
        return Page(tuple(found), at, None)

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> TransactionResult:
        self._check_open()
        check_transaction(compares, then, otherwise)
        holds = all(self._mod_revision(each.key) == each.mod_revision for each in compares)
        self._apply(then if holds else otherwise)
        return TransactionResult(holds, self._revision)

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Batch]:
        return self._live_feed().follow(prefix, from_revision, self._read_log)

    async def allocate(
        self, pool: str, low: int, high: int, owner: str, want: int | None = None
    ) -> int:
        self._check_open()
        if want is not None:
            return self._allocate_wanted(pool, low, high, owner, want)
        start = self._hints.start(pool, low)
        chosen = first_gap(start, high, self._taken(pool, start, high))
        if chosen is None:
            raise PoolExhausted(f"{pool} has no free number in {low}..{high}")
        self._apply((Put(allocation_key(pool, chosen), owner.encode()),))
        self._hints.taken_below(pool, low, chosen + 1)
        return chosen

    async def free(self, pool: str, value: int, owner: str) -> None:
        self._check_open()
        key = allocation_key(pool, value)
        held = self._values.get(key)
        if held is None:
            return
        if held.value != owner.encode():
            raise AlreadyAllocated(pool, value, held.value.decode())
        self._apply((Delete(key),))

    async def revision(self) -> int:
        self._check_open()
        return self._revision

    async def compact(self, revision: int) -> None:
        self._check_open()
        if revision > self._revision:
            raise ValueError(f"revision {revision} is to come; the current is {self._revision}")
        if revision <= self._compacted:
            return
        del self._log[: revision - self._compacted]
        self._compacted = revision
        self._live_feed().compact(revision)

    async def close(self) -> None:
        self._closed = True
        if self._feed is not None:
            self._feed.close()

    async def write_lease(self, lease_id: str, expires: float, now: float, *, renew: bool) -> bool:
        self._check_open()
        if renew and self._leases.get(lease_id, 0.0) <= now:
            return False
        self._leases[lease_id] = expires
        return True

    async def drop_lease(self, lease_id: str) -> None:
        self._check_open()
        self._leases.pop(lease_id, None)

    async def campaign(self, name: str, lease_id: str, now: float) -> bool:
        self._check_open()
        holder = self._leaders.get(name)
        if holder not in (None, lease_id) and self._leases.get(holder or "", 0.0) > now:
            return False
        self._leaders[name] = lease_id
        return True

    async def resign(self, name: str, lease_id: str) -> None:
        if self._leaders.get(name) == lease_id:
            del self._leaders[name]

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    def _live_feed(self) -> Feed:
        # Made late: an asyncio.Event belongs to the loop that is running then.
        if self._feed is None:
            self._feed = Feed(self._revision)
            self._feed.compact(self._compacted)
            if self._closed:
                self._feed.close()
        return self._feed

    def _mod_revision(self, key: str) -> int:
        held = self._values.get(key)
        return 0 if held is None else held.mod_revision

    def _apply(self, operations: Sequence[Operation]) -> None:
        revision = self._revision + 1
        changes: list[Change] = []
        previous: list[tuple[str, KeyValue | None]] = []
        for operation in operations:
            held = self._values.get(operation.key)
            if isinstance(operation, Put):
                created = revision if held is None else held.create_revision
                value = operation.value
                self._values[operation.key] = KeyValue(operation.key, value, created, revision)
                if held is None:
                    insort(self._keys, operation.key)
                changes.append(Change(operation.key, value))
            elif held is None:
                continue
            else:
                self._remove(operation.key)
                changes.append(Change(operation.key, None))
            previous.append((operation.key, held))
        if not changes:
            return
        self._revision = revision
        batch = Batch(revision, tuple(changes))
        self._log.append(_Logged(batch, tuple(previous)))
        self._live_feed().publish((batch,))

    def _remove(self, key: str) -> None:
        del self._values[key]
        del self._keys[bisect_left(self._keys, key)]
        if key.startswith(ALLOCATIONS):
            self._hints.freed(*split_allocation_key(key))

    def _values_before(self, revision: int) -> dict[str, KeyValue | None]:
        """Return, for each key changed after the revision, what it was at the revision."""
        if revision > self._revision:
            raise ValueError(f"revision {revision} is to come; the current is {self._revision}")
        if revision < self._compacted:
            raise Compacted(f"revision {revision} is discarded up to {self._compacted}")
        values: dict[str, KeyValue | None] = {}
        for logged in self._log[revision - self._compacted :]:
            for key, held in logged.previous:
                values.setdefault(key, held)
        return values

    def _keys_between(
        self, prefix: str, start: str | None, changed: dict[str, KeyValue | None]
    ) -> list[str]:
        first = max(prefix, start or "")
        end = prefix_end(prefix)
        low = bisect_left(self._keys, first)
        high = len(self._keys) if end is None else bisect_left(self._keys, end)
        gone = [
            key
            for key in changed
            if key not in self._values and key >= first and (end is None or key < end)
        ]
        if not gone:
            return self._keys[low:high]
        return sorted([*self._keys[low:high], *gone])

    async def _read_log(self, position: int) -> Sequence[Batch]:
        if position <= self._compacted:
            raise Compacted(f"revision {position} is discarded up to {self._compacted}")
        first = position - self._compacted - 1
        return [logged.batch for logged in self._log[first : first + 256]]

    def _allocate_wanted(self, pool: str, low: int, high: int, owner: str, want: int) -> int:
        if not low <= want <= high:
            raise ValueError(f"{want} is outside {low}..{high} of {pool}")
        key = allocation_key(pool, want)
        held = self._values.get(key)
        if held is None:
            self._apply((Put(key, owner.encode()),))
        elif held.value != owner.encode():
            raise AlreadyAllocated(pool, want, held.value.decode())
        return want

    def _taken(self, pool: str, low: int, high: int) -> Iterator[int]:
        index = bisect_left(self._keys, allocation_key(pool, low))
        last = allocation_key(pool, high)
        while index < len(self._keys) and self._keys[index] <= last:
            yield split_allocation_key(self._keys[index])[1]
            index += 1
