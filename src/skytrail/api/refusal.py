"""The one way the core says no."""

from __future__ import annotations


class Refused(Exception):
    """The request is not carried out; ``status`` and ``text`` are what the client gets.

    Raised by pure code anywhere below a request. Nothing has been changed when it is raised,
    because every change is planned on an overlay that the refusal discards.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def bad_request(text: str) -> Refused:
    """Return a 400."""
    return Refused(400, text)


def not_found(text: str) -> Refused:
    """Return a 404."""
    return Refused(404, text)


def conflict(text: str) -> Refused:
    """Return a 409."""
    return Refused(409, text)
