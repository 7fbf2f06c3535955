"""What one watcher sees of the changes: whole batches filtered by its rights at that moment. Pure.

An object that stops being visible is told as removed, one that becomes visible as created; whoever
sees everything gets the batches as they are.
"""

from __future__ import annotations

from msgspec.structs import replace

from skytrail.api import authorize, secret_fields, users
from skytrail.api.authorize import READ
from skytrail.api.caller import THE_SERVER, Caller
from skytrail.api.feed import Batch, Event
from skytrail.api.graph import Graph, Record, View
from skytrail.api.schema import Schema


class Sight:
    """The filter of one watcher."""

    def __init__(self, view: View, caller: Caller, schema: Schema | None = None) -> None:
        self._view = view
        self._caller = caller
        self._schema = schema

    def is_over(self, now: float) -> bool:
        """Whether the caller's identity is no longer good (now in seconds since the epoch)."""
        caller = self._caller
        if caller.expires_at is not None and now >= caller.expires_at:
            return True
        return caller.account is not None and not users.is_current(self._view, caller.account)

    def select(self, records: list[Record]) -> list[Record]:
        """Return the records the watcher sees."""
        if not authorize.is_restricted(self._view, self._caller):
            return records
        may_read: dict[str, bool] = {}
        return [
            self._masked(record)
            for record in records
            if self._reads(record.type_name, may_read)
            and authorize.sees(self._view, self._caller, record)
        ]

    def batch(self, batch: Batch) -> Batch:
        """Return what the watcher gets to know of a batch; the revision always."""
        if not authorize.is_restricted(self._view, self._caller):
            return batch
        may_read: dict[str, bool] = {}
        events = [
            seen
            for event in batch.events
            if self._reads(event.type_name, may_read) and (seen := self._event(event)) is not None
        ]
        return Batch(batch.revision, tuple(events), batch.size, batch.history)

    def _event(self, event: Event) -> Event | None:
        sees = authorize.sees(self._view, self._caller, event.record)
        event = replace(event, record=self._masked(event.record))
        if event.previous_permissions is None:
            return event if sees else None
        saw = not authorize.is_hidden(event.record) and (
            self._caller.is_reader
            or authorize.granted_by(self._caller, event.previous_permissions) & READ != 0
        )
        if sees:
            return event if saw else Event("create", event.record)
        return Event("delete", event.record) if saw else None

    def _masked(self, record: Record) -> Record:
        if self._schema is None:
            return record
        return secret_fields.shown(self._schema, self._view, self._caller, record)

    def _reads(self, type_name: str, memo: dict[str, bool]) -> bool:
        if type_name not in memo:
            memo[type_name] = authorize.judge_rule(self._view, self._caller, type_name, "R").allowed
        return memo[type_name]


SEES_ALL = Sight(Graph(), THE_SERVER)
"""For readers inside the server."""
