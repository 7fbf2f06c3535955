"""Far ends whose route came after their session began, found as long as the route is there. Pure.

A port that has just been made speaks before its route is at the other host, which decides anew when the route comes and
tells nothing of it; the port may be gone again by the time the session ends. So whom the datapath did not know at a
beginning is looked for whenever routes have changed, and who was found is remembered until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final, TypeAlias

import numpy as np

from skytrail.agent import abi
from skytrail.agent.identity import NO_IDENTITY
from skytrail.agent.outcome import Desired
from skytrail.agent.session_batch import IPV4, Array
from skytrail.agent.session_names import SessionNames
from skytrail.agent.tables import IdentityId, InetRouteRow, IpNetwork, VifId, VrfId
from skytrail.net import IpAddress
from skytrail.net.latest import Latest

FAR_ENDS_COUNT_MAX: Final = 4_096
"""Different ones, of all ports, that a beginning did not tell; the oldest are forgotten."""
BEGINNINGS_COUNT_MAX: Final = 1_024
"""Of a batch: 10 ms of work at most."""
_FarEnd: TypeAlias = tuple[int, int, bytes, bytes]
_Place: TypeAlias = tuple[VrfId, IpNetwork]


class LateFarEnds:
    """Sees every batch, in order; ``look`` is told of what is desired in between."""

    def __init__(self) -> None:
        self._places: Latest[_FarEnd, _Place | None] = Latest(FAR_ENDS_COUNT_MAX)
        """Where the route of a far end would be; None: not known, as long as its port is not."""
        self._found: dict[_FarEnd, IdentityId] = {}
        """The last that was known."""
        self._seen: Desired | None = None

    def look(self, names: SessionNames, desired: Desired) -> None:
        """Find whom routes lead to now. O(far ends), if anything has changed."""
        if desired is self._seen:
            return
        self._seen = desired
        for far_end, known in self._places.items():
            place = known or _place_of(far_end, names, desired)
            self._places[far_end] = place
            identity = _identity_at(place, desired)
            if identity != NO_IDENTITY:
                self._found[far_end] = identity

    def begin(self, records: Array, names: SessionNames, desired: Desired) -> Array:
        """Return the identities, or 0, of far ends that these beginnings do not tell: of the latest ones, if they are many."""
        self.look(names, desired)
        identities = np.zeros(len(records), np.uint32)
        latest = records[-BEGINNINGS_COUNT_MAX:]
        first = len(records) - len(latest)
        known: dict[_FarEnd, IdentityId] = {}
        for number, far_end in enumerate(_far_ends(latest), first):
            if far_end not in known:
                known[far_end] = self._begin(far_end, _place_of(far_end, names, desired), desired)
            identities[number] = known[far_end]
        return identities

    def _begin(self, far_end: _FarEnd, place: _Place | None, desired: Desired) -> IdentityId:
        forgotten = self._places.put(far_end, place)
        if forgotten is not None:
            self._found.pop(forgotten, None)
        identity = _identity_at(place, desired)
        if identity != NO_IDENTITY:
            self._found[far_end] = identity
        else:
            # Whoever was there before is not known to be who speaks now.
            self._found.pop(far_end, None)
        return identity

    def end(self, records: Array) -> Array:
        """Return the identities of far ends as they were last known; 0: never since the beginning."""
        if not self._found:
            return np.zeros(len(records), np.uint32)
        found = [self._found.get(far_end, NO_IDENTITY) for far_end in _far_ends(records)]
        return np.array(found, np.uint32)


def _far_ends(records: Array) -> Iterator[_FarEnd]:
    is_opened_there = records["direction"] & abi.FlowDirection.FROM_UNDERLAY != 0
    source, destination = records["source"], records["destination"]
    near = np.where(is_opened_there, destination, source)
    far = np.where(is_opened_there, source, destination)
    columns = records["vif"], records["family"], near, far
    return zip(*(column.tolist() for column in columns), strict=True)


def _place_of(far_end: _FarEnd, names: SessionNames, desired: Desired) -> _Place | None:
    """Return where the route of a far end would be, of a port's own addresses: floating ones are of other networks."""
    vif, family, near, far = far_end
    state = names.port(VifId(vif), desired)
    if state is None:
        return None
    if any(binding.outside == _address(family, near) for binding, _ in state.port.floating):
        return None
    vrf_id = desired.vrfs.get(state.port.network.vrf)
    return None if vrf_id is None else (vrf_id, ip_network(_address(family, far)))


def _identity_at(place: _Place | None, desired: Desired) -> IdentityId:
    route = desired.rows[InetRouteRow].get(place) if place is not None else None
    return route.identity if isinstance(route, InetRouteRow) else NO_IDENTITY


def _address(family: int, raw: bytes) -> IpAddress:
    return IPv4Address(raw[:4]) if family == IPV4 else IPv6Address(raw)
