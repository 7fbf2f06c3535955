"""HAProxy's configuration for one copy of a load balancer.

What is rendered is numbers, addresses, uuids and texts that ``model.load_balancer``'s expressions
fit; whatever does not is left out and named as a problem. The API refuses such values before: here
they are looked at again, because a configuration with a foreign line in it would run as root.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import PurePath

import msgspec

from skytrail.model.load_balancer import (
    CERTIFICATE,
    CODES,
    COOKIE,
    COOKIES,
    HTTP,
    METHOD,
    POOLS_OF,
    TERMINATED_HTTPS,
    URL_PATH,
    UUID,
    WEIGHT_MAX,
    Listener,
    LoadBalancer,
    Member,
    Monitor,
    Pool,
)
from skytrail.net import IpAddress

CONNECTIONS_COUNT_MAX = 8_000
"""Of one copy; each needs two file descriptors."""
_PORT_MAX = 65_535
_BALANCE = {"ROUND_ROBIN": "roundrobin", "LEAST_CONNECTIONS": "leastconn", "SOURCE_IP": "source"}
_DEFAULTS = f"""global
    user haproxy
    group haproxy
    chroot /var/lib/haproxy
    maxconn {CONNECTIONS_COUNT_MAX}
    no strict-limits
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305

defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout http-request 10s
    timeout http-keep-alive 30s
    option redispatch
    retries 3
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a copy runs."""

    source: IpAddress
    """Its own address, from which members are spoken to."""
    certificates: PurePath
    """The host's folder of certificates."""
    known: Collection[str]
    """Names of the files in it."""


class _Unusable(ValueError):
    """A part that is not rendered; the text says why."""


def render(balancer: LoadBalancer, place: Place) -> tuple[str, tuple[str, ...]]:
    """Return the configuration, and why some listeners are not in it."""
    problems: list[str] = []
    parts = [_DEFAULTS]
    for given in sorted(balancer.listeners, key=lambda each: each.uuid):
        listener = _reachable(given, place.source.version, problems)
        try:
            parts.append("\n".join(_listener(listener, ip_address(balancer.vip), place)))
        except ValueError as error:
            problems.append(f"listener {listener.uuid[:36]}: {error}")
    return "\n".join(parts) + "\n", tuple(problems)


def _reachable(listener: Listener, version: int, problems: list[str]) -> Listener:
    """Return the listener without members that the copy has no address to speak to."""
    pool = listener.pool
    if pool is None:
        return listener
    other = [each for each in pool.members if (":" in each.address) != (version == 6)]
    if not other:
        return listener
    problems += [
        f"member {each.uuid[:36]} is left out: its address is not of the balancer's IP version"
        for each in other
    ]
    members = tuple(each for each in pool.members if each not in other)
    return msgspec.structs.replace(listener, pool=msgspec.structs.replace(pool, members=members))


def _listener(listener: Listener, vip: IpAddress, place: Place) -> Iterator[str]:
    if listener.protocol not in POOLS_OF:
        raise _Unusable("its protocol is not served")
    is_http = listener.protocol in {HTTP, TERMINATED_HTTPS}
    uuid = _uuid(listener.uuid)
    tls = ""
    if listener.protocol == TERMINATED_HTTPS:
        files = [_certificate(name, place) for name in listener.certificates]
        if not files:
            raise _Unusable("it has no certificate")
        tls = " ssl alpn h2,http/1.1" + "".join(f" crt {file}" for file in files)
    yield f"frontend {uuid}"
    yield f"    mode {'http' if is_http else 'tcp'}"
    yield f"    bind {_at(vip, listener.port)}{tls}"
    if listener.connection_limit > 0:
        yield f"    maxconn {_within(listener.connection_limit, 1, 1_000_000)}"
    if is_http:
        yield "    option forwardfor"
        scheme = "https" if tls else "http"
        yield f"    http-request set-header X-Forwarded-Proto {scheme}"
    pool = listener.pool
    if pool is None:
        # Whoever connects is told so: a port that refuses looks like a balancer that is gone.
        yield (
            "    http-request return status 503" if is_http else "    tcp-request connection reject"
        )
        return
    if pool.protocol not in POOLS_OF[listener.protocol]:
        raise _Unusable(f"a pool of its protocol cannot serve {listener.protocol}")
    yield f"    default_backend {_uuid(pool.uuid)}-of-{uuid}"
    yield ""
    yield from _pool(pool, f"{_uuid(pool.uuid)}-of-{uuid}", place, is_http=is_http)


def _pool(pool: Pool, name: str, place: Place, *, is_http: bool) -> Iterator[str]:
    yield f"backend {name}"
    yield f"    mode {'http' if is_http else 'tcp'}"
    yield f"    balance {_BALANCE.get(pool.method, 'roundrobin')}"
    yield f"    source {_bracketed(place.source)}"
    if pool.persistence in COOKIES and not is_http:
        raise _Unusable("cookies are of HTTP alone")
    by_cookie = pool.persistence == "HTTP_COOKIE"
    if by_cookie:
        yield "    cookie SERVERID insert indirect nocache httponly"
    elif pool.persistence == "SOURCE_IP":
        kind = "ipv6" if place.source.version == 6 else "ip"
        yield f"    stick-table type {kind} size 100k expire 30m"
        yield "    stick on src"
    elif pool.persistence == "APP_COOKIE":
        cookie = pool.cookie
        if not COOKIE.fullmatch(cookie):
            raise _Unusable("the cookie's name cannot be one")
        yield "    stick-table type string len 128 size 100k expire 30m"
        yield f"    stick store-response res.cook({cookie})"
        yield f"    stick match req.cook({cookie})"
    check = ""
    if pool.monitor is not None:
        yield from _monitor(pool.monitor)
        check = _check(pool.monitor)
    for member in sorted(pool.members, key=lambda each: each.uuid):
        yield _member(member, check, by_cookie=by_cookie)


def _member(member: Member, check: str, *, by_cookie: bool) -> str:
    uuid = _uuid(member.uuid)
    at = _at(ip_address(member.address), member.port)
    cookie = f" cookie {uuid}" if by_cookie else ""
    return f"    server {uuid} {at} weight {_within(member.weight, 0, WEIGHT_MAX)}{cookie}{check}"


def _monitor(monitor: Monitor) -> Iterator[str]:
    yield f"    timeout check {_within(monitor.timeout_s, 1, 3600)}s"
    if monitor.kind not in {"HTTP", "HTTPS"}:
        return
    for text, pattern in (
        (monitor.method, METHOD),
        (monitor.path, URL_PATH),
        (monitor.codes, CODES),
    ):
        if not pattern.fullmatch(text):
            raise _Unusable("its monitor asks for what is no HTTP")
    yield "    option httpchk"
    yield f"    http-check send meth {monitor.method} uri {monitor.path}"
    yield f"    http-check expect status {monitor.codes}"


def _check(monitor: Monitor) -> str:
    """Return what a server's line says: who was well is out after so many failures, in after one."""
    often = f"inter {_within(monitor.delay_s, 1, 3600)}s"
    times = f"fall {_within(monitor.retries_count, 1, 10)} rise 1"
    tls = " check-ssl verify none" if monitor.kind == "HTTPS" else ""
    return f" check {often} {times}{tls}"


def _certificate(name: str, place: Place) -> str:
    if not CERTIFICATE.fullmatch(name):
        raise _Unusable("its certificate's name cannot be one")
    for file in (f"{name}.pem", name):
        if file in place.known:
            return str(place.certificates / file)
    raise _Unusable(f"certificate {name}.pem is not in {place.certificates} of this host")


def _uuid(text: str) -> str:
    if not UUID.fullmatch(text):
        raise _Unusable("a part of it has no uuid")
    return text


def _within(number: int, first: int, last: int) -> int:
    if not first <= number <= last:
        raise _Unusable(f"{number} is not {first} to {last}")
    return number


def _at(address: IpAddress, port: int) -> str:
    return f"{_bracketed(address)}:{_within(port, 1, _PORT_MAX)}"


def _bracketed(address: IpAddress) -> str:
    return f"[{address}]" if address.version == 6 else str(address)
