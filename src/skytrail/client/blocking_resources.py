"""Typed calls for one object type, blocking; the twin of ``async_resources``."""

from __future__ import annotations

import builtins
from collections.abc import Generator
from contextlib import closing
from typing import Generic

from skytrail.client import messages
from skytrail.client.blocking_client import ApiClient
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
        return self._kind.decode(self._client.call(self._kind.create_call(new)))

    def get(self, key: Key) -> ObjectT:
        """Return one object."""
        return (self.read(key)).object

    def read(self, key: Key) -> Versioned[ObjectT]:
        """Return one object with the tag that makes a later write safe from lost updates."""
        call = self._kind.read_call(self._uuid(key))
        return self._kind.versioned(self._client.exchange(call))

    def list(
        self, *, parent: Key | None = None, filters: FiltersT | None = None
    ) -> builtins.list[ObjectT]:
        """Return the objects of the type below a parent, or all; those equal in all filters."""
        call = self._kind.list_call(parent, filters or {})
        found = messages.objects_of(self._client.call(call), self._kind.type_name)
        return [self._kind.decode(wire) for wire in found]

    def update(self, key: Key, changes: ChangesT, *, if_match: str | None = None) -> ObjectT:
        """Change what is given, leave the rest; None clears. Return the object as it is then.

        A given property is replaced whole. With the tag of a ``read``, PreconditionFailed when
        somebody else has changed the object since.
        """
        call = self._kind.update_call(self._uuid(key), changes, if_match)
        return self._kind.decode(self._client.call(call))

    def delete(self, key: Key, *, if_match: str | None = None) -> None:
        """Delete an object; Conflict while something refers to it or it has children."""
        self._client.call(self._kind.delete_call(self._uuid(key), if_match))

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
