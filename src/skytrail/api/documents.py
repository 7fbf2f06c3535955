"""JSON documents as the API holds them, with typed access to their parts.

A document is what ``msgspec.json`` makes of a JSON object. The accessors never fail: a part that is
absent or of another type reads as None or empty. Use them after validation has spoken, or where
"not there" and "not usable" mean the same.
"""

from __future__ import annotations

from typing import TypeGuard, cast

Document = dict[str, object]


def is_document(value: object) -> TypeGuard[Document]:
    """Whether the value is a JSON object (keys of decoded JSON are always strings)."""
    return isinstance(value, dict)


def as_list(value: object) -> list[object]:
    """Return the value if it is a JSON array, else an empty list."""
    return cast("list[object]", value) if isinstance(value, list) else []


def section(document: Document, *path: str) -> Document:
    """Return the object found by following the keys; an empty one when any step is missing."""
    here = document
    for key in path:
        value = here.get(key)
        if not isinstance(value, dict):
            return {}
        here = cast("Document", value)
    return here


def sections(document: Document, key: str) -> list[Document]:
    """Return the objects of the array under the key; other elements are left out."""
    value = document.get(key)
    if not value or not isinstance(value, list):
        return []
    return [item for item in cast("list[Document]", value) if isinstance(item, dict)]


def text(document: Document, key: str) -> str | None:
    """Return the string under the key."""
    value = document.get(key)
    return value if isinstance(value, str) else None


def texts(document: Document, key: str) -> list[str]:
    """Return the strings of the array under the key."""
    value = document.get(key)
    if not value or not isinstance(value, list):
        return []
    return [item for item in cast("list[object]", value) if isinstance(item, str)]


def number(document: Document, key: str) -> int | None:
    """Return the integer under the key; booleans are not integers."""
    value = document.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag(document: Document, key: str) -> bool | None:
    """Return the boolean under the key."""
    value = document.get(key)
    return value if isinstance(value, bool) else None
