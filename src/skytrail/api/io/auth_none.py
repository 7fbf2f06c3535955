"""No authentication: everybody is the administrator, so only where nobody else can come."""

from __future__ import annotations

from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.plugin import Credentials
from skytrail.net.loopback import is_loopback


class UnsafeSettings(Exception):
    """These settings would let strangers in; the text says what to change."""


class NoAuthentication:
    """Takes everybody."""

    challenge = ""

    async def identify(self, credentials: Credentials) -> Caller | None:
        return NOBODY_ASKED


def check_listener(host: str, *, authenticated: bool, encrypted: bool, plain_http: bool) -> None:
    """Raise UnsafeSettings when strangers could reach the address unasked or listen in."""
    if is_loopback(host):
        return
    if not authenticated:
        raise UnsafeSettings(
            f"refusing to serve {host} without authentication: listen on 127.0.0.1, or name a"
            " settings file with authentication by --security (`skytrail up --secure` makes one)"
        )
    if not encrypted and not plain_http:
        raise UnsafeSettings(
            f"refusing to serve {host} without TLS, passwords and tokens would be readable: give"
            " --tls-certificate and --tls-key, or set plain_http = true in the security settings"
        )
