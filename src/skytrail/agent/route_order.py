"""In which order routes are worked off, and which of several to a MAC is used."""

from __future__ import annotations

from skytrail.agent.fib import LearntRoute
from skytrail.agent.tables import IpNetwork
from skytrail.wire.xmpp import EnetKey

Place = tuple[str, IpNetwork]
"""VRF and prefix."""


def place_order(place: Place) -> tuple[str, int, int, int]:
    """Order places the same way whatever made them dirty first."""
    vrf, prefix = place
    return vrf, prefix.version, int(prefix.network_address), prefix.prefixlen


def enet_order(learnt: LearntRoute) -> tuple[bool, int, int, bool, str]:
    """Which of the routes to a MAC is used; the last part makes it certain between equal ones."""
    has_address = isinstance(learnt.key, EnetKey) and learnt.key.address is not None
    rank = learnt.local_preference, learnt.sequence_number
    return not learnt.stale, *rank, has_address, str(learnt.key)
