"""The events of a typed watch, with the mark and sweep of snapshots done; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

from skytrail.client.kinds import Kind, ObjectT
from skytrail.client.snapshot_sweep import SnapshotSweep
from skytrail.client.watch_events import (
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
    WatchEvent,
)


@dataclass(frozen=True, slots=True)
class Present(Generic[ObjectT]):
    """The object is there, new or changed, as of ``revision``. The same may come twice."""

    object: ObjectT
    revision: int


@dataclass(frozen=True, slots=True)
class Absent:
    """An object that was seen is there no more."""

    uuid: str
    fq_name: tuple[str, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything up to this revision has been told."""

    revision: int


class TypedEvents(Generic[ObjectT]):
    """Turns the events of one type's watch into ``Present``, ``Absent`` and ``Synced``.

    Keeps the name of every object seen, so that one that is missing from a later snapshot is told.
    """

    def __init__(self, kind: Kind[ObjectT]) -> None:
        self._kind = kind
        self._names: dict[str, tuple[str, ...]] = {}
        self._sweep = SnapshotSweep()

    def of(self, event: WatchEvent) -> Iterator[Present[ObjectT] | Absent | Synced]:
        """Return what an event means."""
        gone = self._sweep.note(event)
        match event:
            case SnapshotBegin():
                pass
            case ObjectPut():
                found = self._kind.decode(event.object)
                self._names[event.uuid] = found.fq_name
                yield Present(found, event.revision)
            case ObjectDelete():
                self._names.pop(event.uuid, None)
                yield Absent(event.uuid, event.fq_name, event.revision)
            case SnapshotEnd():
                for uuid in gone:
                    yield Absent(uuid, self._names.pop(uuid), event.revision)
                yield Synced(event.revision)
            case RevisionEnd():
                yield Synced(event.revision)
