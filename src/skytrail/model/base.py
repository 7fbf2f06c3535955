"""The two building blocks of every configuration object: compound values and references.

Must not import anything generated, so that generated modules can build on it.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

AttrT = TypeVar("AttrT")


class Compound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every complex value; equality and hash are by content."""


class Reference(msgspec.Struct, Generic[AttrT], frozen=True, kw_only=True, omit_defaults=True):
    """One outgoing reference: the target by name and uuid, and the link's own attribute if any."""

    to: tuple[str, ...] = ()
    uuid: str = ""
    attr: AttrT | None = None
