"""All configuration objects in memory, with the indexes that requests need.

Two shapes with one reading interface (``View``): ``Graph`` is the committed state; ``Overlay`` is a
plan on top of either, which costs only what it changes, can be thrown away, and shows its own
effects to whoever plans further. Nothing here is ever asked for what could be derived twice: the
indexes follow from the records alone.

    request plan --> Overlay --absorb--> Overlay (batch) --store commits--> Graph
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from skytrail.api.documents import Document
from skytrail.api.heads import FqName, Head, head_of
from skytrail.api.ipam import Subnet
from skytrail.api.numbers import Numbers, NumbersOverlay, NumbersView

BODIES_COUNT_MAX = 16_384
"""So many decoded objects are kept beside their stored bytes (about 6 kB each)."""
BODIES_COUNT_HARD = 65_536


class Side(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of an object beside its wire document."""

    positions: dict[str, list[str]] = {}
    """Position of each element of a list property, where it is not its plain index."""
    relaxed: tuple[str, ...] = ()
    """Targets whose deletion this object's references do not block."""
    owners: dict[str, dict[str, str]] = {}
    """Field owner to the paths it applied, each with what tells whether it has changed since."""


NO_SIDE = Side()


class Record:
    """One object. The body is never changed in place; a new version is a new record.

    A committed record is its stored bytes; the body is decoded when somebody asks for it, and
    forgotten again when others were asked for since (``Bodies``).
    """

    __slots__ = (
        "_body",
        "attributes",
        "bodies",
        "create_revision",
        "fq_name",
        "mod_revision",
        "parent_type",
        "parent_uuid",
        "rendered",
        "side",
        "stored",
        "subnets",
        "targets",
        "type_name",
        "uuid",
    )  # fmt: skip

    def __init__(self, type_name: str, head: Head, body: Document | None = None) -> None:
        self.type_name = type_name
        self.uuid = head.uuid
        self.fq_name: FqName = head.fq_name
        self.parent_type = head.parent_type
        self.parent_uuid = head.parent_uuid
        self.targets = head.targets
        """(reference field, target uuid) of every reference."""
        self.attributes = head.attributes
        """The attribute of each reference; empty when none has one."""
        self.side = NO_SIDE
        self.mod_revision = 0
        self.create_revision = 0
        self.stored = b""
        self.rendered: bytes | None = None
        """Wire form without back references and children, filled by the renderer."""
        self.subnets: tuple[Subnet, ...] | None = None
        """Parsed subnets of a network or address manager, filled by ``addressing``."""
        self.bodies: Bodies | None = None
        self._body = body

    @property
    def body(self) -> Document:
        if self._body is None:
            self._body = msgspec.json.decode(self.stored, type=Document)
            if self.bodies is not None:
                self.bodies.note(self)
        return self._body

    @property
    def has_body(self) -> bool:
        return self._body is not None

    def forget_body(self) -> None:
        """Keep the stored bytes alone."""
        if self.stored:
            self._body = self.rendered = None

    @property
    def name(self) -> str:
        return self.fq_name[-1]

    def attribute(self, place: int) -> object:
        """Return the attribute of the reference at that place of ``targets``."""
        return self.attributes[place] if self.attributes else None

    def is_version_of(self, other: Record) -> bool:
        """Whether both are one object; a deleted uuid may come back as another one."""
        return (
            self.type_name == other.type_name
            and self.fq_name == other.fq_name
            and self.parent_uuid == other.parent_uuid
        )

    def encode(self) -> bytes:
        """Return the document as JSON bytes; computed once."""
        if not self.stored:
            self.stored = msgspec.json.encode(self.body)
        return self.stored


class Bodies:
    """Remembers whose bodies are decoded, oldest first, and has the oldest forgotten.

    Plans compare parts of a body by identity, so nothing is forgotten in their middle: the writer
    trims between them. The hard bound is for readers of everything.
    """

    __slots__ = ("_decoded",)

    def __init__(self) -> None:
        self._decoded: deque[Record] = deque()

    def note(self, record: Record) -> None:
        self._decoded.append(record)
        if len(self._decoded) > BODIES_COUNT_HARD:
            self.trim()

    def trim(self) -> None:
        """Forget all but the latest."""
        while len(self._decoded) > BODIES_COUNT_MAX:
            self._decoded.popleft().forget_body()


def make_record(type_name: str, body: Document, side: Side = NO_SIDE) -> Record:
    """Index a complete document: it must hold uuid and fq_name, and references with uuids."""
    record = Record(type_name, head_of(body), body)
    record.side = side
    return record


class View(Protocol):
    """Reading side of Graph and Overlay."""

    def get(self, uuid: str) -> Record | None: ...
    def uuid_of(self, type_name: str, fq_name: FqName) -> str | None: ...
    def of_type(self, type_name: str) -> Iterator[Record]: ...
    def child_uuids(self, parent: str, type_name: str) -> Iterator[str]: ...
    def referrer_uuids(self, target: str, type_name: str) -> Iterator[str]: ...
    def child_types(self, parent: str) -> set[str]: ...
    def referrer_types(self, target: str) -> set[str]: ...
    def remembered(self, key: str) -> str | None: ...
    @property
    def numbers(self) -> NumbersView: ...


def find(view: View, type_name: str, fq_name: FqName) -> Record | None:
    """Return the object of that type and name."""
    uuid = view.uuid_of(type_name, fq_name)
    return None if uuid is None else view.get(uuid)


def children(view: View, parent: str, type_name: str) -> list[Record]:
    """Return the children of one type, oldest first."""
    found = (view.get(uuid) for uuid in view.child_uuids(parent, type_name))
    return [record for record in found if record is not None]


def referrers(view: View, target: str, type_name: str) -> list[Record]:
    """Return the objects of one type that refer to the target."""
    found = (view.get(uuid) for uuid in view.referrer_uuids(target, type_name))
    return [record for record in found if record is not None]


_Index = dict[str, dict[str, dict[str, None]]]


@dataclass(slots=True)
class Graph:
    """The committed objects; changed only by absorbing a committed overlay."""

    records: dict[str, Record] = field(default_factory=dict[str, Record])
    by_type: dict[str, dict[str, Record]] = field(default_factory=dict[str, dict[str, Record]])
    names: dict[tuple[str, FqName], str] = field(default_factory=dict[tuple[str, FqName], str])
    numbers: Numbers = field(default_factory=Numbers)
    memory: dict[str, str] = field(default_factory=dict[str, str])
    """The key-value store clients keep notes in."""
    bodies: Bodies = field(default_factory=Bodies)
    note_revisions: dict[str, int] = field(default_factory=dict[str, int])
    """Revision of each note, where several servers share the store."""
    guards: dict[str, int] = field(default_factory=dict[str, int])
    """Revisions of the guard keys, where several servers share the store."""
    _children: _Index = field(default_factory=dict[str, dict[str, dict[str, None]]])
    _referrers: _Index = field(default_factory=dict[str, dict[str, dict[str, None]]])

    def get(self, uuid: str) -> Record | None:
        return self.records.get(uuid)

    def uuid_of(self, type_name: str, fq_name: FqName) -> str | None:
        return self.names.get((type_name, fq_name))

    def of_type(self, type_name: str) -> Iterator[Record]:
        return iter(self.by_type.get(type_name, {}).values())

    def child_uuids(self, parent: str, type_name: str) -> Iterator[str]:
        kinds = self._children.get(parent)
        return iter(()) if kinds is None else iter(kinds.get(type_name, ()))

    def referrer_uuids(self, target: str, type_name: str) -> Iterator[str]:
        kinds = self._referrers.get(target)
        return iter(()) if kinds is None else iter(kinds.get(type_name, ()))

    def child_types(self, parent: str) -> set[str]:
        return {name for name, uuids in self._children.get(parent, {}).items() if uuids}

    def referrer_types(self, target: str) -> set[str]:
        return {name for name, uuids in self._referrers.get(target, {}).items() if uuids}

    def remembered(self, key: str) -> str | None:
        return self.memory.get(key)

    def put(self, record: Record) -> None:
        """Insert or replace a record."""
        previous = self.records.get(record.uuid)
        if previous is not None and not previous.is_version_of(record):
            self.remove(record.uuid)
        elif previous is not None:
            self._unlink(previous)
        record.bodies = self.bodies
        if record.has_body:
            self.bodies.note(record)
        self.records[record.uuid] = record
        self.by_type.setdefault(record.type_name, {})[record.uuid] = record
        self.names[record.type_name, record.fq_name] = record.uuid
        parent = record.parent_uuid
        if parent is not None:
            kinds = self._children.setdefault(parent, {})
            kinds.setdefault(record.type_name, {})[record.uuid] = None
        for _, target in record.targets:
            kinds = self._referrers.setdefault(target, {})
            kinds.setdefault(record.type_name, {})[record.uuid] = None

    def remove(self, uuid: str) -> None:
        """Forget a record; unknown ones are ignored."""
        record = self.records.pop(uuid, None)
        if record is None:
            return
        self._unlink(record)
        del self.by_type[record.type_name][uuid]
        if self.names.get((record.type_name, record.fq_name)) == uuid:
            del self.names[record.type_name, record.fq_name]
        if record.parent_uuid is not None:
            _drop(self._children, record.parent_uuid, record.type_name, uuid)

    def _unlink(self, record: Record) -> None:
        for target in {target for _, target in record.targets}:
            _drop(self._referrers, target, record.type_name, record.uuid)

    def absorb(self, overlay: Overlay) -> None:
        """Take over a committed plan."""
        _carry_over(self, overlay)
        self.numbers.absorb(overlay.numbers)
        for key, value in overlay.memory.items():
            if value is None:
                self.memory.pop(key, None)
            else:
                self.memory[key] = value


def _drop(index: _Index, owner: str, type_name: str, uuid: str) -> None:
    """Take one entry out of an index, and what it leaves empty; in any order of removals."""
    kinds = index.get(owner)
    if kinds is None or type_name not in kinds:
        return
    kinds[type_name].pop(uuid, None)
    if not kinds[type_name]:
        del kinds[type_name]
        if not kinds:
            del index[owner]


_Delta = dict[str, dict[str, dict[str, bool]]]
"""Owner uuid to type to uuid to whether the plan adds or removes it."""


class Overlay:
    """A plan: reads show the base with the plan's changes; the base is not touched."""

    __slots__ = (
        "_changes",
        "_children",
        "_ground",
        "_referrers",
        "base",
        "changed",
        "memory",
        "names",
        "numbers",
    )  # fmt: skip

    def __init__(self, base: View) -> None:
        self.changed: dict[str, Record | None] = {}
        """New version per uuid, None for a removal, in order of first change."""
        self._stand_on(base)
        self.names: dict[tuple[str, FqName], str | None] = {}
        self.memory: dict[str, str | None] = {}
        self.numbers = NumbersOverlay(base.numbers)
        self._children: _Delta = {}
        self._referrers: _Delta = {}

    def get(self, uuid: str) -> Record | None:
        # A loop over what lies below, because plans ask this more often than anything else.
        for changed in self._changes:
            if uuid in changed:
                return changed[uuid]
        return self._ground.get(uuid)

    def _stand_on(self, base: View) -> None:
        self.base = base
        """What this plan is on top of."""
        is_plan = isinstance(base, Overlay)
        self._changes: tuple[dict[str, Record | None], ...] = (
            (self.changed, *base._changes) if is_plan else (self.changed,)
        )
        """This plan's changes, and those of the plans below it, topmost first."""
        self._ground: View = base._ground if is_plan else base

    def is_changing(self, uuid: str) -> bool:
        """Whether another plan, which this one builds on, changes the object and is not written."""
        base = self.base
        return isinstance(base, Overlay) and (uuid in base.changed or base.is_changing(uuid))

    def uuid_of(self, type_name: str, fq_name: FqName) -> str | None:
        key = (type_name, fq_name)
        if key in self.names:
            return self.names[key]
        return self.base.uuid_of(type_name, fq_name)

    def of_type(self, type_name: str) -> Iterator[Record]:
        for record in self.base.of_type(type_name):
            current = self.changed.get(record.uuid, record)
            if current is not None:
                yield current
        for uuid, record in self.changed.items():
            if record is not None and record.type_name == type_name and not self.base.get(uuid):
                yield record

    def child_uuids(self, parent: str, type_name: str) -> Iterator[str]:
        kinds = self._children.get(parent)
        found = self.base.child_uuids(parent, type_name)
        return found if kinds is None else _merged(found, kinds.get(type_name))

    def referrer_uuids(self, target: str, type_name: str) -> Iterator[str]:
        kinds = self._referrers.get(target)
        found = self.base.referrer_uuids(target, type_name)
        return found if kinds is None else _merged(found, kinds.get(type_name))

    def child_types(self, parent: str) -> set[str]:
        return self.base.child_types(parent) | self._children.get(parent, {}).keys()

    def referrer_types(self, target: str) -> set[str]:
        return self.base.referrer_types(target) | self._referrers.get(target, {}).keys()

    def remembered(self, key: str) -> str | None:
        return self.memory[key] if key in self.memory else self.base.remembered(key)

    def put(self, record: Record) -> None:
        """Plan a new version of an object, or a new object."""
        previous = self.get(record.uuid)
        if previous is not None and not previous.is_version_of(record):
            self.remove(record.uuid)
        elif previous is not None:
            self._unlink(previous)
        self.changed[record.uuid] = record
        self.names[record.type_name, record.fq_name] = record.uuid
        parent = record.parent_uuid
        if parent is not None:
            _note(self._children, parent, record, True)
        for _, target in record.targets:
            _note(self._referrers, target, record, True)

    def remove(self, uuid: str) -> None:
        """Plan a removal."""
        previous = self.get(uuid)
        if previous is None:
            return
        self._unlink(previous)
        self.changed[uuid] = None
        key = (previous.type_name, previous.fq_name)
        if self.uuid_of(*key) == uuid:
            self.names[key] = None
        parent = previous.parent_uuid
        if parent is not None:
            _note(self._children, parent, previous, False)

    def remember(self, key: str, value: str | None) -> None:
        """Plan a note, or its removal with None."""
        self.memory[key] = value

    def absorb(self, overlay: Overlay) -> None:
        """Add an accepted plan made on top of this one."""
        _carry_over(self, overlay)
        self.numbers.absorb(overlay.numbers)
        self.memory.update(overlay.memory)

    def rest_on(self, base: View) -> None:
        """Stand on another base that shows the same: the former one, now committed into it.

        No plan that is still in use may stand on this one meanwhile.
        """
        self._stand_on(base)
        self.numbers.rest_on(base.numbers)

    def is_empty(self) -> bool:
        """Whether nothing would be written."""
        return not (self.changed or self.memory or self.numbers.changed)

    def _unlink(self, record: Record) -> None:
        for _, target in record.targets:
            _note(self._referrers, target, record, False)


def _carry_over(target: Graph | Overlay, overlay: Overlay) -> None:
    """Put a plan's objects into what it was made on: removals first, so that a name can pass on."""
    for uuid, record in overlay.changed.items():
        if record is None:
            target.remove(uuid)
    for record in overlay.changed.values():
        if record is not None:
            target.put(record)


def _note(delta: _Delta, owner: str, record: Record, present: bool) -> None:
    delta.setdefault(owner, {}).setdefault(record.type_name, {})[record.uuid] = present


def _merged(base: Iterator[str], delta: dict[str, bool] | None) -> Iterator[str]:
    if delta is None:
        yield from base
        return
    seen: set[str] = set()
    for uuid in base:
        seen.add(uuid)
        if delta.get(uuid, True):
            yield uuid
    for uuid, present in delta.items():
        if present and uuid not in seen:
            yield uuid
