"""Turns away what another web page has a browser ask for. Pure.

A browser sends for any page what is sent without being asked first: forms and plain text, along
with a password it was once told, and to servers that listen to this machine alone. The reply stays
hidden from the page, the change would be made. Programs send neither header; the console's own
page is of the same origin; a token is added by no browser on its own.
"""

from __future__ import annotations

from typing import Final

from skytrail.runtime.asgi import HttpError, Request

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN: Final = frozenset({"same-origin", "none"})


def refuse_other_sites(request: Request) -> None:
    """Raise HttpError 403 for a change that the page of another server asks for."""
    headers = request.headers
    if request.method in _READS or "x-auth-token" in headers:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        is_own = site.lower() in _OWN
    else:
        # Browsers name the site to trustworthy addresses only, the origin to all.
        host = headers.get("host", "")
        is_own = origin is None or origin.lower().partition("://")[2] == host.lower()
    if not is_own:
        raise HttpError(
            403, "A page of another server asks for this change; programs send X-Auth-Token"
        )
