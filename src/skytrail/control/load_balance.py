"""Fields that choose among equal paths: by name in agents' routes, by bit in the community of BGP."""

from __future__ import annotations

from collections.abc import Iterable

from skytrail.wire.bgp.communities import HashField

FIELD_HASH = "field-hash"
_NAMES = {
    "l3-source-address": HashField.L3_SOURCE,
    "l3-destination-address": HashField.L3_DESTINATION,
    "l4-protocol": HashField.L4_PROTOCOL,
    "l4-source-port": HashField.L4_SOURCE_PORT,
    "l4-destination-port": HashField.L4_DESTINATION_PORT,
}


def hash_fields(names: Iterable[str]) -> HashField:
    """Return the fields that are named; unknown names count for nothing."""
    found = HashField(0)
    for name in names:
        found |= _NAMES.get(name, HashField(0))
    return found


def field_names(fields: HashField) -> tuple[str, ...]:
    """Return the names of fields."""
    return tuple(name for name, field in _NAMES.items() if field & fields)
