"""Typed calls for one object type, for asyncio; the twin of ``blocking_resources``."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from skytrail.client import messages
from skytrail.client.async_client import AsyncApiClient
from skytrail.client.async_native import AsyncNativeApi
from skytrail.client.kinds import (
    ChangesT,
    FiltersT,
    Key,
    ObjectT,
    Versioned,
    View,
    name_of,
    uuid_of,
)
from skytrail.client.native_types import HistoryEntry, Status
from skytrail.client.operations import Operations
from skytrail.client.selecting import PAGE_SIZE
from skytrail.client.typed_events import Absent, Present, Synced, TypedEvents


class AsyncResources(Operations[ObjectT, ChangesT, FiltersT]):
    """All objects of one type.

    Every method may raise ApiError (``NotFound``, ``Conflict``, ``Invalid``, ... with the API's
    text) or ApiUnavailable; a key or a change that cannot be sent is a ValueError.

    What lists and watches are about: ``parent`` takes children only; ``filters`` fields by name,
    each a value, None or a test (``client.selecting``); ``where`` texts such as
    ``"virtual_network_properties.rpf:eq:enable"``; ``tags`` objects with all these tags;
    ``labels`` those with these annotations, None for any value.
    """

    def __init__(self, client: AsyncApiClient, object_class: type[ObjectT]) -> None:
        super().__init__(object_class)
        self._client = client

    async def create(self, new: ObjectT) -> ObjectT:
        """Create an object; return it with what the API filled in."""
        return self._kind.decode(await self._client.call(self._kind.create_call(new)))

    async def get(self, key: Key, *, revision: int | None = None) -> ObjectT:
        """Return one object, now or as it was at a revision (by its uuid; for administrators)."""
        if revision is None:
            return (await self.read(key)).object
        call = self._kind.past_call(await self._uuid(key), revision)
        return self._kind.decode(await self._client.call(call))

    async def read(self, key: Key) -> Versioned[ObjectT]:
        """Return one object with the tag that makes a later write safe from lost updates."""
        call = self._kind.read_call(await self._uuid(key))
        return self._kind.versioned(await self._client.exchange(call))

    async def list(
        self,
        *,
        parent: Key | None = None,
        filters: FiltersT | None = None,
        where: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        labels: Mapping[str, str | None] | None = None,
        sort: str | None = None,
        revision: int | None = None,
    ) -> builtins.list[ObjectT]:
        """Return the objects selected, all of one revision; ``iterate`` for very many."""
        return [
            each
            async for each in self.iterate(
                parent=parent,
                filters=filters,
                where=where,
                tags=tags,
                labels=labels,
                sort=sort,
                revision=revision,
            )
        ]

    async def iterate(
        self,
        *,
        parent: Key | None = None,
        filters: FiltersT | None = None,
        where: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        labels: Mapping[str, str | None] | None = None,
        sort: str | None = None,
        revision: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[ObjectT]:
        """Yield the objects selected, a page read when it is needed.

        All pages show the configuration as of the first one, whatever is written meanwhile.
        """
        selection = self._kind.selection(
            parent=parent, filters=filters, where=where, tags=tags, labels=labels
        )
        cursor = None
        while True:
            view = View(sort=sort, revision=revision, page_size=page_size, cursor=cursor)
            page = self._kind.page(await self._client.call(self._kind.list_call(selection, view)))
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    async def count(
        self,
        *,
        parent: Key | None = None,
        filters: FiltersT | None = None,
        where: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> int:
        """Return how many objects are selected."""
        selection = self._kind.selection(
            parent=parent, filters=filters, where=where, tags=tags, labels=labels
        )
        call = self._kind.list_call(selection, View(count_only=True))
        return (self._kind.page(await self._client.call(call))).count

    async def update(self, key: Key, changes: ChangesT, *, if_match: str | None = None) -> ObjectT:
        """Change what is given, leave the rest; None clears. Return the object as it is then.

        A given property is replaced whole. With the tag of a ``read``, PreconditionFailed when
        somebody else has changed the object since.
        """
        call = self._kind.update_call(await self._uuid(key), changes, if_match)
        return self._kind.decode(await self._client.call(call))

    async def apply(
        self, wanted: ObjectT, *, field_owner: str | None = None, force: bool = False
    ) -> ObjectT:
        """Create the object of this name or make it say what is given; again, nothing changes.

        Fields that ``field_owner`` (the user when absent) gave before and gives no more go away.
        Conflict names the owner of a field that says otherwise; ``force`` takes it over.
        """
        call = self._kind.apply_call(wanted, field_owner, force=force)
        return self._kind.decode(await self._client.call(call))

    async def delete(self, key: Key, *, if_match: str | None = None, cascade: bool = False) -> None:
        """Delete an object; Conflict while something refers to it or it has children.

        With ``cascade`` what is in the way is deleted with it.
        """
        call = self._kind.delete_call(await self._uuid(key), if_match, cascade=cascade)
        await self._client.call(call)

    async def status(self, key: Key) -> Status:
        """Return how far the object's last change has come."""
        call = self._kind.status_call(await self._uuid(key))
        return messages.decode_reply(await self._client.call(call), Status)

    async def history(self, key: Key) -> AsyncIterator[HistoryEntry]:
        """Yield the changes of an object, the newest first; of a deleted one by its uuid."""
        async for entry in AsyncNativeApi(self._client).history(of=await self._uuid(key)):
            yield entry

    async def watch(
        self,
        from_revision: int | None = None,
        *,
        bookmarks: bool = False,
        parent: Key | None = None,
        filters: FiltersT | None = None,
        where: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> AsyncGenerator[Present[ObjectT] | Absent | Synced, None]:
        """Yield for ever: every object there is, then every change; outlives API restarts.

        To go on later, give the revision after that of the last ``Synced``. With ``bookmarks`` it
        also comes, every 10 s, when nothing has changed. An object that is selected no more is
        told as absent.
        """
        selection = self._kind.selection(
            parent=parent, filters=filters, where=where, tags=tags, labels=labels
        )
        typed = TypedEvents(self._kind)
        types = [self._kind.type_name]
        stream = self._client.watch(types, from_revision, selection=selection, bookmarks=bookmarks)
        async with aclosing(stream) as events:
            async for event in events:
                for told in typed.of(event):
                    yield told

    async def _uuid(self, key: Key) -> str:
        found = uuid_of(key)
        if found is not None:
            return found
        return await self._client.name_to_id(self._kind.type_name, name_of(key))
