"""Turn watch events into batches the engine can take; pure.

A batch ends where a transaction ends, so that the engine never sees half of one. Batches that wait
are merged: the latest state of each object counts, so what waits never exceeds the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

from skytrail.client.watch_events import (
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
    WatchEvent,
)
from skytrail.compiler.derived import Violation
from skytrail.compiler.engine import Change, Put, Remove
from skytrail.model.objects import ConfigObject, ModelError, decode_object

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything there is; what is not in it does not exist."""

    items: tuple[ConfigObject, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Changes:
    changes: tuple[Change, ...]
    revision: int


Batch = Snapshot | Changes


class Inbox:
    """Collects events; :meth:`take` hands out all complete revisions as one batch."""

    def __init__(self) -> None:
        self._snapshot: dict[_Key, ConfigObject] | None = None
        self._open: dict[_Key, Change] = {}
        self._ready_snapshot: dict[_Key, ConfigObject] | None = None
        self._ready: dict[_Key, Change] = {}
        self._revision: int | None = None
        self._unreadable: dict[_Key, Violation] = {}

    def add(self, event: WatchEvent) -> bool:
        """Note an event; return True when :meth:`take` has something new."""
        match event:
            case SnapshotBegin():
                self._snapshot = {}
                self._open = {}
                return False
            case SnapshotEnd(revision):
                self._ready_snapshot = self._snapshot if self._snapshot is not None else {}
                self._snapshot = None
                self._ready = {}
            case ObjectPut():
                self._put(event)
                return False
            case ObjectDelete(type_name, uuid):
                self._unreadable.pop((type_name, uuid), None)
                self._open[(type_name, uuid)] = Remove(type_name, uuid)
                return False
            case RevisionEnd(revision):
                self._ready |= self._open
                self._open = {}
        self._revision = revision
        return True

    def take(self) -> Batch | None:
        """Return what is complete, or None; a snapshot contains the changes that followed it."""
        if self._revision is None:
            return None
        revision, self._revision = self._revision, None
        changes, self._ready = self._ready, {}
        items, self._ready_snapshot = self._ready_snapshot, None
        if items is None:
            return Changes(tuple(changes.values()), revision)
        for key, change in changes.items():
            match change:
                case Put(item):
                    items[key] = item
                case Remove():
                    items.pop(key, None)
        return Snapshot(tuple(items.values()), revision)

    def unreadable(self) -> list[Violation]:
        """Return the objects that do not fit the model; they count as absent."""
        return [self._unreadable[key] for key in sorted(self._unreadable)]

    def _put(self, event: ObjectPut) -> None:
        key = (event.type, event.uuid)
        try:
            item = decode_object(event.type, event.object)
        except ModelError as error:
            name = event.object.get("fq_name")
            fq_name = tuple(str(part) for part in name) if isinstance(name, list | tuple) else ()
            self._unreadable[key] = Violation(
                event.type, fq_name, "unreadable_object", f"{error}: counts as absent; rewrite it"
            )
            if self._snapshot is None:
                self._open[key] = Remove(event.type, event.uuid)
            return
        self._unreadable.pop(key, None)
        if self._snapshot is None:
            self._open[key] = Put(item)
        else:
            self._snapshot[key] = item
