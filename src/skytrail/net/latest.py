"""A mapping that remembers what was put last, and no more than it may. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class Latest(OrderedDict[KeyT, ValueT]):
    """Ordered from the one that was put longest ago; only ``put`` may add one. O(1) each."""

    def __init__(self, count_max: int) -> None:
        super().__init__()
        self._count_max = count_max

    def put(self, key: KeyT, value: ValueT) -> KeyT | None:
        """Remember this as the newest; return whose place it took, if it took one."""
        self[key] = value
        self.move_to_end(key)
        return self.popitem(last=False)[0] if len(self) > self._count_max else None
