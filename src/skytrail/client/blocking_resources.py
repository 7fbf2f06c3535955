"""Typed calls for one object type, blocking; the twin of ``async_resources``."""

from __future__ import annotations

import builtins
from collections.abc import Generator
from contextlib import closing
from typing import Generic

from skytrail.client import messages
from skytrail.client.blocking_client import ApiClient
from skytrail.client.kinds import ChangesT, FiltersT, Key, Kind, ObjectT, name_of, uuid_of
from skytrail.client.typed_events import Absent, Present, Synced, TypedEvents


class Resources(Generic[ObjectT, ChangesT, FiltersT]):
    """All objects of one type.

    Every method may raise ApiError (``NotFound``, ``Conflict``, ``Invalid``, ... with the API's
    text) or ApiUnavailable; a key or a change that cannot be sent is a ValueError.
    """

    def __init__(self, client: ApiClient, object_class: type[ObjectT]) -> None:
        self._client = client
        self._kind = Kind(object_class)

    def create(self, new: ObjectT) -> ObjectT:
        """Create an object; return it with what the API filled in."""
        uuid = self._client.create(self._kind.type_name, self._kind.encode(new))
        return self.get(uuid)

    def get(self, key: Key) -> ObjectT:
        """Return one object."""
        wire = self._client.read(self._kind.type_name, self._uuid(key))
        return self._kind.decode(wire)

    def list(
        self, *, parent: Key | None = None, filters: FiltersT | None = None
    ) -> builtins.list[ObjectT]:
        """Return the objects of the type below a parent, or all; those equal in all filters."""
        call = self._kind.list_call(parent, filters or {})
        found = messages.objects_of(self._client.call(call), self._kind.type_name)
        return [self._kind.decode(wire) for wire in found]

    def update(self, key: Key, changes: ChangesT) -> ObjectT:
        """Change what is given, leave the rest; None clears. Return the object as it is then."""
        wire = self._kind.encode_changes(changes)
        uuid = self._uuid(key)
        self._client.update(self._kind.type_name, uuid, wire)
        return self.get(uuid)

    def delete(self, key: Key) -> None:
        """Delete an object; Conflict while something refers to it or it has children."""
        self._client.delete(self._kind.type_name, self._uuid(key))

    def watch(
        self, from_revision: int | None = None
    ) -> Generator[Present[ObjectT] | Absent | Synced, None, None]:
        """Yield for ever: every object there is, then every change; outlives API restarts."""
        typed = TypedEvents(self._kind)
        with closing(self._client.watch([self._kind.type_name], from_revision)) as events:
            for event in events:
                yield from typed.of(event)

    def _uuid(self, key: Key) -> str:
        found = uuid_of(key)
        if found is not None:
            return found
        return self._client.name_to_id(self._kind.type_name, name_of(key))
