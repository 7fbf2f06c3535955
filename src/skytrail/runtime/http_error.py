"""A refusal of an HTTP request."""

from __future__ import annotations

Header = tuple[str, str]


class HttpError(Exception):
    """A refusal: answered with this status and this text as the whole body."""

    def __init__(self, status: int, text: str, headers: tuple[Header, ...] = ()) -> None:
        super().__init__(f"{status}: {text}")
        self.status, self.text, self.headers = status, text, headers
