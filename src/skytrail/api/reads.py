"""What a plan read of the committed graph, so that its commit can require all of it unchanged.

With one writer nothing can change under a plan. With several servers on one store a plan is made on
a copy that may be old; the store decides. An object that was read is required at its revision. What
was *not* there and which objects were found around another have no key of their own, so they have
guards: keys without content that every commit touches whose change concerns them. A commit that
relies on one requires its revision; touching alone never conflicts.

    around an object (children, referrers)  /v/u/<uuid>      objects of a type    /v/t/<type>
    numbers of a pool                       /v/p/<pool>      numbers of an owner  /v/w/<owner>
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from urllib.parse import quote

from skytrail.api.graph import FqName, Graph, Overlay, Record
from skytrail.api.numbers import Numbers
from skytrail.api.persistence import GUARDS, note_key, number_key
from skytrail.store.key_space import name_key, object_key
from skytrail.store.transaction import Transaction


def around(uuid: str) -> str:
    """Return the guard of an object's children and referrers, and of a uuid's being free."""
    return f"{GUARDS}u/{quote(uuid, safe='')}"


def of_type(type_name: str) -> str:
    """Return the guard of which objects of a type there are."""
    return f"{GUARDS}t/{type_name}"


def of_pool(pool: str) -> str:
    """Return the guard of which numbers of a pool are taken."""
    return f"{GUARDS}p/{quote(pool, safe='')}"


def of_owner(owner: str) -> str:
    """Return the guard of which numbers an owner has."""
    return f"{GUARDS}w/{quote(owner, safe='')}"


def fresh_uuid() -> str:
    """Return a random uuid (version 4), which nobody has."""
    digits = token_hex(16)
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


@dataclass(slots=True)
class Reads:
    """Collected while plans run."""

    records: dict[str, Record] = field(default_factory=dict[str, Record])
    absent: set[str] = field(default_factory=set[str])
    absent_names: set[tuple[str, FqName]] = field(default_factory=set[tuple[str, FqName]])
    guards: set[str] = field(default_factory=set[str])
    notes: set[str] = field(default_factory=set[str])
    fresh: set[str] = field(default_factory=set[str])
    """Uuids made for these plans: nobody else can know them."""

    def new_uuid(self) -> str:
        """Return a uuid nobody has."""
        uuid = fresh_uuid()
        self.fresh.add(uuid)
        return uuid


class RecordedNumbers:
    """The committed numbers, as a plan reads them. A number that is changed is required anyway."""

    def __init__(self, base: Numbers, reads: Reads, server: str) -> None:
        self._base = base
        self._reads = reads
        self.server = server

    def owner(self, pool: str, value: int) -> str | None:
        return self._base.owner(pool, value)

    def pool(self, pool: str) -> Iterator[tuple[int, str]]:
        self._reads.guards.add(of_pool(pool))
        return self._base.pool(pool)

    def owned_by(self, owner: str) -> Iterator[tuple[str, int]]:
        self._reads.guards.add(of_owner(owner))
        return self._base.owned_by(owner)

    def hint(self, pool: str, start: int, step: int) -> int:
        return self._base.hint(pool, start, step)

    def resting(self, pool: str) -> Iterator[int]:
        return self._base.resting(pool)

    def rests(self, pool: str, value: int) -> bool:
        return self._base.rests(pool, value)


class RecordedGraph:
    """The committed graph, as plans read it (a ``View``)."""

    def __init__(self, base: Graph, reads: Reads, server: str) -> None:
        self._base = base
        self._reads = reads
        self._numbers = RecordedNumbers(base.numbers, reads, server)

    @property
    def numbers(self) -> RecordedNumbers:
        return self._numbers

    def get(self, uuid: str) -> Record | None:
        record = self._base.get(uuid)
        if record is None:
            self._reads.absent.add(uuid)
        else:
            self._reads.records[uuid] = record
        return record

    def uuid_of(self, type_name: str, fq_name: FqName) -> str | None:
        uuid = self._base.uuid_of(type_name, fq_name)
        if uuid is None:
            self._reads.absent_names.add((type_name, fq_name))
        else:
            self.get(uuid)
        return uuid

    def of_type(self, type_name: str) -> Iterator[Record]:
        self._reads.guards.add(of_type(type_name))
        for record in self._base.of_type(type_name):
            self._reads.records[record.uuid] = record
            yield record

    def child_uuids(self, parent: str, type_name: str) -> Iterator[str]:
        self._reads.guards.add(around(parent))
        return self._base.child_uuids(parent, type_name)

    def referrer_uuids(self, target: str, type_name: str) -> Iterator[str]:
        self._reads.guards.add(around(target))
        return self._base.referrer_uuids(target, type_name)

    def child_types(self, parent: str) -> set[str]:
        self._reads.guards.add(around(parent))
        return self._base.child_types(parent)

    def referrer_types(self, target: str) -> set[str]:
        self._reads.guards.add(around(target))
        return self._base.referrer_types(target)

    def remembered(self, key: str) -> str | None:
        self._reads.notes.add(key)
        return self._base.remembered(key)


def require(transaction: Transaction, base: Graph, plan: Overlay, reads: Reads) -> None:
    """Have the transaction fail when anything the plan read or relies on has changed."""
    for uuid, record in reads.records.items():
        if base.get(uuid) is record:
            transaction.expect(object_key(record.type_name, uuid), record.mod_revision)
    for type_name, name in reads.absent_names:
        transaction.expect_absent(name_key(type_name, name))
    for uuid in reads.absent - reads.fresh:
        guard = around(uuid)
        transaction.expect(guard, base.guards.get(guard, 0))
    for guard in reads.guards:
        if not _is_fresh(guard, reads):
            transaction.expect(guard, base.guards.get(guard, 0))
    for key in reads.notes:
        transaction.expect(note_key(key), base.note_revisions.get(key, 0))
    for pool, value in plan.numbers.changed:
        held = base.numbers.revisions.get((pool, value))
        if held is not None:
            transaction.expect(number_key(pool, value), held)


def _is_fresh(guard: str, reads: Reads) -> bool:
    return guard.removeprefix(f"{GUARDS}u/") in reads.fresh


def touch(transaction: Transaction, base: Graph, plan: Overlay, reads: Reads) -> None:
    """Touch the guards of everything the plan changes, for those who rely on it."""
    for uuid, record in plan.changed.items():
        previous = base.get(uuid)
        before, after = _neighbours(previous), _neighbours(record)
        for other in before ^ after:
            if base.get(other) is not None and plan.changed.get(other, base) is not None:
                transaction.put(around(other), b"")
        for each, twin in ((previous, record), (record, previous)):
            if each is not None and (twin is None or twin.type_name != each.type_name):
                transaction.put(of_type(each.type_name), b"")
        if record is None and around(uuid) in base.guards:
            transaction.delete(around(uuid))
        elif previous is None and uuid in reads.absent - reads.fresh:
            transaction.put(around(uuid), b"")
    for (pool, value), owner in plan.numbers.changed.items():
        transaction.put(of_pool(pool), b"")
        for holder in (owner, base.numbers.owner(pool, value)):
            if holder is not None and holder not in plan.changed:
                transaction.put(of_owner(holder), b"")


def _neighbours(record: Record | None) -> set[str]:
    if record is None:
        return set()
    found = {target for _, target in record.targets}
    if record.parent_uuid is not None:
        found.add(record.parent_uuid)
    return found
