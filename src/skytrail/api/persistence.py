"""How a plan becomes one store transaction, and how the store becomes the graph again.

/o/<type>/<uuid>        the object's document
/f/<type>/<name>        its uuid; must not exist before a create
/x/<uuid>               positions and relaxed references, where there are any
/n/<pool>/<number>      owner of an allocated number
/m/<key>                a client's note
/v/<kind>/<name>        guards, where several servers share the store: see ``reads``
/e/server               who may write: every transaction requires it unchanged
/e/derived              the revision the last compiler write was derived from, and whether others wrote with it
"""

from __future__ import annotations

from functools import lru_cache
from sys import intern
from urllib.parse import quote, unquote

import msgspec

from skytrail.api.feed import Derived
from skytrail.api.graph import NO_SIDE, Graph, Overlay, Record, Side
from skytrail.api.heads import HeadReader
from skytrail.api.schema import Schema
from skytrail.store.key_space import name_key, object_key, split_object_key
from skytrail.store.plugin import KeyValue
from skytrail.store.transaction import Transaction

OBJECTS, SIDES, NUMBERS, NOTES, GUARDS = "/o/", "/x/", "/n/", "/m/", "/v/"
FENCE = "/e/server"
DERIVED = "/e/derived"
_MIXED = b"mixed"


def derived_note(derived: Derived) -> bytes:
    """Return the value of ``DERIVED``."""
    number = str(derived.from_revision).encode()
    return number + b" " + _MIXED if derived.is_mixed else number


def read_derived(value: bytes) -> Derived:
    """Return what a value of ``DERIVED`` says."""
    number, _, rest = value.partition(b" ")
    return Derived(int(number), rest == _MIXED)


def number_key(pool: str, value: int) -> str:
    return f"{NUMBERS}{_quoted(pool)}/{value}"


@lru_cache(maxsize=4096)
def _quoted(pool: str) -> str:
    return quote(pool, safe="")


def split_number_key(key: str) -> tuple[str, int]:
    """Return pool and number of a number's key."""
    pool, _, value = key[len(NUMBERS) :].partition("/")
    return unquote(pool), int(value)


def note_key(key: str) -> str:
    return NOTES + quote(key, safe="")


def transaction_of(base: Graph, plan: Overlay, fence_revision: int) -> Transaction:
    """Return the one transaction that makes the plan durable, or fails as a whole.

    A name's key says what its holder's key says, and every plan that takes a name from its holder
    changes the holder: it is enough to require that one unchanged, and free names to be free.
    """
    transaction = Transaction()
    transaction.expect(FENCE, fence_revision)
    for uuid, record in plan.changed.items():
        previous = base.get(uuid)
        if record is not None:
            if previous is not None and previous.type_name != record.type_name:
                _remove(transaction, previous)
                previous = None
            _put(transaction, previous, record)
        elif previous is not None:
            _remove(transaction, previous)
    for (type_name, name), uuid in plan.names.items():
        _name(transaction, base, type_name, name, uuid)
    for (pool, value), owner in plan.numbers.changed.items():
        _number(transaction, base, pool, value, owner)
    for key, value in plan.memory.items():
        if value is not None:
            transaction.put(note_key(key), value.encode())
        elif base.remembered(key) is not None:
            transaction.delete(note_key(key))
    return transaction


def _put(transaction: Transaction, previous: Record | None, record: Record) -> None:
    key = object_key(record.type_name, record.uuid)
    transaction.expect(key, 0 if previous is None else previous.mod_revision)
    transaction.put(key, record.encode())
    before = NO_SIDE if previous is None else previous.side
    if record.side == before:
        return
    if record.side == NO_SIDE:
        transaction.delete(SIDES + record.uuid)
    else:
        transaction.put(SIDES + record.uuid, msgspec.json.encode(record.side))


def _remove(transaction: Transaction, previous: Record) -> None:
    key = object_key(previous.type_name, previous.uuid)
    transaction.expect(key, previous.mod_revision)
    transaction.delete(key)
    if previous.side != NO_SIDE:
        transaction.delete(SIDES + previous.uuid)


def _name(
    transaction: Transaction, base: Graph, type_name: str, name: tuple[str, ...], uuid: str | None
) -> None:
    key = name_key(type_name, name)
    holder = base.uuid_of(type_name, name)
    if holder == uuid:
        return
    if holder is None:
        transaction.expect_absent(key)
    if uuid is None:
        transaction.delete(key)
    else:
        transaction.put(key, uuid.encode())


def _number(
    transaction: Transaction, base: Graph, pool: str, value: int, owner: str | None
) -> None:
    held = base.numbers.owner(pool, value)
    if held == owner:
        return
    key = number_key(pool, value)
    if held is None:
        transaction.expect_absent(key)
    if owner is None:
        transaction.delete(key)
    else:
        transaction.put(key, owner.encode())


def stamp(base: Graph, plan: Overlay, revision: int) -> None:
    """Write the committed revision into the plan's records."""
    for uuid, record in plan.changed.items():
        if record is None:
            continue
        record.mod_revision = revision
        previous = base.get(uuid)
        # As the store counts: a uuid that comes back as another object keeps its key.
        if previous is not None and previous.type_name == record.type_name:
            record.create_revision = previous.create_revision
        else:
            record.create_revision = revision


class Loader:
    """Builds the graph from everything the store holds; feed it all keys, then ask for it."""

    def __init__(self, heads: HeadReader, *, shared: bool = False) -> None:
        self._heads = heads
        self._shared = shared
        self._records: list[tuple[int, str, Record]] = []
        self._uuids: dict[str, str] = {}
        self._sides: dict[str, Side] = {}
        self._pools: dict[str, str] = {}
        self.graph = Graph()

    def feed(self, item: KeyValue) -> None:
        """Take one key; objects come first, keys of other owners are ignored."""
        if item.key.startswith(OBJECTS):
            record, created = stored_record(self._heads, item)
            self._records.append((item.create_revision, created, record))
            self._uuids[record.uuid] = record.uuid
        elif item.key.startswith(SIDES):
            self._sides[item.key[len(SIDES) :]] = msgspec.json.decode(item.value, type=Side)
        elif item.key.startswith(NUMBERS):
            pool, _, value = item.key[len(NUMBERS) :].partition("/")
            if pool not in self._pools:
                self._pools[pool] = unquote(pool)
            self._allocated(self._pools[pool], int(value), item)
        elif item.key.startswith(NOTES):
            key = unquote(item.key[len(NOTES) :])
            self.graph.memory[key] = item.value.decode()
            self.graph.note_revisions[key] = item.mod_revision
        elif item.key.startswith(GUARDS):
            self.graph.guards[item.key] = item.mod_revision

    def _allocated(self, pool: str, value: int, item: KeyValue) -> None:
        owner = item.value.decode()
        owner = self._uuids.get(owner, owner)
        if self._shared:
            self.graph.numbers.revisions[pool, value] = item.mod_revision
        self.graph.numbers.pools.setdefault(pool, {})[value] = owner
        self.graph.numbers.owners.setdefault(owner, {})[pool, value] = None

    def finish(self) -> Graph:
        """Return the graph; children come out oldest first."""
        self._records.sort(key=lambda each: each[:2])
        for _, _, record in self._records:
            record.side = self._sides.get(record.uuid, NO_SIDE)
            self.graph.put(record)
        self._heads.forget_shared()
        return self.graph


def stored_record(heads: HeadReader, item: KeyValue) -> tuple[Record, str]:
    """Return the record of an object's key, its body undecoded, and when it was created."""
    type_name, _ = split_object_key(item.key)
    head = heads.read(type_name, item.value)
    record = Record(intern(type_name), head)
    record.stored = item.value
    record.mod_revision = item.mod_revision
    record.create_revision = item.create_revision
    return record, head.created


def head_reader(schema: Schema) -> HeadReader:
    """Return a reader of the stored objects of the schema's types."""
    return HeadReader({name: tuple(each.references) for name, each in schema.resources.items()})
