"""Building and checking a transaction; pure.

The bounds are those every back end can keep, etcd included (values up to 1.5 MiB).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from skytrail.store.key_space import ALLOCATIONS, split_allocation_key
from skytrail.store.plugin import Compare, ConfigStore, Delete, Operation, Put, TransactionResult

VALUE_BYTES_MAX: Final = 1_500_000
KEY_BYTES_MAX: Final = 4096
OPERATIONS_COUNT_MAX: Final = 100_000


class ConflictingIntent(Exception):
    """One transaction expects two different revisions of the same key."""


class Transaction:
    """Collects compares and operations; a later operation on a key replaces the earlier one."""

    def __init__(self) -> None:
        self._compares: dict[str, int] = {}
        self._operations: dict[str, Operation] = {}

    @classmethod
    def deleting(cls, key: str) -> Transaction:
        """Return one that deletes a key, whatever it holds."""
        transaction = cls()
        transaction.delete(key)
        return transaction

    def __len__(self) -> int:
        return len(self._operations)

    @property
    def compares(self) -> tuple[Compare, ...]:
        return tuple(Compare(key, revision) for key, revision in self._compares.items())

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(self._operations.values())

    def expect(self, key: str, mod_revision: int) -> None:
        """Require the key to be as read; raises ConflictingIntent when that contradicts."""
        if self._compares.setdefault(key, mod_revision) != mod_revision:
            known = self._compares[key]
            raise ConflictingIntent(f"{key} expected at revision {known} and {mod_revision}")

    def expect_absent(self, key: str) -> None:
        self.expect(key, 0)

    def put(self, key: str, value: bytes) -> None:
        self._operations[key] = Put(key, value)

    def delete(self, key: str) -> None:
        self._operations[key] = Delete(key)

    def create(self, key: str, value: bytes) -> None:
        """Put a key that must not exist yet."""
        self.expect_absent(key)
        self.put(key, value)

    async def commit(self, store: ConfigStore) -> TransactionResult:
        """Ask the store for it: all of it or nothing."""
        return await store.transact(self.compares, self.operations)


def check_transaction(
    compares: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation]
) -> None:
    """Raise ValueError for what no back end can keep: see the bounds above; a key used twice."""
    checked = _check_branch(then)
    _check_branch(otherwise)
    for compare in compares:
        if compare.key not in checked:
            check_key(compare.key)


def check_key(key: str) -> None:
    """Raise ValueError unless the key starts with "/" and fits the bound."""
    if not key.startswith("/") or "\0" in key:
        raise ValueError(f"key {key!r} does not start with / or contains a zero character")
    if (len(key) if key.isascii() else len(key.encode())) > KEY_BYTES_MAX:
        raise ValueError(f"key {key[:40]!r}... is longer than {KEY_BYTES_MAX} bytes")


def _check_branch(operations: Sequence[Operation]) -> set[str]:
    """Return the keys, which are as they have to be."""
    if len(operations) > OPERATIONS_COUNT_MAX:
        count = len(operations)
        raise ValueError(f"{count} operations exceed the bound of {OPERATIONS_COUNT_MAX}")
    keys = {operation.key for operation in operations}
    if len(keys) != len(operations):
        raise ValueError("a transaction names each key at most once")
    for operation in operations:
        check_key(operation.key)
        if operation.key.startswith(ALLOCATIONS):
            split_allocation_key(operation.key)
        if isinstance(operation, Put) and len(operation.value) > VALUE_BYTES_MAX:
            size = len(operation.value)
            raise ValueError(f"{operation.key}: {size} bytes exceed {VALUE_BYTES_MAX}")
    return keys
