"""Entries of access lists: what network policies and security groups have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from skytrail.compiler.passes.protocols import ICMP, ICMP6, protocol_number
from skytrail.model.generated.types import (
    AclRuleType,
    ActionListType,
    AddressType,
    MatchConditionType,
    PolicyRuleType,
    PortType,
)

RULES_COUNT_MAX: Final = 2_000
"""Entries of one access list, so that it fits the API's largest request body."""

_ENTRY_BYTES: Final = 400
"""What an entry takes as JSON, two subnets and names of ``_NAME_BYTES`` included."""
_NAME_BYTES: Final = 60
_SUBNET_BYTES: Final = 80

ALL_PORTS: Final = PortType(start_port=0, end_port=65535)
DENY: Final = ActionListType(simple_action="deny")
PASS: Final = ActionListType(simple_action="pass")
ONE_WAY: Final = ">"
BOTH_WAYS: Final = "<>"


def ports(listed: tuple[PortType, ...]) -> list[PortType]:
    """Return port ranges with bounds filled in; no range and -1 both mean every port."""
    found = [
        PortType(
            start_port=0 if port.start_port in {None, -1} else port.start_port,
            end_port=65535 if port.end_port in {None, -1} else port.end_port,
        )
        for port in listed
    ]
    return found or [ALL_PORTS]


def rule_protocol(rule: PolicyRuleType) -> str | None:
    """Return the protocol as entries carry it, None if unknown; ICMP of IPv6 is protocol 58."""
    protocol = protocol_number(rule.protocol)
    return ICMP6 if protocol == ICMP and rule.ethertype == "IPv6" else protocol


def worth_of_pairs(sources: Sequence[AddressType], destinations: Sequence[AddressType]) -> int:
    """Return how many entries all pairs make, long ones counted as the several they could be.

    An access list the API refuses for its bytes would leave the one before it in force.
    """
    extra = len(destinations) * sum(map(_extra_bytes, sources))
    extra += len(sources) * sum(map(_extra_bytes, destinations))
    return len(sources) * len(destinations) + extra // _ENTRY_BYTES


def mirror_image(entry: AclRuleType) -> AclRuleType:
    """Return the entry for the other direction: addresses and ports swapped."""
    match = entry.match_condition
    if match is None:
        return entry
    mirrored = MatchConditionType(
        protocol=match.protocol,
        src_address=match.dst_address,
        src_port=match.dst_port,
        dst_address=match.src_address,
        dst_port=match.src_port,
        ethertype=match.ethertype,
    )
    return msgspec.structs.replace(entry, match_condition=mirrored)


def _extra_bytes(address: AddressType) -> int:
    name = len((address.virtual_network or "").encode())
    return _SUBNET_BYTES * len(address.subnet_list) + max(0, name - _NAME_BYTES)
