"""Violations as people read them: the place apart, without the whole value in the middle; pure.

The compatible API's texts quote the value they are about, and clients parse them; nobody who made
a typing error four levels down finds it there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from skytrail.model.catalog import CATALOG
from skytrail.model.validate import Violation

_NO_FIELD = re.compile(r"class (\S+) does not have field (.*)", re.DOTALL)
_QUOTING = re.compile(
    r"\AError validating (property|reference) (?:\S+ value .* (?=class |[\w-]+: |Field ))?",
    re.DOTALL,
)


class Plain(NamedTuple):
    """What is wrong, and where."""

    keys: tuple[str, ...]
    """The way from the object to the place."""
    text: str
    unknown: str | None = None
    """The name that is none, if that is what is wrong."""
    known: Mapping[str, object] = {}
    """The names there are instead."""


def plain(violation: Violation) -> Plain:
    """Return a violation in parts."""
    keys = tuple(violation.path.split("."))
    text = _QUOTING.sub("", violation.text)
    if text.startswith("Error validating reference "):
        text += ': expected {"to": [NAME, ...]} or {"uuid": UUID}'
    found = _NO_FIELD.fullmatch(text)
    if found is not None and found[1] in CATALOG.types:
        return Plain(keys, text, found[2], CATALOG.types[found[1]].fields)
    return Plain(keys, text.removeprefix(f"{keys[-1]}: "))
