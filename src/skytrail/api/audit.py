"""The audit log: who changed what, when, from what to what; append-only and hash-chained. Pure.

/h/<chain>/<number>   one page per store transaction, written in that transaction
/e/audit/<chain>      number and hash of the last page, number and hash of the last one discarded

A page holds the entries of the requests that were committed together, and the hash of the page
before it: whoever alters, removes or inserts one breaks the chain, and the head tells a cut tail.
A page's revision is the store's for its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from msgspec import UNSET

from skytrail.api import users
from skytrail.api.authorize import MODE_NOTE
from skytrail.api.caller import Caller
from skytrail.api.differences import Difference, differences
from skytrail.api.documents import Document
from skytrail.api.graph import Overlay, Record
from skytrail.api.schema import Schema
from skytrail.api.secret_fields import masked
from skytrail.model.secret_values import MASK
from skytrail.store.plugin import KeyValue

USER, MODE = "user", "aaa-mode"
"""Types of alterations that are about no object, and so have no uuid."""
PAGES = "/h/"
HEADS = "/e/audit/"
CHAIN = "main"
PAGES_COUNT_MAX = 200_000
"""Kept pages; the oldest are discarded, in steps, and the chain begins after them."""
TRIM_STEP = 2_000
PAGE_BYTES_MAX = 1_000_000
_DIGITS = 12
_FIRST_HASH = "0" * 64
_MARK_DIGITS = 16


class Alteration(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to one object."""

    op: str
    type: str
    uuid: str
    name: tuple[str, ...]
    fields: tuple[Difference, ...] = ()
    """Of an update."""
    object: Document | None = None
    """Of a deletion: what was there."""
    digest: str = ""
    """Of a creation, and of what the compiler wrote: the hash of the new document."""
    before: str = ""
    """For an update or deletion without details: the hash of the former document."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request."""

    by: str
    at: str
    """UTC, ISO without zone."""
    request_id: str = ""
    derived_from: int | None = None
    cut: bool = False
    """Details were left out because they would not fit a page."""
    alterations: tuple[Alteration, ...] = ()


class _EncodedPage(msgspec.Struct, frozen=True):
    """A page whose entries are JSON already; encodes to the same bytes."""

    previous: str
    after: int
    entries: tuple[msgspec.Raw, ...]


class Page(msgspec.Struct, frozen=True):
    previous: str
    after: int
    """The revision that was current before."""
    entries: tuple[Entry, ...]


class Head(msgspec.Struct, frozen=True):
    """Where a chain ends and begins."""

    number: int = 0
    hash: str = _FIRST_HASH
    base_number: int = 0
    base_hash: str = _FIRST_HASH

    @property
    def mark(self) -> str:
        """Short, and different for different histories."""
        return self.hash[:_MARK_DIGITS]


class Origin(msgspec.Struct, frozen=True):
    """Where a request comes from."""

    caller: Caller
    at: str
    request_id: str = ""
    derived_from: int | None = None


class Writing(msgspec.Struct, frozen=True):
    """What a transaction has to carry, and the head it leads to."""

    puts: tuple[tuple[str, bytes], ...]
    deletes: tuple[str, ...]
    head: Head


def page_key(number: int, chain: str = CHAIN) -> str:
    return f"{PAGES}{chain}/{number:0{_DIGITS}d}"


def number_of(key: str) -> int:
    return int(key.rsplit("/", 1)[-1])


def entry_of(schema: Schema, plan: Overlay, origin: Origin) -> Entry | None:
    """Return the entry of a planned request, None if it changes no object."""
    found: list[Alteration] = []
    for uuid, record in plan.changed.items():
        before = plan.base.get(uuid)
        compact = origin.derived_from is not None
        if record is None:
            if before is not None:
                found.append(_deletion(schema, before, compact=compact))
        elif before is None or not before.is_version_of(record):
            if before is not None:
                found.append(_deletion(schema, before, compact=compact))
            found.append(_named("create", record, digest=_digest(record)))
        else:
            alteration = _update(schema, before, record, compact=compact)
            if alteration is not None:
                found.append(alteration)
    found += _of_notes(plan)
    if not found:
        return None
    return Entry(
        by=origin.caller.user,
        at=origin.at,
        request_id=origin.request_id,
        derived_from=origin.derived_from,
        alterations=tuple(found),
    )


def _of_notes(plan: Overlay) -> Iterator[Alteration]:
    """Yield what happens to users and to the mode, which are no objects: never a password."""
    for key, value in plan.memory.items():
        before = plan.base.remembered(key)
        if value == before:
            continue
        if key == MODE_NOTE:
            change = Difference(
                ("mode",),
                before=UNSET if before is None else before,
                after=UNSET if value is None else value,
            )
            yield Alteration(op="update", type=MODE, uuid="", name=(), fields=(change,))
        elif key.startswith(users.PREFIX):
            yield _of_user(key.removeprefix(users.PREFIX), before, value)


def _of_user(name: str, before: str | None, after: str | None) -> Alteration:
    old, new = (None if each is None else users.decoded(each) for each in (before, after))
    if new is None:
        shown = None if old is None else old.shown()
        return Alteration(op="delete", type=USER, uuid="", name=(name,), object=shown)
    former: Document = {} if old is None else old.shown()
    changed = [*differences(former, new.shown())]
    if old is not None and old.password_hash != new.password_hash:
        changed.append(Difference(("password",), before=MASK, after=MASK))
    verb = "create" if old is None else "update"
    return Alteration(op=verb, type=USER, uuid="", name=(name,), fields=tuple(changed))


def _named(verb: str, record: Record, *, digest: str = "", before: str = "") -> Alteration:
    return Alteration(
        op=verb,
        type=record.type_name,
        uuid=record.uuid,
        name=record.fq_name,
        digest=digest,
        before=before,
    )


def _is_brief(schema: Schema, record: Record, *, compact: bool) -> bool:
    """Whether the compiler wrote an object of its own: that follows from what others wrote."""
    return compact and schema.resources[record.type_name].origin == "compiled"


def _deletion(schema: Schema, before: Record, *, compact: bool) -> Alteration:
    if _is_brief(schema, before, compact=compact):
        return _named("delete", before, before=_digest(before))
    found = _named("delete", before)
    return msgspec.structs.replace(found, object=masked(schema, before.type_name, before.body))


def _update(schema: Schema, before: Record, record: Record, *, compact: bool) -> Alteration | None:
    if _is_brief(schema, record, compact=compact):
        return _named("update", record, before=_digest(before), digest=_digest(record))
    changed = tuple(
        _without_secrets(schema, record.type_name, each)
        for each in differences(before.body, record.body)
    )
    if not changed and before.side == record.side:
        return None
    return msgspec.structs.replace(_named("update", record), fields=changed)


def _without_secrets(schema: Schema, type_name: str, change: Difference) -> Difference:
    if change.path[0] not in schema.secret_names[type_name]:
        return change
    resource = schema.resources[type_name]
    before, after = (
        side if side is UNSET else schema.masks.at(resource, change.path, side)
        for side in (change.before, change.after)
    )
    return Difference(change.path, before=before, after=after)


def _digest(record: Record) -> str:
    return sha256(record.encode()).hexdigest()


def head_of(held: KeyValue | None) -> Head:
    """Return the head a store holds; where there is none, that of an empty chain."""
    return Head() if held is None else msgspec.json.decode(held.value, type=Head)


def hash_of(page: bytes) -> str:
    """Return what the next page and the head say of a page."""
    return sha256(page).hexdigest()


def writing_of(head: Head, entries: Sequence[Entry], after: int, trim: Head | None) -> Writing:
    """Return how a transaction continues the chain; ``trim`` is a newer beginning for it."""
    if not entries and trim is None:
        return Writing((), (), head)
    puts: list[tuple[str, bytes]] = []
    deletes: tuple[str, ...] = ()
    if trim is not None:
        deletes = tuple(map(page_key, range(head.base_number + 1, trim.base_number + 1)))
        head = msgspec.structs.replace(head, base_number=trim.base_number, base_hash=trim.base_hash)
    for group in _groups(entries):
        page = msgspec.json.encode(_EncodedPage(head.hash, after, tuple(group)))
        head = msgspec.structs.replace(head, number=head.number + 1, hash=hash_of(page))
        puts.append((page_key(head.number), page))
    puts.append((HEADS + CHAIN, msgspec.json.encode(head)))
    return Writing(tuple(puts), deletes, head)


def _groups(entries: Iterable[Entry]) -> list[list[msgspec.Raw]]:
    """Encode entries, divided so that each group fits a page; what alone does not loses details."""
    groups: list[list[msgspec.Raw]] = []
    size = PAGE_BYTES_MAX
    for entry in entries:
        encoded = msgspec.json.encode(entry)
        if len(encoded) > PAGE_BYTES_MAX:
            encoded = msgspec.json.encode(_cut(entry))
        if size + len(encoded) > PAGE_BYTES_MAX:
            groups.append([])
            size = 0
        groups[-1].append(msgspec.Raw(encoded))
        size += len(encoded)
    return groups


def _cut(entry: Entry) -> Entry:
    brief = tuple(
        Alteration(op=a.op, type=a.type, uuid=a.uuid, name=a.name, digest=a.digest)
        for a in entry.alterations
    )
    return msgspec.structs.replace(entry, alterations=brief, cut=True)


@dataclass(slots=True)
class Verifier:
    """Checks a chain page by page, oldest first; feed it all pages, then ask ``fault``."""

    head: Head
    _number: int = 0
    _hash: str = ""
    pages_count: int = 0
    fault: str = ""

    def __post_init__(self) -> None:
        self._number, self._hash = self.head.base_number, self.head.base_hash

    def add(self, key: str, value: bytes) -> None:
        """Take the next page."""
        if self.fault:
            return
        expected = self._number + 1
        if number_of(key) != expected:
            self.fault = f"page {expected} is missing"
            return
        try:
            page = msgspec.json.decode(value, type=Page)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self.fault = f"page {expected} cannot be read: {error}"
            return
        if page.previous != self._hash:
            altered = f"page {expected - 1} was altered or page {expected} does not follow it"
            self.fault = altered
            return
        self._number, self._hash = expected, hash_of(value)
        self.pages_count += 1

    def finish(self) -> None:
        """Compare the end with the head."""
        if not self.fault and (self._number, self._hash) != (self.head.number, self.head.hash):
            self.fault = (
                f"the chain ends with page {self._number}, but should with {self.head.number}"
                if self._number != self.head.number
                else f"page {self._number} was altered"
            )
