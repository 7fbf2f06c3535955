"""Merged flows of networks and ports: prefixes that can be, lengths that mean something."""

from __future__ import annotations

from skytrail.api import documents, ipam
from skytrail.api.documents import Document
from skytrail.api.refusal import bad_request

_PORT_MAX = 65_535
_SIDES = ("source", "destination")


def check_fat_flows(body: Document, old: Document | None, name: str) -> None:
    """Refuse a rule that cannot be followed. One of before there were rules is no hindrance to others."""
    if old is not None and body.get(name) == old.get(name):
        return
    for rule in documents.sections(documents.section(body, name), "fat_flow_protocol"):
        port = documents.number(rule, "port") or 0
        if not 0 <= port <= _PORT_MAX:
            raise bad_request(f"{name} has port {port}: it must be 0 (all) to {_PORT_MAX}")
        versions = {version for side in _SIDES if (version := _check_side(rule, side, name))}
        if len(versions) > 1:
            raise bad_request(
                f"{name} has source_prefix and destination_prefix of two IP versions: no connection has both"
            )


def _check_side(rule: Document, side: str, name: str) -> int:
    """Return the IP version of the side's prefix, 0 without one."""
    given = documents.section(rule, f"{side}_prefix")
    prefix = ipam.prefix_in(given, f"Invalid {side}_prefix in {name}") if given else None
    length = documents.number(rule, f"{side}_aggregate_prefix_length") or 0
    if prefix is None:
        if length:
            raise bad_request(
                f"{name} has {side}_aggregate_prefix_length {length} without {side}_prefix: name"
                " the addresses that it is for"
            )
        return 0
    if length and not prefix.prefixlen <= length <= prefix.max_prefixlen:
        raise bad_request(
            f"{name} has {side}_aggregate_prefix_length {length}: with {side}_prefix {prefix} it"
            f" must be {prefix.prefixlen} to {prefix.max_prefixlen}"
        )
    return prefix.version
