"""Typed calls for one object type, for asyncio; the twin of ``blocking_resources``."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic

from skytrail.client import messages
from skytrail.client.async_client import AsyncApiClient
from skytrail.client.kinds import (
    ChangesT,
    FiltersT,
    Key,
    Kind,
    ObjectT,
    Versioned,
    name_of,
    uuid_of,
)
from skytrail.client.typed_events import Absent, Present, Synced, TypedEvents


class AsyncResources(Generic[ObjectT, ChangesT, FiltersT]):
    """All objects of one type.

    Every method may raise ApiError (``NotFound``, ``Conflict``, ``Invalid``, ... with the API's
    text) or ApiUnavailable; a key or a change that cannot be sent is a ValueError.
    """

    def __init__(self, client: AsyncApiClient, object_class: type[ObjectT]) -> None:
        self._client = client
        self._kind = Kind(object_class)

    async def create(self, new: ObjectT) -> ObjectT:
        """Create an object; return it with what the API filled in."""
        return self._kind.decode(await self._client.call(self._kind.create_call(new)))

    async def get(self, key: Key) -> ObjectT:
        """Return one object."""
        return (await self.read(key)).object

    async def read(self, key: Key) -> Versioned[ObjectT]:
        """Return one object with the tag that makes a later write safe from lost updates."""
        call = self._kind.read_call(await self._uuid(key))
        return self._kind.versioned(await self._client.exchange(call))

    async def list(
        self, *, parent: Key | None = None, filters: FiltersT | None = None
    ) -> builtins.list[ObjectT]:
        """Return the objects of the type below a parent, or all; those equal in all filters."""
        call = self._kind.list_call(parent, filters or {})
        found = messages.objects_of(await self._client.call(call), self._kind.type_name)
        return [self._kind.decode(wire) for wire in found]

    async def update(self, key: Key, changes: ChangesT, *, if_match: str | None = None) -> ObjectT:
        """Change what is given, leave the rest; None clears. Return the object as it is then.

        A given property is replaced whole. With the tag of a ``read``, PreconditionFailed when
        somebody else has changed the object since.
        """
        call = self._kind.update_call(await self._uuid(key), changes, if_match)
        return self._kind.decode(await self._client.call(call))

    async def delete(self, key: Key, *, if_match: str | None = None) -> None:
        """Delete an object; Conflict while something refers to it or it has children."""
        await self._client.call(self._kind.delete_call(await self._uuid(key), if_match))

    async def watch(
        self, from_revision: int | None = None
    ) -> AsyncGenerator[Present[ObjectT] | Absent | Synced, None]:
        """Yield for ever: every object there is, then every change; outlives API restarts."""
        typed = TypedEvents(self._kind)
        async with aclosing(self._client.watch([self._kind.type_name], from_revision)) as events:
            async for event in events:
                for told in typed.of(event):
                    yield told

    async def _uuid(self, key: Key) -> str:
        found = uuid_of(key)
        if found is not None:
            return found
        return await self._client.name_to_id(self._kind.type_name, name_of(key))
