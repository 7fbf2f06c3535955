"""Texts of others as terminals may show them."""

from __future__ import annotations

import unicodedata
from typing import Final

_STEERING: Final = frozenset({"Cc", "Cf"})
"""Unicode's categories of control and format characters."""


def printable(text: str) -> str:
    """Return a text with its control and format characters spelt out.

    Names and reasons come from tenants and from routers: they must not steer a terminal.
    """
    return "".join(
        each if each == "\n" or unicodedata.category(each) not in _STEERING else ascii(each)[1:-1]
        for each in text
    )
