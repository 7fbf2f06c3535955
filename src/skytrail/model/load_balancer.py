"""A load balancer as the compiler hands it to hosts, and what its texts may be. Pure.

It travels as JSON in an annotation of the machine that stands for one copy (ADR 0207): hosts need no
part of the objects it is made from. Whatever ends up in HAProxy's configuration is a number, an
address, a uuid, or a text that one of the expressions here fits: nothing can be a directive.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import msgspec

METHOD: Final = re.compile(r"[A-Z]{1,16}")
URL_PATH: Final = re.compile(r"/[A-Za-z0-9._~!&()*+,;=:@/?-]{0,255}")
CODES: Final = re.compile(r"[1-5][0-9]{2}(-[1-5][0-9]{2})?(,[1-5][0-9]{2}(-[1-5][0-9]{2})?){0,15}")
COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
CERTIFICATE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
"""Of a file's name: no path, nothing hidden."""
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

HTTP, HTTPS, TCP, TERMINATED_HTTPS = "HTTP", "HTTPS", "TCP", "TERMINATED_HTTPS"
PROTOCOLS: Final = (HTTP, HTTPS, TCP, TERMINATED_HTTPS)
POOLS_OF: Final = {
    HTTP: (HTTP,),
    TERMINATED_HTTPS: (HTTP,),
    HTTPS: (HTTPS, TCP),
    TCP: (TCP, HTTP, HTTPS),
}
"""Protocols of pools that can serve a listener: HTTP is read where both are, else passed on."""
PROVIDERS: Final = frozenset({"", "opencontrail"})
"""Drivers whose balancers are HAProxy's; others' are somebody else's."""
COOKIES: Final = ("HTTP_COOKIE", "APP_COOKIE")
WEIGHT_MAX: Final = 256


class Operating(enum.StrEnum):
    """How an object stands, in the words of LBaaS v2 and Octavia."""

    ONLINE = "ONLINE"
    DEGRADED = "DEGRADED"
    """Some of what it is made of fails."""
    ERROR = "ERROR"
    """Nobody gets an answer from it."""
    OFFLINE = "OFFLINE"
    """Switched off, or not there to serve."""
    NO_MONITOR = "NO_MONITOR"
    """Nobody asks it whether it is well."""
    DRAINING = "DRAINING"
    """Weight 0: no new clients."""


class Monitor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How members are asked whether they are well."""

    kind: str
    delay_s: int
    timeout_s: int
    retries_count: int
    method: str = "GET"
    path: str = "/"
    codes: str = "200"


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    uuid: str
    address: str
    port: int
    weight: int = 1


class Pool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    uuid: str
    protocol: str
    method: str = "ROUND_ROBIN"
    persistence: str = ""
    cookie: str = ""
    monitor: Monitor | None = None
    members: tuple[Member, ...] = ()


class Listener(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    uuid: str
    protocol: str
    port: int
    connection_limit: int = 0
    """0: none."""
    certificates: tuple[str, ...] = ()
    """Names of files at hosts; the first is for clients that name no server."""
    pool: Pool | None = None


class LoadBalancer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``vip`` is the address that clients know."""

    uuid: str
    vip: str
    listeners: tuple[Listener, ...] = ()


def certificate_name(reference: str) -> str:
    """Return the file's name for a reference: the name itself, or the last part of a URL or path
    as secret stores give them. ``ValueError`` when it cannot be one.
    """
    name = reference.rstrip("/").rpartition("/")[2]
    if not CERTIFICATE.fullmatch(name):
        raise ValueError(f"{reference!r} names no certificate: letters, digits, '.', '_' and '-'")
    return name
