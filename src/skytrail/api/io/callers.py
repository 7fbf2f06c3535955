"""The identity of a request, attached by the authenticator before any handler runs."""

from __future__ import annotations

from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.runtime.asgi import Request


def caller_of(request: Request) -> Caller:
    """Return who sent the request."""
    return request.identity if isinstance(request.identity, Caller) else NOBODY_ASKED
