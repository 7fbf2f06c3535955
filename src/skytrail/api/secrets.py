"""Which fields hold secrets: they never leave the objects they are in, neither by log nor by history."""

from __future__ import annotations

import re
from typing import Final, cast

from skytrail.api.documents import Document, is_document

MASK: Final = "***"
_SECRET: Final = re.compile(
    r"password|passphrase|secret|private_key|auth_key$|auth_data|community_string|encryption_key",
    re.IGNORECASE,
)


def is_secret(path: tuple[str, ...]) -> bool:
    """Whether the value at a path, or anything it is in, is a secret."""
    return any(_SECRET.search(key) is not None for key in path)


def masked(value: object, path: tuple[str, ...] = ()) -> object:
    """Return a value with every secret in it, at any depth, replaced."""
    if path and _SECRET.search(path[-1]) is not None:
        return None if value is None else MASK
    if is_document(value):
        return {name: masked(part, (name,)) for name, part in value.items()}
    if isinstance(value, list):
        return [masked(part) for part in cast("list[object]", value)]
    return value


def masked_document(document: Document) -> Document:
    """Return a document without its secrets; the same one if it has none."""
    found = masked(document)
    return found if is_document(found) else document
