"""JSON values of unknown shape, read safely; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

Json = dict[str, object]


def member(value: object, *path: str) -> object:
    """Return what is found along a path of keys, or None."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = cast("Json", value).get(key)
    return value


def items(value: object) -> list[object]:
    """Return a list's items; nothing for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


def counted(count: int, word: str) -> str:
    """Return "1 object" or "2 objects"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def mapping(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def text(value: object) -> str:
    """Return a scalar as people read it; nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def prune(value: object) -> object:
    """Return a copy without nulls and empty parts, at every depth; None when nothing is left."""
    if isinstance(value, dict):
        found = {
            key: rest for key, item in mapping(value).items() if (rest := prune(item)) is not None
        }
        return found or None
    if isinstance(value, list):
        kept = [rest for item in items(value) if (rest := prune(item)) is not None]
        return kept or None
    return value


def references(item: Json) -> Iterator[tuple[str, list[Json]]]:
    """Yield every reference list of an object with its field name."""
    for name, value in item.items():
        if name.endswith("_refs") and not name.endswith("_back_refs"):
            yield name, [mapping(each) for each in items(value)]
