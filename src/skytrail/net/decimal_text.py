"""Numbers that others write as text: read within bounds, whatever the text is."""

from __future__ import annotations

SHOWN_LENGTH = 40


def decimal(text: str, low: int, high: int) -> int | None:
    """Return the number that ASCII digits write, None when they do not, or not ``low`` to ``high``.

    Of thousands of digits none is ever made a number: Python refuses that, and it takes long.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(high)):
        return None
    number = int(digits)
    return number if low <= number <= high else None


def bounded(text: str, low: int, high: int) -> int:
    """Return the number as :func:`decimal` reads it; ``ValueError`` says what is needed."""
    number = decimal(text, low, high)
    if number is None:
        more = "..." if len(text) > SHOWN_LENGTH else ""
        raise ValueError(f"{text[:SHOWN_LENGTH] + more!r} is not a number from {low} to {high}")
    return number
