"""What both clients set on their HTTP connections."""

from __future__ import annotations

from typing import Final

import httpx

from skytrail.client.errors import ApiUnavailable

DEFAULT_URL: Final = "http://127.0.0.1:8082"
TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
"""Seconds; a large transaction may take a while to answer."""
LINE_BYTES_MAX: Final = 16 * 1024 * 1024
SILENCE_S_MAX: Final = 35.0
"""A watch sends at least a bookmark every 10 s; after this long the connection is dead."""


def spoken_url(base_url: str, unix_socket: str | None) -> str:
    """Return the URL requests are made of: a Unix socket has no TLS, whatever the URL says."""
    return f"http://{base_url.rpartition('://')[2]}" if unix_socket else base_url


def headers_of(token: str | None) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept": "application/json"}
    return headers if token is None else headers | {"x-auth-token": token}


def unavailable(place: str, error: httpx.HTTPError) -> ApiUnavailable:
    """Say in one line where nobody answered and why."""
    reason = str(error) or type(error).__name__
    return ApiUnavailable(f"no answer from the API at {place}: {reason}")
