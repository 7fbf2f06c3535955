"""What the compiler would derive from a change that has not been made: a shadow that takes it back.

```
 committed objects --load, follow--> Engine, settled --preview: planned changes--> settled again
                                       ^                                               |  difference
                                       +-------------- everything taken back <---------+
```
The shadow writes to itself what the compiler would write to the API, until nothing is left to write;
what then differs is what the change derives. Its cost follows the change, not the configuration.
It is pure; whoever uses it feeds it every committed change and never uses it twice at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec

from skytrail.compiler import emit
from skytrail.compiler.derived import DerivedKey, Violation
from skytrail.compiler.emit import Create, Delete, Update, Write
from skytrail.compiler.engine import Change, Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.reachability import changed_pairs
from skytrail.model.catalog import CATALOG
from skytrail.model.objects import ConfigObject, ModelError, decode_object, encode_object

ROUNDS_COUNT_MAX: Final = 8
"""Derived objects feed a few passes again; nothing goes round more often."""
DERIVED_SHOWN_MAX: Final = 500
PAIRS_SHOWN_MAX: Final = 500

Document = dict[str, object]
StoredChange = tuple[str, str, bytes | None]
"""Type, uuid and document; None for a removal."""
_Stored = tuple[str, str]
_MOVING: Final = frozenset({"id_perms", "perms2", "display_name"})


@dataclass(slots=True)
class _Trace:
    """What was there before, for everything touched since."""

    before: dict[_Stored, ConfigObject | None] = field(
        default_factory=dict[_Stored, ConfigObject | None]
    )

    def note(self, engine: Engine, change: Change) -> None:
        match change:
            case Put(item):
                key = (item.type_name, item.uuid)
            case Remove(type_name, uuid):
                key = (type_name, uuid)
        self.before.setdefault(key, engine.intent.item(*key))

    def undo(self) -> list[Change]:
        return [
            Remove(*key) if item is None else Put(item)
            for key, item in reversed(self.before.items())
        ]


class Preview:
    """A shadow of the compiler."""

    def __init__(self) -> None:
        self._engine = Engine(ALL_PASSES)
        self._dirty: set[DerivedKey] = set()
        self._violations: set[Violation] | None = None
        """Those of the committed objects; None until somebody asks."""

    @property
    def kinds(self) -> frozenset[str]:
        """Types whose objects have to be fed."""
        return self._engine.input_kinds | emit.OUTPUT_KINDS

    def load(self, objects: Iterable[StoredChange]) -> None:
        """Start from these committed objects."""
        items = (_decoded(*each) for each in objects if each[2] is not None)
        self._engine.load(item for item in items if item is not None)
        self._dirty = emit.all_keys(self._engine)
        self._violations = None

    def follow(self, changes: Iterable[StoredChange]) -> None:
        """Take committed changes in order."""
        known = self._known(changes)
        if known:
            self._dirty |= self._take(known, None)
            self._violations = None

    def preview(self, changes: Iterable[StoredChange]) -> Document:
        """Return what these changes would derive, and forget them."""
        self._settle(self._dirty, None)
        self._dirty = set()
        if self._violations is None:
            self._violations = set(self._engine.violations())
        violations = self._violations
        trace = _Trace()
        try:
            known = self._known(changes)
            dirty = self._take(known, trace)
            planned = {each.item.uuid: each.item for each in known if isinstance(each, Put)}
            self._settle(dirty, trace)
            found = self._difference(trace, planned)
            found["violations"] = [
                {
                    "type": each.type_name,
                    "fq_name": list(each.fq_name),
                    "reason": each.reason,
                    "detail": each.detail,
                }
                for each in self._engine.violations()
                if each not in violations
            ]
        finally:
            self._take(trace.undo(), None)
        return found

    def _known(self, changes: Iterable[StoredChange]) -> list[Change]:
        found: list[Change] = []
        for type_name, uuid, content in changes:
            if type_name not in self.kinds:
                continue
            item = _decoded(type_name, uuid, content)
            found.append(Remove(type_name, uuid) if item is None else Put(item))
        return found

    def _take(self, changes: Iterable[Change], trace: _Trace | None) -> set[DerivedKey]:
        """Bring changes into the engine; return the derived keys to compare."""
        listed = list(changes)
        if trace is not None:
            for change in listed:
                trace.note(self._engine, change)
        return emit.apply(self._engine, listed)

    def _settle(self, dirty: set[DerivedKey], trace: _Trace | None) -> None:
        """Write to the shadow what the compiler would write, until it would write nothing."""
        for _ in range(ROUNDS_COUNT_MAX):
            writes = emit.plan(self._engine, dirty)
            changes = [each for write in writes if (each := self._as_change(write)) is not None]
            if not changes:
                return
            dirty = self._take(changes, trace)

    def _as_change(self, write: Write) -> Change | None:
        kind = write.key.type_name
        match write:
            case Delete(_, uuid):
                return Remove(kind, uuid)
            case Create(key, uuid, wire):
                body = {"uuid": uuid, "fq_name": list(key.fq_name), **self._parent(key), **wire}
            case Update(_, uuid, wire):
                stored = self._engine.intent.item(kind, uuid)
                if stored is None:
                    return None
                body = {**encode_object(stored), **wire}
        return Put(decode_object(kind, body))

    def _parent(self, key: DerivedKey) -> Document:
        """Return the uuid of a derived object's parent, which the API would fill in."""
        wanted = self._engine.wanted(key)
        if wanted is None or wanted.parent_type is None:
            return {}
        parent = self._engine.intent.find(wanted.parent_type, key.fq_name[:-1])
        return {} if parent is None else {"parent_uuid": parent.uuid}

    def _difference(self, trace: _Trace, planned: Mapping[str, ConfigObject]) -> Document:
        derived: list[Document] = []
        before: dict[DerivedKey, ConfigObject | None] = {}
        after: dict[DerivedKey, ConfigObject | None] = {}
        for (kind, uuid), old in trace.before.items():
            if kind not in emit.OUTPUT_KINDS:
                continue
            new = self._engine.intent.item(kind, uuid)
            if CATALOG.objects[kind].origin == "user" and uuid in planned:
                # What people write into it is the plan itself; the rest is derived.
                old = planned[uuid]
            if old is not None:
                before[DerivedKey(kind, old.fq_name)] = old
            if new is not None:
                after[DerivedKey(kind, new.fq_name)] = new
        for key in sorted({*before, *after}):
            entry = _entry(key, before.get(key), after.get(key))
            if entry is not None:
                derived.append(entry)
        pairs = changed_pairs(self._engine.intent, before, after)
        return {
            "derived": derived[:DERIVED_SHOWN_MAX],
            "derived_count": len(derived),
            "reachability": pairs[:PAIRS_SHOWN_MAX],
            "reachability_count": len(pairs),
        }


def _decoded(type_name: str, uuid: str, content: bytes | None) -> ConfigObject | None:
    if content is None:
        return None
    try:
        return decode_object(type_name, content)
    except ModelError:
        # As for the compiler: what does not fit the model counts as absent.
        return None


def _entry(key: DerivedKey, old: ConfigObject | None, new: ConfigObject | None) -> Document | None:
    """Return what becomes of one derived object, None if nothing."""
    was, becomes = _fields(old), _fields(new)
    fields: list[Document] = []
    for name in sorted({*was, *becomes}):
        if was.get(name) == becomes.get(name):
            continue
        entry: Document = {"path": f"/{name}"}
        entry |= {"from": was[name]} if name in was else {}
        entry |= {"to": becomes[name]} if name in becomes else {}
        fields.append(entry)
    if not fields:
        return None
    verb = "create" if old is None else "delete" if new is None else "update"
    return {"op": verb, "type": key.type_name, "fq_name": list(key.fq_name), "fields": fields}


def _fields(item: ConfigObject | None) -> Mapping[str, object]:
    """Return an object's own fields in short: names of references, texts of access list entries."""
    if item is None:
        return {}
    shown: Document = {}
    for name, value in encode_object(item).items():
        if name in _MOVING or name in {"uuid", "fq_name", "parent_type", "parent_uuid"}:
            continue
        if name.endswith("_refs") and isinstance(value, list):
            shown[name] = sorted(_reference(each) for each in cast("list[Document]", value))
        else:
            shown[name] = value
    return shown


def _reference(item: Document) -> str:
    name = ":".join(cast("list[str]", item.get("to", [])))
    attr = item.get("attr")
    return f"{name} {msgspec.json.encode(attr).decode()}" if attr else name
