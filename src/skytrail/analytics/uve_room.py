"""How much of what a node can hold each machine may use, so that no one of them can use up the others'. Pure.

A machine may hold as much as is free: alone it gets half, with one other of its kind a third, and there is always room for
those who hold little. It is the dynamic threshold of switches with a shared buffer.
"""

from __future__ import annotations

from collections import Counter
from typing import cast

from skytrail.wire.sandesh import Field, Struct, StructMap, Value

_VALUE_BYTES = 64
_FIELD_BYTES = 192


class Room:
    """A bounded whole that machines share."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._by_machine: Counter[str] = Counter()
        self.used = 0

    def has(self, machine: str, more: int) -> bool:
        """Tell whether a machine may hold so much more; less is always possible."""
        return more <= 0 or self._by_machine[machine] + more <= self._whole - self.used

    def held(self, machine: str) -> int:
        """Return how much a machine holds."""
        return self._by_machine[machine]

    def add(self, machine: str, more: int) -> None:
        """Note that a machine holds so much more, or less."""
        self.used += more
        self._by_machine[machine] += more
        if not self._by_machine[machine]:
            del self._by_machine[machine]


def machine_of(generator: str) -> str:
    """Return on which machine a generator runs."""
    return generator.partition(":")[0]


def bytes_of(name: str, field: Field) -> int:
    """Return about how many bytes of memory a field takes."""
    return _FIELD_BYTES + len(name) + _bytes(field.value)


def _bytes(value: Value) -> int:
    if isinstance(value, str):
        return _VALUE_BYTES + len(value)
    if isinstance(value, Struct):
        return _VALUE_BYTES + sum(bytes_of(name, each) for name, each in value.fields.items())
    if isinstance(value, list):
        return _VALUE_BYTES + sum(map(_bytes, value))
    if isinstance(value, dict):
        members = cast("dict[str, Value]", value)
        return _VALUE_BYTES + sum(
            _VALUE_BYTES + len(name) + _bytes(each) for name, each in members.items()
        )
    if isinstance(value, StructMap):
        return _VALUE_BYTES + sum(_bytes(key) + _bytes(each) for key, each in value.entries)
    return _VALUE_BYTES
