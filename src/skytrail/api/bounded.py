"""A cache that forgets what was not used for longest when it is full. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from skytrail.net.latest import Latest

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class BoundedCache(Generic[KeyT, ValueT]):
    """Holds at most ``count_max`` entries."""

    def __init__(self, count_max: int) -> None:
        self._entries: Latest[KeyT, ValueT] = Latest(count_max)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: KeyT) -> ValueT | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: KeyT, value: ValueT) -> None:
        self._entries.put(key, value)

    def drop(self, key: KeyT) -> None:
        self._entries.pop(key, None)
