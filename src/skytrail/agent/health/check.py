"""A health check as configured: what to send, how often, and what counts as well.

A value that cannot be read is never guessed: the check then has a ``problem``, is not run, and
says so, which takes nobody's routes away.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from skytrail.agent.config_values import (
    bounded_of,
    flag_of,
    list_of,
    mapping_of,
    number_of,
    text_of,
    unscoped,
    usable_address_of,
)
from skytrail.net import IpAddress
from skytrail.wire.xmpp import ConfigNode, ConfigValue

PROPERTIES = "service_health_check_properties"
LOCAL_NAME = "local-ip"
"""In a target: the interface's own address."""
RETRIES_COUNT_MAX = 255
_US = 1_000_000
_TIME_US_MAX = 86_400 * _US
_HTTP_PORT = 80
_PORT_MAX = 65_535
_METHOD = re.compile(r"[A-Z]{1,16}")
_CODES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_CODES_DEFAULT = ((200, 299),)
_PATH = re.compile(r"/[!-~]{0,1023}|")


class Monitor(enum.Enum):
    """How a workload is asked; the values are the API's."""

    PING = "PING"
    HTTP = "HTTP"
    BFD = "BFD"


class Scope(enum.Enum):
    """Which way is looked at; the values are the API's."""

    LINK_LOCAL = "link-local"
    END_TO_END = "end-to-end"
    SEGMENT = "segment"
    ADDRESSES = "vn-ip-list"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Codes are inclusive ranges."""

    method: str = "GET"
    port: int = _HTTP_PORT
    path: str = "/"
    codes: tuple[tuple[int, int], ...] = _CODES_DEFAULT


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One check; equal ones behave the same."""

    name: str
    scope: Scope = Scope.LINK_LOCAL
    monitor: Monitor = Monitor.PING
    delay_us: int = _US
    timeout_us: int = _US
    retries_count: int = 1
    """Failures in a row after which it has failed."""
    target: IpAddress | None = None
    """None: the interface's own address."""
    http: HttpRequest = HttpRequest()
    addresses: frozenset[IpAddress] | None = frozenset()
    """Of a network that are checked; None: all."""
    of_bgp_service: bool = False
    """It watches a BGP session with the gateway."""
    is_answered_only: bool = False
    """A BFD session that the workload may have, and of which nothing follows."""
    problem: str = ""


def health_check_of(node: ConfigNode, *, of_bgp_service: bool = False) -> HealthCheck | None:
    """Read a ``service-health-check``; None for one that is turned off."""
    parts = mapping_of(node.properties.get(PROPERTIES))
    if not flag_of(parts.get("enabled")):
        return None
    check = HealthCheck(node.key.name, of_bgp_service=of_bgp_service)
    try:
        read = replace(
            check,
            scope=Scope(text_of(parts.get("health_check_type"))),
            monitor=Monitor(text_of(parts.get("monitor_type"))),
            delay_us=_time_us(parts, "delay"),
            timeout_us=_time_us(parts, "timeout"),
            retries_count=bounded_of(parts.get("max_retries"), RETRIES_COUNT_MAX) or 1,
        )
        target, http = _target(text_of(parts.get("url_path")).strip(), read.monitor)
        http = replace(
            http,
            method=_method(text_of(parts.get("http_method"))),
            codes=codes_of(text_of(parts.get("expected_codes"))),
        )
    except ValueError as error:
        return replace(check, problem=str(error))
    return _completed(replace(read, target=target, http=http), parts)


def _completed(check: HealthCheck, parts: Mapping[str, ConfigValue]) -> HealthCheck:
    match check.scope:
        case Scope.SEGMENT:
            wrong = "" if check.monitor is Monitor.PING else "checks of type segment go by PING"
            return replace(check, target=None, problem=wrong)
        case Scope.END_TO_END if check.target is None:
            return replace(check, problem="url_path names no address to be reached")
        case Scope.END_TO_END if check.monitor is Monitor.BFD:
            return replace(check, problem="BFD over one hop ends at the service")
        case Scope.ADDRESSES:
            listed = list_of(mapping_of(parts.get("target_ip_list")).get("ip_address"))
            found = [usable_address_of(each) for each in listed]
            addresses = frozenset(each for each in found if each is not None)
            is_all = flag_of(parts.get("target_ip_all"))
            return replace(check, target=None, addresses=None if is_all else addresses)
        case _:
            return check


def _time_us(parts: Mapping[str, ConfigValue], name: str) -> int:
    """Seconds and microseconds of one time, at least one microsecond."""
    whole, rest = number_of(parts.get(name)) or 0, number_of(parts.get(f"{name}Usecs")) or 0
    total = whole * _US + rest
    if not 0 < total <= _TIME_US_MAX:
        raise ValueError(f"{name} is {total} microseconds, which is not 1 to {_TIME_US_MAX}")
    return total


def _target(text: str, monitor: Monitor) -> tuple[IpAddress | None, HttpRequest]:
    if monitor is not Monitor.HTTP:
        return (None if text in {"", LOCAL_NAME} else _address(text)), HttpRequest()
    if text in {"", LOCAL_NAME}:
        return None, HttpRequest()
    if text.startswith("/"):
        return None, HttpRequest(path=_path(text))
    parts = urlsplit(text if "//" in text else f"http://{text}")
    if parts.scheme != "http":
        raise ValueError(f"url_path {text!r} is no http:// URL")
    port = parts.port
    if port is None:
        port = _HTTP_PORT
    if not 0 < port <= _PORT_MAX:
        raise ValueError(f"url_path {text!r} has no usable port")
    path = _path(parts.path + (f"?{parts.query}" if parts.query else "")) or "/"
    host = parts.hostname or ""
    if host in {"", LOCAL_NAME}:
        return None, HttpRequest(port=port, path=path)
    return _address(host), HttpRequest(port=port, path=path)


def _address(text: str) -> IpAddress:
    try:
        return ip_address(unscoped(text))
    except ValueError:
        raise ValueError(f"{text!r} in url_path is neither an address nor {LOCAL_NAME}") from None


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError("the path in url_path has characters that are no URL's")
    return text


def _method(text: str) -> str:
    method = text.strip().upper() or "GET"
    if not _METHOD.fullmatch(method):
        raise ValueError(f"http_method {text!r} is no method")
    return method


def codes_of(text: str) -> tuple[tuple[int, int], ...]:
    """Read ``200,204`` or ``200-299``; empty means any of 200 to 299. ``ValueError``."""
    return tuple(_code_ranges(text)) if text.strip() else _CODES_DEFAULT


def _code_ranges(text: str) -> Iterator[tuple[int, int]]:
    for part in text.split(","):
        found = _CODES.fullmatch(part.strip())
        if found is None:
            raise ValueError(
                f"expected_codes {text!r} is no list of codes as in 200,204 or 200-299"
            )
        first, last = int(found[1]), int(found[2] or found[1])
        if first > last:
            raise ValueError(f"expected_codes {text!r} has an empty range")
        yield first, last
