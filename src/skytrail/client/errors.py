"""What can go wrong between a client and the API."""

from __future__ import annotations


class ApiFailure(Exception):
    """Any failure of a call."""


class ApiError(ApiFailure):
    """The API refused: its status and its text, which names the reason."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{text} (status {status})")
        self.status, self.text = status, text


class ApiUnavailable(ApiFailure):
    """No answer, or one that says "later" (502, 503, 504). Whether a write happened is open."""
