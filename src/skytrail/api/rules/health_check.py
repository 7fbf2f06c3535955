"""Rules of health checks: times that can be kept, targets and codes that can be read."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from skytrail.api import documents, ipam
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.refusal import bad_request

_PROPERTIES = "service_health_check_properties"
_LOCAL_NAME = "local-ip"
_US = 1_000_000
_TIME_S_MAX = 86_400
_RETRIES_COUNT_MAX = 255
_PORT_MAX = 65_535
_METHOD = re.compile(r"[A-Za-z]{1,16}")
_CODES = re.compile(r"\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*", re.ASCII)
_PATH = re.compile(r"(/[!-~]{0,1023})?")


def _create(change: Change, body: Document) -> None:
    del change
    _check(body)


def _update(change: Change, old: Record, body: Document) -> None:
    del change
    # Of before there were rules: whoever changes something else about it is not held up.
    if body.get(_PROPERTIES) != old.body.get(_PROPERTIES):
        _check(body)


def _check(body: Document) -> None:
    given = documents.section(body, _PROPERTIES)
    if not given:
        return
    for name in ("delay", "timeout"):
        _check_time(given, name)
    retries = documents.number(given, "max_retries")
    if retries is not None and not 0 < retries <= _RETRIES_COUNT_MAX:
        raise bad_request(
            f"max_retries is {retries}: it must be 1 to {_RETRIES_COUNT_MAX} failures in a row"
        )
    monitor = documents.text(given, "monitor_type")
    if monitor == "HTTP":
        _check_http(given)
    else:
        _check_target(given)
    _check_scope(given, monitor)


def _check_time(given: Document, name: str) -> None:
    whole, rest = documents.number(given, name), documents.number(given, f"{name}Usecs")
    if whole is None:
        return
    total = whole * _US + (rest or 0)
    if whole < 0 or (rest or 0) < 0 or not 0 < total <= _TIME_S_MAX * _US:
        raise bad_request(
            f"{name} and {name}Usecs together are {total / _US:g} s: they must be over 0 and at"
            f" most {_TIME_S_MAX}, neither below 0"
        )


def _check_http(given: Document) -> None:
    method = documents.text(given, "http_method")
    if method and not _METHOD.fullmatch(method):
        raise bad_request(f"http_method {method!r} is no method as in GET or HEAD")
    codes = documents.text(given, "expected_codes") or ""
    for part in codes.split(",") if codes.strip() else ():
        found = _CODES.fullmatch(part)
        if found is None or (found[2] and found[1] > found[2]):
            raise bad_request(
                f"expected_codes {codes!r} is no list of status codes as in 200,204 or 200-299"
            )
    url = (documents.text(given, "url_path") or "").strip()
    if url in {"", _LOCAL_NAME}:
        return
    try:
        parts = urlsplit(url if "//" in url or url.startswith("/") else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise bad_request(f"url_path {url!r} cannot be read: {error}") from error
    if parts.scheme not in {"", "http"}:
        raise bad_request(f"url_path {url!r}: only http:// is asked")
    if port is not None and not 0 < port <= _PORT_MAX:
        raise bad_request(f"url_path {url!r} has a port that is not 1 to {_PORT_MAX}")
    query = f"?{parts.query}" if parts.query else ""
    if not _PATH.fullmatch(parts.path + query if parts.path or not query else "/" + query):
        raise bad_request(f"url_path {url!r}: the path has characters that are no URL's")
    if parts.hostname not in {None, "", _LOCAL_NAME}:
        ipam.parse_address(parts.hostname or "", "url_path")


def _check_target(given: Document) -> None:
    target = (documents.text(given, "url_path") or "").strip()
    if target and target != _LOCAL_NAME:
        try:
            ipam.parse_address(target, "url_path")
        except ValueError as error:
            raise bad_request(str(error)) from error


def _check_scope(given: Document, monitor: str | None) -> None:
    scope = documents.text(given, "health_check_type")
    target = (documents.text(given, "url_path") or "").strip()
    if scope == "end-to-end" and not _names_address(target):
        raise bad_request(
            "health_check_type end-to-end needs an address in url_path: the one to be reached"
        )
    if scope == "end-to-end" and monitor == "BFD":
        raise bad_request(
            "health_check_type end-to-end goes with monitor_type PING or HTTP, not BFD: a session"
            " over one hop ends at the service"
        )
    if scope == "segment" and monitor != "PING":
        raise bad_request(
            f"health_check_type segment goes with monitor_type PING only, not {monitor}"
        )
    if scope != "vn-ip-list":
        return
    if monitor != "BFD":
        raise bad_request(
            f"health_check_type vn-ip-list goes with monitor_type BFD only, not {monitor}"
        )
    listed = documents.texts(documents.section(given, "target_ip_list"), "ip_address")
    for each in listed:
        ipam.parse_address(each, "target_ip_list")
    if not listed and not documents.flag(given, "target_ip_all"):
        raise bad_request(
            "health_check_type vn-ip-list needs addresses in target_ip_list, or target_ip_all"
        )


def _names_address(target: str) -> bool:
    host = urlsplit(target if "//" in target else f"//{target}").hostname or ""
    return host not in {"", _LOCAL_NAME}


SERVICE_HEALTH_CHECK = Rule(create=_create, update=_update)
