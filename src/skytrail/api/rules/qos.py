"""Rules of quality of service: marks that exist, classes with numbers of their own, sane shares."""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.refusal import bad_request

_TABLES = {"dscp_entries": 63, "vlan_priority_entries": 7, "mpls_exp_entries": 7}
_PERCENT_MAX = 100
_QUEUE_MAX = 255


def _create_config(change: Change, body: Document) -> None:
    del change
    for name, maximum in _TABLES.items():
        _check_entries(body, name, maximum)
    kind = documents.text(body, "qos_config_type")
    if kind in {"fabric", "vhost"} and documents.text(body, "parent_type") == "project":
        raise bad_request(
            f"qos_config_type {kind} is for all of a host: its parent must be global-qos-config,"
            " not a project"
        )


def _update_config(change: Change, old: Record, body: Document) -> None:
    _create_config(change, {"parent_type": old.parent_type, **body})


def _check_entries(body: Document, name: str, maximum: int) -> None:
    seen: set[int] = set()
    for pair in documents.sections(documents.section(body, name), "qos_id_forwarding_class_pair"):
        key = documents.number(pair, "key")
        if key is None or not 0 <= key <= maximum:
            raise bad_request(f"{name} has key {key}: it must be 0 to {maximum}")
        if key in seen:
            raise bad_request(f"{name} has key {key} twice: each mark has one forwarding class")
        seen.add(key)
        if documents.number(pair, "forwarding_class_id") is None:
            raise bad_request(f"{name} has key {key} without forwarding_class_id")


def _create_class(change: Change, body: Document) -> None:
    _check_class(change, body, documents.text(body, "uuid"))


def _update_class(change: Change, old: Record, body: Document) -> None:
    if documents.number(body, "forwarding_class_id") != documents.number(
        old.body, "forwarding_class_id"
    ):
        _check_class(change, body, old.uuid)


def _check_class(change: Change, body: Document, uuid: str | None) -> None:
    number = documents.number(body, "forwarding_class_id") or 0
    for other in change.view.of_type("forwarding-class"):
        if other.uuid != uuid and number == (
            documents.number(other.body, "forwarding_class_id") or 0
        ):
            raise bad_request(
                f"Forwarding class {list(other.fq_name)} is configured with a id {number}:"
                " forwarding_class_id must be another one"
            )


def _check_queue(body: Document) -> None:
    for name in ("min_bandwidth", "max_bandwidth"):
        share = documents.number(body, name)
        if share is not None and not 0 <= share <= _PERCENT_MAX:
            raise bad_request(f"{name} is {share}: it is a share of the link, 0 to 100 percent")
    lower, upper = (documents.number(body, each) for each in ("min_bandwidth", "max_bandwidth"))
    if upper and lower is not None and lower > upper:
        raise bad_request(f"min_bandwidth is {lower}, more than max_bandwidth, which is {upper}")
    number = documents.number(body, "qos_queue_identifier")
    if number is not None and not 0 <= number <= _QUEUE_MAX:
        raise bad_request(f"qos_queue_identifier is {number}: it must be 0 to {_QUEUE_MAX}")


def _create_queue(change: Change, body: Document) -> None:
    del change
    _check_queue(body)


def _update_queue(change: Change, old: Record, body: Document) -> None:
    del change
    names = ("min_bandwidth", "max_bandwidth", "qos_queue_identifier")
    if any(body.get(name) != old.body.get(name) for name in names):
        _check_queue(body)


QOS_CONFIG = Rule(create=_create_config, update=_update_config)
FORWARDING_CLASS = Rule(create=_create_class, update=_update_class)
QOS_QUEUE = Rule(create=_create_queue, update=_update_queue)
