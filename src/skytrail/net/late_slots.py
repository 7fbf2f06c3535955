"""Slots of immutable classes that are filled when they are first read.

``__getattr__`` would do the same, but a class that has one pays for it at every access to every
attribute: the interpreter cannot specialise them any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T_contra = TypeVar("T_contra", contravariant=True)


class Slot(Protocol):
    """The descriptor of a slot."""

    def __get__(self, owner: object, kind: type | None = None) -> object: ...

    def __set__(self, owner: object, value: object) -> None: ...


def fill_late(kind: type[T_contra], name: str, make: Callable[[T_contra], object]) -> None:
    """Let an empty slot of a class get what ``make`` returns, when somebody reads it.

    To be called right below the class, before there are instances.
    """
    slot: Slot = kind.__dict__[name]

    def read(owner: T_contra) -> object:
        try:
            return slot.__get__(owner)
        except AttributeError:
            slot.__set__(owner, make(owner))
            return slot.__get__(owner)

    setattr(kind, name, property(read, slot.__set__))
