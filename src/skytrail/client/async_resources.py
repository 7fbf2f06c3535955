"""Typed calls for one object type, for asyncio; the twin of ``blocking_resources``."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic

from skytrail.client import messages
from skytrail.client.async_client import AsyncApiClient
from skytrail.client.kinds import ChangesT, FiltersT, Key, Kind, ObjectT, name_of, uuid_of
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
        uuid = await self._client.create(self._kind.type_name, self._kind.encode(new))
        return await self.get(uuid)

    async def get(self, key: Key) -> ObjectT:
        """Return one object."""
        wire = await self._client.read(self._kind.type_name, await self._uuid(key))
        return self._kind.decode(wire)

    async def list(
        self, *, parent: Key | None = None, filters: FiltersT | None = None
    ) -> builtins.list[ObjectT]:
        """Return the objects of the type below a parent, or all; those equal in all filters."""
        call = self._kind.list_call(parent, filters or {})
        found = messages.objects_of(await self._client.call(call), self._kind.type_name)
        return [self._kind.decode(wire) for wire in found]

    async def update(self, key: Key, changes: ChangesT) -> ObjectT:
        """Change what is given, leave the rest; None clears. Return the object as it is then."""
        wire = self._kind.encode_changes(changes)
        uuid = await self._uuid(key)
        await self._client.update(self._kind.type_name, uuid, wire)
        return await self.get(uuid)

    async def delete(self, key: Key) -> None:
        """Delete an object; Conflict while something refers to it or it has children."""
        await self._client.delete(self._kind.type_name, await self._uuid(key))

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
