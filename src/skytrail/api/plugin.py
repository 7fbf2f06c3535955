"""The API's seam: somebody who can tell what would be derived from a change.

The API knows no compiler. Whoever puts the process together hands in one; without it plans show the
intent alone and say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from skytrail.api.documents import Document

StoredChange = tuple[str, str, bytes | None]
"""Type, uuid and encoded document of an object; None for a removal."""


class Deriver(Protocol):
    """Called from one thread at a time; may take long only in ``load``."""

    @property
    def kinds(self) -> frozenset[str]:
        """The types it needs to hear of."""
        ...

    def load(self, objects: Iterable[StoredChange]) -> None:
        """Start from these committed objects."""
        ...

    def follow(self, changes: Iterable[StoredChange]) -> None:
        """Take committed changes, in order."""
        ...

    def preview(self, changes: Iterable[StoredChange]) -> Document:
        """Return members of a plan: ``derived``, ``reachability``, their counts, ``violations``."""
        ...
