"""What the native API offers beside collections, blocking; the twin of ``async_native``."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence

from skytrail.client import messages, native_calls
from skytrail.client.blocking_client import ApiClient
from skytrail.client.kinds import Operation
from skytrail.client.native_calls import Asked, HistoryQuery, ReplyT
from skytrail.client.native_types import (
    ChangeSet,
    Commit,
    HistoryEntry,
    Plan,
    Rehearsal,
    Verification,
)


class NativeApi:
    """Transactions, plans, change sets and the history; collections are generated beside them.

    Every method may raise what those of a collection may.
    """

    def __init__(self, client: ApiClient) -> None:
        self.client = client

    def transaction(self, operations: Sequence[Operation]) -> Commit:
        """Carry out all operations as one revision, or none; collections make operations."""
        return ask(self.client, native_calls.transaction(operations))

    def rehearse(self, operations: Sequence[Operation]) -> Rehearsal:
        """Return what a transaction would change, of what the caller sees; change nothing."""
        return ask(self.client, native_calls.rehearsal(operations))

    def plan(self, operations: Sequence[Operation]) -> Plan:
        """Return all that would follow of a transaction, down to hosts; for administrators."""
        return ask(self.client, native_calls.plan(operations))

    @property
    def change_sets(self) -> ChangeSets:
        """Operations gathered over time, reviewed, committed together; for administrators."""
        return ChangeSets(self.client)

    def history(
        self,
        *,
        of: str | None = None,
        type_name: str | None = None,
        by: str | None = None,
        derived: bool = False,
    ) -> Iterator[HistoryEntry]:
        """Yield changes, the newest first: of one object (a uuid), of a type, by a user."""
        query = HistoryQuery(of=of, type_name=type_name, by=by, derived=derived)
        cursor = None
        while True:
            page = ask(self.client, query.page(cursor))
            yield from page.entries
            cursor = page.next
            if cursor is None:
                return

    def change(self, name: str) -> HistoryEntry:
        """Return a change by its name, such as ``812.0``."""
        return ask(self.client, native_calls.change(name))

    def revert(self, name: str, *, force: bool = False) -> Commit:
        """Make the inverse of a change; Conflict where something has changed since."""
        return ask(self.client, native_calls.revert(name, force=force))

    def rehearse_revert(self, name: str, *, force: bool = False) -> Rehearsal:
        """Return what a revert would change; change nothing."""
        return ask(self.client, native_calls.revert_rehearsal(name, force=force))

    def verify_history(self) -> Verification:
        """Return whether the chain of the audit log holds."""
        return ask(self.client, native_calls.verification())


class ChangeSets:
    """All change sets."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def list(self) -> builtins.list[ChangeSet]:
        """Return every set with the number of its operations."""
        return list(ask(self._client, native_calls.all_change_sets()).change_sets)

    def create(self, title: str, operations: Sequence[Operation] = ()) -> ChangeSet:
        """Store a new set; refused when its operations could not be carried out."""
        return ask(self._client, native_calls.draft(title, operations))

    def get(self, identity: str) -> ChangeSet:
        return ask(self._client, native_calls.change_set(identity))

    def add(self, identity: str, operations: Sequence[Operation]) -> ChangeSet:
        """Add operations to a set."""
        return ask(self._client, native_calls.extension(identity, operations))

    def review(self, identity: str) -> Plan:
        """Return the plan of a set, with what somebody else has changed since as conflicts."""
        return ask(self._client, native_calls.review(identity))

    def commit(self, identity: str) -> Commit:
        """Carry out all of a set and end it; Conflict names what has changed since."""
        return ask(self._client, native_calls.set_commit(identity))

    def rebase(self, identity: str) -> ChangeSet:
        """Accept the objects as they are now."""
        return ask(self._client, native_calls.rebase(identity))

    def discard(self, identity: str) -> None:
        self._client.call(native_calls.discard_call(identity))


def ask(client: ApiClient, asked: Asked[ReplyT]) -> ReplyT:
    """Send a request and decode its answer."""
    return messages.decode_reply(client.call(asked.call), asked.reply)
