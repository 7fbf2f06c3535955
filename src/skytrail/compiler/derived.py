"""What a pass answers: derived objects, a value for later passes, and violations.

Pure values only. Ownership of a stored object is told by its uuid: everything the compiler creates
carries ``derived_uuid`` of its name, so a restart (or another compiler) recognises its own work
and never deletes what a user made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

Value = msgspec.Struct | str | int | bool | None
"""A property's value as the model types it; None: it has none."""

FqName = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DerivedKey:
    """Names one derived object; fq_names are unique per type."""

    type_name: str
    fq_name: FqName

    def __lt__(self, other: DerivedKey) -> bool:
        return (self.type_name, self.fq_name) < (other.type_name, other.fq_name)

    def __str__(self) -> str:
        return f"{self.type_name} {':'.join(self.fq_name)}"


@dataclass(frozen=True, slots=True)
class Link:
    """A reference of a derived object; the uuid is found when it is written."""

    to: FqName
    attr: msgspec.Struct | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """An object (or the compiled fields of an object the API server made) as it should be.

    Only the fields named here are compared and written. A field in ``links`` is a reference list,
    named ``<target type>_refs``; the whole list is owned, so an empty tuple clears it.
    """

    key: DerivedKey
    properties: Mapping[str, Value] = field(default_factory=dict[str, Value])
    links: Mapping[str, tuple[Link, ...]] = field(default_factory=dict[str, tuple[Link, ...]])
    initial: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Given when the object is created and left alone afterwards."""
    parent_type: str | None = None
    """Parent for creation; None for types without a parent."""
    update_only: bool = False
    """The API server creates and deletes the object; the compiler only fills its fields."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A part of the intent that was not compiled, or compiled to the closed side."""

    type_name: str
    fq_name: FqName
    reason: str
    """One of a fixed set of snake_case words, for counting."""
    detail: str
    """A sentence for a person: what was found, what happens, what to do."""

    @property
    def sort_key(self) -> tuple[str, FqName, str, str]:
        return (self.type_name, self.fq_name, self.reason, self.detail)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one unit of one pass produces. ``value`` must be immutable and comparable."""

    value: object = None
    derived: tuple[Derived, ...] = ()
    violations: tuple[Violation, ...] = field(default=())
