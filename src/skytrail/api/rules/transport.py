"""Protocols and ports as rules of every kind give them."""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.documents import Document
from skytrail.api.refusal import bad_request

_PROTOCOL_MAX = 255
_PORT_MAX = 65_535


def protocol_number(text: str) -> int | None:
    """Return the number a text spells; None when it is no protocol's number."""
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        return None
    number = int(text)
    return number if number <= _PROTOCOL_MAX else None


def check_ports(ports: Document, subject: str) -> None:
    """Refuse a range that cannot be; -1 stands for any port. The subject begins the text."""
    low, high = documents.number(ports, "start_port"), documents.number(ports, "end_port")
    for port in (low, high):
        if port is not None and not -1 <= port <= _PORT_MAX:
            raise bad_request(f"{subject} with invalid port : {port}")
    if low is not None and high is not None and high != -1 and low > high:
        raise bad_request(f"{subject} with invalid ports : {low}-{high}")
