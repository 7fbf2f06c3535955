"""Turns away what the pages of others have a browser ask for. Pure.

*Changes*: a browser sends for any page what is sent without being asked first: forms and plain text,
along with a password it was once told, and to servers that listen to this machine alone. The reply
stays hidden from the page, the change would be made. Programs send neither header; the console's own
page is of the same origin; a token is added by no browser on its own.

*Names*: a page whose name is made to lead to this machine after it was loaded (DNS rebinding) is of
the same origin as this server, and reads all. Its name is in the Host header, though: whoever listens
to this machine alone answers to addresses, to localhost and to names it was told. An address is
nobody else's name, and browsers let no page choose the header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from skytrail.runtime.asgi import HttpError, Request

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN: Final = frozenset({"same-origin", "none"})
_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*"
)
_HOST: Final = re.compile(r"(\[(?P<bracketed>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(:[0-9]*)?")
"""RFC 9110 section 7.2: a name or address, IPv6 in brackets, and perhaps a port."""
_SHOWN_LENGTH: Final = 80


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


def allowed_host(text: str) -> str:
    """Return a name as hosts are compared; ``ValueError`` when it is none.

    ``.example.net`` stands for every name below it.
    """
    name = text.lower().removesuffix(".")
    if not _NAME.fullmatch(name.removeprefix(".")):
        raise ValueError(f"{text[:_SHOWN_LENGTH]!r} is no host name, as in api.example.net")
    return name


class AllowedHosts:
    """The names under which a server answers over TCP, beside addresses and localhost."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """``names`` as :func:`allowed_host` returns them."""
        self._names = frozenset(names)
        self._is_allowed = lru_cache(maxsize=256)(self._look)

    def check(self, request: Request) -> None:
        """Raise HttpError 421 for a request to a name that is not this server's.

        A Unix socket has no name, and no page reaches it. Without a Host header there is no browser.
        """
        if not request.client:
            return
        host = request.headers.get("host")
        if host is None or self._is_allowed(host):
            return
        raise HttpError(
            421,
            f"This server does not answer to the name {host[:_SHOWN_LENGTH]!r}, but to addresses, "
            "localhost and its allowed hosts: setting --allowed-host NAME adds one",
        )

    def _look(self, host: str) -> bool:
        parts = _HOST.fullmatch(host.lower())
        if parts is None:
            return False
        if parts["bracketed"] is not None:
            return _is_address(parts["bracketed"])
        name = parts["name"].removesuffix(".")
        if name == "localhost" or name.endswith(".localhost") or name in self._names:
            return True
        if any(each.startswith(".") and name.endswith(each) for each in self._names):
            return True
        return _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
