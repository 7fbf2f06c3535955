"""The store's seam: revisioned keys, compare-and-swap transactions, watch, allocation, leases.

Small enough that SQLite, memory and etcd all implement it exactly; one conformance suite holds
them to it. Only the API server opens a store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


class Compacted(Exception):  # noqa: N818 - a state of the log, named as etcd names it
    """The asked revision has been discarded; read a snapshot and watch from its revision."""


class StoreUnavailable(Exception):  # noqa: N818 - a condition, answered with 503
    """The back end cannot take the operation now; retrying later may succeed."""


class PoolExhausted(Exception):  # noqa: N818
    """No free number is left in the pool's range."""


class AlreadyAllocated(Exception):  # noqa: N818
    """The wanted number belongs to another owner."""

    def __init__(self, pool: str, value: int, owner: str) -> None:
        super().__init__(f"{pool} {value} is allocated to {owner}")
        self.pool, self.value, self.owner = pool, value, owner


@dataclass(frozen=True, slots=True)
class KeyValue:
    key: str
    value: bytes
    create_revision: int
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Page:
    items: tuple[KeyValue, ...]
    revision: int
    """Snapshot revision: pass it to the next call for a consistent listing."""
    next_start: str | None


@dataclass(frozen=True, slots=True)
class Compare:
    """Holds when the key's mod_revision equals this; 0 means the key must not exist."""

    key: str
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


Operation = Put | Delete


@dataclass(frozen=True, slots=True)
class TransactionResult:
    succeeded: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    key: str
    value: bytes | None
    """None for a deletion."""


@dataclass(frozen=True, slots=True)
class Batch:
    """All changes of one transaction, in key order of the request."""

    revision: int
    changes: tuple[Change, ...]


class Lease(Protocol):
    async def keep_alive(self) -> None: ...
    async def release(self) -> None: ...


class ConfigStore(Protocol):
    """Every method may raise StoreUnavailable. Revisions are 64-bit, start at 1, total order."""

    async def get(self, key: str, revision: int | None = None) -> KeyValue | None: ...

    async def range(
        self, prefix: str, *, start: str | None = None, limit: int = 500, revision: int | None = None
    ) -> Page: ...

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> TransactionResult:
        """The only write path. Durable when it returns (group commit)."""
        ...

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Batch]:
        """Yield every batch with revision >= from_revision, in order; raises Compacted."""
        ...

    async def allocate(
        self, pool: str, low: int, high: int, owner: str, want: int | None = None
    ) -> int:
        """Return a number in low..high nobody else owns; raises PoolExhausted, AlreadyAllocated."""
        ...

    async def free(self, pool: str, value: int, owner: str) -> None: ...

    async def lease(self, ttl_s: float) -> Lease: ...

    def elect(self, name: str, lease: Lease) -> AbstractAsyncContextManager[None]:
        """Wait for leadership of ``name``; held until exit or lease loss."""
        ...

    async def revision(self) -> int: ...

    async def compact(self, revision: int) -> None: ...

    async def close(self) -> None: ...
