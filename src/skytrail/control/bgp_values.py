"""Where BGP and the agents' protocol name the same thing differently: both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skytrail.net import Label
from skytrail.net.decimal_text import decimal
from skytrail.wire.bgp.attributes import (
    ACCEPT_OWN,
    LLGR_STALE,
    NO_ADVERTISE,
    NO_EXPORT,
    NO_EXPORT_SUBCONFED,
    NO_LLGR,
    NO_REORIGINATE,
    ON_OVERLAY_TREE,
)
from skytrail.wire.bgp.communities import TunnelKind
from skytrail.wire.xmpp import NextHop

ENCAPSULATION_TYPES: Mapping[str, tuple[int, ...]] = {
    "gre": (TunnelKind.GRE, TunnelKind.MPLS_OVER_GRE),
    "udp": (TunnelKind.MPLS_OVER_UDP,),
    "vxlan": (TunnelKind.VXLAN,),
    "mpls": (TunnelKind.MPLS,),
    "native": (TunnelKind.NATIVE,),
}
"""MPLS over GRE is told twice: peers know it by either number."""
_NAMES: Mapping[int, str] = {
    int(number): name for name, numbers in ENCAPSULATION_TYPES.items() for number in numbers
}
UNNAMED_ENCAPSULATION = ("gre",)
"""What routes have that name none."""

_COMMUNITIES = {
    "accept-own": ACCEPT_OWN,
    "llgr-stale": LLGR_STALE,
    "no-llgr": NO_LLGR,
    "no-reoriginate": NO_REORIGINATE,
    "overlay-tree": ON_OVERLAY_TREE,
    "no-export": NO_EXPORT,
    "no-advertise": NO_ADVERTISE,
    "no-export-subconfed": NO_EXPORT_SUBCONFED,
}
_COMMUNITY_NAMES = {number: name for name, number in _COMMUNITIES.items()}
_LABEL_SHIFT = 4
MPLS_LABEL_MAX = 0xF_FFFF
_U16 = 0xFFFF


def encapsulation_names(numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the encapsulations of tunnel types, unknown types left out."""
    return tuple(dict.fromkeys(_NAMES[number] for number in numbers if number in _NAMES))


def community_number(text: str) -> int:
    """Read ``<AS>:<number>`` or a well-known name; 0, which means nothing, for anything else."""
    known = _COMMUNITIES.get(text)
    if known is not None:
        return known
    high, low = (decimal(part, 0, _U16) for part in text.partition(":")[::2])
    return 0 if high is None or low is None else high << 16 | low


def community_text(number: int) -> str:
    """Return the name of a community, or ``<AS>:<number>``."""
    return _COMMUNITY_NAMES.get(number) or f"{number >> 16}:{number & _U16}"


def told_encapsulations(hop: NextHop, *, is_layer2: bool) -> tuple[str, ...]:
    """Return the encapsulations that go with the one label field BGP has for a route.

    An EVPN route carries a VNI or an MPLS label (RFC 8365 section 5.1.3): its first choice
    decides. A VPN route carries an MPLS label. Empty: BGP cannot tell the hop.
    """
    names = hop.encapsulations or UNNAMED_ENCAPSULATION
    if is_layer2 and names[0] == "vxlan" and hop.vni:
        return ("vxlan",)
    # Agents' labels may be VNIs, which are longer.
    return label_encapsulations(hop) if 0 < hop.label <= MPLS_LABEL_MAX else ()


def label_encapsulations(hop: NextHop) -> tuple[str, ...]:
    """Return the encapsulations of a hop that an MPLS label goes with."""
    names = hop.encapsulations or UNNAMED_ENCAPSULATION
    return tuple([name for name in names if name != "vxlan"])


def raw_label(label: int) -> int:
    """Return the 24-bit field of an EVPN route for an MPLS label."""
    return label << _LABEL_SHIFT


def label_of_raw(raw: int) -> Label:
    """Return the MPLS label of the 24-bit field of an EVPN route."""
    return Label(raw >> _LABEL_SHIFT)


class NetworkIds:
    """Virtual networks by name and by the number that BGP carries for them."""

    def __init__(self) -> None:
        self.changes_count = 0
        """Grows with every change: what was worked out from names before may be outdated."""
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def put(self, name: str, number: int) -> None:
        if self._numbers.get(name) == number and self._names.get(number) == name:
            return
        self.remove(name)
        self.changes_count += 1
        self._numbers[name] = number
        self._names[number] = name

    def remove(self, name: str) -> None:
        number = self._numbers.pop(name, None)
        self.changes_count += number is not None
        if number is not None and self._names.get(number) == name:
            del self._names[number]

    def number(self, name: str) -> int:
        """Return the network's number, 0 when it is not known."""
        return self._numbers.get(name, 0)

    def name(self, number: int) -> str:
        """Return the network's name; empty when it is not known."""
        return self._names.get(number, "")
