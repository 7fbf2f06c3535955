"""Pieces of help texts that must keep their lines."""

from __future__ import annotations

KEEP_LINES = "\b"
"""Click wraps a paragraph unless it starts with this."""


def examples(*lines: str) -> str:
    """Return the closing paragraph of a help page."""
    return "\n".join([KEEP_LINES, "Examples:", *(f"  {line}" for line in lines)])
