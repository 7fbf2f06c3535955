"""Which objects a snapshot says are there no more, by not having them; pure."""

from __future__ import annotations

from skytrail.client.watch_events import (
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
    WatchEvent,
)


class SnapshotSweep:
    """Mark and sweep over the events of one watch. Keeps the uuid of every object that is there."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._marked: dict[str, None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a snapshot is coming in."""
        return self._marked is not None

    def note(self, event: WatchEvent) -> list[str]:
        """Take an event into account; return the uuids that have gone without a delete of their own."""
        match event:
            case SnapshotBegin():
                self._marked = {}
            case ObjectPut():
                self._known[event.uuid] = None
                if self._marked is not None:
                    self._marked[event.uuid] = None
            case ObjectDelete():
                self._known.pop(event.uuid, None)
            case SnapshotEnd():
                known, self._known = self._known, self._marked or {}
                self._marked = None
                return [uuid for uuid in known if uuid not in self._known]
            case RevisionEnd():
                pass
        return []
