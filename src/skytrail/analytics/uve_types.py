"""Types of UVE by their tables, and the words under which they are listed."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from skytrail.model.uve_tables import TABLES

TYPES: Final = MappingProxyType({table: word for word, table in TABLES.items()})


def plural(word: str) -> str:
    """Return the word under which a type is listed; the inverse of :func:`singular`."""
    return f"{word}es" if word.endswith("s") else f"{word}s"


def singular(word: str) -> str | None:
    """Return the type that is listed under this word, None for no type."""
    for ending in ("s", "es"):
        if word.endswith(ending) and word.removesuffix(ending) in TABLES:
            return word.removesuffix(ending)
    return None
