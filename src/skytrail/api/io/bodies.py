"""Reads what clients send and writes what they get: JSON bodies, parameters, plain-text errors."""

from __future__ import annotations

import re
from typing import TypeVar, cast

import msgspec

from skytrail.api import texts
from skytrail.api.documents import Document, is_document
from skytrail.api.identity import is_uuid
from skytrail.api.refusal import Refused, bad_request
from skytrail.model.catalog_types import ObjectType
from skytrail.runtime.asgi import JSON, Request, Response

BODY_BYTES_MAX = 1_024_000
NOT_KEPT = ("cache-control", "no-store")
"""Header of objects: one browser's next user may see less of the same revision than the one before."""
ERROR_TYPE = "text/html; charset=UTF-8"
ONLY_TEXT = (
    ("content-security-policy", "default-src 'none'; sandbox"),
    ("x-content-type-options", "nosniff"),
)
"""Headers of errors: they quote what was sent, and are of the console's origin where a link leads a browser to them."""
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
T = TypeVar("T")


def base_of(request: Request) -> str:
    """Return the address the client reached us by: links have to work from where it is."""
    host = request.headers.get("host", "")
    return f"{request.scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"


def refused(status: int, text: str) -> Response:
    """Return an error reply: the bare text, which clients show and match."""
    body = text.encode("utf-8", "backslashreplace")
    return Response(status, body, ERROR_TYPE, ONLY_TEXT)


def reply(value: object, ignored: tuple[str, ...] = (), *, status: int = 200) -> Response:
    """Return a JSON reply, naming unknown request fields in a warning header."""
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return Response(status, body, JSON, warning(ignored))


def empty(ignored: tuple[str, ...] = (), *, status: int = 200) -> Response:
    """Return a reply without body."""
    return Response(status, b"", ERROR_TYPE, warning(ignored))


def warning(ignored: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the header that names ignored fields."""
    if not ignored:
        return ()
    names = ", ".join(ignored)[:512].encode("ascii", "backslashreplace").decode()
    safe = re.sub(r'[^\x20-\x7e]|"', "?", names)
    return (("warning", f'299 skytrail "unknown fields ignored: {safe}"'),)


def read_json(request: Request, kind: type[T], *, limit: int = BODY_BYTES_MAX) -> T:
    """Return the decoded body; refuse size, content type, syntax and shape."""
    if len(request.body) > limit:
        raise Refused(413, f"Request body of {len(request.body)} bytes is over {limit} bytes")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON:
        raise Refused(415, f"Content-Type must be {JSON}")
    return decoded(request, kind)


def decoded(request: Request, kind: type[T]) -> T:
    """Return the body of a request whose type is agreed; refuse syntax and shape."""
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.ValidationError as error:
        raise bad_request(f"Bad Request, the body does not fit: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"Bad Request, the body is not JSON: {error}") from None


def read_document(request: Request) -> Document:
    """Return a body that has to be a JSON object."""
    return read_json(request, dict[str, object])


def read_object(request: Request, resource: ObjectType) -> Document:
    """Return the object inside ``{"<type>": {...}}``; an empty one for an empty body."""
    if not request.body:
        return {}
    document = read_document(request)
    if not document:
        return {}
    inner = document.get(resource.name, document.get(resource.json_name))
    if inner is None and len(document) == 1:
        (key, value), *_ = document.items()
        if key.lower().replace("_", "-") == resource.name.lower():
            inner = value
    if not is_document(inner):
        raise bad_request(f"Bad Request, the body must hold an object under '{resource.name}'")
    return inner


def path_uuid(resource: ObjectType, text: str) -> str:
    """Return the uuid in a path; anything else cannot exist."""
    if not is_uuid(text):
        raise Refused(404, texts.unknown_id(text[:128]))
    return text


def parameters(request: Request) -> dict[str, object]:
    """Return query parameters; a repeated ``fields`` counts like a comma-joined one."""
    found: dict[str, object] = {name: values[-1] for name, values in request.query_all.items()}
    if len(request.query_all.get("fields", ())) > 1:
        found["fields"] = ",".join(request.query_all["fields"])
    return found


def text_list(value: object) -> list[str]:
    """Return the strings of a JSON array, empty for anything else."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]
