"""The bytes of a reply's status line and header fields. Pure.

Names and values that could end a field or begin another are refused, whoever made them: a reply is
never split by what a client sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from skytrail.runtime.asgi import Response

_NAME_ILLEGAL = re.compile(b'[\x00-\x1f\x7f()<>@,;:\\[\\]={} \t\\\\"]')
_VALUE_ILLEGAL = re.compile(b"[\x00-\x08\x0a-\x1f\x7f]")
_STATUSES = range(200, 600)
_BODILESS = frozenset({204, 304})
"""What follows the head of such a reply is taken for the next one (RFC 9112 6.3)."""
_CLOSE = b"connection: close\r\n\r\n"


@lru_cache(maxsize=64)
def _begin(status: int, content_type: str) -> bytes:
    return status_line(status) + _field(b"content-type", content_type.encode("latin-1"))


def status_line(status: int) -> bytes:
    """Return the first line of a reply; ValueError for a status that none ends with."""
    if status not in _STATUSES:
        message = f"{status} is no status of a reply"
        raise ValueError(message)
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


def head_of(
    reply: Response,
    request_id: str,
    standing: Iterable[tuple[bytes, bytes]],
    *,
    keep_alive: bool,
) -> bytes:
    """Return the head of a reply with a whole body; ValueError for what no client could read."""
    if reply.body and reply.status in _BODILESS:
        message = f"a reply with status {reply.status} has no body"
        raise ValueError(message)
    parts = [_begin(reply.status, reply.content_type)]
    for name, value in standing:
        parts += (name, b": ", value, b"\r\n")
    parts.append(f"x-request-id: {request_id}\r\ncontent-length: {len(reply.body)}\r\n".encode())
    for name, value in reply.headers:
        parts.append(_field(name.encode("latin-1"), value.encode("latin-1")))
    parts.append(b"\r\n" if keep_alive else _CLOSE)
    return b"".join(parts)


def fields_of(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a head with these fields; ValueError as above."""
    parts = [status_line(status), *(_field(name, value) for name, value in headers), b"\r\n"]
    return b"".join(parts)


def _field(name: bytes, value: bytes) -> bytes:
    if _NAME_ILLEGAL.search(name) or _VALUE_ILLEGAL.search(value):
        raise ValueError(f"header field {name!r} cannot be sent with {value[:80]!r}")
    return b"%b: %b\r\n" % (name, value)
