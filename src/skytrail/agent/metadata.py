"""Workloads' questions to the metadata service, told to Nova in their name. Pure.

Nova knows a virtual machine by headers that only a proxy it trusts may set, so nothing a workload
says may pass for one of them, nor for the end of its own request: a request is read whole and
strictly (RFC 9112), and told anew. One request for each connection.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import object_uuid
from skytrail.net import IpAddress
from skytrail.wire.xmpp import ConfigKey

HEAD_BYTES_MAX = 16384
HEADERS_COUNT_MAX = 64
BODY_BYTES_MAX = 65536
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]{0,4095}) HTTP/1\.([01])")
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^`|~-]+")
"""A token without underscore: servers take ``X_Forwarded_For`` for ``X-Forwarded-For``."""
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,6}")
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"})
_OURS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-instance-id",
        b"x-instance-id-signature",
        b"x-tenant-id",
        b"x-metadata-provider",
        b"x-metadata-provider-signature",
        b"x-real-ip",
    }
)
_OF_THE_CONNECTION = frozenset(
    {
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"content-length",
    }
)
_TEXTS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class RequestRefused(Exception):
    """``status`` and why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Asker:
    """The workload that asks."""

    address: str
    machine_uuid: str
    project_uuid: str


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request without its body."""

    line: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    """What may be passed on."""
    body_bytes: int


def owner_uuids(graph: ConfigGraph, port_name: str) -> tuple[str, str]:
    """Return the uuids of a port's virtual machine and project; empty: it has not arrived."""
    port = ConfigKey("virtual-machine-interface", port_name)
    machines = [object_uuid(node) for node in graph.linked_nodes(port, "virtual-machine")]
    owners = [port, *graph.neighbours(port, "virtual-network")]
    projects = [
        object_uuid(node) for owner in owners for node in graph.linked_nodes(owner, "project")
    ]
    return next(iter(machines), ""), next(iter(projects), "")


def address_of_asker(own: Iterable[IpAddress], by: IpAddress) -> IpAddress | None:
    """Return the first of a port's addresses, of the IP version that it asks by if there is one."""
    return min(own, key=lambda each: each.version != by.version, default=None)


def read_head(raw: bytes) -> RequestHead:
    """Read the lines before the empty one, without it. Raises ``RequestRefused``."""
    if b"\n" in raw.replace(b"\r\n", b"") or b"\r" in raw.replace(b"\r\n", b""):
        raise RequestRefused(400, "lines end with CR LF")
    line, *rest = raw.split(b"\r\n")
    matched = _REQUEST_LINE.fullmatch(line)
    if matched is None:
        raise RequestRefused(400, "the request line is not METHOD /path HTTP/1.1")
    if matched[1] not in _METHODS:
        raise RequestRefused(405, "this method is not served")
    if len(rest) > HEADERS_COUNT_MAX:
        raise RequestRefused(431, f"more than {HEADERS_COUNT_MAX} header fields")
    headers: list[tuple[bytes, bytes]] = []
    lengths: list[bytes] = []
    for each in rest:
        name, colon, value = each.partition(b":")
        lower, value = name.lower(), value.strip(b" \t")
        if lower.replace(b"_", b"-") == b"transfer-encoding":
            raise RequestRefused(501, "a body has a Content-Length here")
        if b"_" in name and colon and _NAME.fullmatch(name.replace(b"_", b"-")):
            continue
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise RequestRefused(400, "a header field is not NAME: VALUE on one line")
        if lower == b"content-length":
            lengths.append(value)
        if lower not in _OURS and lower not in _OF_THE_CONNECTION:
            headers.append((name, value))
    return RequestHead(line, tuple(headers), _body_bytes(lengths))


def _body_bytes(lengths: list[bytes]) -> int:
    if not lengths:
        return 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise RequestRefused(400, "one Content-Length, a number")
    if int(lengths[0]) > BODY_BYTES_MAX:
        raise RequestRefused(413, f"the body has more than {BODY_BYTES_MAX} bytes")
    return int(lengths[0])


def signature(secret: bytes, machine_uuid: str) -> str:
    """Return what proves to Nova that a proxy of its own says who asks."""
    return hmac.new(secret, machine_uuid.encode(), hashlib.sha256).hexdigest()


def told_anew(head: RequestHead, asker: Asker, secret: bytes | None) -> bytes:
    """Return the head of the request to Nova."""
    lines = [head.line.rpartition(b" ")[0] + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in head.headers]
    said = {
        "X-Forwarded-For": asker.address,
        "X-Instance-ID": asker.machine_uuid,
        # Keystone's form of a project's uuid has no dashes.
        "X-Tenant-ID": asker.project_uuid.replace("-", ""),
    }
    if secret is not None:
        said["X-Instance-ID-Signature"] = signature(secret, asker.machine_uuid)
    said["Content-Length"] = str(head.body_bytes)
    said["Connection"] = "close"
    lines += [f"{name}: {value}".encode() for name, value in said.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def refusal(status: int, text: str) -> bytes:
    """Return a whole answer that is not Nova's."""
    body = f"{status} {_TEXTS[status]}: {text}\n".encode()
    head = (
        f"HTTP/1.1 {status} {_TEXTS[status]}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
