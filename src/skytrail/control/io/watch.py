"""Feeds the plane from the API's watch: snapshots whole, then change by change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from skytrail.client import (
    AsyncApiClient,
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
    WatchEvent,
)
from skytrail.client.traced_revisions import TracedRevisions
from skytrail.control.config_filter import WATCHED_TYPES
from skytrail.control.plane import ControlPlane
from skytrail.model.config_object import ConfigObject
from skytrail.model.objects import ModelError, decode_object
from skytrail.runtime.clock import Clock


class ConfigWatch:
    """Turns watch events into plane calls. ``when_committed`` is called after each commit."""

    def __init__(
        self, plane: ControlPlane, clock: Clock, when_committed: Callable[[], None]
    ) -> None:
        self.refused_count = 0
        self._plane = plane
        self._clock = clock
        self._when_committed = when_committed
        self._snapshot: list[ConfigObject] | None = None
        self._log = structlog.get_logger("skytrail.control.watch")
        self.traced: TracedRevisions | None = None
        """None: nobody wants traces."""

    async def run(self, client: AsyncApiClient) -> None:
        """Follow the API for ever; the client reconnects and resumes by itself."""
        position = self._plane.revision + 1 if self._plane.is_config_complete else None
        async for event in client.watch(WATCHED_TYPES, position):
            self.take(event)

    def take(self, event: WatchEvent) -> None:
        """Act on one event."""
        match event:
            case SnapshotBegin():
                self._snapshot = []
            case ObjectPut():
                self._put(event)
            case ObjectDelete():
                self._plane.config_delete(event.uuid)
            case SnapshotEnd(revision):
                self._plane.config_replace(self._snapshot or [])
                self._snapshot = None
                self._commit(revision)
            case RevisionEnd(revision):
                self._commit(revision, () if self.traced is None else self.traced.ended(event))

    def _put(self, event: ObjectPut) -> None:
        try:
            config_object = decode_object(event.type, event.object)
        except ModelError as error:
            # One unreadable object must not hold up all others; its earlier version stays.
            self.refused_count += 1
            self._log.error("object_refused", type=event.type, uuid=event.uuid, error=str(error))
            return
        if self._snapshot is None:
            self._plane.config_put(config_object)
        else:
            self._snapshot.append(config_object)

    def _commit(self, revision: int, traces: Sequence[str] = ()) -> None:
        self._plane.commit(revision, self._clock.now(), traces)
        self._when_committed()
