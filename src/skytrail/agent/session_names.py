"""Names of ports and far ends by their numbers: as they are, or were when a session of theirs was last told of. Pure.

Sessions of a port end when it is unplugged or deleted, and are told when it is not among the others any more. The first
packets of a new one may be told of before it is among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from skytrail.agent.identity import Identity
from skytrail.agent.interface import ActivePort
from skytrail.agent.outcome import Desired
from skytrail.agent.session_batch import Array, SessionKind
from skytrail.agent.tables import IdentityId, VifId
from skytrail.net.latest import Latest

PORTS_COUNT_MAX: Final = 4_096
FAR_ENDS_COUNT_MAX: Final = 16_384
"""The latest that had sessions."""


class SessionNames:
    """Sees every batch. A number that stands for something now never stands for what it was before."""

    def __init__(self) -> None:
        self._ports: Latest[VifId, ActivePort] = Latest(PORTS_COUNT_MAX)
        self._far_ends: Latest[IdentityId, Identity] = Latest(FAR_ENDS_COUNT_MAX)
        self._awaited: set[VifId] = set()
        """Ports whose sessions began before they were here; no more than are remembered."""

    def look(self, desired: Desired) -> None:
        """Remember ports that have come since their sessions began."""
        for vif in list(self._awaited):
            state = _active(vif, desired)
            if state is not None:
                self._awaited.discard(vif)
                self._ports.put(vif, state)

    def note(self, records: Array, identities: Array, desired: Desired) -> None:
        """Remember what a batch's numbers stand for. O(records), and little for each different number."""
        self.look(desired)
        begun = set(_different((records["vif"][records["kind"] == SessionKind.BEGIN],)))
        for vif in _different((records["vif"], records["peer_vif"])):
            state = _active(VifId(vif), desired)
            if state is not None:
                self._ports.put(VifId(vif), state)
            elif vif in begun and len(self._awaited) < PORTS_COUNT_MAX:
                self._awaited.add(VifId(vif))
        for number in _different((identities,)):
            far = desired.identities.get(IdentityId(number))
            if far is not None:
                self._far_ends.put(IdentityId(number), far)

    def port(self, vif: VifId, desired: Desired) -> ActivePort | None:
        """Return the port of a number."""
        return _active(vif, desired) or self._ports.get(vif)

    def far_end(self, number: IdentityId, desired: Desired) -> Identity | None:
        """Return the far end of a number."""
        return desired.identities.get(number) or self._far_ends.get(number)


def _active(vif: VifId, desired: Desired) -> ActivePort | None:
    state = desired.ports.get(desired.vifs.get(vif, ""))
    return state if isinstance(state, ActivePort) else None


def _different(columns: Iterable[Array]) -> list[int]:
    found: set[int] = set()
    for column in columns:
        found.update(np.unique(column).tolist())
    return [number for number in found if number]
