"""Rules of security logging objects: rates that can be counted to, rules that can be named."""

from __future__ import annotations

from uuid import UUID

from skytrail.api import documents
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.refusal import bad_request

_RATE, _RULES = "security_logging_object_rate", "security_logging_object_rules"
_RATE_MAX = 1_000_000_000


def _check(body: Document) -> None:
    _check_rate(body, _RATE, _RATE)
    for index, entry in enumerate(documents.sections(documents.section(body, _RULES), "rule")):
        place = f"{_RULES} has, at rule {index},"
        uuid = documents.text(entry, "rule_uuid")
        try:
            UUID(uuid or "")
        except ValueError:
            raise bad_request(
                f"{place} rule_uuid {uuid}: it must be the uuid of a policy's, a security group's or"
                " a firewall rule"
            ) from None
        _check_rate(entry, "rate", f"{place} rate")


def _check_rate(body: Document, name: str, place: str) -> None:
    rate = documents.number(body, name)
    if rate is not None and not 0 <= rate <= _RATE_MAX:
        raise bad_request(
            f"{place} {rate}: one of so many sessions is logged, 0 (none) to {_RATE_MAX}"
        )


def _create(change: Change, body: Document) -> None:
    del change
    _check(body)


def _update(change: Change, old: Record, body: Document) -> None:
    del change
    if any(body.get(name) != old.body.get(name) for name in (_RATE, _RULES)):
        _check(body)


SECURITY_LOGGING_OBJECT = Rule(create=_create, update=_update)
