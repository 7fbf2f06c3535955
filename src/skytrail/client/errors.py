"""What can go wrong between a client and the API."""

from __future__ import annotations


class ApiFailure(Exception):
    """Any failure of a call."""


class ApiError(ApiFailure):
    """The API refused: its status and its text, which names the reason."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{text} (status {status})")
        self.status, self.text = status, text


class Invalid(ApiError):
    """400, 413, 422: the request is wrong; the text names the field."""


class Unauthenticated(ApiError):
    """401: the API does not know who asks."""


class Denied(ApiError):
    """403: who asks may not do this."""


class NotFound(ApiError):
    """404: there is no such object, or no such type."""


class Conflict(ApiError):
    """409: the name is taken, something still refers to the object, or it has children."""


class PreconditionFailed(ApiError):
    """412: a quota is used up, or the object is no longer as the caller last saw it."""


class NotAvailable(ApiError):
    """501: this release does not have what was asked for."""


class ApiUnavailable(ApiFailure):
    """No answer, or one that says "later" (502, 503, 504). Whether a write happened is open."""


_KINDS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: Invalid,
    422: Invalid,
    501: NotAvailable,
}


def refusal(status: int, text: str) -> ApiError:
    """Return the error of a status; an ApiError itself for one without a class."""
    return _KINDS.get(status, ApiError)(status, text)
