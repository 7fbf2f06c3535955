"""What the native API offers beside collections, for asyncio; the twin of ``blocking_native``."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Sequence

from skytrail.client import messages, native_calls
from skytrail.client.async_client import AsyncApiClient
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


class AsyncNativeApi:
    """Transactions, plans, change sets and the history; collections are generated beside them.

    Every method may raise what those of a collection may.
    """

    def __init__(self, client: AsyncApiClient) -> None:
        self.client = client

    async def transaction(self, operations: Sequence[Operation]) -> Commit:
        """Carry out all operations as one revision, or none; collections make operations."""
        return await ask(self.client, native_calls.transaction(operations))

    async def rehearse(self, operations: Sequence[Operation]) -> Rehearsal:
        """Return what a transaction would change, of what the caller sees; change nothing."""
        return await ask(self.client, native_calls.rehearsal(operations))

    async def plan(self, operations: Sequence[Operation]) -> Plan:
        """Return all that would follow of a transaction, down to hosts; for administrators."""
        return await ask(self.client, native_calls.plan(operations))

    @property
    def change_sets(self) -> AsyncChangeSets:
        """Operations gathered over time, reviewed, committed together; for administrators."""
        return AsyncChangeSets(self.client)

    async def history(
        self,
        *,
        of: str | None = None,
        type_name: str | None = None,
        by: str | None = None,
        derived: bool = False,
    ) -> AsyncIterator[HistoryEntry]:
        """Yield changes, the newest first: of one object (a uuid), of a type, by a user."""
        query = HistoryQuery(of=of, type_name=type_name, by=by, derived=derived)
        cursor = None
        while True:
            page = await ask(self.client, query.page(cursor))
            for entry in page.entries:
                yield entry
            cursor = page.next
            if cursor is None:
                return

    async def change(self, name: str) -> HistoryEntry:
        """Return a change by its name, such as ``812.0``."""
        return await ask(self.client, native_calls.change(name))

    async def revert(self, name: str, *, force: bool = False) -> Commit:
        """Make the inverse of a change; Conflict where something has changed since."""
        return await ask(self.client, native_calls.revert(name, force=force))

    async def rehearse_revert(self, name: str, *, force: bool = False) -> Rehearsal:
        """Return what a revert would change; change nothing."""
        return await ask(self.client, native_calls.revert_rehearsal(name, force=force))

    async def verify_history(self) -> Verification:
        """Return whether the chain of the audit log holds."""
        return await ask(self.client, native_calls.verification())


class AsyncChangeSets:
    """All change sets."""

    def __init__(self, client: AsyncApiClient) -> None:
        self._client = client

    async def list(self) -> builtins.list[ChangeSet]:
        """Return every set with the number of its operations."""
        return list((await ask(self._client, native_calls.all_change_sets())).change_sets)

    async def create(self, title: str, operations: Sequence[Operation] = ()) -> ChangeSet:
        """Store a new set; refused when its operations could not be carried out."""
        return await ask(self._client, native_calls.draft(title, operations))

    async def get(self, identity: str) -> ChangeSet:
        return await ask(self._client, native_calls.change_set(identity))

    async def add(self, identity: str, operations: Sequence[Operation]) -> ChangeSet:
        """Add operations to a set."""
        return await ask(self._client, native_calls.extension(identity, operations))

    async def review(self, identity: str) -> Plan:
        """Return the plan of a set, with what somebody else has changed since as conflicts."""
        return await ask(self._client, native_calls.review(identity))

    async def commit(self, identity: str) -> Commit:
        """Carry out all of a set and end it; Conflict names what has changed since."""
        return await ask(self._client, native_calls.set_commit(identity))

    async def rebase(self, identity: str) -> ChangeSet:
        """Accept the objects as they are now."""
        return await ask(self._client, native_calls.rebase(identity))

    async def discard(self, identity: str) -> None:
        await self._client.call(native_calls.discard_call(identity))


async def ask(client: AsyncApiClient, asked: Asked[ReplyT]) -> ReplyT:
    """Send a request and decode its answer."""
    return messages.decode_reply(await client.call(asked.call), asked.reply)
