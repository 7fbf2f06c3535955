"""Which two of many control nodes a host connects to, when it is told of more than two.

Every host is given the same list and works out a pair of its own, so nobody has to assign hosts to
nodes. By rendezvous hashing each node weighs something else for each host, and the heaviest win:
a node that comes takes over its share from all others, one that goes leaves its hosts to all
others, and nobody else moves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Address

from skytrail.net.decimal_text import decimal

PAIR_COUNT = 2
_PORTS_COUNT = 65536
_BRACKETED = re.compile(r"\[(?P<host>[^\[\]]*)\](?::(?P<port>.*))?")


@dataclass(frozen=True, slots=True)
class ControlNode:
    """Where a control node listens."""

    host: str
    port: int
    zone: str = ""
    """What may fail as a whole: a machine that several nodes run on, a room."""


def read_control(text: str, port_default: int) -> ControlNode:
    """Read ADDRESS[:PORT][@ZONE]; an IPv6 address with a port is in brackets. ``ValueError``."""
    place, at, zone = text.partition("@")
    bracketed = _BRACKETED.fullmatch(place)
    if bracketed is not None:
        host, port = str(IPv6Address(bracketed["host"])), bracketed["port"]
    elif place.count(":") > 1:
        host, port = str(IPv6Address(place)), None
    else:
        host, colon, given = place.partition(":")
        port = given if colon else None
    number = port_default if port is None else decimal(port, 1, _PORTS_COUNT - 1)
    if not host or number is None or (at and (not zone or "@" in zone)):
        raise ValueError(f"{text!r} is not ADDR[:PORT][@ZONE]")
    return ControlNode(host, number, zone)


def chosen_pair(host: str, nodes: Sequence[ControlNode]) -> tuple[ControlNode, ...]:
    """Return the nodes for a host: all, in their order, of up to two.

    The second is of another zone than the first, if there is another.
    """
    if len(nodes) <= PAIR_COUNT:
        return tuple(nodes)
    first, *others = sorted(nodes, key=lambda node: _weight(host, node), reverse=True)
    elsewhere = [node for node in others if node.zone != first.zone]
    return first, (elsewhere or others)[0]


def _weight(host: str, node: ControlNode) -> tuple[bytes, str]:
    """Weigh a node; by what its address is, since the zone says nothing of who it is."""
    address = f"{node.host}:{node.port}"
    return blake2b(f"{host}\0{address}".encode(), digest_size=8).digest(), address
