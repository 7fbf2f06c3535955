"""What lists and watches select, as values that a type checker understands; pure.

    networks.list(filters={"mtu": above(1400), "is_shared": True}, tags={"tier": "web"})

A filter is the value a field has, None for none, or a test of it. Fields inside structures and
others that no generated filter names are selected by texts of the API: ``where=["a.b:gt:1"]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Never, TypeVar

ValueT_co = TypeVar("ValueT_co", covariant=True)
PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class Comparison(Generic[ValueT_co]):
    """An operator of the API and what it compares with."""

    operator: str
    values: tuple[ValueT_co, ...] = ()

    def text(self, path: str) -> str:
        """Return the filter as the API takes it; ValueError for what it cannot carry."""
        if not self.values:
            return f"{path}:{self.operator}"
        texts = [_text(value) for value in self.values]
        if self.operator == "in" and any("," in text for text in texts):
            raise ValueError(f"one of several values of {path} cannot hold a comma: {texts}")
        return f"{path}:{self.operator}:{','.join(texts)}"


TextTest = Comparison[str]
ReferenceTest = str | Sequence[str] | Comparison[str] | None
"""A target's uuid or fully qualified name, None for no reference at all, or a test."""


def other_than(value: ValueT_co) -> Comparison[ValueT_co]:
    return Comparison("ne", (value,))


def one_of(*values: ValueT_co) -> Comparison[ValueT_co]:
    if not values:
        raise ValueError("one of no values is nothing")
    return Comparison("in", values)


def below(bound: int) -> Comparison[int]:
    return Comparison("lt", (bound,))


def at_most(bound: int) -> Comparison[int]:
    return Comparison("le", (bound,))


def above(bound: int) -> Comparison[int]:
    return Comparison("gt", (bound,))


def at_least(bound: int) -> Comparison[int]:
    return Comparison("ge", (bound,))


def starting_with(text: str) -> Comparison[str]:
    return Comparison("prefix", (text,))


def containing(text: str) -> Comparison[str]:
    return Comparison("contains", (text,))


def given() -> Comparison[Never]:
    """Return the test that a field has any value."""
    return Comparison("exists")


def absent() -> Comparison[Never]:
    """Return the test that a field has no value; None says the same."""
    return Comparison("absent")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects a list or a watch is about; everything in the API's own words."""

    filters: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    """Annotations by key; None for any value."""
    parent: str | None = None

    def query(self) -> list[tuple[str, str]]:
        """Return the query parameters; some come several times."""
        found = [("filter", text) for text in self.filters]
        found += [
            ("tags", f"{_single(kind)}={_single(value)}") for kind, value in self.tags.items()
        ]
        found += [
            ("labels", _single(key) if value is None else f"{_single(key)}={_single(value)}")
            for key, value in self.labels.items()
        ]
        if self.parent is not None:
            found.append(("parent", self.parent))
        return found


def filter_text(path: str, wanted: object) -> str:
    """Return the filter of a field for a value, None or a test."""
    if isinstance(wanted, Comparison):
        return wanted.text(path)
    return (
        Comparison("absent").text(path)
        if wanted is None
        else Comparison("eq", (wanted,)).text(path)
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Sequence) and all(isinstance(part, str) for part in value):
        return ":".join(value)
    raise TypeError(f"no filter compares with {value!r}")


def _single(text: str) -> str:
    if "," in text:
        raise ValueError(f"a tag or label cannot hold a comma: {text!r}")
    return text
