"""Rules of load balancers: ports, limits, names and texts that HAProxy can be given."""

from __future__ import annotations

from collections.abc import Callable

from skytrail.api import documents, ipam
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, referrers
from skytrail.api.references import referred
from skytrail.api.refusal import bad_request, conflict
from skytrail.model import load_balancer as limits

_PORT_MAX = 65_535
_TIME_S_MAX = 3_600
_RETRIES_COUNT_MAX = 10
_CONNECTIONS_COUNT_MAX = 1_000_000
_LISTENER = "loadbalancer_listener_properties"
_POOL = "loadbalancer_pool_properties"
_MEMBER = "loadbalancer_member_properties"
_MONITOR = "loadbalancer_healthmonitor_properties"


def _within(given: Document, name: str, first: int, last: int, *, needed: bool = False) -> None:
    number = documents.number(given, name)
    if number is None and not needed:
        return
    if number is None or not first <= number <= last:
        raise bad_request(f"{name} is {number}: it must be a number from {first} to {last}")


def _check_balancer(change: Change, body: Document) -> None:
    del change
    given = documents.section(body, "loadbalancer_properties")
    text = documents.text(given, "vip_address")
    if text:
        ipam.parse_address(text, "vip_address")
    if len(documents.sections(body, "virtual_machine_interface_refs")) > 1:
        raise bad_request("a loadbalancer has one virtual-machine-interface, that of its address")


def _check_listener(change: Change, body: Document) -> None:
    given = documents.section(body, _LISTENER)
    protocol = documents.text(given, "protocol")
    # One that says nothing yet is served nowhere.
    if given and protocol not in limits.PROTOCOLS:
        raise bad_request(
            f"{_LISTENER}.protocol is {protocol!r}: one of {', '.join(limits.PROTOCOLS)} is served"
        )
    _within(given, "protocol_port", 1, _PORT_MAX, needed=bool(given))
    limit = documents.number(given, "connection_limit")
    if limit is not None and limit != -1 and not 1 <= limit <= _CONNECTIONS_COUNT_MAX:
        raise bad_request(
            f"connection_limit is {limit}: it must be -1 or 1 to {_CONNECTIONS_COUNT_MAX}"
        )
    named = documents.texts(given, "sni_containers")
    default = documents.text(given, "default_tls_container")
    for reference in (*named, *([default] if default else [])):
        try:
            limits.certificate_name(reference)
        except ValueError as error:
            raise bad_request(str(error)) from error
    if protocol == limits.TERMINATED_HTTPS and not default:
        raise bad_request("TERMINATED_HTTPS needs default_tls_container: the certificate to show")
    owners = referred(change, body, "loadbalancer_refs")
    if len(owners) > 1:
        raise bad_request("a loadbalancer-listener belongs to one loadbalancer")
    for owner in owners:
        _check_port_free(change, body, owner, documents.number(given, "protocol_port"))


def _check_port_free(change: Change, body: Document, owner: Record, port: int | None) -> None:
    """Two listeners at one port would take each other's connections."""
    for other in referrers(change.view, owner.uuid, "loadbalancer-listener"):
        if other.uuid == documents.text(body, "uuid"):
            continue
        if documents.number(documents.section(other.body, _LISTENER), "protocol_port") == port:
            raise conflict(f"{other.name} listens at port {port} of this loadbalancer already")


def _check_pool(change: Change, body: Document) -> None:
    given = documents.section(body, _POOL)
    protocol = documents.text(given, "protocol")
    if protocol == "UDP":
        raise bad_request(f"{_POOL}.protocol UDP is not served: TCP, HTTP and HTTPS are")
    cookie = documents.text(given, "persistence_cookie_name")
    if cookie and not limits.COOKIE.fullmatch(cookie):
        raise bad_request(
            f"persistence_cookie_name {cookie!r}: up to 64 letters, digits, '_' and '-'"
        )
    kind = documents.text(given, "session_persistence")
    if kind == "APP_COOKIE" and not cookie:
        raise bad_request("session_persistence APP_COOKIE needs persistence_cookie_name")
    if kind in limits.COOKIES and protocol != limits.HTTP:
        raise bad_request(f"session_persistence {kind} needs a pool of protocol HTTP")
    listeners = referred(change, body, "loadbalancer_listener_refs")
    if len(listeners) > 1:
        raise bad_request("a loadbalancer-pool serves one loadbalancer-listener")
    for listener in listeners:
        theirs = documents.text(documents.section(listener.body, _LISTENER), "protocol") or ""
        fitting = limits.POOLS_OF.get(theirs, ())
        if theirs and protocol not in fitting:
            raise bad_request(
                f"a pool of protocol {protocol} cannot serve a listener of {theirs}: "
                f"{' or '.join(fitting)} can"
            )
        if (
            kind in limits.COOKIES
            and theirs
            and theirs not in {limits.HTTP, limits.TERMINATED_HTTPS}
        ):
            raise bad_request(f"session_persistence {kind} needs a listener that reads HTTP")
    if len(documents.sections(body, "loadbalancer_healthmonitor_refs")) > 1:
        raise bad_request("a loadbalancer-pool has one loadbalancer-healthmonitor")


def _check_member(change: Change, body: Document) -> None:
    del change
    given = documents.section(body, _MEMBER)
    if not given:
        return
    address = documents.text(given, "address")
    if not address:
        raise bad_request(f"{_MEMBER}.address is missing: that of the server")
    ipam.parse_address(address, "address")
    _within(given, "protocol_port", 1, _PORT_MAX, needed=True)
    _within(given, "weight", 0, limits.WEIGHT_MAX)


def _check_monitor(change: Change, body: Document) -> None:
    del change
    given = documents.section(body, _MONITOR)
    if not given:
        return
    _within(given, "delay", 1, _TIME_S_MAX, needed=True)
    _within(given, "timeout", 1, _TIME_S_MAX, needed=True)
    _within(given, "max_retries", 1, _RETRIES_COUNT_MAX, needed=True)
    for name, pattern, form in (
        ("http_method", limits.METHOD, "a method as in GET or HEAD"),
        ("url_path", limits.URL_PATH, "a path as in /ready, of characters of URLs"),
        ("expected_codes", limits.CODES, "status codes as in 200,204 or 200-299"),
    ):
        text = documents.text(given, name)
        if text and not pattern.fullmatch(text):
            raise bad_request(f"{name} {text[:80]!r} is not {form}")


def _rule(check: Callable[[Change, Document], None]) -> Rule:
    def update(change: Change, old: Record, body: Document) -> None:
        del old
        check(change, body)

    return Rule(create=check, update=update)


LOADBALANCER = _rule(_check_balancer)
LISTENER = _rule(_check_listener)
POOL = _rule(_check_pool)
MEMBER = _rule(_check_member)
HEALTHMONITOR = _rule(_check_monitor)
