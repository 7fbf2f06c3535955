"""The store's seam: revisioned keys, compare-and-swap transactions, watch, allocation, leases.

Small enough that SQLite, memory and etcd all implement it exactly; one conformance suite holds
them to it. Only the API server opens a store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec


class Compacted(Exception):
    """The asked revision has been discarded; read a snapshot and watch from its revision."""


class StoreUnavailable(Exception):
    """The back end cannot take the operation now; retrying later may succeed."""


class StoreDamaged(StoreUnavailable):
    """The stored bytes cannot be trusted; restore a backup. Retrying does not help."""


class StoreClosed(StoreUnavailable):
    """No server may run on this store: it was moved, or a restore broke off. Retrying is no help."""


class LeaseLost(Exception):
    """The lease ran out or was released; whatever it guarded may have another holder."""


class PoolExhausted(Exception):
    """No free number is left in the pool's range."""


class AlreadyAllocated(Exception):
    """The wanted number belongs to another owner."""

    def __init__(self, pool: str, value: int, owner: str) -> None:
        super().__init__(f"{pool} {value} is allocated to {owner}")
        self.pool, self.value, self.owner = pool, value, owner


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: bytes
    create_revision: int
    mod_revision: int


class Page(msgspec.Struct, frozen=True):
    items: tuple[KeyValue, ...]
    revision: int
    """Snapshot revision: pass it to the next call for a consistent listing."""
    next_start: str | None


class Compare(msgspec.Struct, frozen=True, gc=False):
    """Holds when the key's mod_revision equals this; 0 means the key must not exist."""

    key: str
    mod_revision: int


class Put(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: bytes


class Delete(msgspec.Struct, frozen=True, gc=False):
    key: str


Operation = Put | Delete


class TransactionResult(msgspec.Struct, frozen=True):
    succeeded: bool
    revision: int


class Change(msgspec.Struct, frozen=True):
    key: str
    value: bytes | None
    """None for a deletion."""


class Batch(msgspec.Struct, frozen=True):
    """All changes of one transaction, in key order of the request."""

    revision: int
    changes: tuple[Change, ...]


class Lease(Protocol):
    async def keep_alive(self) -> None:
        """Extend it by its whole time to live; raises LeaseLost when it has run out."""
        ...

    async def release(self) -> None:
        """End it now, so that a waiting candidate need not wait for its end."""
        ...


class LeaseBackend(Protocol):
    """What the back end keeps: leases with their end, and the lease holding each name."""

    async def write_lease(self, lease_id: str, expires: float, now: float, *, renew: bool) -> bool:
        """Grant or extend; False when it is to be extended and has run out."""
        ...

    async def drop_lease(self, lease_id: str) -> None: ...

    async def campaign(self, name: str, lease_id: str, now: float) -> bool:
        """Take the name if it is free or its holder's lease has run out; tell whether held."""
        ...

    async def resign(self, name: str, lease_id: str) -> None: ...


class ConfigStore(LeaseBackend, Protocol):
    """Every method may raise StoreUnavailable. Revisions are 64-bit, start at 1, total order.

    Reading at a revision raises Compacted when it is discarded, ValueError when it is to come.
    A StoreUnavailable from a write leaves open whether it happened; read before trying again.
    """

    async def get(self, key: str, revision: int | None = None) -> KeyValue | None: ...

    async def range(
        self,
        prefix: str,
        *,
        start: str | None = None,
        limit: int = 500,
        revision: int | None = None,
    ) -> Page:
        """Return keys of the prefix from ``start`` on, in order, as they were at ``revision``."""
        ...

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> TransactionResult:
        """The only write path. Durable when it returns (group commit).

        A transaction that changes something is one revision; one that does not (a failed
        compare without ``otherwise``, deletes of absent keys) returns the current revision.
        Raises ValueError for a key named twice in a branch and for values over the bound.
        """
        ...

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Batch]:
        """Yield every batch with revision >= from_revision, in order; raises Compacted.

        Batches hold only changes under the prefix; those without any are left out. The empty
        prefix yields every revision, also one that changed none of our keys.
        """
        ...

    async def allocate(
        self, pool: str, low: int, high: int, owner: str, want: int | None = None
    ) -> int:
        """Return a number in low..high nobody else owns; raises PoolExhausted, AlreadyAllocated.

        The lowest free one, or ``want``, which its present owner gets again. The allocation is
        the key ``/a/<pool>/<number>`` with the owner as value: transactions may move it too.
        """
        ...

    async def free(self, pool: str, value: int, owner: str) -> None:
        """Give a number back; nothing happens when it is free, AlreadyAllocated if not ours."""
        ...

    async def lease(self, ttl_s: float) -> Lease: ...

    def elect(self, name: str, lease: Lease) -> AbstractAsyncContextManager[None]:
        """Wait for leadership of ``name``; held until exit or lease loss.

        The body is cancelled and LeaseLost raised when the lease runs out; keep it alive.
        """
        ...

    async def revision(self) -> int: ...

    async def compact(self, revision: int) -> None:
        """Discard history up to and including this revision; current values stay."""
        ...

    async def close(self) -> None:
        """Finish accepted writes, then refuse everything with StoreUnavailable."""
        ...
