"""IP protocol names that policies may use, and their numbers (IANA protocol-numbers)."""

from __future__ import annotations

from typing import Final

ANY: Final = "any"
ICMP: Final = "1"
ICMP6: Final = "58"

NUMBERS: Final = {
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "tcp": 6,
    "egp": 8,
    "udp": 17,
    "dccp": 33,
    "ipv6": 41,
    "rsvp": 46,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmp6": 58,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "ospf": 89,
    "pim": 103,
    "vrrp": 112,
    "sctp": 132,
    "udplite": 136,
}

_NUMBER_MAX = 255


def protocol_number(text: str | None) -> str | None:
    """Return "any" or the number as text, as access lists carry it; None for an unknown name."""
    name = ANY if text is None else text.strip().lower()
    if name in {ANY, "-1", ""}:
        return ANY
    if name.isdecimal():
        return str(int(name)) if int(name) <= _NUMBER_MAX else None
    number = NUMBERS.get(name)
    return None if number is None else str(number)
