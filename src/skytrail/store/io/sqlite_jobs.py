"""What the writer of the SQLite file may be asked to do, and what came of it: plain values.

A job crosses to the writer, a thread or a process, and its outcome comes back; both are msgspec
structs so that either way costs little. An operation is a pair: key and value, None deletes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec

from skytrail.store.key_space import allocation_key
from skytrail.store.plugin import (
    AlreadyAllocated,
    Batch,
    Change,
    Compare,
    Operation,
    PoolExhausted,
    Put,
    StoreDamaged,
    StoreUnavailable,
)

Operations = tuple[tuple[str, bytes | None], ...]


class Transact(msgspec.Struct, frozen=True, array_like=True, tag="transact"):
    """One transaction: compares are keys with their expected revision of last change."""

    compares: tuple[tuple[str, int], ...]
    then: Operations
    otherwise: Operations


class Allocate(msgspec.Struct, frozen=True, array_like=True, tag="allocate"):
    """Take the lowest free number, or the one that is wanted."""

    pool: str
    low: int
    high: int
    owner: str
    want: int | None


class Free(msgspec.Struct, frozen=True, array_like=True, tag="free"):
    """Give a number back."""

    pool: str
    number: int
    owner: str


class SetCompacted(msgspec.Struct, frozen=True, array_like=True, tag="set-compacted"):
    """Discard history up to a revision, as far as readers are concerned."""

    revision: int


class DiscardLog(msgspec.Struct, frozen=True, array_like=True, tag="discard-log"):
    """Delete some rows of discarded history; the outcome's value is how many."""

    revision: int


class WriteLease(msgspec.Struct, frozen=True, array_like=True, tag="write-lease"):
    """Grant or extend a lease; the outcome's value is whether it holds."""

    lease_id: str
    expires: float
    now: float
    renew: bool


class DropLease(msgspec.Struct, frozen=True, array_like=True, tag="drop-lease"):
    """End a lease."""

    lease_id: str


class Campaign(msgspec.Struct, frozen=True, array_like=True, tag="campaign"):
    """Take a name if it is free; the outcome's value is whether it is held."""

    name: str
    lease_id: str
    now: float


class Resign(msgspec.Struct, frozen=True, array_like=True, tag="resign"):
    """Let a name go."""

    name: str
    lease_id: str


Job = (
    Transact
    | Allocate
    | Free
    | SetCompacted
    | DiscardLog
    | WriteLease
    | DropLease
    | Campaign
    | Resign
)


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """A job that was carried out, durably."""

    revision: int
    """The present revision after it."""
    changed: bool = False
    """Whether it made that revision."""
    value: int = 0
    """The allocated number, the count of rows, or 1 for yes."""
    idle: tuple[int, ...] = ()
    """Places of deletes that found nothing to delete."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """A job that changed nothing."""

    kind: Literal["exhausted", "taken", "value"]
    text: str = ""
    pool: str = ""
    number: int = 0
    owner: str = ""


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """What became of a job is not known: the group it was in failed."""

    text: str
    is_damage: bool = False
    defect: str = ""
    """The traceback, when it is a defect of ours."""


Outcome = Done | Refused | Failed


def transaction(
    compares: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation]
) -> Transact:
    """Return the job of a transaction."""
    return Transact(
        tuple([(each.key, each.mod_revision) for each in compares]), _pairs(then), _pairs(otherwise)
    )


def _pairs(operations: Sequence[Operation]) -> Operations:
    return tuple([(each.key, each.value if isinstance(each, Put) else None) for each in operations])


def batch_of(job: Job, done: Done) -> Batch | None:
    """Return what watchers see of a job; None when it changed no key."""
    if not done.changed:
        return None
    match job:
        case Transact():
            branch = job.then if done.value else job.otherwise
            idle = frozenset(done.idle)
            changes = tuple(
                Change(key, value) for place, (key, value) in enumerate(branch) if place not in idle
            )
        case Allocate():
            key = allocation_key(job.pool, done.value)
            changes = (Change(key, job.owner.encode()),)
        case Free():
            changes = (Change(allocation_key(job.pool, job.number), None),)
        case _:
            return None
    return Batch(done.revision, changes)


def error_of(outcome: Refused | Failed) -> Exception:
    """Return what the caller of a job gets to see of it."""
    if isinstance(outcome, Failed):
        return (StoreDamaged if outcome.is_damage else StoreUnavailable)(outcome.text)
    match outcome.kind:
        case "exhausted":
            return PoolExhausted(outcome.text)
        case "taken":
            return AlreadyAllocated(outcome.pool, outcome.number, outcome.owner)
        case "value":
            return ValueError(outcome.text)
        case _:
            assert_never(outcome.kind)
